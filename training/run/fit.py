"""A checked job -> a trained model in its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from accelerate.utils import broadcast_object_list
from rich.console import Console
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from constitution.errors import Problem, SolonError, UserError
from training.config import Training
from training.data.batches import Example
from training.model import launch
from training.model.loading import load_policy, load_reward
from training.model.logprobs import amx
from training.model.modules import Policy, RewardModel, TrainableModel
from training.model.padding import add_padding, choose_padding
from training.model.rounding import Movement
from training.model.saving import save, settle
from training.recipes import reference
from training.run import folder as output
from training.run import rank
from training.run.callbacks import Progress, Recorder
from training.run.card import Base, Data, write_card
from training.run.job import Job
from training.run.metrics import Metrics
from training.run.trainer import Exact, RowTrainer, Turns, arguments
from training.run.watch import Watch

VANISHING = 0.5
"""Share of the trained weights whose updates are too small for the saved type, above which a run warns."""
FORWARD = 4
"""Micro-batches that a GPU takes at once where nothing is kept for a backward pass."""


class Stopped(SolonError):
    """A health check stopped the run; the message says which and what to try. Commands exit with 1."""


def run(job: Job, console: Console) -> dict[str, Any]:
    """Train, or resume training, and write the checkpoint. Returns training.json.

    Raises UserError for a folder that cannot be used, Stopped where a health check stops the run.
    """
    return output.run_exclusively(job.out, job.run_record, memory_advice(job.settings), lambda: train(job, console))


def memory_advice(settings: Training) -> str:
    """What to lower where a GPU is full."""
    return f"micro_batch_size (now {settings.micro_batch_size}), max_length, or set gradient_checkpointing: true"


def load(job: Job) -> TrainableModel:
    """The model that the job trains; what is random in it, as an adapter's first weights, is the seed's. Raises ModelError."""
    set_seed(job.settings.seed)
    if job.recipe.heads:
        reward = load_reward(job.files, job.recipe.heads, job.settings, job.recipe.prior)
        if job.recipe.weighs_covariate:
            reward.weigh_covariate(job.recipe.weight_of_covariate(job.train.rows))
        end = job.encoder.end_of_turn
        choose_padding(job.tokenizer, reward.config, end)
        alone = reward.adapted and not job.settings.merges
        if (warning := add_padding(job.tokenizer, reward.inner, end, alone)) and launch.state().is_main_process:
            rank.tell(f"warning: {warning}")
        return reward
    return load_policy(job.files, job.settings)


def train(job: Job, console: Console) -> dict[str, Any]:
    """As `run`, in a folder that is this run's own already."""
    began = time.monotonic()
    settings = job.settings
    main = launch.state().is_main_process
    metrics = Metrics(job.out) if main else None
    found, earlier = broadcast_object_list(
        [output.resume_state(job.out, metrics, job.counts, job.figures) if metrics else None]
    )[0]
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.out / "tensorboard")  # asked by its callback as training begins
    module = load(job)
    recorder = Recorder(metrics, Watch(settings.watch, job.recipe.name), console, job.steps, earlier)
    try:
        trainer = build(job, module, recorder, Progress(settings.patience, settings.load_best, earlier))
        trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
        if recorder.stopped:
            raise Stopped(recorder.stopped.text)
        results, whole = _results(job, trainer, module, recorder)
        if main:
            _write(job, whole, results)
    finally:
        output.close(metrics, job.out)
    state = trainer.state
    known = {
        "recipe": job.recipe.name,
        "steps": state.global_step,
        **({"best_step": state.best_global_step} if settings.load_best else {}),
        "digests": job.run_record["digests"],
    }
    record = output.results_record(known, job.counts, results, time.monotonic() - began)
    if main:
        output.finish(job.out, record)
    return record


def build(job: Job, module: TrainableModel, *callbacks: TrainerCallback) -> RowTrainer:
    """The job's trainer; with the reference's log-probabilities where the recipe asks for them, which may take a pass."""
    settings = job.settings
    world = launch.state().num_processes
    test = Turns(job.test.rows, range(len(job.test.rows))) if job.test.rows else None
    trainer = RowTrainer(
        job.recipe,
        module,
        arguments(settings, job.out, job.steps, world, test is not None),
        Turns(job.train.rows, job.order),
        test,
        *callbacks,
        precision=settings.precision,
    )
    seen = [job.train.rows[turn] for turn in sorted({*job.order})]
    train, held_out = (list(dict.fromkeys(job.recipe.referred(rows))) for rows in (seen, job.test.rows))
    if train:
        assert isinstance(module, Policy)
        _refer(job, train, held_out, trainer, module)
    return trainer


