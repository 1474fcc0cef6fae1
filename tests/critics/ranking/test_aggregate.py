"""Votes -> labels."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.principles import Check, Constitution, Principle
from constitution.records import Message, Origin, Prompt, Response, Vote
from critics.ranking.aggregate import RULE_LOG_ODDS, VETO_LOG_ODDS, PositionInconsistent, rule_vote, score
from critics.ranking.weights import Weights

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
    assert (biased.value, biased.bias, biased.position_inconsistent) == (0.5, 1.5, True)
    assert (biased.swapped().value, biased.swapped().bias) == (-0.5, 1.5)
    assert not vote("clear", 2.0, -1.0).position_inconsistent


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
        pytest.param(VETO_LOG_ODDS + 1, -1.0, VETO_LOG_ODDS, id="where-the-rest-only-doubt-it-decides-as-well"),
        pytest.param(-VETO_LOG_ODDS - 1, 1.0, -VETO_LOG_ODDS, id="and-against"),
    ],
)
def test_a_veto_decides(never: float, rest: float, logit: float | None) -> None:
    result = score([vote("never", never), vote("safe", rest)], LAWS)
    assert result is not None
    assert result.logit == pytest.approx((never + rest) / 2 if logit is None else logit)
    assert not result.undecided


def test_vetoes_on_both_sides_are_no_label() -> None:
    result = score([vote("never", 5.0), vote("always", -5.0)], LAWS)
    assert result is not None
    assert result.undecided == "contested"


def test_no_votes_are_no_score() -> None:
    assert score([], LAWS) is None


def test_the_voters_of_one_principle_are_averaged() -> None:
    other = replace(vote("clear", 4.0), judge="other")
    result = score([vote("clear", 2.0), other, vote("safe", 1.0)], LAWS)
    assert result is not None
    assert result.objectives == {"helpfulness": 3.0, "harmlessness": 1.0}
    assert len(result.votes) == 3


@pytest.mark.parametrize(("flips", "logit"), [("keep", 0.5), ("half", 0.25), ("drop", None)])
def test_flips_are_kept_halved_or_dropped(flips: PositionInconsistent, logit: float | None) -> None:
    flipped = vote("clear", 2.0, 1.0)
    alone = score([flipped], LAWS, position_inconsistent=flips)
    assert alone is not None
    assert (alone.logit, alone.undecided) == ((logit, "") if logit else (0.0, "abstained"))
    beside = score([flipped, vote("safe", 1.0)], LAWS, position_inconsistent=flips)
    assert beside is not None
    # (1 * helpfulness + 3 * harmlessness) / 4, or harmlessness alone where the flip is dropped
    assert beside.logit == pytest.approx((logit + 3) / 4 if logit else 1.0)
    assert len(beside.votes) == 2, "every vote is kept in the record"


def fitted(**voters: float) -> Weights:
    """Weights of the judge's comparisons, divided by a temperature of 2."""
    quality = {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "ece": 0.0, "nll": 0.3}
    origin = {"constitution": "c", "judges": {}, "templates": "t", "data": "d", "pairs": 9}
    names = {f"judge/compare/{name}": value for name, value in voters.items()}
    content = {"method": "logistic", "fitted_on": origin, "voters": names, "temperature": 2.0, "quality": quality}
    return Weights.model_validate(content)


def test_fitted_weights_add_up_and_may_be_negative() -> None:
    result = score(
        [vote("clear", 2.0), vote("useful", 1.0), vote("safe", 3.0)], LAWS, fitted(clear=1.0, useful=-4.0, safe=2.0)
    )
    assert result is not None
    # (1 * 2 - 4 * 1) / 2 and 2 * 3 / 2; the logit is their sum
    assert result.objectives == {"helpfulness": -1.0, "harmlessness": 3.0}
    assert result.logit == pytest.approx(2.0)


def test_early_stopping_without_fitted_weights_changes_nothing() -> None:
    votes = [vote("clear", 2.0), vote("safe", 1.0)]
    assert score(votes, LAWS, early_stop_error=0.05) == score(votes, LAWS)


def test_a_missing_vote_says_nothing() -> None:
    missing = score([vote("clear", 2.0)], LAWS, fitted(clear=1.0, never=0.1))
    assert missing is not None
    assert missing.logit == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("weight", "logit"),
    [
        pytest.param(2.0, -VETO_LOG_ODDS, id="a-veto-that-the-fit-trusts-decides"),
        pytest.param(0.1, 5 - 0.15, id="one-that-it-finds-worth-little-does-not"),
        pytest.param(-1.0, 5 + 1.5, id="nor-one-that-is-reliably-wrong"),
        pytest.param(None, -VETO_LOG_ODDS, id="one-without-labels-counts-as-it-is"),
    ],
)
def test_a_veto_is_worth_what_the_fit_says(weight: float | None, logit: float) -> None:
    weights = fitted(clear=2.0, **({} if weight is None else {"never": weight}))
    result = score([vote("clear", 5.0), vote("never", -3.0)], LAWS, weights)
    assert result is not None
    assert result.logit == pytest.approx(logit)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [("x y", "x y z", 1), ("x y z", "x", -1), ("x", "y", 0), ("x y z", "a b c", 0)]
)
def test_a_rule_votes_without_a_model(a: str, b: str, expected: int) -> None:
    record = rule_vote(PROMPT, reply("a", a), reply("b", b), LAWS.by_id("brief"))
    assert record.value == expected * RULE_LOG_ODDS
    assert record.bias == 0


odds = st.floats(-20, 20, allow_nan=False)
votes = st.lists(st.tuples(st.sampled_from([p.id for p in LAWS.principles]), odds, odds), min_size=1, max_size=8)


@given(votes, st.sampled_from(["keep", "half", "drop"]))
def test_exchanging_the_replies_changes_the_sign_of_everything(
    drawn: list[tuple[str, float, float]], flips: PositionInconsistent
) -> None:
    forward = score([vote(*v) for v in drawn], LAWS, position_inconsistent=flips)
    backward = score([vote(*v).swapped() for v in drawn], LAWS, position_inconsistent=flips)
    assert forward is not None
    assert backward is not None
    assert backward.logit == pytest.approx(-forward.logit)
    assert backward.undecided == forward.undecided
    assert backward.objectives == pytest.approx({name: -value for name, value in forward.objectives.items()})
