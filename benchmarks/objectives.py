"""Our objectives beside TRL's: the loss of the same rows by the same tiny random model, through the whole recipe and TRL's trainer.

    python -m benchmarks.objectives

Batches are those that TRL's collators make. Of ORPO the odds ratio is compared: TRL's imitation covers the prompt too, ours the
response alone, as the paper's. TRL has no Plackett-Luce and no DPOP, and in 1.16 no trainer for process rewards.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.common import show
from generation.engines.quiet import quiet
from training.config import Training
from training.data.batches import Example, Layout, by_response, collate
from training.data.encode import PairRow
from training.data.unpaired import UnpairedRow
from training.model import attention
from training.model.modules import Policy
from training.recipes import kinds
from training.recipes.config import DPO, KTO, ORPO, SimPO
from training.recipes.recipe import SURVEY, WEIGHT

BETA = 0.3
REPLIES = (" a b c d", " b a", " c c e f g", " d", " g f e d c b a", " e a e", " f b", " h h g a")
PAIRS = {"prompt": ["a b", "c", "d e f", "g h"], "chosen": REPLIES[:4], "rejected": REPLIES[4:]}
UNPAIRED = {
    "prompt": [*PAIRS["prompt"], *PAIRS["prompt"]],
    "completion": list(REPLIES),
    "label": [True, True, False, True, False, False, True, False],
}


class Both(NamedTuple):
    """A loss, ours and TRL's."""

    name: str
    ours: float
    theirs: float


def tokenizer() -> Any:
    """One token a letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(("<pad>", "<unk>", "<end>", *"abcdefgh"))}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="<end>")


def tiny(seed: int) -> Any:
    """A random Llama whose weights are large enough that its opinions are strong."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=11, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
            eos_token_id=2, initializer_range=0.3, max_position_embeddings=64,
        )
    )  # fmt: skip


def policy(seed: int, layout: Layout) -> Policy:
    """The same model as ours."""
    attention.register()
    model = tiny(seed)
    if layout == "packed":
        model.set_attn_implementation(attention.NAME)
    found = Policy(model, layout)
    found.eval()
    return found


