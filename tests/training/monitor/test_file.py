"""The file of checks: what is written is read again, up to what a kill left whole."""

import math
from pathlib import Path

from training.monitor.detectors import Alert
from training.monitor.file import FILE, CheckRecord, append, read_checks, resume
from training.monitor.monitor import Verdict
from training.monitor.moves import Check

ALERT = Alert("verbosity", "warn", "KL rose from 1 to 9 nats: lower the learning rate", new=False)
RECORDS = [
    CheckRecord(Check(0, {"kl": 1.0}, {"kl": 0.5}, {"kl": [0.5, 1.5]}), Verdict("ok", ())),
    CheckRecord(Check(2, {"kl": 9.0}), Verdict("warn", (ALERT,))),
    CheckRecord(Check(4, {"kl": 8.0}), Verdict("halt", (ALERT._replace(level="halt", new=True), ALERT))),
]


def written(folder: Path) -> Path:
    for check, verdict in RECORDS:
        append(folder, check, verdict)
    return folder


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert read_checks(tmp_path) == []
    assert read_checks(written(tmp_path)) == RECORDS


def test_a_response_without_a_value_stays_without(tmp_path: Path) -> None:
    append(tmp_path, Check(1, {}, rows={"gold": [1.0, math.nan]}), Verdict("ok", ()))
    ((check, _),) = read_checks(tmp_path)
    one, none = check.rows["gold"]
    assert one == 1.0
    assert math.isnan(none)


def test_a_damaged_line_ends_what_is_read(tmp_path: Path) -> None:
    path = written(tmp_path) / FILE
    first, second, third, _ = path.read_text().split("\n")
    path.write_text(f"{first}\n{second[:-9]}\n{third}\n")
    assert read_checks(tmp_path) == RECORDS[:1]
    path.write_text(f"{first}\n{second}\n{third}")  # killed before the line's end
    assert read_checks(tmp_path) == RECORDS[:2]


def test_checks_after_the_step_that_is_resumed_are_forgotten(tmp_path: Path) -> None:
    assert resume(written(tmp_path), 2) == [check for check, _ in RECORDS[:2]]
    assert read_checks(tmp_path) == RECORDS[:2]
    assert resume(tmp_path / "none", 2) == []
