"""What becomes of a pair under a stated error, in which words it is promised, and which files are refused."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from constitution.errors import UserError
from critics.ranking.accept import (
    Acceptance,
    Step,
    Test,
    optimistic,
    read_acceptance,
    refuse_other_acceptance,
    refuse_other_accepted_form,
)
from critics.ranking.weights import Origin, Weights

ORIGIN = Origin(
    constitution="law", judges={"judge": "abc"}, templates="words", judging="soft", forms={"judge/compare": "exact"},
    data="file", pairs=100,
)  # fmt: skip
ALONE = Acceptance(
    max_error=0.05, found_on=ORIGIN, prompts=90, steps=(Step(threshold=1.5, labels=100, accepted=60, wrong=1),)
)
CASCADE = ALONE.model_copy(
    update={
        "steps": (
            Step(judges=("small",), threshold=2.0, labels=100, accepted=40, wrong=1),
            Step(judges=("large",), threshold=1.0, labels=60, accepted=30, wrong=0),
        )
    }
)


def test_a_pair_that_is_sure_enough_is_accepted_and_others_are_reviewed_or_dropped() -> None:
    assert ALONE.fate(1.5, whole=True) == ALONE.fate(-9, whole=True) == "accepted"
    assert ALONE.fate(1.49, whole=True) == "review"
    assert ALONE.fate(0.0, whole=True, below="drop") == "drop"


@given(st.floats(-50, 50), st.integers(0, 1))
def test_without_every_vote_nothing_is_accepted(log_odds: float, step: int) -> None:
    assert ALONE.fate(log_odds, whole=False) == "review"
    assert CASCADE.fate(log_odds, whole=False, step=step) == ("escalate", "review")[step]


def test_a_cascade_asks_on_until_its_last_judge() -> None:
    assert CASCADE.fate(2.5, whole=True) == "accepted"
    assert CASCADE.fate(1.5, whole=True) == "escalate"
    assert CASCADE.fate(1.5, whole=True, step=1) == "accepted"
    assert CASCADE.fate(0.5, whole=True, step=1, below="drop") == "drop"


def test_without_a_threshold_no_certainty_is_enough() -> None:
    none = ALONE.model_copy(update={"steps": (Step(threshold=None, labels=10, accepted=0, wrong=0),)})
    assert none.fate(math.inf, whole=True) == "review"
    assert "No label is accepted" in none.promise()


def test_the_promise_says_how_and_on_how_many_labels() -> None:
    assert "on average" in ALONE.promise()
    assert "100 labelled pairs of 90 prompts, of which 60 would be accepted, 1 of them wrongly" in ALONE.promise()
    sure = ALONE.model_copy(update={"confidence": 0.9})
    assert sure.promise().startswith("With about 90% confidence at most a share of 0.05")
    assert sure.model_copy(update={"test": "exact"}).promise().startswith("With 90% confidence")


def test_a_file_is_read_back_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acceptance.json"
    path.write_text(CASCADE.model_dump_json(), encoding="utf-8")
    assert read_acceptance(path) == CASCADE
    for text in ("{", json.dumps({"version": 1, "max_error": 2}), CASCADE.model_dump_json().replace("0.05", "0.7")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="is no file of acceptance"):
            read_acceptance(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_acceptance(tmp_path / "missing.json")
    with pytest.raises(ValidationError, match="step without judges"):
        Acceptance.model_validate({**CASCADE.model_dump(), "steps": [ALONE.steps[0], CASCADE.steps[1]]})


@pytest.mark.parametrize(
    ("change", "weights", "promised", "cascade", "words"),
    [
        ({}, "", (0.05, None, "mid-p"), (), ""),
        ({"data": "other", "pairs": 3}, "", (0.05, None, "mid-p"), (), ""),
        ({"constitution": "x"}, "", (0.05, None, "mid-p"), (), "constitution"),
        ({"judges": {"judge": "x"}}, "", (0.05, None, "mid-p"), (), "judge 'judge'"),
        ({"templates": "x"}, "", (0.05, None, "mid-p"), (), "prompt templates"),
        ({"judging": "x"}, "", (0.05, None, "mid-p"), (), "counting of votes"),
        ({}, "w", (0.05, None, "mid-p"), (), "file of weights none"),
        ({}, "", (0.1, None, "mid-p"), (), "promise, 0.05 on average"),
        ({}, "", (0.05, 0.9, "exact"), (), "0.05 with confidence 0.9 by the exact test"),
        ({}, "", (0.05, None, "mid-p"), ("small",), "cascade, none"),
    ],
)
def test_it_is_refused_for_another_run(
    change: dict[str, object],
    weights: str,
    promised: tuple[float, float | None, Test],
    cascade: tuple[str, ...],
    words: str,
) -> None:
    here = ORIGIN.model_copy(update=change)
    if not words:
        refuse_other_acceptance(ALONE, Path("a.json"), here, weights, "who", promised, cascade)
        return
    with pytest.raises(UserError) as raised:
        refuse_other_acceptance(ALONE, Path("a.json"), here, weights, "who", promised, cascade)
    assert words in str(raised.value)


def test_it_is_refused_for_another_form_of_judging() -> None:
    refuse_other_accepted_form(ALONE, Path("a.json"), {"judge/compare": "exact"})
    with pytest.raises(UserError, match="another form of judging"):
        refuse_other_accepted_form(ALONE, Path("a.json"), {"judge/compare": "text"})


def test_weights_fitted_on_the_same_labels_promise_too_much() -> None:
    weights = Weights(method="logistic", fitted_on=ORIGIN, voters={"v": 1.0}, temperature=1.0)
    assert optimistic(weights, "file")
    assert not optimistic(weights, "other")
    assert not optimistic(None, "file")
