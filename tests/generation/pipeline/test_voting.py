"""Voters of every method on scripted models, alone, in panels and in turn."""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from constitution.checks.check import Check
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Message, Prompt, Response, Vote
from critics.methods import METHODS
from critics.ranking.weights import Stopping, Weights
from critics.score import GRADES
from generation.config import Decoding, Plan
from generation.engines.base import Completion, ErrorReason, Request, failed
from generation.engines.capabilities import Capabilities
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.pipeline.panel import Judge, Panel, Voter, check_voters
from generation.pipeline.rubric import units
from generation.pipeline.voting import cast_vote, votes_on

KIND = Principle(id="kind", objective="good", text="Be kind.", antithesis="Be cruel.")
TRUE = Principle(id="true", objective="good", text="Be true.")
BRIEF = Principle(id="brief", objective="good", text="Be brief.", check=Check(max_words=2))
NEVER = Principle(id="never", objective="good", text="Never harm.", veto=True)
LAWS = Constitution(name="laws", version=1, objectives={"good": 1.0}, principles=(KIND, TRUE, BRIEF, NEVER))
PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))
Script = Callable[[Request], Completion]


def reply(name: str, text: str) -> Response:
    return Response(name, "p", Message(role="assistant", content=text), "sampled", text)


A, B = reply("a", "good one"), reply("b", "a bad one")


def judge(script: Script, name: str = "judge", methods: tuple[str, ...] = ("compare",)) -> tuple[Judge, list[Request]]:
    """A judge that answers by the script, and what it was asked."""
    requests: list[Request] = []

    def answer(request: Request) -> Completion:
        requests.append(request)
        return script(request)

    return Judge(ChatModel(name, "digest", Replay(answer), None, 0), name, methods), requests


def ask(method: str, script: Script, plan: Plan | None = None) -> tuple[Vote | Failure, list[Request]]:
    """What one voter says of A and B."""
    asked, requests = judge(script)
    return asyncio.run(cast_vote(Voter(asked, method, KIND), PROMPT, A, B, plan or Plan())), requests


def about(request: Request) -> str:
    """The reply a request is about, where it is about one."""
    return "good" if "good one" in request.messages[-1].content else "bad"


def test_compare_asks_in_both_orders() -> None:
    vote, requests = ask("compare", lambda r: Completion("A", logprobs={"A": -0.5, "B": -1.5}))
    assert isinstance(vote, Vote)
    assert (vote.logit_ab, vote.logit_ba, vote.value, vote.position_inconsistent) == (1.0, 1.0, 0.0, True)
    assert (vote.voter, vote.method, vote.judge) == ("judge/compare/kind", "compare", "judge")
    assert len(requests) == 2


def test_reasoned_thinks_first_and_stays_in_its_band() -> None:
    def script(request: Request) -> Completion:
        if not request.labels:
            return Completion("A is good.", "length")
        assert request.messages[1] == Message(role="assistant", content="A is good.")
        first_is_good = request.messages[0].content.index("good one") < request.messages[0].content.index("bad one")
        return Completion("", logprobs={"A": -0.1, "B": -3.0} if first_is_good else {"A": -3.0, "B": -0.1})

    vote, requests = ask("reasoned", script)
    assert isinstance(vote, Vote)
    assert vote.value == pytest.approx(math.log(0.6 / 0.4))
    assert vote.bias == pytest.approx(0)
    assert len(requests) == 4
    wide, _ = ask("reasoned", script, Plan(clamp=(0.01, 0.99)))
    assert isinstance(wide, Vote)
    assert wide.value == pytest.approx(2.9)


def test_a_judge_that_thinks_concludes_from_its_answer_or_else_from_its_thoughts() -> None:
    for text, said in (("<think>Hm.</think>A is good.", "A is good."), ("<think>A is", "A is")):

        def script(request: Request, text: str = text, said: str = said) -> Completion:
            if not request.labels:
                return Completion(text)
            assert request.messages[1].content == said
            return Completion("", logprobs={"A": -0.1, "B": -3.0})

        vote, _ = ask("reasoned", script)
        assert isinstance(vote, Vote)


