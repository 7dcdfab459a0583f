"""What the outcome depends on: features by x and x², and products of two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from arrays import Booleans, Floats
from columns import Columns
from findings import ALPHA, Finding, confidence, holm, normal_tail

MIN_ROWS_PER_TERM = 5
MAX_PAIR_ROWS = 20_000
MAX_INTERACTIONS = 4
MOST_MISSING = 0.5
"""Features with more missing cells are left out, so that enough rows are complete."""
MIN_DIRECTION, CLEAR_BIC, MIN_CORRELATION = 0.012, 3.5, 0.1
"""Partial R² of a slope; by how much one form must beat the others; r of a bystander."""
MIN_EFFECT, MIN_INTERACTION = 0.005, 0.01
"""Smallest share of the unexplained variance worth naming; in large tables trifles are certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What acts on the outcome: a regression on x, x² and the products found."""

    shares: Floats
    """(p,) partial R² of each feature's x and x²."""
    relevant: Booleans
    """(p,)"""
    pairs: tuple[tuple[int, int], ...]
    findings: tuple[Finding, ...]
    alone: Floats
    """(p, n) the outcome less what all other features do, NaN where not known; scaled."""


def find_effects(table: Columns) -> Effects:
    """Search for products first, then test each feature given all others and the products."""
    p, n = len(table.features), len(table.order)
    shares, relevant = np.zeros(p), np.zeros(p, dtype=np.bool_)
    alone = np.full((p, n), np.nan)
    nothing = Effects(shares=shares, relevant=relevant, pairs=(), findings=(), alone=alone)
    if table.outcome is None or p == 0:
        return nothing
    kept = np.flatnonzero(np.isnan(table.raw[:p]).mean(axis=1) <= MOST_MISSING)
    cells = table.scaled[[*kept, p]]
    rows = np.asarray(np.isfinite(cells).all(axis=0))
    dummies, sizes = _dummies(table, rows)
    if len(kept) == 0 or rows.sum() < MIN_ROWS_PER_TERM * (2 * len(kept) + len(dummies) + 1):
        return nothing
    x, y = cells[:-1, rows], cells[-1, rows]
    own_pairs, pair_p = _interactions(x, y, dummies)
    fitted = _main_effects(x, y, own_pairs, dummies, list(sizes.values()))
    main_p, own_shares = fitted.p[: len(x)], fitted.share[: len(x)]
    pairs = [(int(kept[i]), int(kept[j])) for i, j in own_pairs]
    shares[kept] = own_shares
    relevant[kept] = (main_p < ALPHA) & (own_shares > MIN_EFFECT)
    relevant[[j for pair in pairs for j in pair]] = True
    alone[np.ix_(kept, rows)] = fitted.alone
    found = [_interaction(table, pair, own) for pair, own in zip(pairs, pair_p, strict=True)]
    groups = [
        group
        for group, own, share in zip(sizes, fitted.p[len(x) :], fitted.share[len(x) :], strict=True)
        if own < ALPHA and share > MIN_EFFECT
    ]
    if relevant.any() or groups:
        weakest = float(main_p[main_p < ALPHA].max(initial=max(pair_p, default=0.0)))
        found.insert(0, _relevant(table, relevant, groups, weakest))
    names = [table.features[j] for j in kept]
    found += directions(names, x, y, dummies)
    found += _forms(names, x, fitted)
    found += _bystanders(names, x, y, fitted)
    return Effects(
        shares=shares, relevant=relevant, pairs=tuple(pairs), findings=tuple(found), alone=alone
    )


def _dummies(table: Columns, rows: Booleans) -> tuple[Floats, dict[str, int]]:
    """Return (terms, n) indicators of all levels but the first, and how many each group has."""
    parts = [np.zeros((0, int(rows.sum())))]
    sizes = {}
    for group, codes in table.groups.items():
        own = np.array([codes[rows] == k for k in range(1, len(table.levels[group]))], dtype=float)
        parts.append(own)
        sizes[group] = len(own)
    return np.concatenate(parts), sizes


def _relevant(table: Columns, relevant: Booleans, groups: list[str], p: float) -> Finding:
    names = [name for name, chosen in zip(table.features, relevant, strict=True) if chosen]
    names += groups
    return Finding(
        type="relevant_features",
        args={"columns": names},
        p=p,
        confidence=confidence(p),
        text=f"{table.outcome} depends on {', '.join(names)}, given all other columns",
    )


