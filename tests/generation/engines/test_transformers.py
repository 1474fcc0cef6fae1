"""transformers on the embedded model, and on a tiny random one: the same answer alone and in company."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from critics.compare import LABELS
from generation.engines.base import Completion, ErrorReason, ModelError, Request, Sampling
from generation.engines.checkpoint import ModelFiles
from generation.engines.transformers import Transformers, TransformersSettings
from generation.models.encoder import Encoder
from generation.models.files import resolve
from tests.training.ppo_small import small_model


@pytest.fixture(scope="module")
def engine(embedded: ModelFiles) -> Iterator[Transformers]:
    made = Transformers(embedded, TransformersSettings(dtype="float32", batch_size=8))
    yield made
    asyncio.run(made.close())


def request(encoder: Encoder, text: str, sampling: Sampling, labels: tuple[tuple[str, int], ...] = ()) -> Request:
    return Request("m", "sample", tuple(encoder.encode([{"role": "user", "content": text}])), sampling, labels)


def ask(engine: Transformers, *requests: Request) -> list[Completion]:
    async def together() -> list[Completion]:
        return list(await asyncio.gather(*(engine.generate(r) for r in requests)))

    return asyncio.run(together())


@pytest.mark.model
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_an_answer_does_not_depend_on_the_batch(engine: Transformers, encoder: Encoder, temperature: float) -> None:
    texts = ["Name a fruit.", "What is a volcano? " * 6, "Hi!"]
    requests = [request(encoder, text, Sampling(10, temperature, 0.9, i)) for i, text in enumerate(texts)]
    alone = [ask(engine, r)[0] for r in requests]
    assert ask(engine, *requests) == alone


@pytest.mark.model
def test_seeds_decide_samples(engine: Transformers, encoder: Encoder) -> None:
    texts = [
        c.text
        for c in ask(engine, *(request(encoder, "Invent a name.", Sampling(10, 1.0, 1.0, seed)) for seed in (1, 1, 2)))
    ]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.model
def test_a_token_may_end_an_answer_beside_the_checkpoints_own(engine: Transformers, encoder: Encoder) -> None:
    tokens = engine._tokenizer
    asked = request(encoder, "Name three fruits.", Sampling(24))
    (whole,) = ask(engine, asked)
    end = tokens.encode(whole.text, add_special_tokens=False)[3]
    one, other = ask(engine, replace(asked, sampling=Sampling(24, ends=(end,))), asked)
    before = tokens.decode(tokens.encode(whole.text, add_special_tokens=False)[:3])
    assert (one.text, one.finish, one.usage.completion) == (before, "stop", 4)
    assert other == whole, "asked beside it, and not ended by it"


@pytest.mark.model
def test_labels_usage_and_finish(engine: Transformers, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    verdict, text = ask(
        engine, request(encoder, "A or B?", Sampling(1), labels), request(encoder, "Say only: yes.", Sampling(40))
    )
    assert set(verdict.logprobs) == set(LABELS)
    assert all(value < 0 for value in verdict.logprobs.values())
    assert text.finish == "stop"
    assert text.logprobs == {}
    assert 0 < text.usage.completion < 40
    assert "<|im_end|>" not in text.text


@pytest.mark.model
def test_a_score_is_the_log_probability_of_the_token_as_a_label(engine: Transformers, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    asked = request(encoder, "Answer with one letter: A or B.", Sampling(1), labels)
    scores = [replace(asked, tokens=(*asked.tokens, token), labels=(), scored=1) for _, token in labels]
    verdict, *scored = ask(engine, asked, *scores)
    assert [c.scores[0] for c in scored] == pytest.approx([*verdict.logprobs.values()], abs=1e-3)


@pytest.mark.model
def test_a_prompt_that_is_too_long_is_a_terminal_error(engine: Transformers) -> None:
    (completion,) = ask(engine, Request("m", "sample", (1,) * 9000, Sampling(8)))
    assert completion.error
    assert completion.error.reason == ErrorReason.PROMPT_TOO_LONG


@pytest.mark.model
def test_weights_that_are_none_are_told(embedded: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("broken")
    for file in embedded.path.iterdir():
        data = file.read_bytes()
        (folder / file.name).write_bytes(data if file.suffix != ".safetensors" else data[:1000])
    broken = ModelFiles("broken", folder, "d", 8192)
    with pytest.raises(ModelError, match="transformers cannot load it"):
        Transformers(broken, TransformersSettings())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transformers]:
    made = Transformers(
        resolve(str(small_model(tmp_path_factory.mktemp("tiny")))), TransformersSettings(dtype="float32", batch_size=8)
    )
    yield made
    asyncio.run(made.close())


LABELLED = (("A", 20), ("B", 21))
PROMPTS = [(5, 6, 7), (9, 10, 11, 12, 13, 14, 15, 16), (20,)]


def logprobs(engine: Transformers, tokens: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of the token after each, [tokens, vocabulary], by the model alone."""
    with torch.inference_mode():
        table: torch.Tensor = engine._model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    return table


