"""Votes on two policies' responses -> win rates, on numbers worked out by hand."""

import math
from collections.abc import Sequence

import pytest

from constitution.checks.check import Check
from constitution.principles import AppliesTo, Constitution, Principle
from constitution.records import Failure, Function, Message, Prompt, Response, ToolCall, Vote
from critics.ranking.aggregate import RULE_LOG_ODDS, PositionInconsistent
from critics.ranking.weights import Origin, Weights
from evaluation.policy.figures import cut, divergence, examples
from evaluation.policy.page import by_length
from evaluation.policy.responses import Pair, Ratio, SampledResponse
from evaluation.policy.result import TrainingProvenance
from evaluation.policy.votes import JudgingContext, Verdict, agreement, verdicts, win
from generation.config import Plan

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 3.0, "calm": 1.0},
    principles=(
        Principle(id="kind", objective="good", text="Be kind."),
        Principle(id="true", objective="good", weight=2.0, text="Be true.", veto=True),
        Principle(id="short", objective="calm", text="Be short.", check=Check(max_words=5)),
        Principle(id="code", objective="calm", text="Test it.", applies_to=AppliesTo(tags=("coding",))),
    ),
)


def response(text: str, side: str, number: int, is_cut: bool = False) -> SampledResponse:
    message = Message(role="assistant", content=text)
    return SampledResponse(
        Response(f"p{number}/{side}0", f"p{number}", message, "sampled", text), len(text.split()), is_cut
    )


def test_a_call_is_part_of_what_a_policy_says() -> None:
    look = ToolCall(function=Function(name="look", arguments={"at": "sky"}))
    message = Message(role="assistant", content="Let me see.", tool_calls=(look,))
    said = SampledResponse(Response("p/a0", "p", message, "sampled", ""), 3, truncated=False)
    assert said.text == 'Let me see.\nCalls tool: {"name": "look", "arguments": {"at": "sky"}}'


def pair(
    number: int, votes: Sequence[Vote | Failure] = (), a: str = "one", b: str = "another", tags: tuple[str, ...] = ()
) -> Pair:
    asked = Prompt(id=f"p{number}", messages=(Message(role="user", content="?"),), tags=tags)
    return Pair(asked, response(a, "a", number), response(b, "b", number), None, [*votes], [])


def vote(principle: str, ab: float, ba: float | None = None, judge: str = "judge", method: str = "compare") -> Vote:
    return Vote("p", "a", "b", principle, ab, -ab if ba is None else ba, method, judge)  # type: ignore[arg-type]


def context(
    weights: Weights | None = None, provenance: TrainingProvenance | None = None, flips: PositionInconsistent = "keep"
) -> JudgingContext:
    return JudgingContext(
        LAWS, ("judge", "rules"), weights, Plan(position_inconsistent=flips), provenance or TrainingProvenance()
    )


EMPTY = Failure("p", "sample", "empty")


def judged(*pairs: Pair, by: JudgingContext | None = None) -> list[Verdict]:
    return verdicts(pairs, lambda each: each.votes, by or context())


def test_a_verdict_weighs_principles_and_objectives_as_a_run_does() -> None:
    """good = (1 x 0.6 + 2 x -0.3) / 3 = 0; the rule is as sure as the judge is on average, so calm = (1 x 0.6 + 2 x 0.3) / 3; in all
    (3 x 0 + 1 x 0.4) / 4."""
    (found,) = judged(
        pair(0, [vote("kind", 0.6), vote("true", -0.3), vote("short", RULE_LOG_ODDS, judge="", method="rule")])
    )
    assert found.logit == pytest.approx(0.1)
    assert found.objectives == {"good": pytest.approx(0.0), "calm": pytest.approx(0.4)}
    assert found.principles == {"kind": 0.6, "true": -0.3, "short": pytest.approx(math.log(19))}
    assert found.judges == {"judge": pytest.approx(0.0), "rules": pytest.approx(math.log(19))}
    assert found.votes == {"judge/compare/kind": 0.6, "judge/compare/true": -0.3, "rule/short": RULE_LOG_ODDS}


