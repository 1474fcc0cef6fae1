"""Responses of a tiny random policy: what they depend on, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from constitution.records import Message
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from tests.training.ppo_small import END, ROUNDING, small_model
from training.config import Lora
from training.data.batches import Example, collate
from training.data.encode import PromptRow
from training.data.rows import RowPrompt
from training.model.loading import load_policy
from training.ppo.config import PPO
from training.rollout.config import SamplerSettings
from training.rollout.rollouts import Generate, Rollout, as_response, generate, hides, seeds_of, to_bf16

SETTINGS = SamplerSettings(max_tokens=12)
PROMPTS = [(5, 6, 7), (9, 10, 11, 12, 13, 14, 15, 16), (20,), (END, END, 30)]
ENDS = frozenset({END})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def model(path: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        model.lm_head.weight[END] += 0.1 * model.lm_head.weight.std()
    return model


def row(tokens: tuple[int, ...], name: str) -> PromptRow:
    return PromptRow(RowPrompt(name, (Message(role="user", content="Hi"),)), tokens)


def write(model: Any, prompts: list[tuple[int, ...]], seeds: list[list[int]], **changes: Any) -> list[list[Rollout]]:
    with torch.inference_mode():
        return generate(model, prompts, seeds, SETTINGS.model_copy(update=changes), ENDS)


def test_a_response_does_not_depend_on_what_is_written_with_it(model: Any) -> None:
    seeds = [[10 * i + j for j in range(3)] for i in range(len(PROMPTS))]
    together = write(model, PROMPTS, seeds, max_tokens=40)
    for prompt, own, responses in zip(PROMPTS, seeds, together, strict=True):
        for seed, response in zip(own, responses, strict=True):
            ((alone,),) = write(model, [prompt], [[seed]], max_tokens=40)
            assert (alone.tokens, alone.ended) == (response.tokens, response.ended)
            assert alone.logprobs == pytest.approx(response.logprobs, abs=1e-4)


def test_responses_leave_the_batch_at_different_times_and_are_still_theirs(model: Any) -> None:
    """With many ends, the batch is compacted again and again."""
    ends = frozenset(range(0, 512, 4))
    seeds = [[100 + i for i in range(8)] for _ in PROMPTS]
    with torch.inference_mode():
        together = generate(model, PROMPTS, seeds, SETTINGS, ends)
        for prompt, own, responses in zip(PROMPTS, seeds, together, strict=True):
            assert [generate(model, [prompt], [[s]], SETTINGS, ends)[0][0].tokens for s in own] == [
                r.tokens for r in responses
            ]
    lengths = {len(response.tokens) for responses in together for response in responses}
    assert len(lengths) > 3
    for response in (response for responses in together for response in responses):
        assert response.ended == (response.tokens[-1] in ends)
        assert not ends & set(response.tokens[:-1])


def test_log_probabilities_are_those_of_the_training_forward(path: Path) -> None:
    policy = load_policy(resolve(str(path)), PPO.model_validate({"reward": {"rules": {"constitution": "x"}}}))
    writer = Generate(SETTINGS, ENDS, resolve(str(path)), mixed=False)
    writer.refresh(policy, 0)
    rows = [row(tokens, str(i)) for i, tokens in enumerate(PROMPTS)]
    written = writer.write(rows, seeds_of(0, 0, rows, 3))
    batch = collate(
        [Example(r.tokens, [w.tokens for w in responses]) for r, responses in zip(rows, written, strict=True)],
        policy.layout,
    )
    seen = [value for responses in written for response in responses for value in response.logprobs]
    assert policy(batch).logprobs.tolist() == pytest.approx(seen, abs=1e-4)
    assert policy.training


def test_top_p_draws_from_the_largest_alone_and_says_so(model: Any) -> None:
    (responses,) = write(model, [PROMPTS[0]], [[1, 2, 3, 4]], top_p=0.02, max_tokens=1)
    with torch.inference_mode():
        logp = model(torch.tensor([PROMPTS[0]])).logits[0, -1].log_softmax(-1)
    ordered = logp.exp().sort(descending=True).values
    kept = int((ordered.cumsum(0) - ordered < 0.02).sum())
    allowed = set(logp.topk(kept).indices.tolist())
    for response in responses:
        assert response.tokens[0] in allowed
        expected = logp[response.tokens[0]] - ordered[:kept].sum().log()
        assert response.logprobs == pytest.approx([float(expected)], abs=1e-5)


def test_samples_follow_the_model(model: Any) -> None:
    """2,000 first tokens against the model's own distribution, in ten groups of tokens: chi-square of 9, 0.1% of the time over 27.9."""
    (responses,) = write(model, [PROMPTS[0]], [list(range(2000))], max_tokens=1, responses_in_flight=2000)
    with torch.inference_mode():
        p = model(torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1)
    groups = torch.arange(len(p)) % 10
    expected = torch.zeros(10).index_add(0, groups, p) * 2000
    seen = torch.bincount(groups[torch.tensor([r.tokens[0] for r in responses])], minlength=10)
    assert float(((seen - expected) ** 2 / expected).sum()) < 27.9