def test_labels_are_read_at_the_first_position_whatever_else_is_in_the_batch(tiny: Transformers) -> None:
    found = ask(tiny, *(Request("m", "compare", prompt, Sampling(1), LABELLED) for prompt in PROMPTS))
    for prompt, completion in zip(PROMPTS, found, strict=True):
        table = logprobs(tiny, prompt)[-1]
        assert completion.logprobs == pytest.approx({name: table[token].item() for name, token in LABELLED}, abs=1e-4)
        assert completion.usage.prompt == len(prompt)


def test_each_scored_token_is_given_all_before_it(tiny: Transformers) -> None:
    asked = [Request("m", "compare", prompt, Sampling(1), scored=min(2, len(prompt) - 1)) for prompt in PROMPTS[:2]]
    for request_, completion in zip(asked, ask(tiny, *asked), strict=True):
        table = logprobs(tiny, request_.tokens)
        places = range(len(request_.tokens) - request_.scored, len(request_.tokens))
        assert completion.scores == pytest.approx([table[i - 1, request_.tokens[i]].item() for i in places], abs=1e-4)


def test_greedy_tokens_are_the_likeliest_and_the_limit_ends_them(tiny: Transformers) -> None:
    (completion,) = ask(tiny, Request("m", "sample", PROMPTS[0], Sampling(3)))
    tokens = PROMPTS[0]
    for _ in range(3):
        tokens = (*tokens, int(logprobs(tiny, tokens)[-1].argmax()))
    assert completion.text == tiny._tokenizer.decode(tokens[-3:], skip_special_tokens=True)
    assert (completion.finish, completion.usage.completion) == ("length", 3)


def test_a_stop_string_ends_a_text_and_is_no_part_of_it(tiny: Transformers) -> None:
    (whole,) = ask(tiny, Request("m", "sample", PROMPTS[1], Sampling(12, 0.9, seed=3)))
    stop = whole.text[4:6]
    (cut,) = ask(tiny, Request("m", "sample", PROMPTS[1], Sampling(12, 0.9, seed=3, stop=(stop,))))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"


def test_seeds_decide_what_a_tiny_model_writes_in_any_company(tiny: Transformers) -> None:
    asked = [Request("m", "sample", prompt, Sampling(6, 0.9, 0.9, i)) for i, prompt in enumerate(PROMPTS)]
    again = Request("m", "sample", PROMPTS[0], Sampling(6, 0.9, 0.9, 7))
    together = ask(tiny, *asked)
    assert [ask(tiny, one)[0].text for one in asked] == [completion.text for completion in together]
    assert ask(tiny, again)[0].text != together[0].text


@pytest.mark.parametrize("tokens", [(), (5, 10**6)], ids=["none", "beyond-the-vocabulary"])
def test_tokens_that_the_model_has_not_are_a_terminal_error(tokens: tuple[int, ...], tiny: Transformers) -> None:
    bad, good = ask(tiny, Request("m", "sample", tokens, Sampling(2)), Request("m", "sample", (5,), Sampling(2)))
    assert bad.error
    assert bad.error.reason == ErrorReason.BAD_REQUEST
    assert good.error is None