def test_fitted_weights_may_turn_a_voter_round() -> None:
    """The judge that says A is kinder by 0.6 has weight -2 at temperature 0.5: -2.4."""
    origin = Origin(constitution="c", judges={}, templates="t", data="d", pairs=1)
    weights = Weights(method="logistic", fitted_on=origin, voters={"judge/compare/kind": -2.0}, temperature=0.5)
    (found,) = judged(pair(0, [vote("kind", 0.6)]), by=context(weights))
    assert found.logit == found.principles["kind"] == found.judges["judge"] == pytest.approx(-2.4)


def test_no_label_is_a_tie_and_no_vote_is_no_verdict() -> None:
    """A judge that chose a position, where such votes are dropped, says nothing."""
    assert judged(pair(1, [vote("kind", 1.0, 1.0)]), by=context(flips="drop"))[0].logit == 0.0
    failed = pair(2, [Failure("p2", "compare", "broken")])
    gone = pair(3)._replace(b=Failure("p3", "sample", "unavailable"))
    assert judged(failed, gone, gone._replace(a=EMPTY)) == []


def test_equal_replies_tie_under_every_principle_that_applies() -> None:
    found = judged(pair(0, a="same", b="same"), pair(1, a="same", b="same", tags=("coding",)))
    assert [{*each.principles} for each in found] == [{"kind", "true", "short"}, {"kind", "true", "short", "code"}]
    assert {value for each in found for value in (each.logit, *each.principles.values(), *each.judges.values())} == {
        0.0
    }


@pytest.mark.parametrize(
    ("a_is_empty", "b_is_empty", "logit"),
    [(True, False, -math.log(19)), (False, True, math.log(19)), (True, True, 0.0)],
    ids=["a", "b", "both"],
)
def test_an_empty_reply_loses_to_any_other(a_is_empty: bool, b_is_empty: bool, logit: float) -> None:
    """By everybody who could have been asked, and as surely as by a broken rule. Its length is not what it loses by."""
    whole = pair(0)
    asked = whole._replace(a=EMPTY if a_is_empty else whole.a, b=EMPTY if b_is_empty else whole.b)
    (found,) = judged(asked)
    assert found.logit == pytest.approx(logit)
    assert {*found.principles.values(), *found.objectives.values(), *found.judges.values()} == {found.logit}
    assert found.longer == 0


def test_ties_are_no_figure_of_a_principle_that_nobody_voted_on() -> None:
    """One win by `kind`, one tie: 75%. Nobody was ever asked about the others, and the rule sees no difference."""
    found = win(judged(pair(0, [vote("kind", 0.6)]), pair(1, a="same", b="same")), 0)
    assert found.raw.value == 0.75
    assert {name: e.value for name, e in found.principles.items()} == {"short": 0.5, "kind": 0.75}
    assert {name: e.value for name, e in found.judges.items()} == {"rules": 0.5, "judge": 0.75}


def test_unseen_is_by_voters_that_were_not_trained_against() -> None:
    """In all, good is (3 - 2 x 0.5) / 3 = 2/3 and the rule weighs 4/3, so A wins by 3 x 2/3 - 4/3 > 0. Without `kind`, both are against
    A. A judge that was trained against leaves the rule alone."""
    votes = [vote("kind", 3.0), vote("true", -0.5), vote("short", -RULE_LOG_ODDS, judge="", method="rule")]
    only_kind = win(judged(pair(0, votes), by=context(provenance=TrainingProvenance(principles=("kind",)))), 0)
    assert only_kind.raw.value == 1.0
    assert only_kind.unseen
    assert only_kind.unseen.value == 0.0
    by_rules = win(judged(pair(0, votes), by=context(provenance=TrainingProvenance(judges=("judge",)))), 0)
    assert by_rules.unseen
    assert by_rules.unseen.value == 0.0
    assert win(judged(pair(0, votes)), 0).unseen is None
    assert (
        win(
            judged(
                pair(0, [vote("kind", 2.0)]), by=context(provenance=TrainingProvenance(principles=("kind", "short")))
            ),
            0,
        ).unseen
        is None
    )


