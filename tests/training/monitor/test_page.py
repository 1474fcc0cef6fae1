"""What a run's page says of the monitor, on numbers derived by hand."""

from __future__ import annotations

from evaluation.pages.plots import Plot
from evaluation.pages.section import Table
from training.monitor.detectors import Alert
from training.monitor.file import CheckRecord
from training.monitor.monitor import Verdict
from training.monitor.moves import Check
from training.monitor.page import verdicts

ALERT = Alert("over-optimisation", "halt", "gold fell", new=True)
OK = Verdict("ok", ())
ROWS = {"proxy": [-2.0, 2.0], "gold": [0.0, 2.0]}
"""At the start rewards scatter by 2, and gold by 1."""


def check(step: int, kl: float, proxy: float, gold: float | None, rows: dict[str, list[float]] | None = None) -> Check:
    values = {"kl": kl, "proxy": proxy} | ({} if gold is None else {"gold": gold})
    return Check(step, values, {}, rows or {})


def test_gains_are_in_standard_deviations_and_the_halt_spans_them_all() -> None:
    """Rewards gain 0, 4 / 2 and 8 / 2; gold 0, 1 and -1."""
    seen = [
        CheckRecord(check(0, 0.0, 0.0, 1.0, ROWS), OK),
        CheckRecord(check(2, 1.0, 4.0, 2.0), OK),
        CheckRecord(check(4, 4.0, 8.0, 0.0), Verdict("halt", (ALERT,))),
    ]
    plot, table = verdicts(seen).parts
    assert isinstance(plot, Plot)
    for words in ("reward from 0 to 4", "gold from 0 to -1", "halted, step 4 from -1 to 4"):
        assert words in plot.alt
    assert isinstance(table, Table)
    assert [row[:5] for row in table.rows] == [
        (0, "ok", "0", "0", "1"),
        (2, "ok", "1", "4", "2"),
        (4, "halt", "4", "8", "0"),
    ]
    assert [row[5] for row in table.rows] == ["", "", "gold fell"]


def test_without_rows_gains_are_in_the_rewards_own_units() -> None:
    seen = [CheckRecord(check(0, 0.0, 1.0, 1.0), OK), CheckRecord(check(2, 1.0, 4.0, 3.0), OK)]
    plot = verdicts(seen).parts[0]
    assert isinstance(plot, Plot)
    assert "reward from 0 to 3" in plot.alt
    assert "gold from 0 to 2" in plot.alt
    assert "halted" not in plot.alt


def test_checks_without_gold_have_no_picture_and_no_check_has_nothing() -> None:
    seen = [CheckRecord(check(0, 0.0, 0.0, 1.0), OK), CheckRecord(check(2, 1.0, 4.0, None), OK)]
    (table,) = verdicts(seen).parts
    assert isinstance(table, Table)
    assert [row[4] for row in table.rows] == ["1", ""]
    assert verdicts([]).parts == []
