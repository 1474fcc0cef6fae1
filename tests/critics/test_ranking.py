"""Comparisons -> order -> pairs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.records import Message, Origin, Response
from critics.aggregate import Score
from critics.ranking import schedule, select, strengths


def reply(name: str, text: str = "", origin: Origin = "sampled", parent: str | None = None) -> Response:
    return Response(name, "p", Message(role="assistant", content=text or name), origin, text, parent)


def test_a_contested_pair_is_no_label() -> None:
    scores = {("a", "b"): Score(2.0, {}, (), contested=True)}
    pairs, dropped = select([reply("a"), reply("b")], scores, "all_pairs", 0.0)
    assert not pairs
    assert [d.reason for d in dropped] == ["contested"]


@given(st.dictionaries(st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")]), st.floats(-3, 3)), st.floats(0, 2))
def test_every_judged_pair_is_kept_or_dropped(logits: dict[tuple[str, str], float], margin: float) -> None:
    candidates = [reply("a"), reply("b"), reply("c")]
    scores = {pair: Score(z, {}, ()) for pair, z in logits.items()}
    pairs, dropped = select(candidates, scores, "all_pairs", margin)
    assert len(pairs) + len(dropped) == len(scores)
    assert all(pair.margin >= max(margin, 0) and 0.5 <= pair.p_chosen <= 1 for pair in pairs)


def test_best_meets_worst() -> None:
    scores = {("a", "b"): Score(1.0, {}, ()), ("a", "c"): Score(-2.0, {}, ()), ("b", "c"): Score(-1.0, {}, ())}
    candidates = [reply("a"), reply("b"), reply("c")]
    # a: (1 - 2) / 2, b: (-1 - 1) / 2, c: (2 + 1) / 2
    assert strengths(candidates, scores) == {"a": -0.5, "b": -1.0, "c": 1.5}
    (pair,), dropped = select(candidates, scores, "best_worst", 0.0)
    assert (pair.chosen.id, pair.rejected.id, pair.margin) == ("c", "b", 1.0)
    assert pair.p_chosen == pytest.approx(1 / (1 + math.exp(-1)))
    assert not dropped


@pytest.mark.parametrize(("logit", "margin", "reason"), [(0.0, 0.0, "tie"), (0.1, 0.2, "under_margin")])
@pytest.mark.parametrize("strategy", ["best_worst", "all_pairs"])
def test_a_close_call_is_dropped_with_its_reason(logit: float, margin: float, reason: str, strategy: str) -> None:
    scores = {("a", "b"): Score(logit, {}, ())}
    pairs, dropped = select([reply("a"), reply("b")], scores, strategy, margin)  # type: ignore[arg-type]
    assert not pairs
    assert [(d.reason, d.subject) for d in dropped] == [(reason, "a vs b")]


def test_a_revision_meets_its_original_only() -> None:
    candidates = [
        reply("s0"),
        reply("s1"),
        reply("s0/r0", origin="revised", parent="s0"),
        reply("s0/r0/r1", origin="revised", parent="s0/r0"),
    ]
    pairs = schedule(candidates, "revision_original")
    assert [(a.id, b.id) for a, b in pairs] == [("s0", "s0/r0/r1")]


def test_equal_replies_are_not_compared() -> None:
    candidates = [reply("a", "same"), reply("b", "same"), reply("c", "other")]
    assert [(a.id, b.id) for a, b in schedule(candidates, "all_pairs")] == [("a", "c"), ("b", "c")]
