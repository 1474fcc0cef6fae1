"""transformers' Trainer for rows whose loss is ours.

What it adds: the loss of a step is the weighted mean over all its rows, however they are cut into micro-batches and processes;
the order of rows is decided beforehand, so a resumed run sees what it would have seen; every row's metrics are averaged over
all processes; and checkpoints hold just what training changes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.deepspeed import propagate_args_to_deepspeed, unset_hf_deepspeed_config
from transformers.trainer_callback import PrinterCallback

from training.config import Training
from training.data.batches import Batch
from training.model import experts, launch
from training.model.memory import process as heap
from training.model.modules import COVARIATE_WEIGHT, Policy, TrainableModel
from training.recipes.recipe import SURVEY, WEIGHT, Recipe
from training.run.folder import CHECKPOINTS, rotate
from training.run.sealed import seal

EVAL = "eval"
ENTROPY = "entropy"
"""A metric that only steps with a row of metrics pay for."""
EXPERT_LOAD = "expert_load"
"""A metric of mixtures whose balance is trained."""
COVARIATE_RATE = 0.02
"""Learning rate of its weight, a few numbers in log-odds, which begin near where they belong."""


class Turns(Dataset):  # type: ignore[misc]
    """Rows in the order in which they are seen."""

    def __init__(self, rows: Sequence[Any], order: Sequence[int]) -> None:
        self._rows = rows
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, turn: int) -> Any:
        return self._rows[self._order[turn]]


class Exact(nn.Module):  # type: ignore[misc]
    """A module as it is without automatic mixed precision, which accelerate puts around its `forward`, and uncompiled."""

    def __init__(self, module: TrainableModel) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch, **more: Any) -> Any:
        """As the module's own."""
        kind = batch["tokens"].device.type
        with torch.autocast(kind, enabled=False), torch.compiler.set_stance("force_eager"):
            return type(self.module).forward(self.module, batch, **more)


