"""Attention without padding gives what each response, alone with its prompt, would have given."""

import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example, collate
from training.model import attention
from training.model.loading import choose_layout, load_policy
from training.model.modules import Policy
from training.recipes.config import SFT

SMALL = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
GPT2 = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FAMILIES = {
    "llama": ("LlamaConfig", SMALL),
    "qwen2": ("Qwen2Config", SMALL),
    "qwen3": ("Qwen3Config", SMALL | {"head_dim": 8}),
    "mistral": ("MistralConfig", SMALL | {"sliding_window": 64}),
    "gemma3": ("Gemma3TextConfig", SMALL | {"head_dim": 8, "sliding_window": 64}),
    "phi3": ("Phi3Config", SMALL),
    "granite": ("GraniteConfig", SMALL | {"logits_scaling": 3.0}),
    "cohere": ("CohereConfig", SMALL | {"logit_scale": 0.3}),
    "gpt2": ("GPT2Config", GPT2),
    "gpt_neox": ("GPTNeoXConfig", SMALL),
}


def some_ids(n: int, seed: int) -> list[int]:
    return torch.randint(3, 60, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


EXAMPLES = [
    Example(some_ids(5, 0), [some_ids(4, 1), some_ids(7, 2), some_ids(1, 3)]),
    Example(some_ids(1, 4), [some_ids(2, 5)]),
    Example(some_ids(8, 6), [some_ids(3, 7), some_ids(3, 8)]),
]


def policy(family: str = "llama", packed: bool = True) -> Policy:
    """A tiny random model in evaluation mode; the same weights whatever the attention."""
    attention.register()
    name, settings = FAMILIES[family]
    torch.manual_seed(0)
    how = attention.NAME if packed else "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, name)(**settings), attn_implementation=how
    )
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, 0, 0.2)
    return Policy(model.eval(), "packed" if packed else "padded")


def one_by_one(module: Policy, examples: list[Example]) -> Any:
    """Log-probabilities by the model's own logits, a response at a time."""
    found = []
    for prompt, responses, _ in examples:
        for response in responses:
            logits = module.model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
            found.append(logits.float().log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0])
    return torch.cat(found)


def gradients(module: Policy, logprobs: Any) -> dict[str, Any]:
    module.zero_grad()
    (logprobs * torch.linspace(-1, 2, len(logprobs))).sum().backward()
    return {name: p.grad.clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_and_padded_are_the_models_own_numbers(family: str) -> None:
    packed, padded = policy(family), policy(family, packed=False)
    ours, theirs = packed(collate(EXAMPLES, "packed")).logprobs, one_by_one(padded, EXAMPLES)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(padded(collate(EXAMPLES, "padded")).logprobs, theirs, rtol=0, atol=1e-5)
    wanted = gradients(padded, theirs)
    for name, grad in gradients(packed, ours).items():
        torch.testing.assert_close(
            grad, wanted[name], rtol=1e-4, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_packed_with_checkpointing_and_in_bfloat16() -> None:
    plain = policy()
    wanted = plain(collate(EXAMPLES, "packed")).logprobs
    grads = gradients(plain, wanted)
    thrifty = policy().train()
    thrifty.inner.gradient_checkpointing_enable({"use_reentrant": False})
    found = thrifty(collate(EXAMPLES, "packed")).logprobs
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradients(thrifty, found), grads, rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        half = [policy(packed=p)(collate(EXAMPLES, "packed" if p else "padded")).logprobs for p in (True, False)]
    assert (half[0] - wanted).abs().max() < 0.1
    assert (half[1] - wanted).abs().max() < 0.1


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_response_sees_nothing_but_its_prompt_and_itself(layout: Any) -> None:
    module = policy(packed=layout == "packed")
    before = module(collate(EXAMPLES, layout)).logprobs
    other = [
        Example(EXAMPLES[0].prompt, [some_ids(4, 50), EXAMPLES[0].responses[1], some_ids(1, 51)]),
        Example(some_ids(1, 52), [some_ids(2, 53)]),
        Example(some_ids(8, 54), [some_ids(3, 55), some_ids(3, 56)]),
    ]
    after = module(collate(other, layout)).logprobs
    same = slice(4, 11)  # the first prompt's second response
    assert after[same].tolist() == before[same].tolist()
    assert not torch.isclose(after, before)[[*range(1, 4), *range(12, len(after))]].any()


def test_a_token_sees_no_later_one() -> None:
    module = policy()
    first, second = Example([5, 6], [[7, 8, 9, 10]]), Example([5, 6], [[7, 8, 9, 30]])
    before, after = (module(collate([example], "packed")).logprobs for example in (first, second))
    assert before[:3].tolist() == after[:3].tolist()
    assert before[3] != after[3]


def test_the_variable_length_kernel_gets_each_piece_with_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = inspect.signature(attention.varlen.varlen_attn)

    def by_the_book(*args: Any, **kwargs: Any) -> Any:
        """What torch documents: each piece's queries end where its keys end, and see `window_size` tokens to either side."""
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        a = call.arguments
        assert (a["cu_seq_q"].dtype, a["cu_seq_k"].dtype) == (torch.int32, torch.int32)
        assert a["window_size"] == (-1, 0)
        spans = [x.tolist() for x in (a["cu_seq_q"], a["cu_seq_k"])]
        assert (spans[0][-1], spans[1][-1]) == (len(a["query"]), len(a["key"]))
        assert [a["max_q"], a["max_k"]] == [max(y - x for x, y in pairwise(s)) for s in spans]
        out = []
        for (q0, q1), (k0, k1) in zip(*map(pairwise, spans), strict=True):
            q, k, v = a["query"][q0:q1], a["key"][k0:k1], a["value"][k0:k1]
            groups = q.shape[1] // k.shape[1]
            k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
            scores = torch.einsum("qhd,khd->hqk", q, k) * a["scale"]
            seen = torch.arange(k1 - k0)[None, :] <= torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0)
            out.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v))
        return torch.cat(out)

    monkeypatch.setattr(attention.varlen, "varlen_attn", by_the_book)
    batch = collate(EXAMPLES, "packed")
    pieces = batch["segments"]
    total = batch["tokens"].numel()
    g = torch.Generator().manual_seed(0)
    shapes = ((1, 4, total, 8), (1, 2, total, 8), (1, 2, total, 8))
    inputs = [torch.randn(shape, generator=g).requires_grad_() for shape in shapes]
    plain = attention.attend(None, *inputs, scaling=0.3, segments=pieces)[0]
    fused = attention._varlen(*inputs, 0.3, pieces)
    assert fused.shape == plain.shape == (1, total, 4, 8)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-5)
    weights = torch.randn(plain.shape, generator=g)
    grads = [torch.autograd.grad((out * weights).sum(), inputs) for out in (fused, plain)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


HYBRID = SMALL | {"layer_types": ["full_attention", "linear_attention"]}


@pytest.mark.parametrize(
    ("name", "settings", "length", "reason"),
    [
        ("LlamaConfig", SMALL, 64, None),
        ("MistralConfig", SMALL | {"sliding_window": 64}, 64, None),
        ("MistralConfig", SMALL | {"sliding_window": 63}, 64, "its attention sees 63 tokens and rows have up to 64"),
        ("MistralConfig", SMALL | {"sliding_window": None}, 64, None),
        ("Qwen2Config", SMALL | {"use_sliding_window": False, "sliding_window": 16}, 64, None),
        ("Qwen2Config", SMALL | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}, 64, "sees 16 tokens"),
        ("Gemma3TextConfig", SMALL | {"sliding_window": 16}, 64, "sees 16 tokens"),
        ("Gemma2Config", SMALL | {"sliding_window": 64}, 64, "soft cap"),
        ("MiniMaxConfig", HYBRID, 64, "layers of linear_attention"),
        ("Qwen3NextConfig", HYBRID, 64, "carries a state"),
        ("Mamba2Config", {"vocab_size": 60}, 64, "carries a state"),
        ("BloomConfig", {"vocab_size": 60}, 64, "cannot be exchanged"),
        ("GptOssConfig", SMALL, 64, "cannot be exchanged"),
    ],
)  # fmt: skip
def test_which_models_can_be_packed(name: str, settings: dict[str, Any], length: int, reason: str | None) -> None:
    found = attention.packs(getattr(transformers, name)(**settings), length)
    assert found == reason if reason is None else reason in str(found)


