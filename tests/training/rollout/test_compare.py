"""What responses are worth against each other, by a scripted judge of pairs."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from constitution.principles import Constitution
from constitution.records import Failure, Message, Prompt, Response
from generation.engines.base import Completion, ErrorReason, Request, TransientError, failed
from generation.engines.replay import Replay
from tests.training.ppo_small import numbers, run_small, small_inputs, small_model
from training.rollout.compare import PairwiseJudge, distinct
from training.rollout.config import CompareReward
from training.rollout.rewards import ResponseReward, RewardSum
from training.rollout.rules import Candidates, Part

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Why?"),))
KIND = {"id": "kind", "objective": "form", "text": "Be kind."}
WISE = {"id": "wise", "objective": "form", "text": "Be wise."}
SHORT = {"id": "short", "objective": "form", "text": "Be short.", "check": {"max_words": 2}}
TRUE = {"p/s0": 1.0, "p/s1": 0.0, "p/s2": -0.5, "p/s3": -0.5, "p/base": -2.0}
"""What each response is worth; the judge says the difference."""
BIAS = 0.7
"""What the judge adds for whoever is listed first."""

Script = Callable[[Request], Completion]


def saying(*texts: str) -> list[Response]:
    return [
        Response(f"p/s{i}", "p", Message(role="assistant", content=text), "sampled", text)
        for i, text in enumerate(texts)
    ]


def laws(*principles: dict[str, Any]) -> Constitution:
    data = {"name": "small", "version": 1, "objectives": {"form": 1.0}, "principles": principles}
    return Constitution.model_validate(data)


def odds(request: Request, z: float) -> Completion:
    """An answer whose first label has these log-odds."""
    first, second = (name for name, _ in request.labels)
    return Completion(first, logprobs={first: -math.log1p(math.exp(-z)), second: -math.log1p(math.exp(z))})


def true(request: Request) -> Completion:
    a, b = request.subject.responses
    return odds(request, TRUE[a] - TRUE[b] + BIAS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_model(tmp_path_factory.mktemp("judge")))


def grade(
    model: str,
    script: Script,
    responses: list[Response],
    others: tuple[Response, ...] = (),
    constitution: Constitution | None = None,
    **settings: Any,
) -> list[Any]:
    given = CompareReward.model_validate({"constitution": "x", "model": model, "engine": "transformers", **settings})
    judge = PairwiseJudge(given, constitution or laws(KIND), 0, lambda _: Replay(script))

    async def once() -> list[Part | Failure]:
        try:
            return await judge.grade_group(Candidates(PROMPT, responses, [True] * len(responses), others))
        finally:
            await judge.close()

    return asyncio.run(once())


def values(found: list[Any]) -> list[float]:
    return [part.value for part in found]


def test_a_response_is_worth_its_mean_log_odds_against_the_others(model: str) -> None:
    """1, 0 and -0.5: (1 + 1.5)/2, (-1 + 0.5)/2, (-1.5 - 0.5)/2, and nothing is left of the bias."""
    found = values(grade(model, true, saying("a", "b", "c"), worth="mean"))
    assert found == pytest.approx([1.25, -0.25, -1.0], abs=1e-6)


def test_strengths_are_those_that_a_run_ranks_by(model: str) -> None:
    found = values(grade(model, true, saying("a", "b", "c")))
    assert found == sorted(found, reverse=True)
    assert sum(found) == pytest.approx(0, abs=1e-6)
    assert 0 < found[0] < 1.25


def test_each_principle_is_asked_in_both_orders(model: str) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def script(request: Request) -> Completion:
        asked.append((request.subject.voter, request.subject.responses))
        return true(request)

    grade(model, script, saying("a", "b"), constitution=laws(KIND, WISE))
    assert sorted(asked) == [
        (f"judge/compare/{name}", order) for name in ("kind", "wise") for order in (("p/s0", "p/s1"), ("p/s1", "p/s0"))
    ]


def test_an_absent_vote_abstains_and_does_not_count_as_0(model: str) -> None:
    """One principle has no answer: the other one's log-odds of 1 stay 1, and are not the mean of 1 and 0."""

    def script(request: Request) -> Completion:
        if request.subject.voter.endswith("wise"):
            return failed(ErrorReason.CONTENT_REFUSED, "no")
        return true(request)

    found = grade(model, script, saying("a", "b"), constitution=laws(KIND, WISE), worth="mean")
    assert values(found) == pytest.approx([1.0, -1.0], abs=1e-6)
    assert [part.details["votes_missing"] for part in found] == [0.5, 0.5]


def test_a_pair_that_nobody_judged_is_left_out_of_what_its_responses_are_worth(model: str) -> None:
    """a against c is unknown: a is worth 1 against b alone, c -0.5 against b alone."""

    def script(request: Request) -> Completion:
        if {*request.subject.responses} == {"p/s0", "p/s2"}:
            return failed(ErrorReason.CONTENT_REFUSED, "no")
        return true(request)

    found = values(grade(model, script, saying("a", "b", "c"), worth="mean"))
    assert found == pytest.approx([1.0, -0.25, -0.5], abs=1e-6)
    ranked = values(grade(model, script, saying("a", "b", "c")))
    assert ranked == sorted(ranked, reverse=True)


