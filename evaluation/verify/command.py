"""`python -m evaluation verify DATASET`: what is wrong with preference data, row by row and as a whole."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation.files import check_writable, write_json
from evaluation.verify.checking import find
from evaluation.verify.finding import SEVERITIES, Finding
from evaluation.verify.scan import Scan, scan
from evaluation.verify.settings import VerifySettings

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def run(settings: VerifySettings, console: Console) -> int:
    """Read, check, print. Exit code 0 done, 1 an error was found. Raises UserError."""
    check_writable(settings.json_file)
    found = scan(settings)
    findings = sorted(find(found), key=lambda one: SEVERITIES.index(one.severity))
    if settings.json_file:
        write_json(settings.json_file, numbers(found, findings))
    _print(found, findings, console)
    return int(any(one.severity == "error" for one in findings))


def numbers(found: Scan, findings: list[Finding]) -> dict[str, object]:
    """What `--json` writes."""
    return {
        "dataset": found.name,
        "rows": found.rows,
        "pairs": found.pairs,
        "splits": found.splits,
        "columns": dict(found.layout.fields) | {"scores": [one[1:] for one in found.layout.scores]},
        "sample": len(found.sample),
        "findings": [one._asdict() for one in findings],
        "unseen": unseen(found),
    }


def unseen(found: Scan) -> list[str]:
    """What could not be looked at, and why."""
    fields = found.layout.fields
    missing = []
    if "verdict" not in fields:
        missing.append("whether labels follow the judge's verdicts: no column holds them (--map verdict=COLUMN)")
    if not (found.numbers.of("listed") >= 0).any() and not (found.numbers.of("asked") >= 0).any():
        missing.append("whether a position is always chosen: no column says which response was the first of its pair")
    if not found.scores and not found.margins:
        missing.append("whether labels follow scores: no column holds them")
    if len(found.splits) < 2:
        missing.append("leaks between splits: there is one")
    if not found.numbers.of("prompt").any():
        missing.append("what depends on prompts: there are none")
    return missing


def _print(found: Scan, findings: list[Finding], console: Console) -> None:
    splits = f" in {', '.join(found.splits)}" if len(found.splits) > 1 else ""
    console.print(f"{found.name}: {found.pairs:,} labelled pairs of {found.rows:,} rows{splits}", markup=False)
    for note in found.notes:
        console.print(note, markup=False)
    if findings:
        table = Table(show_edge=False, pad_edge=False)
        for name in ("", "check", "rows", "what is found, and what mends it"):
            table.add_column(name, overflow="fold")
        for one in findings:
            share = f"{one.hits:,} of {one.of:,}" if one.of else ""
            where = f" ({', '.join(one.places)})" if one.places else ""
            table.add_row(
                Text(one.severity, _STYLES[one.severity]), one.check, share, Text(f"{one.what}{where}. {one.fix}")
            )
        console.print(table)
    counts = ", ".join(f"{sum(one.severity == s for one in findings)} {s}s" for s in SEVERITIES)
    console.print(f"{counts}. Not looked at: {'; '.join(unseen(found)) or 'nothing'}.", markup=False)
