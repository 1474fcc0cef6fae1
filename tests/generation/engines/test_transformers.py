"""transformers on the embedded model: the same answer alone and in company."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from critics.compare import LABELS
from generation.engines.base import Completion, ErrorReason, ModelError, Request, Sampling
from generation.engines.checkpoint import ModelFiles
from generation.engines.transformers import Transformers, TransformersSettings
from generation.models.encoder import Encoder

pytestmark = pytest.mark.model


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


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_an_answer_does_not_depend_on_the_batch(engine: Transformers, encoder: Encoder, temperature: float) -> None:
    texts = ["Name a fruit.", "What is a volcano? " * 6, "Hi!"]
    requests = [request(encoder, text, Sampling(10, temperature, 0.9, i)) for i, text in enumerate(texts)]
    alone = [ask(engine, r)[0] for r in requests]
    assert ask(engine, *requests) == alone


def test_seeds_decide_samples(engine: Transformers, encoder: Encoder) -> None:
    texts = [
        c.text
        for c in ask(engine, *(request(encoder, "Invent a name.", Sampling(10, 1.0, 1.0, seed)) for seed in (1, 1, 2)))
    ]
    assert texts[0] == texts[1] != texts[2]


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


def test_a_score_is_the_log_probability_of_the_token_as_a_label(engine: Transformers, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    asked = request(encoder, "Answer with one letter: A or B.", Sampling(1), labels)
    scores = [replace(asked, tokens=(*asked.tokens, token), labels=(), scored=1) for _, token in labels]
    verdict, *scored = ask(engine, asked, *scores)
    assert [c.scores[0] for c in scored] == pytest.approx([*verdict.logprobs.values()], abs=1e-3)


def test_a_prompt_that_is_too_long_is_a_terminal_error(engine: Transformers) -> None:
    (completion,) = ask(engine, Request("m", "sample", (1,) * 9000, Sampling(8)))
    assert completion.error
    assert completion.error.reason == ErrorReason.PROMPT_TOO_LONG


def test_weights_that_are_none_are_told(embedded: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("broken")
    for file in embedded.path.iterdir():
        data = file.read_bytes()
        (folder / file.name).write_bytes(data if file.suffix != ".safetensors" else data[:1000])
    broken = ModelFiles("broken", folder, "d", 8192)
    with pytest.raises(ModelError, match="transformers cannot load it"):
        Transformers(broken, TransformersSettings())