@pytest.mark.parametrize("worth", ["mean", "bradley_terry"])
def test_a_response_of_which_nothing_is_known_has_no_reward(worth: str, model: str) -> None:
    def script(request: Request) -> Completion:
        if "p/s2" in request.subject.responses:
            return failed(ErrorReason.CONTENT_REFUSED, "no")
        return true(request)

    *known, lost = grade(model, script, saying("a", "b", "c"), worth=worth)
    assert values(known)[0] == -values(known)[1] > 0
    assert isinstance(lost, Failure)
    assert (lost.stage, lost.reason, lost.subject) == ("reward", "content_refused", "p/s2")


def test_a_server_that_is_away_gives_no_reward_to_any(model: str) -> None:
    def script(request: Request) -> Completion:
        raise TransientError("away")

    found = grade(model, script, saying("a", "b"))
    assert {(one.reason, one.detail) for one in found} == {("unavailable", "away")}


@pytest.mark.parametrize("worth", ["mean", "bradley_terry"])
def test_equal_messages_are_worth_the_same_and_are_asked_about_once(worth: str, model: str) -> None:
    asked: list[tuple[str, ...]] = []

    def script(request: Request) -> Completion:
        asked.append(request.subject.responses)
        return true(request)

    found = values(grade(model, script, saying("a", "b", "b", "a"), worth=worth))
    assert sorted(asked) == [("p/s0", "p/s1"), ("p/s1", "p/s0")]
    assert (found[0], found[1]) == (found[3], found[2])
    if worth == "mean":  # two are as good, and one is better by 1
        assert found[0] == pytest.approx(2 / 3)
    assert values(grade(model, script, saying("a", "a"), worth=worth)) == [0.0, 0.0]


def test_against_others_a_response_is_worth_what_it_is_against_them(model: str) -> None:
    (base,) = (Response("p/base", "p", Message(role="assistant", content=text), "sampled", text) for text in ("z",))
    assert values(grade(model, true, saying("a"), (base,))) == pytest.approx([3.0], abs=1e-6)
    assert values(grade(model, true, saying("z"), (base,))) == [0.0]


def test_a_response_alone_has_no_reward(model: str) -> None:
    (found,) = grade(model, true, saying("a"))
    assert (found.reason, found.subject) == ("not_compared", "p/s0")


def test_rules_vote_and_alone_they_ask_no_model(model: str) -> None:
    def script(request: Request) -> Completion:
        raise AssertionError("no model is asked")

    found = values(grade(model, script, saying("a b", "a b c"), constitution=laws(SHORT), worth="mean"))
    assert found == pytest.approx([math.log(19), -math.log(19)])


def test_a_prompt_that_no_principle_applies_to_has_no_reward(model: str) -> None:
    found = grade(model, true, saying("a", "b"), constitution=laws({**KIND, "applies_to": {"tags": ["x"]}}))
    assert {one.reason for one in found} == {"no_principle"}


def test_distinct_responses_keep_the_first_of_each_message() -> None:
    assert [response.id for response in distinct(saying("a", "b", "a", "c", "b"))] == ["p/s0", "p/s1", "p/s3"]


def test_a_sum_takes_comparisons_beside_other_sources(model: str) -> None:
    settings = CompareReward.model_validate({"constitution": "x", "model": model, "worth": "mean"})
    judge = PairwiseJudge(settings, laws(KIND), 0, lambda _: Replay(true))
    total = RewardSum({"compare": (2.0, judge)})
    assert total.compares
    found = asyncio.run(total.grade(Candidates(PROMPT, saying("a", "b"), [True, True])))
    assert [one.score for one in found if isinstance(one, ResponseReward)] == pytest.approx([2.0, -2.0], abs=1e-6)


@pytest.mark.model
def test_a_policy_learns_from_comparisons_and_is_measured_against_itself(tmp_path: Path) -> None:
    """Rules alone, compared in pairs: the policy writes shorter responses, which beat those it wrote before."""
    inputs = small_inputs(tmp_path, {**SHORT, "check": {"max_characters": 12}})
    constitution = inputs["reward"]["rules"]["constitution"]
    inputs |= {"reward": {"compare": {"constitution": constitution, "model": inputs["model"]}}, "test_fraction": 0.4}
    changes = {"baseline": "group", "learning_rate": 1e-2, "steps": 15, "eval_every": 15, "kl": {"coefficient": 0.0}}
    rows = run_small(tmp_path / "run", {**inputs, **changes}, save_every=5, monitor={"every": 15})
    first, last = numbers(rows, "eval")
    assert first["score"] == 0
    assert last["score"] > 0.5
    assert (tmp_path / "run" / "baseline.jsonl").is_file()