def _results(
    job: Job, trainer: RowTrainer, module: TrainableModel, recorder: Recorder
) -> tuple[dict[str, float], TrainableModel]:
    """What is reported of the weights as they are saved, and the module that has them all, in the main process at least."""
    gather = partial(trainer.accelerator.get_state_dict, trainer.model_wrapped)
    whole, moved = settle(module, job.files, job.settings, gather, partial(load, job))
    state = trainer.state
    recorder.saves = state.best_global_step if job.settings.load_best else state.global_step
    found = trainer.evaluate() if job.test.rows else {}
    results = {**job.figures, **found}
    if isinstance(whole, RewardModel) and whole.covariate_weight is not None:
        results["covariate_weight"] = float(whole.covariate_weight.detach().mean())
    if moved:
        results["weights_moved"] = moved.moved
        if moved.vanishing > VANISHING:
            recorder.warn(trainer.state.global_step, vanishing(moved, module))
    return results, whole


def vanishing(moved: Movement, module: TrainableModel) -> str:
    """Warning of updates that are too small for the type they are saved in."""
    kind = str(module.saved_dtype).removeprefix("torch.")
    lost = "were rounded at random, which is right on average only" if module.rounds_at_random else "are lost"
    return (
        f"the updates of {moved.vanishing:.0%} of the trained weights are under half the spacing of {kind}, in which they are "
        f"saved, and {lost}: {moved.moved:.0%} of the weights differ from the base's. To keep them whole set save_dtype: float32; "
        "for larger updates raise learning_rate or epochs."
    )


def _refer(job: Job, train: Sequence[Example], test: Sequence[Example], trainer: RowTrainer, module: Policy) -> None:
    """Give the recipe the reference's log-probabilities: those on disk, or new ones.

    Where weights are spread over processes the model must be wrapped first, which Trainer does as it begins to train.
    """
    recipe = job.recipe
    main, sharded = trainer.accelerator.is_main_process, trainer.spread
    bf16 = job.settings.precision == "bf16"
    mixed = bf16 and not sharded  # then held-out rows are evaluated in float32
    parts = [(True, train), (False, test)] if mixed else [(bf16, [*train, *test])]

    def name(half: bool, examples: Sequence[Example]) -> str:
        how = "-sharded" * (sharded and half) + "-compiled" * (job.settings.compile and half)
        how += "-amx" * (half and launch.on_cpu() and amx()) + "-liger" * (job.settings.kernels == "liger")
        how += f"-{job.settings.quantize}" if job.settings.quantize else ""
        precision = ("bf16" if half else "fp32") + how
        return reference.digest(job.files.digest, examples, precision, module.layout, trainer.accelerator.device.type)

    def compute(model: nn.Module | None, half: bool, examples: Sequence[Example]) -> None:
        cast = half and not sharded  # a sharded model casts by itself
        at_once = job.settings.micro_batch_size * (1 if launch.on_cpu() else FORWARD)
        found = reference.compute(model or trainer.model_wrapped, module, examples, at_once, trainer.accelerator, cast)
        recipe.references |= found
        if main and (warning := reference.keep(name(half, examples), examples, found)):
            rank.tell(warning)

    for half, examples in parts:
        known = reference.cached(name(half, examples), examples) if main else None
        table = broadcast_object_list([[known[example] for example in examples] if known else None])[0]
        if table is not None:
            recipe.references |= dict(zip(examples, table, strict=True))
        elif sharded:
            trainer.add_callback(_AtBegin(partial(compute, None, half, examples), module.adapted))
        else:
            compute(module if half else Exact(module), half, examples)


class _AtBegin(TrainerCallback):  # type: ignore[misc]
    """Does something once the model is wrapped and before the first step."""

    def __init__(self, do: Callable[[], None], always: bool) -> None:
        """always: also where a run goes on, as a model does whose reference is still in it."""
        self._do = do
        self._always = always

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raises UserError where a resumed run's model is no longer the reference."""
        if state.global_step and not self._always:
            got = "the run resumes, and the log-probabilities of its reference are not in the cache"
            fix = "set layout and compile as they were, or train again into another --out"
            raise UserError(Problem("", "model", got, fix=fix))
        self._do()


def _write(job: Job, module: TrainableModel, results: dict[str, float]) -> None:
    """The checkpoint and its card."""
    save(module, job.tokenizer, job.out, job.settings.merges, frozenset() if job.recipe.heads else job.encoder.ends)
    write_card(
        job.out,
        recipe=job.recipe.name,
        base=Base(job.files.name, job.files.digest),
        data=[Data(source.name, source.digest, source.rows, source.weight) for source in job.sources],
        constitutions=sorted({digest for source in job.sources for digest in source.constitutions}),
        settings=job.run_record,
        results=results,
        license=job.settings.license,
    )
