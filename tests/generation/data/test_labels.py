"""What people said of pairs: the last word of each person, the majority of several, and lines that are none."""

import json
from typing import Any

import pytest

from generation.data.labels import Labels


def labels(*rows: dict[str, Any] | str) -> Labels:
    return Labels("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode())


def said(label: str, a: str = "x", b: str = "y", by: str = "", prompt: str = "p") -> dict[str, Any]:
    return {"prompt_id": prompt, "a": a, "b": b, "label": label, "by": by}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([said("a")], ("x", "y", "a")),
        ([said("a", a="y", b="x")], ("x", "y", "b")),
        ([said("a"), said("b")], ("x", "y", "b")),
        ([said("a"), said("skip")], None),
        ([said("skip")], None),
        ([said("a", by="u"), said("b", by="v"), said("b", "y", "x", by="w")], ("x", "y", "a")),
        ([said("a", by="u"), said("b", by="v")], ("x", "y", "people_disagree")),
        ([said("a", by="u"), said("skip", by="v")], ("x", "y", "a")),
        ([said("tie", a="y", b="x")], ("x", "y", "human_tie")),
        ([said("both_bad")], ("x", "y", "both_bad")),
    ],
)
def test_what_people_say_together(rows: list[dict[str, Any]], found: tuple[str, str, str] | None) -> None:
    assert [*labels(*rows).of("p")] == ([found] if found else [])


def test_the_digest_is_of_what_is_said_and_not_of_how() -> None:
    once = labels(said("a"))
    assert once.digest == labels(said("b"), said("b", a="y", b="x") | {"note": "on second thoughts"}).digest
    assert once.digest != labels(said("b")).digest
    assert labels().digest == ""


def test_lines_that_are_no_labels_are_named_and_cost_no_other() -> None:
    wrong = ['{"prompt_id": "p", "a": "x"', "[1]", said("c"), said("a", a="x", b="x"), said("a") | {"extra": 1}]
    wrong += [said("a") | {"edited": "a"}, said("a") | {"text": "No side is named."}]
    found = labels(*wrong, said("a"))
    assert [*found.of("p")] == [("x", "y", "a")]
    assert [problem.place for problem in found.problems] == [f"review.jsonl:{n}" for n in range(1, 8)]
    assert Labels(b"\xff\xfe\n" + json.dumps(said("a")).encode()).digest == labels(said("a")).digest


def test_better_responses_are_those_of_peoples_last_words() -> None:
    better = said("both_bad", by="u") | {"edited": "b", "text": "Better."}
    found = labels(
        better, said("a", by="v") | {"edited": "b", "text": "Better."}, better | {"a": "y", "b": "x", "by": "w"}
    )
    assert [*found.edits("p")] == [("y", "Better."), ("x", "Better.")]
    assert [*found.edits("other")] == []
    assert found.digest != labels(said("both_bad", by="u"), said("a", by="v"), said("both_bad", by="w")).digest
    for taken_back in ("skip", "both_bad"):
        assert [*labels(better, said(taken_back, by="u")).edits("p")] == []


def test_who_said_what() -> None:
    found = labels(said("a", a="y", b="x", by="u"), said("skip", by="v"), said("tie", by="u", prompt="q"))
    assert [*found.people()] == [(("p", "x", "y"), {"u": "b", "v": "skip"}), (("q", "x", "y"), {"u": "tie"})]