def _interaction(table: Columns, pair: tuple[int, int], p: float) -> Finding:
    names = [table.features[j] for j in pair]
    return Finding(
        type="interaction",
        args={"columns": names},
        p=p,
        confidence=confidence(p),
        text=f"{names[0]} and {names[1]} act on {table.outcome} together, by their product",
    )


def _design(x: Floats, pairs: Sequence[tuple[int, int]], dummies: Floats) -> Floats:
    """Return (terms, n): constant, x, x², indicators, products; centred."""
    products = [x[[i]] * x[[j]] for i, j in pairs]
    terms = np.concatenate([x, x * x, dummies, *products])
    terms -= terms.mean(axis=1, keepdims=True)
    return np.concatenate([np.ones((1, x.shape[1])), terms])


def _interactions(
    x: Floats, y: Floats, dummies: Floats
) -> tuple[list[tuple[int, int]], list[float]]:
    """Add the strongest product as long as it is beyond chance (a forward score test)."""
    step = -(-x.shape[1] // MAX_PAIR_ROWS)
    x, y, dummies = x[:, ::step], y[::step], dummies[:, ::step]
    every = list(combinations(range(len(x)), 2))
    pairs: list[tuple[int, int]] = []
    found: list[float] = []
    while every and len(pairs) < MAX_INTERACTIONS:
        design = _design(x, pairs, dummies)
        left = y - np.linalg.lstsq(design.T, y, rcond=None)[0] @ design
        r = _product_correlations(x, left)
        best = max(set(every) - set(pairs), key=lambda pair: abs(r[pair]))
        p = min(1.0, normal_tail(r[best] * math.sqrt(x.shape[1])) * (len(every) - len(pairs)))
        if p >= ALPHA or r[best] ** 2 < MIN_INTERACTION:
            break
        pairs.append(best)
        found.append(p)
    return pairs, found


def _product_correlations(x: Floats, left: Floats) -> Floats:
    """Return (p, p): the correlation of each product with the residuals, above the diagonal."""
    n = x.shape[1]
    r = np.zeros((len(x), len(x)))
    for i in range(len(x) - 1):
        products = x[i + 1 :] * x[i]
        products -= products.mean(axis=1, keepdims=True)
        spread = np.maximum(products.std(axis=1) * left.std(), 1e-12)
        r[i, i + 1 :] = products @ left / (n * spread)
    return r


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A regression on x, x², levels of groups and products."""

    p: Floats
    """Per feature, then per group: Holm-adjusted."""
    share: Floats
    """The same: partial R²."""
    alone: Floats
    """(p, n) residuals with the part of one feature put back."""


def _main_effects(
    x: Floats,
    y: Floats,
    pairs: Sequence[tuple[int, int]],
    dummies: Floats,
    sizes: Sequence[int],
) -> Fitted:
    """Test each feature, x and x² together, and each group (Wald)."""
    p, design = len(x), _design(x, pairs, dummies)
    inverse = np.linalg.pinv(design @ design.T, hermitian=True)
    weights = inverse @ (design @ y)
    left = y - weights @ design
    freedom = max(len(y) - len(design), 1)
    variance = max(float(left @ left) / freedom, 1e-12)
    blocks = [[1 + j, 1 + p + j] for j in range(p)]
    at = 1 + 2 * p
    for size in sizes:
        blocks.append(list(range(at, at + size)))
        at += size
    wald = np.empty(len(blocks))
    for k, own in enumerate(blocks):
        block = np.linalg.pinv(inverse[np.ix_(own, own)], hermitian=True)
        wald[k] = weights[own] @ block @ weights[own] / variance
    tails = [chi_square_tail(w, len(own)) for w, own in zip(wald, blocks, strict=True)]
    parts = np.array([weights[own] @ design[own] for own in blocks[:p]])
    return Fitted(p=holm(np.array(tails)), share=wald / (wald + freedom), alone=left + parts)


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the tail probability; exact for 2 degrees, Wilson and Hilferty (1931) otherwise."""
    if degrees == 2:  # noqa: PLR2004 - as the docstring says
        return math.exp(-value / 2)
    spread = 2 / (9 * degrees)
    z = ((max(value, 0.0) / degrees) ** (1 / 3) - 1 + spread) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2)) / 2


