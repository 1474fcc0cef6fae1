"""Who shares a batch, and what becomes of requests whose batch fails, or that are cancelled or closed."""

import asyncio
from collections.abc import Sequence

import pytest
import torch

from generation.engines.base import Completion, Request, Sampling, TransientError
from generation.engines.batching import Batcher, SeededGumbel, padded


def request(length: int, index: int = 0) -> Request:
    return Request("m", "sample", tuple(range(3, 3 + length)), Sampling(1), index=index)


class Recorder:
    """Answers with the length of the prompt, and keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        self.batches.append([len(r.tokens) for r in requests])
        if len(requests[0].tokens) == 13:
            raise RuntimeError("out of memory")
        return [Completion(str(len(r.tokens))) for r in requests]


def ask(batcher: Batcher, *requests: Request) -> list[Completion | BaseException]:
    async def together() -> list[Completion | BaseException]:
        try:
            return list(await asyncio.gather(*(batcher.ask(r) for r in requests), return_exceptions=True))
        finally:
            await batcher.close()

    return asyncio.run(together())


def test_requests_of_one_shape_and_similar_length_share_a_batch() -> None:
    record = Recorder()
    lengths = [5, 90, 6, 91, 7, 92]
    answers = ask(Batcher(record, 2, lambda r: r.index), *(request(n) for n in lengths), request(5, index=1))
    assert [a.text for a in answers if isinstance(a, Completion)] == [*map(str, lengths), "5"]
    assert record.batches == [[5, 6], [90, 91], [7, 92], [5]]


def test_a_failed_batch_is_told_to_its_requests_alone() -> None:
    failed, fine = ask(Batcher(Recorder(), 1, lambda _: None), request(13), request(4))
    assert isinstance(failed, TransientError)
    assert str(failed) == "transformers failed on 1 requests (out of memory)"
    assert fine == Completion("4")


def test_a_cancelled_request_is_left_out() -> None:
    record = Recorder()

    async def cancel_one() -> Completion:
        batcher = Batcher(record, 8, lambda _: None)
        gone, kept = (asyncio.create_task(batcher.ask(request(n))) for n in (5, 6))
        await asyncio.sleep(0)
        gone.cancel()
        try:
            return await kept
        finally:
            await batcher.close()

    assert asyncio.run(cancel_one()) == Completion("6")
    assert record.batches == [[6]]


def test_requests_still_waiting_hear_of_the_end() -> None:
    async def close_at_once() -> object:
        batcher = Batcher(Recorder(), 8, lambda _: None)
        waiting = asyncio.create_task(batcher.ask(request(5)))
        await asyncio.sleep(0)
        await batcher.close()
        return (await asyncio.gather(waiting, return_exceptions=True))[0]

    error = asyncio.run(close_at_once())
    assert isinstance(error, TransientError)
    assert str(error) == "the transformers engine is closed"


@pytest.mark.parametrize(
    ("left", "ids", "mask"),
    [
        pytest.param(False, [[3, 4, 5], [3, 0, 0]], [[1, 1, 1], [1, 0, 0]], id="right"),
        pytest.param(True, [[3, 4, 5], [0, 0, 3]], [[1, 1, 1], [0, 0, 1]], id="left"),
    ],
)
def test_padding_and_mask(left: bool, ids: list[list[int]], mask: list[list[int]]) -> None:
    made = padded([request(3), request(1)], left)
    assert [tensor.tolist() for tensor in made] == [ids, mask]


def test_sampling_is_from_the_likeliest_tokens_that_hold_top_p_together() -> None:
    p = torch.tensor([[0.05, 0.5, 0.15, 0.3], [0.25, 0.25, 0.25, 0.25]])
    kept = SeededGumbel([0, 1], temperature=1.0, top_p=0.7).logprobs(p.log()).exp()
    assert kept[0].tolist() == pytest.approx([0, 0.625, 0, 0.375])
    assert sorted(kept[1].tolist()) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    sharp = SeededGumbel([0, 1], temperature=0.5, top_p=1.0).logprobs(p.log()).exp()
    assert sharp[0].tolist() == pytest.approx([0.0025 / 0.365, 0.25 / 0.365, 0.0225 / 0.365, 0.09 / 0.365])


def test_a_rows_samples_follow_from_its_seed_and_have_the_models_shares() -> None:
    scores = torch.tensor([[0.1, 0.6, 0.3]]).log()
    draws = SeededGumbel([7])
    drawn = [int(draws(None, scores).argmax()) for _ in range(2000)]
    alone, beside = SeededGumbel([7]), SeededGumbel([8, 7])
    assert drawn[:50] == [int(alone(None, scores).argmax()) for _ in range(50)]
    assert drawn[:50] == [int(beside(None, scores.expand(2, 3))[1].argmax()) for _ in range(50)]
    for token, share in enumerate((0.1, 0.6, 0.3)):
        assert drawn.count(token) / 2000 == pytest.approx(share, abs=0.04)