def test_a_label_below_the_list_is_a_bound_and_marks_the_vote() -> None:
    """Both orders, and both responses of what looks at one: one bound is enough."""
    for method, listed, z in (("compare", {"A": -0.1}, 5.9), ("yesno", {"Yes": -0.1}, 5.9)):
        vote, _ = ask(method, lambda _, listed=listed: Completion("", logprobs=listed, floor=-6.0))  # type: ignore[misc]
        assert isinstance(vote, Vote)
        assert vote.censored
        assert vote.logit_ab == pytest.approx(z if method == "compare" else 0.0)

    def one_order(request: Request) -> Completion:
        content = request.messages[0].content
        both = content.index("good one") < content.index("bad one")
        return Completion("", logprobs={"A": -0.1, "B": -3.0} if both else {"B": -0.1}, floor=-6.0)

    vote, _ = ask("compare", one_order)
    assert isinstance(vote, Vote)
    assert (vote.censored, vote.value) == (True, pytest.approx((2.9 + 5.9) / 2))


WRITES = Capabilities(top_logprobs=0)


def written(
    method: str, script: Script, plan: Plan | None = None, capabilities: Capabilities = WRITES
) -> tuple[Vote | Failure, list[Request]]:
    """What a voter says that answers in words."""
    asked, requests = judge(script)
    asked = replace(asked, model=replace(asked.model, known=capabilities))
    voter = Voter(asked, method, KIND)
    vote = asyncio.run(cast_vote(voter, PROMPT, A, B, plan or Plan()))
    assert len(requests) <= voter.pair_calls(plan or Plan()) + 2 * voter.response_calls(plan or Plan())
    return vote, requests


def first_is_good(request: Request) -> bool:
    return request.messages[0].content.index("good one") < request.messages[0].content.index("bad one")


def test_a_judge_without_log_probabilities_is_asked_several_times_in_both_orders() -> None:
    """It says three times of four that the good one is better, and always prefers the first place in the fourth answer."""

    def script(request: Request) -> Completion:
        assert not request.labels
        assert not request.schema
        return Completion("A" if first_is_good(request) or request.index == 3 else "Reply B is better.")

    vote, requests = written("compare", script)
    assert isinstance(vote, Vote)
    assert (vote.logit_ab, vote.logit_ba) == (pytest.approx(math.log(9)), pytest.approx(math.log(1.5 / 3.5)))
    assert len(requests) == 8
    assert len({request.key() for request in requests}) == 8
    assert len({request.sampling.seed for request in requests}) == 4
    once, requests = written("compare", script, Plan(verdict=Decoding(max_tokens=8)))
    assert isinstance(once, Vote)
    assert (once.value, len(requests)) == (pytest.approx(math.log(3)), 2)


