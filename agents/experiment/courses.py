"""What happens along the rows besides steps: slopes, seasons and bursts."""

import math

import numpy as np
from arrays import Floats
from columns import Columns
from findings import ALPHA, SURE, Finding, confidence, find_burst, holm, normal_tail

MIN_TREND, MIN_SEASON = 0.05, 0.13
"""Share of the variance that a line, or one frequency, explains."""
MIN_ROWS, MIN_CYCLES, MIN_PERIOD = 60, 6, 3


def courses(table: Columns) -> list[Finding]:
    """Name columns with a trend, a season or an unusual stretch."""
    found: list[Finding] = []
    whole = [
        row for row in table.scaled if np.isfinite(row).sum() >= MIN_ROWS and np.nanstd(row) > 0
    ]
    if not whole:
        return found
    tests = [_line(row[np.isfinite(row)]) for row in table.scaled]
    p = holm(np.array([normal_tail(r * math.sqrt(n)) for r, n, _ in tests]))
    for name, row, (r, _, steeper), own in zip(table.numeric, table.scaled, tests, p, strict=True):
        present = np.isfinite(row)
        if r**2 > MIN_TREND and own < ALPHA and steeper:
            found.append(_trend(name, r, float(own)))
        share, cycles = periodogram(np.nan_to_num(row))
        if share > MIN_SEASON and len(row) >= MIN_ROWS:
            span = float(table.order[-1] - table.order[0]) * len(row) / (len(row) - 1)
            found.append(_season(name, span / cycles, table.order_name))
        burst = find_burst(row[present]) if present.sum() >= MIN_ROWS else None
        if burst is not None:
            times = table.order[present][list(burst)]
            found.append(_burst(name, float(times[0]), float(times[1]), table.order_name))
    return found


def _line(y: Floats) -> tuple[float, int, bool]:
    """Return r along the rows, the number of rows, and whether a line beats a step."""
    n = len(y)
    if n < MIN_ROWS or y.std() == 0:
        return 0.0, n, False
    r = float(np.corrcoef(y, np.arange(n))[0, 1])
    before = np.arange(1, n)
    sums = np.cumsum(y - y.mean())[:-1]
    step = float((sums**2 / (before * (n - before))).max()) / float(y.var())
    return r, n, r * r > step


def periodogram(y: Floats) -> tuple[float, float]:
    """Return the share of the variance at the strongest frequency, and its cycles in the table."""
    n = len(y)
    lowest, highest = 4 * MIN_CYCLES, 4 * n // MIN_PERIOD
    line = np.arange(n) - (n - 1) / 2
    rest = y - y.mean()
    rest = rest - float(line @ rest) / max(float(line @ line), 1.0) * line
    total = float(rest @ rest)
    if highest <= lowest or total <= 0:
        return 0.0, 1.0
    power = 2 * np.abs(np.fft.rfft(rest, 4 * n)[lowest:highest]) ** 2 / (n * total)
    best = int(np.argmax(power))
    return float(power[best]), (lowest + best) / 4


def _trend(name: str, r: float, p: float) -> Finding:
    way = "up" if r > 0 else "down"
    return Finding(
        type="trend",
        args={"column": name, "direction": way},
        p=p,
        confidence=confidence(p),
        text=f"{name} goes {way} along the rows, r {r:.2f}",
    )


def _season(name: str, period: float, clock: str) -> Finding:
    return Finding(
        type="seasonality",
        args={"column": name, "period": round(period, 4)},
        p=0.0,
        confidence=SURE,
        text=f"{name} repeats itself every {period:.4g} of {clock}",
    )


def _burst(name: str, start: float, end: float, clock: str) -> Finding:
    return Finding(
        type="anomaly_window",
        args={"column": name, "start": start, "end": end},
        p=0.0,
        confidence=SURE,
        text=f"{name} is unusual from {clock} {start:g} to {end:g}",
    )