def split(ids: Tensor, present: Tensor, completion: Tensor) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Prompt and response of each row of a padded batch."""
    for row, real, said in zip(ids, present.bool(), completion.bool(), strict=True):
        yield tuple(row[real & ~said].tolist()), tuple(row[said].tolist())


def pairs(chosen: Sequence[Any], rejected: Sequence[Any]) -> list[PairRow]:
    """Pairs with labels of 1."""
    return [
        PairRow(str(i), Example(prompt, (one, other)), 1.0, 0.0, 1.0)
        for i, ((prompt, one), (_, other)) in enumerate(zip(chosen, rejected, strict=True))
    ]


def loss(settings: Training, rows: Sequence[Any], layout: Layout) -> float:
    """Our mean loss of the rows, with the model of seed 1 and the reference of seed 2."""
    recipe, model, reference = kinds.of(settings).recipe(settings), policy(1, layout), policy(2, layout)
    with torch.no_grad():
        for example in recipe.referred(rows):
            batch = collate([example], layout)
            recipe.references[example] = tuple(by_response(reference(batch).logprobs, batch).tolist())
        batch = recipe.collate(rows, layout)
        if recipe.surveys:
            batch[SURVEY] = recipe.survey(model, batch).mean()
        found = recipe.outcome(model, batch).loss
    return float((found * batch[WEIGHT]).sum() / batch[WEIGHT].sum())


def compared(layout: Layout) -> Iterator[Both]:
    """Each objective that TRL has too."""
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        plain = {
            "output_dir": folder, "per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True, "bf16": False,
            "gradient_checkpointing": False, "disable_tqdm": True,
        }  # fmt: skip
        yield from _dpo(plain, layout)
        yield from _kto(plain, layout)
        yield from _unreferenced(plain, layout)


def _dpo(plain: dict[str, Any], layout: Layout) -> Iterator[Both]:
    import trl
    from datasets import Dataset

    trainer = trl.DPOTrainer(
        tiny(1), tiny(2), args=trl.DPOConfig(**plain, beta=BETA), train_dataset=Dataset.from_dict(PAIRS),
        processing_class=tokenizer(),
    )  # fmt: skip
    batch = dict(next(iter(trainer.get_train_dataloader())))
    sides = [*split(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])]
    rows = pairs(sides[: len(sides) // 2], sides[len(sides) // 2 :])
    for ours, name in (("sigmoid", "sigmoid"), ("apo_zero", "apo_zero"), ("apo_down", "apo_down")):
        trainer.loss_types, trainer.loss_weights = [name], [1.0]
        with torch.no_grad():
            theirs = trainer._compute_loss(trainer.model, dict(batch), False)
        yield Both(f"DPO, {ours}", loss(DPO.model_validate({"beta": BETA, "loss": ours}), rows, layout), float(theirs))


def _kto(plain: dict[str, Any], layout: Layout) -> Iterator[Both]:
    import trl
    from datasets import Dataset

    for ours, name in (("kto", "kto"), ("apo_zero", "apo_zero_unpaired")):
        arguments = trl.KTOConfig(**plain, beta=BETA, loss_type=name, desirable_weight=1.3, undesirable_weight=0.8)
        trainer = trl.KTOTrainer(
            tiny(1), tiny(2), args=arguments, train_dataset=Dataset.from_dict(UNPAIRED), processing_class=tokenizer()
        )
        batch = dict(next(iter(trainer.get_train_dataloader())))
        with torch.no_grad():
            theirs = trainer._compute_loss(trainer.model, dict(batch), False)
        said = [*split(batch["input_ids"], batch["attention_mask"], batch["completion_mask"])]
        other: list[Example | None] = [None] * len(said)
        if ours == "kto":
            cycled = split(batch["KL_input_ids"], batch["KL_attention_mask"], batch["KL_completion_mask"])
            other = [Example(prompt, (response,)) for prompt, response in cycled]
        rows = [
            UnpairedRow(str(i), Example(prompt, (response,)), (float(label),), 1.0, mismatched)
            for i, ((prompt, response), label, mismatched) in enumerate(zip(said, batch["label"], other, strict=True))
        ]
        settings = KTO.model_validate({"beta": BETA, "loss": ours, "desirable_weight": 1.3, "undesirable_weight": 0.8})
        yield Both(f"KTO, {ours}", loss(settings, rows, layout), float(theirs))


def _unreferenced(plain: dict[str, Any], layout: Layout) -> Iterator[Both]:
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    simple = CPOConfig(**plain, beta=2.0, loss_type="simpo", simpo_gamma=0.8, cpo_alpha=0.0)
    odds = ORPOConfig(**plain, beta=0.4)
    for name, kind, arguments in (("SimPO", CPOTrainer, simple), ("ORPO, odds ratio", ORPOTrainer, odds)):
        trainer = kind(tiny(1), args=arguments, train_dataset=Dataset.from_dict(PAIRS), processing_class=tokenizer())
        batch = dict(next(iter(trainer.get_train_dataloader())))
        with torch.no_grad():
            theirs, told = trainer.get_batch_loss_metrics(trainer.model, batch)
        sides = [
            [*split(batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"], batch[f"{side}_labels"] != -100)]
            for side in ("chosen", "rejected")
        ]
        rows = pairs(*sides)
        if name == "SimPO":
            ours = loss(SimPO(beta=2.0, gamma=0.8), rows, layout)
        else:
            ours = loss(ORPO(odds_weight=0.4), rows, layout) - _imitation(rows, layout)
            theirs = theirs - told["nll_loss"]
        yield Both(name, ours, float(theirs))


def _imitation(rows: Sequence[PairRow], layout: Layout) -> float:
    """The mean negative log-likelihood per token of the chosen responses."""
    model = policy(1, layout)
    with torch.no_grad():
        batch = collate([Example(row.example.prompt, row.example.responses[:1]) for row in rows], layout)
        each = by_response(model(batch).logprobs, batch) / batch["lengths"]
    return -float(each.mean())


def main() -> None:
    """Print each loss and how far the two are apart."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    layouts: tuple[Layout, ...] = ("packed", "padded")
    for layout in layouts:
        for one in compared(layout):
            show(f"{one.name}, {layout}", one.ours, "", "-", "ours")
            show(f"{one.name}, {layout}", one.theirs, "", "-", "TRL's")
            show(f"{one.name}, {layout}: apart", abs(one.ours - one.theirs) * 1e5, "1e-5", "<= 1", "apart")


if __name__ == "__main__":
    main()
