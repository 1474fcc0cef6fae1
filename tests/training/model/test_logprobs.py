"""The fused head against plain log_softmax: values, gradients, chunks, types."""

from typing import Any

import pytest
import torch

from training.model import logprobs as head
from training.model.logprobs import amx, token_scores


def plain(
    hidden: Any, weight: Any, targets: Any, temperature: float = 1.0, bias: Any = None, cap: float | None = None
) -> tuple[Any, Any]:
    """The same two numbers by the book, with full logits."""
    logits = torch.nn.functional.linear(hidden, weight, bias).float()
    logp = ((cap * torch.tanh(logits / cap) if cap else logits) / temperature).log_softmax(-1)
    return logp.gather(-1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def data(n: int, vocabulary: int = 50, width: int = 16, seed: int = 0) -> tuple[Any, Any, Any]:
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(n, width, generator=g), torch.randn(vocabulary, width, generator=g)
    return hidden, weight, torch.randint(0, vocabulary, (n,), generator=g)


def gradients(scores: Any, by_logprob: Any, by_entropy: Any, *inputs: Any) -> list[Any]:
    logprob, entropy = scores
    return list(torch.autograd.grad((logprob * by_logprob + entropy * by_entropy).sum(), inputs))


@pytest.mark.parametrize("rows", [1, 3, 7, 20], ids="chunk{}".format)
@pytest.mark.parametrize(
    ("temperature", "biased", "cap"), [(1.0, False, None), (0.7, False, None), (2.0, True, None), (0.7, True, 5.0)]
)
@pytest.mark.parametrize("paths", ["logprob", "entropy", "both"])
def test_values_and_gradients_are_those_of_log_softmax(
    monkeypatch: pytest.MonkeyPatch, rows: int, temperature: float, biased: bool, cap: float | None, paths: str
) -> None:
    monkeypatch.setitem(head.CHUNK, "cpu", 50 * rows)
    hidden, weight, targets = data(7)
    bias = torch.randn(50, generator=torch.Generator().manual_seed(1)) if biased else None
    inputs = [x.requires_grad_() for x in (hidden, weight, bias) if x is not None]
    ours, theirs = (f(hidden, weight, targets, temperature, bias, cap) for f in (token_scores, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert [x.dtype for x in ours] == [torch.float32] * 2
    by_logprob = torch.randn(7) if paths != "entropy" else torch.zeros(7)
    by_entropy = torch.randn(7) if paths != "logprob" else torch.zeros(7)
    torch.testing.assert_close(
        gradients(ours, by_logprob, by_entropy, *inputs),
        gradients(theirs, by_logprob, by_entropy, *inputs),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("path", [0, 1], ids=["logprob", "entropy"])
def test_one_output_alone_is_differentiable(path: int) -> None:
    hidden, weight, targets = data(5)
    hidden.requires_grad_()
    ours, theirs = (torch.autograd.grad(f(hidden, weight, targets)[path].sum(), hidden) for f in (token_scores, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [0, 8], ids=["again", "kept"])
@pytest.mark.parametrize("half", [False, True])
def test_the_softmax_is_kept_or_made_again_and_entropies_are_left_out(
    monkeypatch: pytest.MonkeyPatch, kept: int, half: bool
) -> None:
    """Also of a token that is all but sure: 1 - p has no digits in bfloat16."""
    monkeypatch.setitem(head.CHUNK, "cpu", 50 * 3)
    monkeypatch.setattr(head, "KEPT", kept)
    hidden, weight, targets = (x.bfloat16().float() if x.is_floating_point() else x for x in data(7))
    hidden[3] = (1.5 * weight[targets[3]]).bfloat16().float()
    inputs = hidden.requires_grad_(), weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logprob, entropy = token_scores(hidden, weight, targets, 0.5, entropies=False)
    wanted = plain(hidden, weight, targets, 0.5)[0]
    torch.testing.assert_close(logprob, wanted, rtol=1e-5, atol=1e-5)
    assert entropy.isnan().all()
    assert -0.01 < wanted[3] < -1e-7
    for row in range(7):
        ours, theirs = (torch.autograd.grad(x[row], inputs, retain_graph=True) for x in (logprob, wanted))
        for grad, exact in zip(ours, theirs, strict=True):
            assert (grad - exact).norm() < (0.02 if half else 1e-4) * exact.norm()


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient(frozen: str) -> None:
    hidden, weight, targets = data(5)
    (weight if frozen == "hidden" else hidden).requires_grad_()
    token_scores(hidden, weight, targets)[0].sum().backward()
    assert (hidden.grad is None) == (frozen == "hidden")
    assert (weight.grad is None) == (frozen == "weight")


def test_autocast_sums_in_float32_what_bfloat16_holds() -> None:
    hidden, weight, targets = (x.bfloat16().float() if x.is_floating_point() else x for x in data(30))
    inputs = hidden.requires_grad_(), weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = token_scores(hidden, weight, targets)
    torch.testing.assert_close(ours, plain(hidden, weight, targets), rtol=1e-5, atol=1e-5)
    grads = gradients(ours, torch.ones(30), torch.ones(30), *inputs)
    exact = gradients(plain(hidden, weight, targets), torch.ones(30), torch.ones(30), *inputs)
    assert [g.dtype for g in grads] == [torch.float32] * 2
    for grad, wanted in zip(grads, exact, strict=True):
        assert (grad - wanted).norm() < 0.02 * wanted.norm()


def test_weights_in_bfloat16_get_gradients_in_bfloat16() -> None:
    hidden, weight, targets = (x.bfloat16() if x.is_floating_point() else x for x in data(4))
    token_scores(hidden.requires_grad_(), weight.requires_grad_(), targets)[0].sum().backward()
    assert (hidden.grad.dtype, weight.grad.dtype) == (torch.bfloat16, torch.bfloat16)


def test_gradients_of_chunks_add_up_in_float32_even_for_bfloat16_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = data(400)
    weight = weight.bfloat16().requires_grad_()
    exact = torch.autograd.grad(plain(hidden.bfloat16(), weight, targets)[0].sum(), weight)[0].float()
    monkeypatch.setitem(head.CHUNK, "cpu", 50)
    grad = torch.autograd.grad(token_scores(hidden.bfloat16(), weight, targets)[0].sum(), weight)[0].float()
    assert (grad - exact).norm() < 0.01 * exact.norm()


def test_extreme_logits_stay_finite() -> None:
    hidden, weight, targets = data(6)
    hidden = (hidden * 1e4).requires_grad_()
    logprob, entropy = token_scores(hidden, weight, targets)
    assert torch.isfinite(logprob).all()
    assert torch.isfinite(entropy).all()
    assert torch.isfinite(torch.autograd.grad(logprob.sum() + entropy.sum(), hidden)[0]).all()


def test_no_table_of_all_logits_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(head.CHUNK, "cpu", 50 * 4)
    hidden, weight, targets = data(200)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        token_scores(hidden.requires_grad_(), weight, targets)
    assert max(kept) == hidden.numel()


def test_under_autocast_logits_keep_the_digits_that_bfloat16_has_not() -> None:
    hidden, weight, targets = data(40, width=64, seed=3)
    hidden, weight = hidden.requires_grad_(), 3 * weight
    with torch.autocast("cpu", torch.bfloat16):
        ours, entropy = token_scores(hidden, weight, targets)
    factors = [x.bfloat16() if amx() else x for x in (hidden, weight)]  # a CPU without AMX multiplies what it is given
    rounded = factors[0].double() @ factors[1].double().t()
    assert rounded.abs().max() > 32
    exact = rounded.log_softmax(-1).gather(-1, targets[:, None])[:, 0].float()
    torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-4)
    (by_hidden,) = torch.autograd.grad((ours + entropy).sum(), hidden)
    assert torch.isfinite(by_hidden).all()
    assert by_hidden.abs().max() > 0
