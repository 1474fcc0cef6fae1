"""Votes -> labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import Check, Constitution, Principle
from constitution.records import Message, Origin, Prompt, Response, Vote
from critics.aggregate import RULE_LOG_ODDS, VETO_LOG_ODDS, rule_vote, score

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