def test_seeds_differ_by_iteration_prompt_and_number() -> None:
    rows = [row((1,), "a"), row((1,), "b")]
    seeds = [seed for it in (0, 1) for own in seeds_of(7, it, rows, 3) for seed in own]
    assert len(set(seeds)) == 12
    assert seeds_of(7, 1, rows[1:], 2) == [own[:2] for own in seeds_of(7, 1, rows, 3)[1:]]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["full", "lora"])
def test_weights_in_half_precision_change_no_number_of_mixed_precision(
    lora: Lora | None, tied: bool, tmp_path: Path
) -> None:
    files = resolve(str(small_model(tmp_path / "model", tie_word_embeddings=tied)))
    settings = PPO.model_validate({"reward": {"rules": {"constitution": "x"}}, "lora": lora})
    whole, halved = load_policy(files, settings), load_policy(files, settings)
    for policy in (whole, halved):
        for name, p in policy.named_parameters():
            if "lora_" in name:
                torch.manual_seed(len(name))
                torch.nn.init.normal_(p, std=0.1)
    to_bf16(halved.inner, frozen=lora is not None)
    batch = collate([Example((3, 4, 5), [(6, 7, END), (8, END)])], whole.layout)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(whole(batch).logprobs, halved(batch).logprobs, rtol=0, atol=ROUNDING)
    kinds = {p.dtype for name, p in halved.named_parameters() if "proj.weight" in name or "base_layer" in name}
    assert kinds == {torch.bfloat16}
    halved.tie_weights()
    assert (halved.inner.lm_head.weight is halved.inner.get_input_embeddings().weight) == tied


def test_a_response_is_its_text_without_the_token_that_ended_it(path: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(path)))
    tokens = tuple(tokenizer.encode(" some words", add_special_tokens=False))
    prompt = row((1,), "a")
    ended = as_response(prompt, 2, Rollout((*tokens, END), (0.0,) * (len(tokens) + 1), True), tokenizer)
    cut = as_response(prompt, 2, Rollout(tokens, (0.0,) * len(tokens), False), tokenizer)
    assert ended.message == cut.message == Message(role="assistant", content="some words")
    assert (ended.id, ended.prompt_id) == ("a/s2", "a")


def test_what_a_policy_adds_is_there_for_the_reward_and_told(path: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(path)))

    def rollout(text: str) -> Rollout:
        return Rollout((*tokenizer.encode(text, add_special_tokens=False), END), (), True)

    marked, spaced, plain = (rollout(text) for text in ("<|im_start|>some words", "some words\n \n", " some words"))
    said = [as_response(row((1,), "a"), 0, one, tokenizer).text for one in (marked, spaced, plain)]
    assert said == ["<|im_start|>some words", "some words\n \n", "some words"]
    assert [hides(one, tokenizer) for one in (marked, spaced, plain)] == [True, True, False]


def test_tool_calls_are_read_and_malformed_ones_stay_text(path: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(path)))
    prompt = PromptRow(RowPrompt("a", (Message(role="user", content="Hi"),), ({"name": "f"},)), (1,))

    def said(text: str) -> Message:
        tokens = tuple(tokenizer.encode(text, add_special_tokens=False))
        return as_response(prompt, 0, Rollout(tokens, (), False), tokenizer).message

    (call,) = said('<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>').tool_calls
    assert (call.function.name, call.function.arguments) == ("f", {"x": 1})
    assert said("<tool_call>{broken</tool_call>").content == "<tool_call>{broken</tool_call>"
