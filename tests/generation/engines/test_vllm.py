"""A real vLLM on the embedded model."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from constitution.loading import load
from constitution.records import Message, Prompt
from critics.compare import LABELS
from generation.config import Decoding, Plan
from generation.engines.base import Completion, ErrorReason, Request, Sampling
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.transformers import Transformers, TransformersSettings
from generation.engines.vllm import VLLM
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.policies import Policy
from generation.pipeline.feedback import feedback
from generation.pipeline.panel import Judge, Panel

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[3]
CONTEXT = 1024
Ask = Callable[..., list[Completion]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def request(
    encoder: Encoder, text: str, sampling: Sampling, labels: tuple[tuple[str, int], ...] = (), index: int = 0
) -> Request:
    tokens = tuple(encoder.encode([{"role": "user", "content": text}]))
    return Request("m", "compare" if labels else "sample", tokens, sampling, labels, index)


@pytest.fixture(scope="module")
def labels(encoder: Encoder) -> tuple[tuple[str, int], ...]:
    return tuple((label, encoder.label_id(label)) for label in LABELS)


@pytest.fixture(scope="module")
def theirs(embedded: ModelFiles, run: Run) -> Iterator[Ask]:
    """Sends requests to transformers, in float32."""
    engine = Transformers(embedded, TransformersSettings(dtype="float32"))

    async def together(requests: tuple[Request, ...]) -> list[Completion]:
        return await asyncio.gather(*(engine.generate(request) for request in requests))

    yield lambda *requests: run(together(requests))
    run(engine.close())


def test_a_token_may_end_an_answer_beside_the_checkpoints_own(ask: Ask, encoder: Encoder, embedded: ModelFiles) -> None:
    tokens = load_tokenizer(embedded)
    asked = request(encoder, "Name three fruits.", Sampling(24))
    (whole,) = ask(asked)
    ids = tokens.encode(whole.text, add_special_tokens=False)
    (one,) = ask(replace(asked, sampling=Sampling(24, ends=(ids[3],))))
    assert (one.text, one.finish, one.usage.completion) == (tokens.decode(ids[:3]), "stop", 4)


def test_text_usage_and_finish(ask: Ask, encoder: Encoder) -> None:
    short = request(encoder, "Name a colour.", Sampling(4))
    long = request(encoder, "Say only: yes.", Sampling(64))
    cut, whole = ask(short, long)
    assert cut.finish == "length"
    assert cut.usage.completion == 4
    assert cut.usage.prompt == len(short.tokens)
    assert whole.finish == "stop"
    assert whole.text
    assert "<|im_end|>" not in whole.text


def test_seeds_decide_samples(ask: Ask, encoder: Encoder) -> None:
    # the first call computes its prompt, the others find it in the cache: in bfloat16 these may round differently
    _, *texts = [
        ask(request(encoder, "Invent a name.", Sampling(12, 1.0, 1.0, seed)))[0].text for seed in (1, 1, 1, 2, 3)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_stop_strings_end_a_text(ask: Ask, encoder: Encoder) -> None:
    asked = "Repeat this list of numbers: one, two, three, four."
    whole = ask(request(encoder, asked, Sampling(40)))[0]
    ended = ask(request(encoder, asked, Sampling(40, stop=(",",))))[0]
    assert "," in whole.text
    assert ended.text == whole.text.partition(",")[0]
    assert ended.finish == "stop"


def test_label_log_probabilities_agree_with_transformers(
    ask: Ask, theirs: Ask, encoder: Encoder, labels: tuple[tuple[str, int], ...]
) -> None:
    texts = [f"Which number is larger? A: {i}. B: {9 - i}. Answer with one letter: A or B." for i in range(4)]
    requests = [request(encoder, text, Sampling(1), labels) for text in texts]
    ours = ask(*requests)
    for mine, their in zip(ours, theirs(*requests), strict=True):
        assert set(mine.logprobs) == set(LABELS)
        assert sum(map(math.exp, mine.logprobs.values())) <= 1 + 1e-6
        z, other = (c.logprobs["A"] - c.logprobs["B"] for c in (mine, their))
        assert z == pytest.approx(other, abs=0.25)  # layers in bfloat16 against float32


def test_log_odds_are_not_rounded_to_eighths(ask: Ask, encoder: Encoder, labels: tuple[tuple[str, int], ...]) -> None:
    """As they would be from logits in bfloat16, which have steps of 1/8 between 16 and 32."""
    texts = [f"Which number is larger? A: {i}. B: {9 - i}. Answer with one letter: A or B." for i in range(12)]
    found = ask(*(request(encoder, text, Sampling(1), labels) for text in texts))
    eighths = [8 * (c.logprobs["A"] - c.logprobs["B"]) for c in found]
    assert sum(abs(value - round(value)) > 1e-3 for value in eighths) >= 10


REPLIES = (
    "Warm air rises over the sea.",
    "Bananas seventeen because.",
    "I do not know, sorry. Could you ask someone else?",
)


def scoring(encoder: Encoder) -> list[Request]:
    texts = [("Why is it windy?", reply) for reply in REPLIES] + [("Tell me everything about wind. " * 20, REPLIES[0])]
    pairs = [encoder.response([{"role": "user", "content": text}], reply) for text, reply in texts]
    return [Request("m", "compare", (*a, *b), Sampling(1), scored=len(b)) for a, b in pairs]


def test_scores_agree_with_transformers_and_do_not_change_with_what_is_cached(
    ask: Ask, theirs: Ask, encoder: Encoder
) -> None:
    requests = scoring(encoder)
    first, again = ask(*requests), ask(*requests)
    alone = [ask(request)[0] for request in requests]
    for request, *ours, their in zip(requests, first, again, alone, theirs(*requests), strict=True):
        assert len(their.scores) == request.scored
        for mine in ours:
            assert mine.scores == pytest.approx(their.scores, abs=0.6, rel=0.03)  # bfloat16 against float32
            assert math.fsum(mine.scores) == pytest.approx(math.fsum(their.scores), rel=0.02)
            assert (mine.text, mine.usage.cached, mine.usage.completion) == ("", 0, 0)
    sense, nonsense = (math.fsum(completion.scores) / len(completion.scores) for completion in first[:2])
    assert sense > nonsense + 1


def test_a_score_is_the_log_probability_of_the_token_as_a_label(
    ask: Ask, encoder: Encoder, labels: tuple[tuple[str, int], ...]
) -> None:
    asked = request(encoder, "Answer with one letter: A or B.", Sampling(1), labels)
    verdict, *scores = ask(asked, *(replace(asked, tokens=(*asked.tokens, i), labels=(), scored=1) for _, i in labels))
    assert [c.scores[0] for c in scores] == pytest.approx([*verdict.logprobs.values()], abs=0.1)


def test_a_shared_prefix_is_read_from_the_cache(ask: Ask, encoder: Encoder) -> None:
    base = "Remember these words. " * 40
    (first,) = ask(request(encoder, base + "One?", Sampling(1)))
    (second,) = ask(request(encoder, base + "Two?", Sampling(1)))
    assert second.usage.cached > 0.8 * second.usage.prompt
    assert first.usage.cached < second.usage.cached


def test_a_prompt_that_is_too_long_is_a_terminal_error(ask: Ask, encoder: Encoder) -> None:
    long, fine = ask(request(encoder, "word " * 1200, Sampling(8)), request(encoder, "Hi.", Sampling(4)))
    assert long.error
    assert long.error.reason == ErrorReason.PROMPT_TOO_LONG
    assert fine.error is None


def test_many_at_once_each_get_their_own_answer(ask: Ask, encoder: Encoder) -> None:
    requests = [request(encoder, f"Repeat the number {i}.", Sampling(8, 0.7, 0.9, i)) for i in range(40)]
    completions = ask(*requests)
    assert [c.usage.prompt for c in completions] == [len(r.tokens) for r in requests]
    assert all(c.finish in ("stop", "length") for c in completions)


def test_a_prompt_from_top_to_bottom(
    vllm: VLLM, run: Run, encoder: Encoder, labels: tuple[tuple[str, int], ...]
) -> None:
    constitution = load(ROOT / "principles" / "concise.yaml")
    model = ChatModel("embedded", "digest", vllm, encoder, CONTEXT, dict(labels))
    plan = Plan(samples=2, principles=2, keep_truncated=True, sample=Decoding(max_tokens=16, temperature=0.8),
                critique=Decoding(max_tokens=24), revise=Decoding(max_tokens=24))  # fmt: skip
    prompt = Prompt(id="p", messages=(Message(role="user", content="Why do cats purr?"),))
    result = run(feedback(prompt, constitution, [Policy(model)], Panel((Judge(model),)), plan))
    assert len(result.candidates) >= 2
    judged = [vote for vote in result.votes if constitution.by_id(vote.principle).judged]
    assert len(judged) == 2 * result.comparisons
    assert all(math.isfinite(vote.value) for vote in judged)
    assert result.outcome in ("pairs", "dropped")
    again = run(feedback(prompt, constitution, [Policy(replace(model, context=8))], Panel((Judge(model),)), plan))
    assert {failure.reason for failure in again.failures} == {"prompt_too_long"}


def test_processes_end_with_the_engine(vllm: VLLM) -> None:
    """The session's engine is alive here, in processes of its own."""
    names = [process.name() for process in psutil.Process().children(recursive=True)]
    assert names