def test_a_written_tie_counts_half_and_what_says_nothing_is_left_out() -> None:
    said = ["Verdict: tie", "A", "Both are replies.", "<think>A? B.</think>"]
    vote, _ = written("compare", lambda request: Completion(said[request.index]))
    assert isinstance(vote, Vote)
    assert vote.logit_ab == vote.logit_ba == pytest.approx(math.log(2 / 1))  # k = 1.5 of n = 2


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        pytest.param(Completion("Both are replies."), "verdict_unread", id="nothing-stated"),
        pytest.param(Completion("A", "length"), "truncated", id="truncated"),
        pytest.param(Completion("<think>A</think>"), "thoughts_only", id="thoughts-alone"),
        pytest.param(Completion(" "), "empty", id="empty"),
        pytest.param(failed(ErrorReason.CONTENT_REFUSED, "no"), "content_refused", id="refused"),
    ],
)
def test_written_answers_that_say_nothing_are_a_failure(completion: Completion, reason: str) -> None:
    vote, _ = written("compare", lambda _: completion)
    assert isinstance(vote, Failure)
    assert vote.reason == reason


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("method", ["compare", "reasoned", "score", "yesno"])
def test_every_method_with_labels_has_a_written_form(method: str, structured: bool) -> None:
    """Thoughts before the answer say the opposite and are passed over."""
    asked = METHODS[method]

    def script(request: Request) -> Completion:
        assert request.schema == (asked.schema if structured else "")
        good = first_is_good(request) if asked.pairwise else about(request) == "good"
        key, value = {"score": ("grade", "9" if good else "0"), "yesno": ("answer", "Yes" if good else "No")}.get(
            method, ("verdict", "A" if good else "B")
        )
        said = json.dumps({key: int(value) if key == "grade" else value}) if structured else f"{key}: {value}"
        return Completion(f"<think>{key}: {'B' if good else 'A'}</think>\n{said}")

    vote, requests = written(method, script, capabilities=Capabilities(top_logprobs=0, structured=structured))
    assert isinstance(vote, Vote)
    z = math.log(0.6 / 0.4) if method == "reasoned" else math.log(9) * (1 if asked.pairwise else 2)
    assert (vote.value, vote.bias) == (pytest.approx(z), pytest.approx(0))
    assert len(requests) == 8


def test_contrast_is_likelihood_under_the_principle_less_under_its_antithesis() -> None:
    def script(request: Request) -> Completion:
        kind = "Be kind." in request.messages[0].content
        table = {
            ("good", True): (-1.0, -2.0),
            ("good", False): (-2.0, -3.0),
            ("bad", True): (-4.0, -4.0),
            ("bad", False): (-3.0, -4.0),
        }
        assert request.scored
        return Completion("", scores=table[about(request), kind])

    vote, requests = ask("contrast", script)
    assert isinstance(vote, Vote)
    # good: -1.5 - -2.5 = 1; bad: -4 - -3.5 = -0.5
    assert (vote.value, vote.bias) == (1.5, 0.0)
    assert len(requests) == 4


def test_likelihood_is_read_in_one_conversation() -> None:
    vote, requests = ask("likelihood", lambda r: Completion("", scores=(-1.0, -2.0) if about(r) == "good" else (-2.0,)))
    assert isinstance(vote, Vote)
    assert (vote.value, vote.bias, len(requests)) == (0.5, 0.0, 2)


@pytest.mark.parametrize("method", ["contrast", "reward"])
def test_what_looks_at_a_reply_alone_is_told_of_the_tools_on_offer(method: str) -> None:
    asked, requests = judge(lambda _: Completion("", scores=(-1.0,), logprobs={"reward": 1.0}), methods=(method,))
    offered = Prompt(id="p", messages=PROMPT.messages, tools=({"name": "look"},))
    asyncio.run(cast_vote(Voter(asked, method, KIND), offered, A, B, Plan()))
    assert {request.tools for request in requests} == {'[{"name": "look"}]'}
    requests.clear()
    asyncio.run(cast_vote(Voter(asked, method, KIND), PROMPT, A, B, Plan()))
    assert {request.tools for request in requests} == {""}


def test_score_is_the_difference_of_expected_grades_in_log_odds() -> None:
    def script(request: Request) -> Completion:
        digit = "8" if about(request) == "good" else "3"
        return Completion(digit, logprobs={g: math.log(0.91 if g == digit else 0.01) for g in GRADES})

    vote, requests = ask("score", script)
    assert isinstance(vote, Vote)
    # expected grades: 1 + 0.91 * 8 + 0.01 * 37 = 8.65 and 1 + 0.91 * 3 + 0.01 * 42 = 4.15; in log-odds of their place in 0.5 to 10.5
    assert vote.value == pytest.approx(math.log(8.15 / 1.85) - math.log(3.65 / 6.35))
    assert len(requests) == 2


