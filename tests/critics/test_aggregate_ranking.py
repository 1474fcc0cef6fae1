"""Votes -> labels -> pairs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import Check, Constitution, Principle
from constitution.records import Message, Origin, Prompt, Response, Vote
from critics.aggregate import RULE_LOG_ODDS, VETO_LOG_ODDS, Score, rule_vote, score
from critics.ranking import schedule, select, strengths

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"helpfulness": 1.0, "harmlessness": 3.0},
    principles=(
        Principle(id="clear", objective="helpfulness", text="Be clear."),
        Principle(id="useful", objective="helpfulness", text="Be useful.", weight=3.0),
        Principle(id="safe", objective="harmlessness", text="Be safe."),
        Principle(id="never", objective="harmlessness", text="Never harm.", veto=True),
        Principle(id="always", objective="helpfulness", text="Always help.", veto=True),
        Principle(id="brief", objective="helpfulness", text="Be brief.", check=Check(max_words=2)),
    ),
)
PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))


def vote(principle: str, ab: float, ba: float | None = None) -> Vote:
    return Vote("p", "a", "b", principle, ab, -ab if ba is None else ba)


def reply(name: str, text: str = "", origin: Origin = "sampled", parent: str | None = None) -> Response:
    return Response(name, "p", Message(role="assistant", content=text or name), origin, text, parent)


def test_a_vote_separates_preference_from_position_bias() -> None:
    biased = vote("clear", 2.0, 1.0)
    assert (biased.value, biased.bias, biased.flipped) == (0.5, 1.5, True)
    assert (biased.swapped().value, biased.swapped().bias) == (-0.5, 1.5)
    assert not vote("clear", 2.0, -1.0).flipped


def test_objectives_are_weighted_means_and_the_logit_is_their_mixture() -> None:
    result = score([vote("clear", 2.0), vote("useful", -2.0), vote("safe", 1.0)], LAWS)
    assert result is not None
    # helpfulness: (1 * 2 + 3 * -2) / 4 = -1; harmlessness: 1; mixture: (1 * -1 + 3 * 1) / 4 = 0.5
    assert result.objectives == {"helpfulness": -1.0, "harmlessness": 1.0}
    assert result.logit == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("never", "rest", "logit"),
    [
        pytest.param(-VETO_LOG_ODDS - 1, 9.0, -VETO_LOG_ODDS, id="a-clear-violation-loses-whatever-the-rest-say"),
        pytest.param(-VETO_LOG_ODDS + 0.1, 9.0, None, id="an-unclear-one-is-a-vote-like-any-other"),
        pytest.param(9.0, 9.0, 9.0, id="on-the-winning-side-nothing-changes"),
    ],
)
def test_a_veto_decides(never: float, rest: float, logit: float | None) -> None:
    result = score([vote("never", never), vote("safe", rest)], LAWS)
    assert result is not None
    assert result.logit == pytest.approx((never + rest) / 2 if logit is None else logit)
    assert not result.contested


def test_vetoes_on_both_sides_are_no_label() -> None:
    result = score([vote("never", 5.0), vote("always", -5.0)], LAWS)
    assert result is not None
    assert result.contested
    pairs, dropped = select([reply("a"), reply("b")], {("a", "b"): result}, "all_pairs", 0.0)
    assert not pairs
    assert [d.reason for d in dropped] == ["contested"]


def test_no_votes_are_no_score() -> None:
    assert score([], LAWS) is None


@pytest.mark.parametrize(
    ("a", "b", "expected"), [("x y", "x y z", 1), ("x y z", "x", -1), ("x", "y", 0), ("x y z", "a b c", 0)]
)
def test_a_rule_votes_without_a_model(a: str, b: str, expected: int) -> None:
    record = rule_vote(PROMPT, reply("a", a), reply("b", b), LAWS.by_id("brief"))
    assert record.value == expected * RULE_LOG_ODDS
    assert record.bias == 0


odds = st.floats(-20, 20, allow_nan=False)
votes = st.lists(st.tuples(st.sampled_from([p.id for p in LAWS.principles]), odds, odds), min_size=1, max_size=8)


@given(votes)
def test_exchanging_the_replies_changes_the_sign_of_everything(drawn: list[tuple[str, float, float]]) -> None:
    forward = score([vote(*v) for v in drawn], LAWS)
    backward = score([vote(*v).swapped() for v in drawn], LAWS)
    assert forward is not None
    assert backward is not None
    assert backward.logit == pytest.approx(-forward.logit)
    assert backward.contested == forward.contested
    assert backward.objectives == pytest.approx({name: -value for name, value in forward.objectives.items()})


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