class RowTrainer(Trainer):  # type: ignore[misc]
    """Trains a module on rows by a recipe."""

    def __init__(
        self,
        recipe: Recipe,
        module: TrainableModel,
        arguments: TrainingArguments,
        train: Turns,
        test: Turns | None,
        *callbacks: TrainerCallback,
        precision: str = "fp32",
    ) -> None:
        """precision: of weights that DeepSpeed spreads; otherwise the arguments say it."""
        self._recipe, self._precision = recipe, precision
        self._sums: dict[str, Any] = defaultdict(float)
        self._rows: dict[str, int] = defaultdict(int)
        self._began = (time.monotonic(), 0.0, 0)
        self._tokens: Any = 0
        self._pairs = 0
        super().__init__(
            model=module,
            args=arguments,
            data_collator=lambda rows: recipe.collate(rows, module.layout),
            train_dataset=train,
            eval_dataset=test,
            compute_loss_func=recipe.outcome,  # never called; without one, losses are divided by the number of micro-batches
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)

    def create_accelerator_and_postprocess(self) -> None:
        """Called by Trainer; weights are sharded where the launcher says so."""
        super().create_accelerator_and_postprocess()
        if launch.zero():
            launch.partition(self.accelerator, self._precision)
            propagate_args_to_deepspeed(self.accelerator, self.args)
            unset_hf_deepspeed_config()  # what is loaded from here on, as a base to compare with, is in one process alone
            self.is_deepspeed_enabled = True
        elif launch.sharded():
            launch.shard(self.accelerator)
            self.is_fsdp_enabled = True

    @property
    def spread(self) -> bool:
        """True where weights are spread over processes."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def create_optimizer(self, *given: Any) -> Any:
        """As Trainer makes it; but what labels owe to a covariate is learnt at a rate of its own, ahead of the rest."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(*given)
        own = [p for name, p in self.model.named_parameters() if name == COVARIATE_WEIGHT]
        if own and fresh:
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if p is not own[0]]
            optimizer.add_param_group({"params": own, "lr": COVARIATE_RATE, "weight_decay": 0.0})
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(train_dataset or self.train_dataset)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int]:
        """The micro-batches of one step, and the weight of all its rows in all processes."""
        heap.give_back()
        self._measure(self._has_row(self.state.global_step + 1))
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._survey(self.model_wrapped, batches)
        self._route(batches)
        ours = sum((batch[WEIGHT].sum() for batch in batches), torch.zeros(())).to(device)
        return batches, self.accelerator.reduce(ours, "sum").clamp(min=1e-9)

    def _survey(self, module: nn.Module, batches: Sequence[Batch]) -> None:
        """Write what the recipe measures over the rows of all these batches, in all processes, into each of them."""
        if not self._recipe.surveys:
            return
        sums = torch.zeros(2, device=self.args.device)
        with torch.no_grad():
            for batch in batches:
                found = self._recipe.survey(module, self._prepare_inputs(batch))
                sums += torch.stack([found.sum(), torch.ones_like(found).sum()])
        total, rows = self.accelerator.reduce(sums, "sum")
        for batch in batches:
            batch[SURVEY] = total / rows

    @property
    def _experts(self) -> experts.Experts | None:
        found: experts.Experts | None = self.accelerator.unwrap_model(self.model).experts
        return found

    def _route(self, batches: Sequence[Batch]) -> None:
        """Write the tokens that each expert gets in this step, over all these batches and processes, into each of them."""
        if self._experts is None:
            return
        total: Any = 0
        for batch in map(self._prepare_inputs, batches):
            with torch.no_grad(), self._experts.recording() as routings:
                self.model_wrapped(batch)
            total = total + experts.tokens_per_expert(routings, batch)
        total = self.accelerator.reduce(total, "sum")
        shares, tokens = total[:-1], total[-1, 0]
        for batch in batches:
            batch |= {experts.SHARES: shares / tokens, experts.TOKENS: tokens}
        self._sums[EXPERT_LOAD] += experts.largest_load(shares)
        self._rows[EXPERT_LOAD] += 1

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This micro-batch's part of the step's loss; wrappers average gradients over processes, hence the factor."""
        mixture = self._experts
        with nullcontext(list[experts.Routing]()) if mixture is None else mixture.recording() as routings:
            outcome = self._recipe.outcome(model, inputs)
        self._count(inputs, outcome.values)
        loss = (outcome.loss * inputs[WEIGHT]).sum() / num_items_in_batch
        if mixture is not None:
            loss = loss + mixture.weight * experts.balance_loss(routings, inputs)
        loss = loss * self.accelerator.num_processes
        return (loss, outcome) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the rows' metrics since the last time to a step's numbers."""
        if "loss" in logs:
            logs = {"lr" if name == "learning_rate" else name: value for name, value in logs.items()}
            logs |= self._averages() | self._speed()
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = EVAL
    ) -> dict[str, float]:
        """Loss and metrics of the held-out rows, each counted once, in float32 where each process has all weights."""
        module = self.model_wrapped if self.spread else Exact(self.accelerator.unwrap_model(self.model))
        module.eval()
        module.training = False  # DeepSpeed's engine says it of the module alone
        self._measure(True)
        sums: dict[str, Any] = defaultdict(float)
        rows = 0
        with torch.no_grad():
            found = self.get_eval_dataloader(eval_dataset)
            batches = [*found] if self._recipe.surveys else found
            if self._recipe.surveys:
                self._survey(module, batches)
            for batch in batches:
                heap.give_back()
                batch = self._prepare_inputs(batch)
                outcome = self._recipe.outcome(module, batch)
                weighed = {"loss": outcome.loss * batch[WEIGHT], WEIGHT: batch[WEIGHT], **outcome.values}
                for name, values in self.accelerator.gather_for_metrics(weighed).items():
                    sums[name] += values.double().sum()
                rows += len(self.accelerator.gather_for_metrics(batch[WEIGHT]))
        totals = dict(zip(sums, torch.stack([*sums.values()]).tolist(), strict=True))
        weight = totals.pop(WEIGHT)
        loss = totals.pop("loss") / max(weight, 1e-9)
        metrics = {f"{EVAL}_loss": loss, **{f"{EVAL}_{name}": value / rows for name, value in totals.items()}}
        self.log(dict(metrics))
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        module.train()
        module.training = True
        return metrics

    def _has_row(self, step: int) -> bool:
        """Whether a row of metrics is logged after a step: also with each checkpoint, evaluation, and at the end."""
        every = [self.args.logging_steps, self.args.save_steps]
        every += [self.args.eval_steps] if self.args.eval_strategy == "steps" else []
        return step == 1 or step >= self.state.max_steps or any(step % n == 0 for n in every)

    def _measure(self, wanted: bool) -> None:
        module = self.accelerator.unwrap_model(self.model)
        if isinstance(module, Policy):
            module.entropies = wanted

    def _count(self, batch: Batch, values: Mapping[str, Tensor]) -> None:
        """Add up on the device what the rows' metrics are; nothing here waits for it."""
        module = self.accelerator.unwrap_model(self.model)
        for name, value in values.items():
            if name != ENTROPY or not isinstance(module, Policy) or module.entropies:
                self._sums[name] += value.sum()
                self._rows[name] += len(value)
        self._tokens += batch["mask"].sum() if "mask" in batch else batch["tokens"].numel()
        self._pairs += len(batch[WEIGHT])

    def _averages(self) -> dict[str, float]:
        """Each metric's mean over the rows of all processes since the last time: one transfer for all of them."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = torch.stack([self._sums[name].float() for name in names])
        rows = torch.tensor([float(self._rows[name]) for name in names]).to(sums.device, non_blocking=True)
        totals, counts = self.accelerator.reduce(torch.stack([sums, rows]), "sum").tolist()
        self._sums.clear()
        self._rows.clear()
        return {name: total / max(count, 1) for name, total, count in zip(names, totals, counts, strict=True)}

    def _speed(self) -> dict[str, float]:
        """Throughput of this process since the last time, times processes; the most memory of this one."""
        now, processes = time.monotonic(), self.accelerator.num_processes
        then, tokens, pairs = self._began
        passed = max(now - then, 1e-9)
        seen_tokens = float(self._tokens)
        self._began = (now, seen_tokens, self._pairs)
        seen = self.state.global_step * self.args.train_batch_size * self.args.gradient_accumulation_steps
        return {
            "pairs": float(seen * processes),
            "tokens_per_second": (seen_tokens - tokens) / passed * processes,
            "pairs_per_second": (self._pairs - pairs) / passed * processes,
            "peak_memory_gb": peak_memory() / 1e9,
        }

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As Trainer's, but an older checkpoint is deleted once the new one is known to be whole."""
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()  # each process writes files of its own
        if self.args.should_save:
            folder = Path(self.args.output_dir)
            seal(folder / f"checkpoint-{self.state.global_step}")
            best = self.state.best_model_checkpoint
            rotate(folder.parent, limit, Path(best) if best else None)

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """What training changes, for going on from; the model itself is written at the end."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(changed(self.accelerator.unwrap_model(self.model), state_dict), folder / "model.safetensors")

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Refuse a checkpoint without all trained weights; the others, and second names of tied ones, it never has."""
        trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        wrong = sorted(trained & set(load_result.missing_keys)) + sorted(load_result.unexpected_keys)
        if wrong:
            raise RuntimeError(f"the checkpoint does not hold the weights that are trained ({', '.join(wrong[:3])})")