# --- more about single features -----------------------------------------------------------------


def directions(names: Sequence[str], x: Floats, y: Floats, dummies: Floats) -> list[Finding]:
    """Name the sign of each clear slope, given all others; first where the correlation hides it."""
    design = np.concatenate([np.ones((1, x.shape[1])), x, dummies])
    inverse = np.linalg.pinv(design @ design.T, hermitian=True)
    weights = inverse @ (design @ y)
    left = y - weights @ design
    freedom = max(len(y) - len(design), 1)
    variance = max(float(left @ left) / freedom, 1e-12)
    errors = np.sqrt(np.maximum(np.diag(inverse) * variance, 1e-300))[1 : 1 + len(x)]
    t = weights[1 : 1 + len(x)] / errors
    p = holm(np.array([normal_tail(own) for own in t]))
    found = []
    apparent = np.sign(t) * (x @ (y - y.mean()))
    for j in np.argsort(apparent).tolist():
        name, own_t, own_p = names[j], t[j], p[j]
        if own_p < ALPHA and own_t**2 / (own_t**2 + freedom) > MIN_DIRECTION:
            way = "positive" if own_t > 0 else "negative"
            args = {"column": name, "direction": way}
            text = f"given all others, {name} has a {way} effect"
            found.append(_about("effect_direction", args, float(own_p), text))
    return found


def _forms(names: Sequence[str], x: Floats, fitted: Fitted) -> list[Finding]:
    """Name the form of each clear effect, the clearest first, which are those not straight."""
    found = []
    for j, name in enumerate(names):
        if fitted.p[j] < ALPHA and fitted.share[j] > MIN_DIRECTION:
            form, margin = form_of(x[j], fitted.alone[j])
            if margin > CLEAR_BIC:
                text = f"the effect of {name} is {form}"
                args = {"column": name, "form": form}
                found.append((margin, _about("functional_form", args, float(fitted.p[j]), text)))
    return [finding for _, finding in sorted(found, key=lambda pair: -pair[0])]


def form_of(x: Floats, y: Floats) -> tuple[str, float]:
    """Return the form with the least BIC, and by how much the next one is worse."""
    n, y, line = len(y), y - y.mean(), x - x.mean()
    rest = y - float(line @ y) / float(line @ line) * line
    square = x * x - np.mean(x * x)
    square = square - float(square @ line) / float(line @ line) * line
    bend = float(square @ rest) ** 2 / max(float(square @ square), 1e-12)
    cuts = np.unique((np.arange(0.08, 0.93, 0.02) * n).astype(np.int64))
    sums = np.cumsum(y[np.argsort(x)])[cuts - 1]
    step = float((sums**2 * n / (cuts * (n - cuts))).max())
    left = {"linear": float(rest @ rest), "threshold": float(y @ y) - step}
    left["quadratic"] = left["linear"] - bend
    bic = {
        form: n * math.log(max(value, 1e-12) / n) + (1 + (form != "linear")) * math.log(n)
        for form, value in left.items()
    }
    first, second = sorted(bic, key=lambda form: bic[form])[:2]
    return first, bic[second] - bic[first]


def _bystanders(names: Sequence[str], x: Floats, y: Floats, fitted: Fitted) -> list[Finding]:
    """Name features that go along with the outcome and do nothing given the others."""
    n = x.shape[1]
    r = x @ (y - y.mean()) / (n * np.maximum(x.std(axis=1) * y.std(), 1e-12))
    found = []
    for j in np.argsort(-np.abs(r)).tolist():
        p = min(1.0, normal_tail(float(r[j]) * math.sqrt(n)) * len(names))
        if p < ALPHA and fitted.p[j] > 0.05 and abs(r[j]) > MIN_CORRELATION:  # noqa: PLR2004 - no sign of an effect of its own
            text = f"{names[j]} goes along with the outcome, and does nothing given the others"
            found.append(_about("no_effect", {"column": names[j]}, p, text))
    return found


def _about(kind: str, args: dict[str, str], p: float, text: str) -> Finding:
    return Finding(type=kind, args=args, p=p, confidence=min(0.95, confidence(p)), text=text)