def test_what_nobody_unseen_was_asked_about_is_no_figure_of_theirs() -> None:
    """Every principle was trained on, or every one but a judged one whose judge was trained against: equal responses are a tie by
    nobody who is unseen. A principle that has an unseen voter and no vote has no figure by pairs that were settled without any."""
    same = pair(1, a="same", b="same")
    for provenance in (
        TrainingProvenance(principles=("kind", "true", "short")),
        TrainingProvenance(principles=("short",), judges=("judge",)),
    ):
        (tie,) = judged(same, by=context(provenance=provenance))
        assert tie.unseen is None
    rule_unseen = context(provenance=TrainingProvenance(principles=("kind",), judges=("judge",)))
    assert judged(same, by=rule_unseen)[0].unseen == 0.0
    for one_known in (TrainingProvenance(principles=("kind",)), TrainingProvenance(judges=("judge",))):
        assert judged(same, by=context(provenance=one_known))[0].unseen == 0.0
    assert judged(same, by=context(provenance=TrainingProvenance()))[0].unseen is None
    unheard = context(provenance=TrainingProvenance(principles=("kind", "short")))
    both = judged(pair(0, [vote("kind", 0.6)]), same, by=unheard)
    assert win(both, 0).unseen is None, "nobody voted under the principle that is unseen"
    found = win(judged(same, by=rule_unseen), 0).unseen
    assert found
    assert found.value == 0.5


def test_the_probability_is_a_mean_of_probabilities() -> None:
    """Log-odds 1 and -3: (0.7311 + 0.0474) / 2."""
    found = win(judged(pair(0, [vote("kind", 1.0)]), pair(1, [vote("kind", -3.0)])), 0)
    assert found.probability.value == pytest.approx((1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(3))) / 2)


def test_agreement_is_over_pairs_that_both_decide() -> None:
    parts = [{"x": 1.0, "y": 2.0}, {"x": 1.0, "y": -1.0}, {"x": -1.0, "y": -1.0}, {"x": 0.0, "y": 1.0}, {"x": 1.0}]
    found = agreement(parts, 0, list("abcde"))
    assert found["x vs y"].value == pytest.approx(2 / 3)
    assert agreement([{"x": 0.0, "y": 1.0}], 0, ["a"]) == {}


def test_examples_are_the_clearest_wins_and_losses_and_some_others() -> None:
    """Of log-odds -5 to 6 (0 is a tie): the four highest, the four lowest, and four of the rest, none twice."""
    found = judged(*(pair(i, [vote("kind", float(z))]) for i, z in enumerate(range(-5, 7))))
    shown = examples(found, 0)
    logits = {why: [e.logit for e in shown if e.why == why] for why in ("win", "loss", "random")}
    assert logits["win"] == [6, 5, 4, 3]
    assert logits["loss"] == [-5, -4, -3, -2]
    assert sorted(logits["random"]) == [-1, 0, 1, 2]
    assert examples(found, 0) == shown


def test_the_kl_is_a_mean_over_replies_and_per_token_a_ratio_of_sums() -> None:
    """4 nats over 2 tokens and 1 nat over 8: 2.5 a response, 5 / 10 a token."""
    pairs = [pair(0)._replace(ratio=Ratio(4.0, 2)), pair(1)._replace(ratio=Ratio(1.0, 8)), pair(2)]
    kl, per_token, _ = divergence(pairs, "", 0)
    assert kl
    assert per_token
    assert (kl.value, kl.low, kl.high) == (2.5, 1.0, 4.0)
    assert per_token.value == 0.5
    assert (per_token.low, per_token.high) == (1 / 8, 2.0)
    assert divergence([pair(0)], "a server", 0) == (None, None, "a server")
    assert divergence([pair(0)], "", 0) == (None, None, "no response of A could be scored; see failures")


def test_win_ratesby_length() -> None:
    """8 words against 10 are about equal, 7 are shorter."""

    def of(words: int, logit: float) -> Pair:
        return pair(words, [vote("kind", logit)], a=" ".join("x" * words), b=" ".join("y" * 10))

    found = by_length(judged(of(7, 1.0), of(8, -1.0), of(13, 1.0), of(14, -1.0)))
    assert {name: e.value for name, e in found.items()} == {
        "shorter (1)": 1.0,
        "about equal (1)": 0.0,
        "longer (2)": 0.5,
    }


def test_cut_replies_are_told_above_a_tenth() -> None:
    pairs = [pair(i)._replace(a=response("x", "a", i, is_cut=i == 0)) for i in range(10)]
    assert [*cut(pairs, 64)] == []
    assert [*cut(pairs[:9], 64)] == ["11% of A's responses were cut at 64 tokens; raise plan.sample.max_tokens"]