def changed(module: nn.Module, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The module's trained weights by name, each once: of weights that share memory, one."""
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    values = module.state_dict() if state is None else state
    return {name: value.contiguous() for name, value in values.items() if name in trained}


def peak_memory() -> int:
    """Most bytes this process has used: of the GPU where it trains on one."""
    if launch.on_cpu():
        return heap.peak()
    return int(torch.cuda.max_memory_allocated())


def arguments(settings: Training, out: Path, steps: int, processes: int, evaluate: bool) -> TrainingArguments:
    """The settings as transformers takes them. processes: over which a step's rows are spread."""
    evaluates = "steps" if evaluate and settings.eval_every else "no"
    made = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        per_device_train_batch_size=settings.micro_batch_size,
        per_device_eval_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=settings.batch_size // (settings.micro_batch_size * processes),
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule if settings.schedule != "constant" else "constant_with_warmup",
        warmup_steps=round(steps * settings.warmup),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16" and not launch.zero(),  # which has mixed precision of its own
        use_cpu=launch.on_cpu(),
        logging_steps=settings.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy=evaluates,
        eval_steps=settings.eval_every,
        save_strategy="steps",
        save_steps=settings.save_every or _tenth(steps, settings.eval_every if settings.load_best else None),
        save_total_limit=settings.keep_checkpoints,
        load_best_model_at_end=settings.load_best,
        metric_for_best_model="loss",
        greater_is_better=False,
        report_to=list(settings.report_to) or "none",
        seed=settings.seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=not launch.on_cpu(),
        label_names=[],
    )
    made._n_gpu = min(made.n_gpu, 1)  # without a launcher transformers would cut each batch up for all GPUs
    return made


def _tenth(steps: int, unit: int | None) -> int:
    """About a tenth of the steps, at least 1: the next multiple of `unit`, where there is one."""
    unit = unit or 1
    return -(-max(1, round(steps / 10)) // unit) * unit