def test_yesno_and_reward_are_differences_of_two_replies() -> None:
    odds = {"good": 2.0, "bad": 0.5}
    vote, _ = ask("yesno", lambda r: Completion("", logprobs={"Yes": -1.0, "No": -1.0 - odds[about(r)]}))
    assert isinstance(vote, Vote)
    assert (vote.value, vote.position_inconsistent) == (1.5, False)
    vote, requests = ask("reward", lambda r: Completion("", logprobs={"reward": odds[about(r)]}))
    assert isinstance(vote, Vote)
    assert vote.value == 1.5
    assert requests[0].messages == (*PROMPT.messages, A.message)


@pytest.mark.parametrize(
    ("method", "completion", "reason"),
    [
        ("compare", Completion("A"), "verdict_missing"),
        ("reasoned", Completion("  "), "empty"),
        ("contrast", Completion(""), "nothing_scored"),
        ("contrast", Completion("", scores=(math.nan,)), "score_nan"),
        ("contrast", failed(ErrorReason.UNSUPPORTED, "chat servers"), "unsupported"),
        ("score", Completion("7"), "verdict_missing"),
        ("yesno", Completion("", logprobs={"Yes": math.nan, "No": -1}), "verdict_nan"),
        ("reward", Completion("", logprobs={"reward": math.nan}), "reward_nan"),
        ("reward", failed(ErrorReason.PROMPT_TOO_LONG, "9 > 8"), "prompt_too_long"),
    ],
)
def test_what_goes_wrong_is_a_failure_never_a_vote(method: str, completion: Completion, reason: str) -> None:
    record, _ = ask(method, lambda _: completion)
    assert isinstance(record, Failure)
    assert (record.stage, record.reason, record.subject) == ("compare", reason, f"a vs b by judge/{method}/kind")


def verdict(request: Request) -> Completion:
    """Prefers the good one by 2, whatever the principle."""
    text = request.messages[0].content
    z = 1.0 if text.index("good one") < text.index("bad one") else -1.0
    return Completion("", logprobs={"A": -2 + z, "B": -2 - z})


def test_every_judge_way_and_principle_of_a_panel_is_a_voter() -> None:
    first, _ = judge(verdict)
    second, _ = judge(verdict, "other", ("compare", "yesno"))
    second = Judge(second.model, "other", second.methods, principles=("true",))
    panel = Panel((Judge(first.model, methods_of={"true": ("score", "contrast")}), second))
    assert [voter.name for voter in panel.voters((KIND, TRUE, BRIEF))] == [
        "judge/compare/kind",
        "judge/score/true",
        "judge/contrast/true",
        "other/compare/true",
        "other/yesno/true",
        "rule/brief",
    ]


ORIGIN = {"constitution": "c", "judges": {"judge": "d"}, "templates": "t", "data": "x", "pairs": 10}
QUALITY = {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "ece": 0.0, "nll": 0.3}


def weights(order: tuple[str, ...], value: float = 1.0) -> Weights:
    """Weights of independent voters of equal worth, asked in this order."""
    rows = tuple(tuple(value for _ in range(t + 1)) for t in range(len(order)))
    left = tuple(math.sqrt(len(order) - t - 1) or 1e-6 for t in range(len(order)))
    return Weights.model_validate(
        {
            "method": "temperature",
            "fitted_on": ORIGIN,
            "voters": dict.fromkeys(order, value),
            "temperature": 1.0,
            "quality": QUALITY,
            "stopping": Stopping(order=order, coefficients=rows, spread=left),
        }
    )


ORDER = ("judge/compare/true", "rule/brief", "judge/compare/kind", "judge/compare/never")
UNDECIDED = Plan(early_stop_error=1e-13)


def in_turn(plan: Plan, order: tuple[str, ...] = ORDER) -> tuple[list[str], int]:
    """Who voted, and how many calls that took."""
    asked, requests = judge(verdict)
    panel = Panel((asked,), weights(order))
    records = asyncio.run(votes_on(panel, panel.voters(LAWS.principles), PROMPT, A, B, plan))
    return [record.voter for record in records if isinstance(record, Vote)], len(requests)


