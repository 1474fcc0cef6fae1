"""Votes -> labels."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.checks.check import Check
from constitution.principles import Constitution, Principle
from constitution.records import VIOLATION, Message, Origin, Prompt, Response, Vote
from critics.ranking.aggregate import RULE_LOG_ODDS, PositionInconsistent, Score, pooled, rule_vote, score
from critics.ranking.pooling import Pooling
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
    # helpfulness: (1 * 2 + 3 * -2) / 4 = -1; harmlessness: 1; mixture: (1 * -1 + 3 * 1) / 4 = 0.5
    assert result.objectives == {"helpfulness": -1.0, "harmlessness": 1.0}
    assert result.logit == pytest.approx(0.5)


def test_a_veto_decides_whatever_the_rest_say() -> None:
    asked = Vote("p", "a", "b", "never", logit_ab=-2.0, logit_ba=3.0, method=VIOLATION)
    result = score([asked, vote("never", 9.0), vote("safe", 9.0)], LAWS)
    # P(a violates) = 0.881, P(b violates) = 0.047: a is better with probability (1 + 0.047 - 0.881) / 2 = 0.083
    assert result.logit == pytest.approx(-2.399, abs=1e-3)
    assert (result.veto, result.objectives, result.source) == ("never", {"harmlessness": result.logit}, "panel")
    assert result.voters == 0, "there is no mean to be pooled"
    weighed = score([asked, vote("clear", 9.0)], LAWS, fitted(clear=1.0))
    assert weighed.logit == result.logit, "fitted weights know nothing of it"


def test_without_a_violation_the_answers_about_it_do_not_count() -> None:
    asked = Vote("p", "a", "b", "never", logit_ab=2.0, logit_ba=3.0, method=VIOLATION)
    assert score([asked, vote("safe", 1.0)], LAWS).logit == 1.0
    assert score([asked], LAWS).logit == 0.0


def test_a_graded_vote_of_a_principle_with_a_veto_is_a_vote_like_any_other() -> None:
    assert score([vote("never", -9.0), vote("safe", 5.0)], LAWS).logit == -2.0


def test_no_votes_are_a_tie() -> None:
    assert score([], LAWS) == Score(0.0, {}, ())


def test_the_voters_of_one_principle_are_averaged() -> None:
    other = replace(vote("clear", 4.0), judge="other")
    result = score([vote("clear", 2.0), other, vote("safe", 1.0)], LAWS)
    assert result.objectives == {"helpfulness": 3.0, "harmlessness": 1.0}
    assert len(result.votes) == 3


@pytest.mark.parametrize(("flips", "logit"), [("keep", 0.5), ("half", 0.25), ("drop", None)])
def test_flips_are_kept_halved_or_dropped(flips: PositionInconsistent, logit: float | None) -> None:
    flipped = vote("clear", 2.0, 1.0)
    alone = score([flipped], LAWS, position_inconsistent=flips)
    assert (alone.logit, alone.undecided) == ((logit, "") if logit else (0.0, "abstained"))
    beside = score([flipped, vote("safe", 1.0)], LAWS, position_inconsistent=flips)
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
    # (1 * 2 - 4 * 1) / 2 and 2 * 3 / 2; the logit is their sum
    assert result.objectives == {"helpfulness": -1.0, "harmlessness": 3.0}
    assert result.logit == pytest.approx(2.0)


def test_early_stopping_without_fitted_weights_changes_nothing() -> None:
    votes = [vote("clear", 2.0), vote("safe", 1.0)]
    assert score(votes, LAWS, early_stop_error=0.05) == score(votes, LAWS)


def test_a_missing_vote_says_nothing() -> None:
    missing = score([vote("clear", 2.0)], LAWS, fitted(clear=1.0, never=0.1))
    assert missing.logit == pytest.approx(1.0)


@pytest.mark.parametrize(("a", "b", "expected"), [("x y", "x y z", 1), ("x y z", "x", -1)])
def test_a_rule_votes_without_a_model(a: str, b: str, expected: int) -> None:
    record = rule_vote(PROMPT, reply("a", a), reply("b", b), LAWS.by_id("brief"))
    assert record
    assert (record.value, record.bias) == (expected * RULE_LOG_ODDS, 0)


@pytest.mark.parametrize(("a", "b"), [("x", "y"), ("x y z", "a b c")])
def test_a_rule_that_both_keep_or_break_does_not_vote(a: str, b: str) -> None:
    assert rule_vote(PROMPT, reply("a", a), reply("b", b), LAWS.by_id("brief")) is None


def ruled(value: float = RULE_LOG_ODDS) -> Vote:
    return Vote("p", "a", "b", "brief", value, -value, "rule", "")


def test_a_rule_is_as_sure_as_the_judged_votes_beside_it() -> None:
    judged = [vote("clear", 0.1), vote("useful", -0.3)]
    # votes (0.1, -0.3) weigh 1 and 3, so their mean size is 0.25: (1 * 0.1 - 3 * 0.3 + 1 * 0.25) / 5
    result = score([*judged, ruled()], LAWS)
    assert result.logit == pytest.approx(-0.11)
    assert result.source == "panel"
    tenfold = [replace(one, logit_ab=10 * one.logit_ab, logit_ba=10 * one.logit_ba) for one in judged]
    assert score([*tenfold, ruled()], LAWS).logit == pytest.approx(-1.1), "on any scale"


def test_rules_that_decide_alone_are_told() -> None:
    alone = score([ruled()], LAWS)
    assert (alone.logit, alone.source, alone.voters) == (RULE_LOG_ODDS, "rule", 0)
    silent = score([ruled(-RULE_LOG_ODDS), vote("safe", 0.0)], LAWS)
    assert (silent.logit < 0, silent.source) == (True, "rule")
    weighed = score([ruled()], LAWS, fitted(clear=1.0))
    assert (weighed.logit, weighed.source) == (0.0, "rule")


def test_the_votes_of_a_mean_say_how_many_they_are_worth() -> None:
    one = [vote("clear", 1.0)]
    assert score(one, LAWS).voters == 1
    assert score([*one, replace(one[0], judge="other")], LAWS).voters == pytest.approx(2)
    # weights 1/4, 3/4 within an objective that weighs 1, beside one that weighs 3: 1/16, 3/16, 3/4
    three = score([*one, vote("useful", 1.0), vote("safe", 1.0)], LAWS)
    assert [found.weight for found in three.counted] == pytest.approx([1 / 16, 3 / 16, 3 / 4])
    assert three.voters == pytest.approx(1 / (1 / 256 + 9 / 256 + 9 / 16))


def test_a_mean_is_pooled_and_nothing_else_is() -> None:
    pooling = Pooling(rho=0.5, temperature=2.0, voters=2.0, voters_effective=4 / 3, pairs=9)
    both = score([vote("clear", 1.0), replace(vote("clear", 1.0), judge="other")], LAWS)
    assert pooled(both, pooling).logit == pytest.approx(2 / 3), "2 / (1 + 0.5) voters, at half their sureness"
    alone = score([ruled()], LAWS)
    assert pooled(alone, pooling) == alone


odds = st.floats(-20, 20, allow_nan=False)
methods = st.sampled_from(["compare", "score", VIOLATION, "rule"])
votes = st.lists(
    st.tuples(st.sampled_from([p.id for p in LAWS.principles]), odds, odds, methods), min_size=1, max_size=8
)


@given(votes, st.sampled_from(["keep", "half", "drop"]))
def test_exchanging_the_replies_changes_the_sign_of_everything(
    drawn: list[tuple[str, float, float, str]], flips: PositionInconsistent
) -> None:
    cast = [Vote("p", "a", "b", *v) for v in drawn]
    forward = score(cast, LAWS, position_inconsistent=flips)
    backward = score([v.swapped() for v in cast], LAWS, position_inconsistent=flips)
    assert backward.logit == pytest.approx(-forward.logit)
    assert (backward.undecided, backward.source, backward.veto) == (forward.undecided, forward.source, forward.veto)
    assert backward.voters == pytest.approx(forward.voters)
    shuffled = score(cast[::-1], LAWS, position_inconsistent=flips)
    assert shuffled.logit == pytest.approx(forward.logit), "whoever was asked first"
    assert backward.objectives == pytest.approx({name: -value for name, value in forward.objectives.items()})
