"""Arguments -> a job that is checked through before any model loads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from constitution.errors import Problem, Problems, UserError
from generation.engines.checkpoint import ModelFiles
from generation.models.encoder import Encoder
from generation.models.files import resolve
from generation.output.folder import day_of
from training.config import Training
from training.data import encode as data
from training.data import rows
from training.data.batches import order
from training.data.template import chat_encoder, examine_rows
from training.model import kernels, launch
from training.model.checkpoint.examine import Examined, Kind, check_tokens, examine
from training.model.loading import choose_layout
from training.model.memory import estimate as memory
from training.model.quantized import reading
from training.recipes import kinds
from training.recipes.recipe import Recipe
from training.run import folder as output
from training.run import rank
from training.run.snapshot import settings_snapshot


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before a model loads."""

    settings: Training
    out: Path
    files: ModelFiles
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    recipe: Recipe
    train: data.EncodedSplit
    test: data.EncodedSplit
    order: list[int]
    run_record: dict[str, Any]
    """training.yaml."""
    sources: tuple[rows.Source, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    """What was measured before training, by the names of training.run.metrics; told among its results."""

    @property
    def counts(self) -> output.Counts:
        """What became of the rows that were read."""
        return {"train": self.train.counts, "test": self.test.counts}

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return len(self.order) // self.settings.batch_size


def prepare(settings: Training, out: Path) -> Job:
    """Read, render and check everything; no weights are loaded.

    Raises UserError with the problems of launcher, folder, model and data at once, else with those of the rendered rows.
    """
    problems, day, kind = Problems(), day_of(out), kinds.of(settings)
    files, split = None, None
    with problems.collect():
        launch.sharded()
        if settings.compile:
            launch.refuse_zero("compile", "got true, and layers that DeepSpeed gathers are not compiled")
    with problems.collect():
        kernels.check(settings)
    with problems.collect():
        reading.check(settings)
    with problems.collect():
        output.check(out)
    with problems.collect():
        files = resolve(settings.model)
        tokenizer, encoder = chat_encoder(files, settings, day)
    with problems.collect():
        split = kind.read(settings)
    problems.check()
    assert files
    assert split
    settings = settings.model_copy(update={"max_length": min(settings.max_length, files.context)})
    recipe = kind.recipe(settings)
    kind_of_model: Kind = "reward" if recipe.heads else "policy"
    examined = tell_examined(files, tokenizer, settings, kind_of_model, recipe.heads or 1)
    examine_rows(files, encoder, (row for part in split for row in part))
    train, test = (kind.encode(part, encoder, settings) for part in split)
    split.tell(train.counts, test.counts)
    check_tokens(_tokens(train, test), examined.vocabulary, tokenizer, files)
    data.check_some(train, settings)
    check_eval_rows(settings, test)
    turn = order_of_rows(settings, files, train.rows)
    digests = {"model": files.digest, "train": train.digest, "test": test.digest}
    run_record = settings_snapshot(recipe.name, settings, digests, day)
    return Job(settings, out, files, tokenizer, encoder, recipe, train, test, turn, run_record, split.sources)


def tell_examined(
    files: ModelFiles, tokenizer: PreTrainedTokenizerBase, settings: Training, kind: Kind, heads: int = 1
) -> Examined:
    """As `examine`, with what is worth knowing told once on stderr."""
    examined = examine(files, tokenizer, settings, kind, heads)
    for note in examined.notes if rank.first() else ():
        rank.tell(note)
    return examined


def _tokens(*splits: data.EncodedSplit) -> Iterator[Sequence[int]]:
    """Every prompt and response of encoded rows."""
    for row in (row for split in splits for row in split.rows):
        yield row.example.prompt
        yield from row.example.responses


def check_eval_rows(settings: Training, test: data.EncodedSplit) -> None:
    """Raises UserError for settings that go by rows which nobody held out."""
    asked = [name for name in ("load_best", "patience") if getattr(settings, name)]
    if asked and not test.rows:
        fix = f"raise test_fraction (now {settings.test_fraction}), name data with a test split, or leave it out"
        raise UserError([Problem("", name, "needs held-out rows, and there are none", fix=fix) for name in asked])


def order_of_rows(settings: Training, files: ModelFiles, kept: Sequence[data.PairRow | data.TargetRow]) -> list[int]:
    """Whose turn it is. Raises UserError for a batch that cannot be cut up or does not fit."""
    turns = _turns(settings, len(kept), launch.state().num_processes)
    examples = [row.example for row in kept]
    turn = order([example.size for example in examples], turns, settings.batch_size, settings.bucket, settings.seed)
    layout = choose_layout(files, settings)
    memory.check(files, settings, examples, turn, layout, memory.available())
    return turn


def _turns(settings: Training, count: int, world: int) -> int:
    """Rows that are seen in all, a multiple of the batch. Raises UserError for a batch that cannot be cut up."""
    share = settings.micro_batch_size * world
    if settings.batch_size % share:
        fit = share * max(1, round(settings.batch_size / share))
        multiples = (
            f"multiples of micro_batch_size ({settings.micro_batch_size}) times processes ({world}), such as {fit}"
        )
        raise UserError(Problem("", "batch_size", f"got {settings.batch_size}", multiples))
    if settings.batch_size > count:
        got = f"got {settings.batch_size}, and there are {count} rows to train on"
        smaller = count // share * share
        fix = f"set batch_size: {smaller}" if smaller else f"set micro_batch_size: 1 and batch_size: {world}"
        raise UserError(Problem("", "batch_size", got, fix=f"{fix}, or add data"))
    batches = count * settings.epochs / settings.batch_size
    steps = settings.steps or max(
        1, math.ceil(batches - 1e-9)
    )  # the last batch is filled up, so that no row is left out
    return steps * settings.batch_size
