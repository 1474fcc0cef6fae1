"""Limits of an audit: where they come from, and when one is crossed."""

from pathlib import Path

import pytest

from constitution.errors import UserError
from critics.ranking.weights import Estimate
from evaluation.audit.measures import WORDS
from evaluation.audit.thresholds import Measure, Thresholds, judged, load


def test_every_measure_has_a_limit() -> None:
    assert set(WORDS) <= set(Thresholds.model_fields)


def test_a_file_then_overrides(tmp_path: Path) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text("position_inconsistent: 0.1\nlength_bias: 0.7\nharmful_tags: [bad]\n")
    found = load(path, ["length_bias=0.8", "seed=3"])
    assert (found.position_inconsistent, found.length_bias, found.seed, found.harmful_tags) == (0.1, 0.8, 3, ("bad",))
    assert load(None, []) == Thresholds()
    path.write_text("")
    assert load(path, []) == Thresholds()


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (
            "position_inconsistnt: 0.1",
            [],
            "audit.yaml: position_inconsistnt: unknown key (did you mean position_inconsistent?); allowed: ",
        ),
        (
            "position_inconsistent: 2",
            [],
            "audit.yaml: position_inconsistent: got 2; allowed: at most 1",
        ),
        ("- 1", [], "audit.yaml: got a list; allowed: a mapping, as in `position_inconsistent: 0.2`"),
        ("a: [", [], "audit.yaml: is not YAML"),
        (
            "",
            ["position_inconsistent"],
            "--set position_inconsistent: allowed: key=value, as in --set position_inconsistent=0.2",
        ),
        ("", ["position_inconsistent=["], "--set position_inconsistent=[: the value is not YAML"),
    ],
)
def test_wrong_limits_are_said(tmp_path: Path, text: str, override: list[str], message: str) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(path, override)
    assert message in str(error.value)


def test_both_wrong_limits_are_said_at_once() -> None:
    with pytest.raises(UserError, match=r"(?s)--set: bias: got 'x'; .*--set: position_inconsistent: "):
        load(None, ["bias=x", "position_inconsistent=y"])
    with pytest.raises(UserError, match=r"none.yaml: cannot be read \(No such file or directory\)"):
        load(Path("none.yaml"), [])


@pytest.mark.parametrize(
    ("name", "value", "low", "crossed"),
    [
        ("position_inconsistent", 0.31, 0.1, True),
        ("position_inconsistent", 0.30, 0.1, False),
        ("length_bias", 0.9, 0.51, True),
        ("length_bias", 0.9, 0.49, False),  # few pairs: it may be chance
        ("length_bias", 0.6, 0.55, False),
    ],
)
def test_when_a_limit_is_crossed(name: str, value: float, low: float, crossed: bool) -> None:
    measure = Measure(name, "", Estimate(value=value, low=low, high=1), 10, "")
    (verdict,) = judged([measure], Thresholds())
    assert verdict.crossed is crossed


@pytest.mark.parametrize(("high", "crossed"), [(0.79, True), (0.81, False)])
def test_control_pairs_are_too_few_right_where_the_whole_interval_says_so(high: float, crossed: bool) -> None:
    measure = Measure("controls", "", Estimate(value=0.6, low=0.4, high=high), 64, "")
    (verdict,) = judged([measure], Thresholds())
    assert verdict.crossed is crossed


def test_few_pairs_prove_no_lure() -> None:
    few = [Measure("length_bias", "", Estimate(value=1, low=0.6, high=1), n, "") for n in (9, 10)]
    assert [verdict.crossed for verdict in judged(few, Thresholds())] == [False, True]


def test_a_measure_without_data_is_no_verdict() -> None:
    assert judged([Measure("position_inconsistent", "", Estimate(value=1, low=0, high=1), 0, "")], Thresholds()) == []