@pytest.fixture
def windowed(tiny: Path, tmp_path: Path) -> ModelFiles:
    """A Mistral whose attention sees 16 tokens."""
    config = transformers.MistralConfig(**SMALL | {"sliding_window": 16})
    torch.manual_seed(0)
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path / "windowed")
    return ModelFiles("windowed", tmp_path / "windowed", "0" * 32, 64)


def test_a_windowed_model_is_padded_and_packing_it_is_refused(windowed: ModelFiles) -> None:
    assert choose_layout(windowed, SFT(max_length=64)) == "padded"
    assert choose_layout(windowed, SFT(max_length=16)) == "packed"
    with pytest.raises(ModelError) as error:
        choose_layout(windowed, SFT(max_length=64, layout="packed"))
    assert str(error.value) == (
        "layout: got packed, but model windowed cannot be packed: its attention sees 16 tokens and rows have up to 64; "
        "set layout: auto"
    )


def test_a_windowed_model_gets_its_own_numbers(windowed: ModelFiles) -> None:
    module = load_policy(windowed, SFT(max_length=64)).eval()
    long = [Example(some_ids(20, 0), [some_ids(20, 1), some_ids(3, 2)])]
    assert module.layout == "padded"
    torch.testing.assert_close(module(collate(long, "padded")).logprobs, one_by_one(module, long), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "more", [{"attention_mask": torch.ones(1)}, {"s_aux": torch.ones(4)}, {"softcap": 30.0}, {"segments": None}]
)
def test_attention_of_its_own_kind_is_refused(more: dict[str, Any]) -> None:
    pieces = collate(EXAMPLES[:1], "packed")["segments"]
    x = torch.randn(1, 4, 17, 8)
    call: dict[str, Any] = {"segments": pieces} | more
    with pytest.raises(
        ModelError, match="layout: got packed, and Linear computes attention in a way of its own; set layout: padded"
    ):
        attention.attend(torch.nn.Linear(1, 1), x, x, x, **call)


def test_generation_uses_ordinary_attention_and_gives_it_back(tiny_files: ModelFiles) -> None:
    module = load_policy(tiny_files, SFT()).train()
    batch = collate([Example([5, 6], [[7, 8]])], "packed")
    before = module(batch).logprobs
    with module.generating() as model:
        found = model.generate(torch.tensor([[1, 5, 6]]), max_new_tokens=4, do_sample=False)
        assert not module.training
    assert found.shape[1] > 3
    assert module.training
    assert module(batch).logprobs.tolist() == before.tolist()
