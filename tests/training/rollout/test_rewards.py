"""Rewards: what each source gives, how they add up, and that what fails has none."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.styles import STYLES
from constitution.errors import UserError
from constitution.loading import load, to_yaml
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Function, Message, Prompt, Response, ToolCall
from generation.config import Plan
from generation.engines.base import Completion, Request
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.pipeline.panel import Judge, Voter
from generation.pipeline.voting import pointwise_vote
from generation.settings import load as load_settings
from tests.training.ppo_small import run_small, small_inputs, small_model
from training.data.columns import RowPrompt
from training.data.encode import PromptRow
from training.ppo.config import PPO
from training.rollout.config import JudgeReward, ModelsReward, Rewards, RulesReward
from training.rollout.models import Ensemble
from training.rollout.rewards import ResponseReward, RewardSum, open_rewards
from training.rollout.rollouts import as_prompt
from training.rollout.rules import Candidates, Part, Rules, merit

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Why?"),), tags=("a",))


def saying(text: str, name: str = "p/s0") -> Response:
    return Response(name, "p", Message(role="assistant", content=text), "sampled", text)


def laws(*principles: dict[str, Any], **objectives: float) -> Constitution:
    data = {"name": "small", "version": 1, "objectives": objectives or {"form": 1.0}, "principles": principles}
    return Constitution.model_validate(data)


def rule(name: str, check: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "objective": "form", "text": f"Keep {name}.", "check": check, **more}


SHORT = rule("short", {"max_words": 3}, weight=3.0)
ASKS = rule("asks", {"must_match": r"\?\Z"})
JUDGED = {"id": "kind", "objective": "form", "text": "Be kind."}


def grade(source: Any, text: str, prompt: Prompt = PROMPT) -> Any:
    async def once() -> Any:
        try:
            if isinstance(source, RewardSum):
                return (await source.grade(Candidates(prompt, [saying(text)], [True])))[0]
            return await source.grade(prompt, saying(text))
        finally:
            await source.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("text", "value", "success"),
    [
        pytest.param("Is it?", 1.0, 1.0, id="all"),
        pytest.param("It is.", 0.75, 0.0, id="the-heavier"),
        pytest.param("Is it really so or not?", 0.25, 0.0, id="the-lighter"),
        pytest.param("It is so and not else.", 0.0, 0.0, id="none"),
    ],
)
def test_rules_give_the_weighted_share_that_is_kept(text: str, value: float, success: float) -> None:
    short, asks = float(len(text.split()) <= 3), float(text.endswith("?"))
    principles = {"principle/short": short, "principle/asks": asks}
    assert grade(Rules(laws(SHORT, ASKS, JUDGED)), text) == Part(value, {"success": success, **principles})


def test_rules_read_the_columns_of_the_prompts_row() -> None:
    reward = Rules(laws(rule("right", {"answer": "answer", "of_row": "rules"})))
    row = RowPrompt("p", PROMPT.messages, metadata=json.dumps({"answer": 4, "rules": {"max_words": 3}}))
    asked = as_prompt(PromptRow(row, ()))
    assert [grade(reward, text, asked).value for text in ("It is 4.", "It is 5.", "I think it is 4.")] == [
        1.0,
        0.0,
        0.0,
    ]
    assert grade(reward, "It is 5.").value == 1.0  # a row without them
    wrong = as_prompt(PromptRow(row._replace(metadata='{"rules": {"max_wrods": 3}}'), ()))
    failure = grade(reward, "It is 4.", wrong)
    assert (failure.reason, "max_wrods" in failure.detail) == ("rule_error", True)


def test_a_broken_veto_leaves_nothing() -> None:
    assert grade(Rules(laws(SHORT, {**ASKS, "veto": True})), "It is.").value == 0.0


def test_objectives_are_weighed_as_votes_are() -> None:
    constitution = laws(
        {**JUDGED, "weight": 2.0}, {**JUDGED, "id": "b"}, {**JUDGED, "id": "c", "objective": "use"}, form=3.0, use=1.0
    )
    assert merit({"kind": 3.0, "b": 0.0, "c": 6.0}, constitution, {}) == pytest.approx((3 * 2.0 + 1 * 6.0) / 4)


@pytest.mark.model
def test_a_rule_that_does_not_end_is_a_failure() -> None:
    slow = rule("slow", {"must_match": r"(a|aa)+b"})
    found = grade(Rules(laws(slow)), "a" * 5000)
    assert isinstance(found, Failure)
    assert found.reason == "rule_error"


def test_a_prompt_that_no_rule_applies_to_has_no_reward() -> None:
    other = {**SHORT, "applies_to": {"tags": ["b"]}}
    found = grade(Rules(laws(other)), "It is.")
    assert found == Failure("p", "reward", "no_principle", "no principle of small applies to tags a", "p/s0")


def test_a_constitution_without_rules_is_refused() -> None:
    with pytest.raises(UserError) as error:
        Rules(laws(JUDGED))
    assert str(error.value) == ("constitution: small has no principle with a `check`; add one, or use judge")


def test_an_ensemble_is_its_mean_less_its_disagreement(tmp_path: Path) -> None:
    one = small_model(tmp_path / "a", "LlamaForSequenceClassification", 1, num_labels=1)
    two = small_model(tmp_path / "b", "LlamaForSequenceClassification", 2, num_labels=2, reward_heads=2)
    members = []
    for path in (one, two):
        members.append(grade(Ensemble(ModelsReward(paths=(str(path),))), "It is.").value)
    both = ModelsReward(paths=(str(one), str(two)))
    whole = grade(Ensemble(both), "It is.")
    assert whole.value == pytest.approx((members[0] + 2 * members[1]) / 3, abs=1e-6)
    assert whole.details["head_spread"] > 0
    careful = grade(Ensemble(both.model_copy(update={"pessimism": 2.0})), "It is.")
    assert careful.value == pytest.approx(whole.value - 2 * whole.details["head_spread"], abs=1e-6)
    assert grade(Ensemble(ModelsReward(paths=(str(one),))), "It is.").details == {}


def heard(prompt: Prompt, response: Response, ended: bool = True) -> tuple[int, ...]:
    """The tokens that a reward model is given."""
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        return Completion("", logprobs={"reward": 1.0})

    model = ChatModel("rm", "0", Replay(answer), Encoder(STYLES["chatml"]()), 0)
    voter = Voter(Judge(model, "rm", ("reward",)), "reward", Principle.model_validate(JUDGED))
    assert asyncio.run(pointwise_vote(voter, prompt, response, Plan(), ended)) == 1.0
    return asked[0].tokens


def test_a_reward_model_is_told_of_tools_calls_and_cuts(tmp_path: Path) -> None:
    offered = Prompt(id="p", messages=PROMPT.messages, tools=({"name": "look"},))
    calling = Message(
        role="assistant", content="", tool_calls=(ToolCall(function=Function(name="look", arguments={})),)
    )
    call = Response("p/s0", "p", calling, "sampled", "")
    encoder = Encoder(STYLES["chatml"]())
    assert heard(PROMPT, saying("It is."))[-1] == encoder.end_of_turn
    assert heard(PROMPT, saying("It is."), ended=False) == heard(PROMPT, saying("It is."))[:-1]
    assert heard(offered, saying("It is.")) == (
        *encoder.encode(PROMPT.messages, offered.tools),
        *encoder.response(PROMPT.messages, "It is.", offered.tools)[1],
        encoder.end_of_turn,
    )
    assert heard(offered, saying("It is.")) != heard(PROMPT, saying("It is."))
    path = str(small_model(tmp_path / "a", "LlamaForSequenceClassification", num_labels=1))
    values = []
    for prompt, response, ended in ((PROMPT, call, True), (PROMPT, call, False), (offered, call, True)):
        model = Ensemble(ModelsReward(paths=(path,)))
        values.append(asyncio.run(closing(model, prompt, response, ended)))
    assert len(set(values)) == 3


def test_a_reward_model_reads_a_call_as_it_is_trained_on() -> None:
    calling = Message(role="assistant", tool_calls=(ToolCall(function=Function(name="look", arguments={})),))
    encoder = Encoder(STYLES["chatml"]())
    before, (side,) = encoder.written(PROMPT.messages, [[calling]])
    asked = heard(PROMPT, Response("p/s0", "p", calling, "sampled", ""))
    assert asked == (*before, *side.tokens)
    assert (
        encoder._tokenizer.decode(side.tokens) == '<tool_call>{"name": "look", "arguments": {}}</tool_call><|im_end|>'
    )


async def closing(model: Ensemble, prompt: Prompt, response: Response, ended: bool) -> float:
    try:
        found = await model.grade(prompt, response, ended)
    finally:
        await model.close()
    assert isinstance(found, Part)
    return found.value


def test_a_response_that_does_not_fit_the_reward_model_is_a_failure(tmp_path: Path) -> None:
    path = small_model(tmp_path / "a", "LlamaForSequenceClassification", num_labels=1)
    found = grade(Ensemble(ModelsReward(paths=(str(path),))), "word " * 400)
    assert isinstance(found, Failure)
    assert (found.stage, found.reason) == ("reward", "prompt_too_long")


class Given:
    """A source that says what it is told to."""

    digests: ClassVar = {"given": "0"}

    def __init__(self, answer: Part | Failure) -> None:
        self._answer = answer

    async def grade(self, prompt: Prompt, response: Response, ended: bool = True) -> Part | Failure:
        return self._answer

    async def close(self) -> None:
        pass


def test_a_sum_adds_up_what_its_sources_give() -> None:
    total = RewardSum(
        {"rules": (2.0, Rules(laws(SHORT, ASKS))), "given": (0.5, Given(Part(3.0, {"head_spread": 1.0})))}
    )
    parts = {"reward/rules": 0.75, "success": 0.0, "principle/short": 1.0, "principle/asks": 0.0}
    assert grade(total, "It is.") == ResponseReward(
        2 * 0.75 + 0.5 * 3, {**parts, "reward/given": 3.0, "head_spread": 1.0}
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Failure("p", "reward", "judge_broke"), "judge_broke", id="failure"),
        pytest.param(Part(math.nan), "reward_nan", id="nan"),
    ],
)
def test_a_sum_with_a_source_that_fails_gives_no_reward(answer: Part | Failure, reason: str) -> None:
    found = grade(RewardSum({"rules": (1.0, Rules(laws(SHORT))), "given": (1.0, Given(answer))}), "It is.")
    assert isinstance(found, Failure)
    assert found.reason == reason


def test_a_judge_averages_the_panel_under_every_principle(tmp_path: Path) -> None:
    """A judge asked by contrast beside a reward model, which says the same under each principle."""
    path = tmp_path / "laws.yaml"
    wise = {**JUDGED, "id": "wise", "text": "Be wise.", "weight": 2.0}
    judge = str(small_model(tmp_path / "judge", seed=3))
    model = str(small_model(tmp_path / "reward", "LlamaForSequenceClassification", num_labels=1))
    base = {"model": judge, "methods": ("contrast",), "engine": "transformers", "transformers": {"dtype": "float32"}}

    def judged(*principles: dict[str, Any], **more: Any) -> float:
        path.write_text(to_yaml(laws(SHORT, *principles)), encoding="utf-8")
        found = grade(
            open_rewards(Rewards.model_validate({"judge": {"constitution": str(path), **base, **more}})), "It is."
        )
        shares = {name: share for name, share in found.parts.items() if name != "reward/judge"}
        assert shares.keys() <= {f"principle/{principle['id']}" for principle in principles}
        if len(shares) == 1:
            assert [*shares.values()] == pytest.approx([1 / (1 + math.exp(-found.score))])
        return float(found.score)

    kind, both = judged(JUDGED), judged(JUDGED, wise)
    assert both == pytest.approx((kind + 2 * judged(wise)) / 3, abs=1e-6)
    assert kind != pytest.approx(both, abs=1e-4)
    member = {"name": "rm", "model": model, "methods": ["reward"]}
    reward = grade(
        Ensemble(ModelsReward.model_validate({"paths": [model], "transformers": {"dtype": "float32"}})), "It is."
    )
    assert judged(JUDGED, wise, panel=[member]) == pytest.approx((both + reward.value) / 2, abs=1e-6)
    assert judged(JUDGED, wise, principles=1) in (pytest.approx(kind), pytest.approx(judged(wise)))


def test_a_judge_that_cannot_answer_gives_no_reward(tmp_path: Path) -> None:
    path = tmp_path / "laws.yaml"
    path.write_text(to_yaml(laws(JUDGED)), encoding="utf-8")
    judge = {"constitution": str(path), "model": str(small_model(tmp_path / "judge")), "methods": ["contrast"]}
    found = grade(open_rewards(Rewards.model_validate({"judge": {**judge, "engine": "transformers"}})), "word " * 400)
    assert isinstance(found, Failure)
    assert found.reason == "prompt_too_long"


def test_digests_name_all_that_rewards_come_from(tmp_path: Path) -> None:
    path = tmp_path / "laws.yaml"
    path.write_text(to_yaml(laws(SHORT)), encoding="utf-8")
    model = small_model(tmp_path / "a", "LlamaForSequenceClassification", num_labels=1)
    settings = Rewards(rules=RulesReward(constitution=str(path)), models=ModelsReward(paths=(str(model),)))
    found = open_rewards(settings).digests
    assert found["reward/rules"] == load(path).digest
    assert set(found) == {"reward/rules", "reward/models.0"}


def test_a_model_that_is_none_is_refused_before_anything_loads(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        open_rewards(Rewards(models=ModelsReward(paths=(str(tmp_path / "none"),))))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param(
            "reward={}",
            "--set: reward: no source is configured; set rules, models, judge or compare, as in",
            id="nothing",
        ),
        pytest.param("reward.rules.weight=0", "reward.rules.weight: got 0; allowed: greater than 0", id="weight"),
        pytest.param(
            "reward.judge={constitution: x, panel: [{name: b, model: m, methods: [compare]}]}",
            "--set: reward.judge.panel.b.methods: got compare, which judges pairs; allowed: contrast, likelihood, relevance, score",
            id="pairs",
        ),
        pytest.param("kl={coefficient: 0, target: 5}", "kl.coefficient: got 0 with a target", id="kl"),
        pytest.param("samples=1", "samples: got 1, and baseline: group compares the responses", id="alone"),
    ],
)
def test_bad_settings_are_told(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_settings(PPO, None, ["reward.rules.constitution=laws.yaml", "baseline=group", override])
    assert message in str(error.value)


def test_the_judge_is_asked_in_no_way_that_needs_two_responses() -> None:
    with pytest.raises(ValueError, match="contrast"):
        JudgeReward.model_validate({"constitution": "x", "methods": ["compare"]})


@pytest.mark.model
def test_a_cut_response_is_rewarded_as_one_in_a_run(tmp_path: Path) -> None:
    """Every response is one token and no end; its reward is the model's without an end of the turn."""
    inputs = small_inputs(tmp_path)
    model = str(small_model(tmp_path / "rm", "LlamaForSequenceClassification", num_labels=1))
    models = {"paths": [model], "transformers": {"dtype": "float32"}}
    changes = {"reward": {"models": models}, "baseline": "group", "eval_every": 1, "steps": 1, "test_fraction": 0.5}
    run_small(tmp_path / "run", inputs, **changes, sampler={"engine": "generate", "max_tokens": 1})
    line = json.loads((tmp_path / "run" / "responses.jsonl").read_text().splitlines()[0])
    assert line["truncated"] == 1
    asked = Prompt(id="p", messages=(Message(role="user", content=line["prompt"]),))
    values = {}
    for ended in (True, False):
        source = Ensemble(ModelsReward.model_validate(models))
        values[ended] = asyncio.run(closing(source, asked, saying(line["response"]), ended))
    assert line["score"] == pytest.approx(values[False], abs=1e-5)
    assert line["score"] != pytest.approx(values[True], abs=1e-4)
