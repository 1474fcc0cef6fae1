"""Operations and waits of a training step of DPO, ours and TRL's, on the same batch: what a GPU's speed on small models hangs on.

    python -m benchmarks.training_operations [--layers 30] [--pairs 4] [--lengths 64/64]

It needs no GPU: it counts what one would be told by the forward pass, the loss, its metrics and the backward pass of one step
that logs nothing, the reference's log-probabilities known to both beforehand. The variable-length attention kernel exists on
GPUs alone, so one operation stands in for each of its calls. Clipping and the optimizer are left out: both libraries do them in
the same few fused operations. What `compile` leaves is counted in a profile of this machine's kernels, beside the same count
without it: code for a GPU is fused by the same program, and may be cut up in other places.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch._inductor import config as inductor
from torch.nn.attention import varlen
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from benchmarks import shapes
from benchmarks.common import show
from benchmarks.operations import Operations, profiled
from training.data.batches import Example, Layout
from training.data.encode import PairRow
from training.model import attention
from training.model.modules import Policy
from training.recipes.config import DPO
from training.recipes.dpo import DPORecipe

inductor.cpp.enable_kernel_profile = True  # so that a compiled kernel is an event
WORDS = 1000
"""Of the vocabulary; each is one token."""


@torch.library.custom_op("solon_benchmark::attend", mutates_args=())  # type: ignore[untyped-decorator]
def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Stands in for the variable-length kernel: one operation of the right shape, which no compiler looks into."""
    return query.clone()


@torch.library.custom_op("solon_benchmark::attend_back", mutates_args=())  # type: ignore[untyped-decorator]
def _attend_back(grad: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return grad.clone(), torch.empty_like(key), torch.empty_like(value)


_attend.register_fake(lambda query, key, value: torch.empty_like(query))
_attend_back.register_fake(
    lambda grad, key, value: (torch.empty_like(grad), torch.empty_like(key), torch.empty_like(value))
)
_attend.register_autograd(
    lambda ctx, grad: _attend_back(grad, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[1:]),
)


def main() -> None:
    """Print both counts."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--layers", type=int, default=30)
    p.add_argument("--pairs", type=int, default=4, help="of a step")
    p.add_argument(
        "--lengths", type=shapes.parse, default=(shapes.Shape(64, 64), None), metavar="PROMPT/RESPONSE", help="tokens"
    )
    options = p.parse_args()
    shape = options.lengths[0]
    g = torch.Generator().manual_seed(0)
    sizes = [shape.prompt, shape.response, shape.response]
    pairs = [[tuple(torch.randint(3, WORDS, (n,), generator=g).tolist()) for n in sizes] for _ in range(options.pairs)]
    for padded in (True, False):
        ours, theirs = _counted(_ours(options.layers, pairs, padded)), _trl(options.layers, pairs)
        name = f"DPO {shape}, {options.pairs} pairs, {options.layers} layers, {'padded' if padded else 'packed'}"
        for column, counts in (("TRL", theirs), ("ours", ours)):
            show(f"{name}: operations", counts.launched.total(), "", "<= TRL's", column)
            show(f"{name}: waits", counts.waited.total(), "", "<= TRL's" if padded else "0", column)
        for compiles in (False, True):
            kernels = _profiled(_ours(options.layers, pairs, padded, compiles))
            column = "ours, compiled" if compiles else "ours"
            show(f"{name}: kernels by the profiler", kernels.total(), "", "report", column)
    print("most of ours:", *(f"{name} {n}" for name, n in Counter(ours.launched).most_common(12)), sep="\n    ")


def _model(layers: int, attn: str) -> LlamaForCausalLM:
    """A small Llama of so many layers: widths do not change how many operations there are."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=64, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    config._attn_implementation = attn
    return LlamaForCausalLM(config)


def _ours(
    layers: int, pairs: Sequence[Sequence[tuple[int, ...]]], padded: bool, compiles: bool = False
) -> Callable[[], Tensor]:
    """The loss of a step."""
    attention.register()
    attention._piecewise = lambda q, k, v, scaling, dropout, pieces: attention._varlen(q, k, v, scaling, pieces)
    varlen.varlen_attn = lambda q, k, v, *_, **__: _attend(q, k, v)
    layout: Layout = "padded" if padded else "packed"
    policy = Policy(_model(layers, "sdpa" if padded else attention.NAME), layout).train()
    policy.entropies = False
    if compiles:
        policy.compile_layers()
    recipe = DPORecipe(DPO())
    rows = [PairRow(str(i), Example(p, (a, b)), 0.8, 0.0, 1.0) for i, (p, a, b) in enumerate(pairs)]
    recipe.references = {row.example: (-50.0, -60.0) for row in rows}
    batch = recipe.collate(rows, layout)
    return lambda: recipe.outcome(policy, batch).loss.mean()


def _trl(layers: int, pairs: Sequence[Sequence[tuple[int, ...]]]) -> Operations:
    names = [f"w{i}" for i in range(WORDS)]
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="w0", eos_token="w1", unk_token="w0")

    def text(ids: tuple[int, ...]) -> str:
        return " ".join(names[i] for i in ids)

    texts = [{"prompt": text(p), "chosen": " " + text(a[:-1]), "rejected": " " + text(b[:-1])} for p, a, b in pairs]
    data = Dataset.from_list(texts)
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(
            output_dir=str(Path(folder)), per_device_train_batch_size=len(pairs), use_cpu=True, bf16=True, report_to="none",
            gradient_checkpointing=False, precompute_ref_log_probs=True, max_length=None, disable_tqdm=True,
        )  # fmt: skip
        model = _model(layers, "sdpa")
        trainer = DPOTrainer(model, args=arguments, train_dataset=data, processing_class=tokenizer)
        batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        trainer.model.train()
        return _counted(lambda: trainer.compute_loss(trainer.model, batch))


def _counted(loss: Callable[[], Tensor]) -> Operations:
    """Once to warm up, then one step."""
    counts = Operations()
    for _ in range(2):
        counts.clear()
        with counts.counted():
            _step(loss)
    return counts


def _profiled(loss: Callable[[], Tensor]) -> Counter[str]:
    """Twice to compile what there is, then one step."""
    for _ in range(2):
        _step(loss)
    return profiled(lambda: _step(loss))


def _step(loss: Callable[[], Tensor]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        value = loss()
    value.backward()


if __name__ == "__main__":
    main()