def test_asking_stops_once_the_rest_cannot_change_the_label() -> None:
    # 2 of `true` and 2.9 of the rule; two voters of spread 1 are left: 4.9 / sqrt(2) is beyond 1 in 1,000
    voted, calls = in_turn(Plan(early_stop_error=0.001))
    assert voted == ["judge/compare/true", "rule/brief"]
    assert calls == 2
    assert in_turn(UNDECIDED)[0] == list(ORDER)
    assert sorted(in_turn(Plan())[0]) == sorted(ORDER), "0 asks all"


def test_weights_of_other_voters_are_refused() -> None:
    asked, _ = judge(verdict)
    with pytest.raises(ValueError, match=r"1 voters have a weight but are not asked \(judge/score/kind\);") as error:
        check_voters(Panel((asked,), weights((*ORDER[:3], "judge/score/kind"))), LAWS)
    assert "set plan.methods, plan.methods_of and panel as they were for the fit, or fit again" in str(error.value)
    check_voters(Panel((asked,), weights(ORDER)), LAWS)
    check_voters(Panel((asked,), weights(ORDER[:2])), LAWS)
    check_voters(Panel((asked,)), LAWS)


def test_with_weights_only_who_has_one_is_asked_beside_those_who_may_veto() -> None:
    asked, _ = judge(verdict)
    panel = Panel((asked,), weights(ORDER[:2]))
    assert [voter.name for voter in panel.voters(LAWS.principles)] == ["judge/compare/true", "rule/brief"]
    assert [voter.name for voter in panel.vetoes(LAWS.principles)] == ["judge/violation/never"]


def test_principles_share_calls_and_each_is_a_vote() -> None:
    """Three voters in calls of two: a pair together, and the third by itself, by its log-probabilities."""

    def script(request: Request) -> Completion:
        if request.labels:
            return Completion("", logprobs={"A": -0.1, "B": -3.0})
        good = "A" if first_is_good(request) else "B"
        assert "1. " in request.messages[0].content
        return Completion(json.dumps({"1": good, "2": "tie" if request.index else "A"}))

    asked, requests = judge(script)
    voters = Panel((asked,)).voters((KIND, TRUE, NEVER, BRIEF))
    plan = Plan(batch_principles=2)
    records = asyncio.run(votes_on(Panel((asked,)), voters, PROMPT, A, B, plan))
    votes = {record.principle: record for record in records if isinstance(record, Vote)}
    assert sorted(votes) == ["brief", "kind", "never", "true"]
    assert votes["kind"].value == pytest.approx(math.log(9))
    assert (votes["true"].logit_ab, votes["true"].value) == (pytest.approx(math.log(3 / 2)), 0)
    assert (votes["never"].logit_ab, votes["kind"].voter) == (pytest.approx(2.9), "judge/compare/kind")
    assert len(requests) == 8 + 2
    assert sum(unit.pair_calls(plan) for unit in units(voters, plan)) == 10


@pytest.mark.parametrize(("said", "lost", "name"), [("1", 1, "true"), ("2", 0, "kind")])
def test_a_principle_that_a_shared_answer_leaves_out_is_a_failure(said: str, lost: int, name: str) -> None:
    asked, _ = judge(lambda _: Completion(json.dumps({said: "A"})))
    voters = Panel((asked,)).voters((KIND, TRUE))
    records = asyncio.run(votes_on(Panel((asked,)), voters, PROMPT, A, B, Plan(batch_principles=8)))
    assert len(records) == 2
    assert isinstance(records[1 - lost], Vote)
    assert isinstance(failure := records[lost], Failure)
    assert (failure.reason, failure.subject) == ("verdict_unread", f"a vs b by judge/compare/{name}")


def test_shared_calls_and_early_stopping_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="batch_principles"):
        Plan(batch_principles=2, early_stop_error=0.1)
