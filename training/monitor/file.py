"""`checks.jsonl`: a line for each check of the monitor, with its verdict; read by resumed runs and by pages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from generation.output.files import write_atomically
from training.monitor.detectors import Alert
from training.monitor.monitor import Verdict
from training.monitor.moves import Check

FILE = "checks.jsonl"


class CheckRecord(NamedTuple):
    """A check and what was said of it."""

    check: Check
    verdict: Verdict


def append(folder: Path, check: Check, verdict: Verdict) -> None:
    """Add a line, whole once this returns."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(_line(CheckRecord(check, verdict)))


def read_checks(folder: Path) -> list[CheckRecord]:
    """All whole lines; none where there is no file. A line that is damaged ends what can be read: what follows it would be compared
    with checks that are missing.
    """
    path = folder / FILE
    found: list[CheckRecord] = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            found.append(_seen(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return found


def resume(folder: Path, step: int) -> list[Check]:
    """The checks up to a step; those after it are forgotten, since a run that resumes there makes them again."""
    path = folder / FILE
    kept = [seen for seen in read_checks(folder) if seen.check.step <= step]
    if path.exists():
        write_atomically(path, "".join(map(_line, kept)))
    return [seen.check for seen in kept]


def _line(seen: CheckRecord) -> str:
    check, verdict = seen
    record = {
        "step": check.step,
        "level": verdict.level,
        "alerts": [alert._asdict() for alert in verdict.alerts],
        "values": dict(check.values),
        "errors": dict(check.errors),
        "rows": {name: [value if math.isfinite(value) else None for value in row] for name, row in check.rows.items()},
    }
    return json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n"


def _seen(line: Mapping[str, Any]) -> CheckRecord:
    rows: Mapping[str, Sequence[float | None]] = line["rows"]
    check = Check(
        int(line["step"]),
        {name: float(value) for name, value in line["values"].items()},
        {name: float(value) for name, value in line["errors"].items()},
        {name: [math.nan if value is None else float(value) for value in row] for name, row in rows.items()},
    )
    return CheckRecord(check, Verdict(line["level"], tuple(Alert(**alert) for alert in line["alerts"])))
