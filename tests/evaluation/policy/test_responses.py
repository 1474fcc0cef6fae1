"""What both policies are asked: samples, responses for the KL, one model after the other."""

import asyncio
import re
from pathlib import Path

import pytest

from evaluation.policy.job import prepare
from evaluation.policy.responses import ask
from generation.engines.base import Completion, Engine, Request
from generation.engines.replay import Replay, pseudo_completion
from generation.pipeline.session import Session
from tests.evaluation.policies import evaluated, options, said, verdict


def test_cut_replies_are_compared_and_told(tmp_path: Path) -> None:
    def script(who: str, request: Request) -> Completion | None:
        return said("It goes on and", "length") if request.stage == "sample" and who == "a" else None

    found = evaluated(tmp_path, script)
    assert found["prompts"]["compared"] == 12
    assert found["responses"]["a"]["truncated"]["value"] == 1.0
    assert found["responses"]["b"]["truncated"]["value"] == 0.0
    assert found["examples"][0]["truncated"] == ["a"]
    assert "100% of A's responses were cut at 512 tokens; raise plan.sample.max_tokens" in found["warnings"]


def test_several_samples_of_a_prompt_are_one_cluster(tmp_path: Path) -> None:
    """A wins with its first samples and loses with its second: 50% on every prompt, so no resample of prompts differs."""

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            good = (who == "a") == (request.index == 0)
            return said("Three words only." if good else "This response goes on for more words than the rule allows.")
        return verdict(0.5) if request.labels else None

    found = evaluated(tmp_path, script, "--set", "plan.samples=2")
    assert found["win"]["raw"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert len(found["pairs"]) == 24
    assert found["prompts"]["compared"] == 12


def test_the_kl_is_the_mean_log_ratio_of_as_replies(tmp_path: Path) -> None:
    """A scores each of a response's 3 words at -1, the base at -1.5 on even prompts and -2 on odd ones: 1.5 and 3 nats, mean 2.25,
    and 0.75 a token."""

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            return said("three words here" if who == "a" else "something else")
        if request.scored:
            number = int(re.search(r"\d+", request.messages[0].content)[0])  # type: ignore[index]
            return Completion("", scores=(-1.0 if who == "a" else -1.5 - 0.5 * (number % 2),) * request.scored)
        return None

    found = evaluated(tmp_path, script, "--base", "another-base")
    assert found["base"]["name"] == "another-base"
    assert found["kl"]["value"] == pytest.approx(2.25)
    assert found["kl"]["low"] < 2.25 < found["kl"]["high"]
    assert found["kl_per_token"]["value"] == pytest.approx(0.75)
    assert found["kl_missing"] == ""


def test_a_reply_of_the_kl_alone_may_fail(tmp_path: Path) -> None:
    """Its failure is counted, and the prompt is compared all the same."""

    def script(_: str, request: Request) -> Completion | None:
        silent = request.messages[0].content == "Question 1?" and request.sampling.temperature == 1
        return said("" if silent else "a response") if request.stage == "sample" else None

    found = evaluated(tmp_path, script, "--set", "plan.sample={max_tokens: 8, temperature: 0.0}")
    assert found["failures"] == {"sample: empty": 1}
    assert found["prompts"]["compared"] == 12


def test_no_two_models_are_open_at_once(tmp_path: Path) -> None:
    """A, B and a third base, and then the judge, which is B again."""
    job = prepare(options(tmp_path, "--base", "a-base", "--judge", "embedded"))
    opened: list[str] = []
    held: set[str] = set()

    class Watched(Replay):
        name = ""

        async def generate(self, request: Request) -> Completion:
            if not self.name:
                self.name = {job.a.digest: "a", job.b.digest: "b", job.base.digest: "base"}[request.model]
                opened.append(self.name)
                held.add(self.name)
            assert len(held) == 1
            return pseudo_completion(request)

        async def close(self) -> None:
            held.discard(self.name)

    async def open_engine() -> Engine:
        return Watched(pseudo_completion)

    async def whole() -> None:
        async with Session(tmp_path / "calls.sqlite") as session:
            await ask(job, job.models(lambda _: session.wrap(open_engine)), session)

    asyncio.run(whole())
    assert opened == ["a", "b", "base", "b"]


def test_the_kl_is_of_replies_at_temperature_1_whatever_is_compared(tmp_path: Path) -> None:
    """The compared responses are greedy and would score 9 nats a word; those drawn for the KL have 2 words at 0.5."""

    def script(who: str, request: Request) -> Completion | None:
        if request.stage == "sample":
            return said("drawn freely" if request.sampling.temperature == 1 else f"{who} is greedy")
        if request.scored:
            greedy = "greedy" in request.messages[-1].content
            return Completion("", scores=(0.0 if who == "a" else -9.0 if greedy else -0.5,) * request.scored)
        return None

    found = evaluated(tmp_path, script, "--set", "plan.sample={max_tokens: 8, temperature: 0.0}")
    assert found["kl"]["value"] == pytest.approx(1.0)
    assert found["responses"]["a"]["words"]["value"] == 3
