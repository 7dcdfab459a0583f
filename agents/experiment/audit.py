"""What the reading of the table brought to light, as findings."""

from columns import Columns
from findings import SURE, Finding


def audit(table: Columns) -> list[Finding]:
    """Name codes, wrong units, copies of rows, spellings, ids, constants and leaks."""
    cleaning = table.cleaning
    found = [
        _finding(
            "sentinel_values", f"{value:g} stands for missing in {name}", column=name, value=value
        )
        for name, value in cleaning.codes.items()
    ]
    found += [
        _finding(
            "unit_errors", f"cells of {name} are off by {factor:g}", column=name, factor=factor
        )
        for name, factor in cleaning.factors.items()
    ]
    found += [
        _finding(
            "category_aliases", f"one category of {name}: {same}", column=name, values=list(same)
        )
        for name, sets in cleaning.spellings.items()
        for same in sets
    ]
    found += [_finding("id_like", f"{name} numbers the rows", column=name) for name in cleaning.ids]
    found += [
        _finding("constant", f"{name} never varies", column=name) for name in cleaning.constants
    ]
    found += [
        _finding("leakage_column", f"{name} can only be made from {table.outcome}", column=name)
        for name in table.leaks
    ]
    if cleaning.repeated > 0.005:  # noqa: PLR2004 - fewer may be chance
        text = f"{cleaning.repeated:.2%} of the rows repeat an earlier one"
        found.append(_finding("duplicates", text, share=cleaning.repeated))
    return found


def _finding(kind: str, text: str, **args: object) -> Finding:
    return Finding(type=kind, args=args, p=0.0, confidence=SURE, text=text)
