"""PPO: write responses, reward them, learn from them, again.

One iteration, top to bottom, is `Loop._iteration`. Old log-probabilities come from the forward pass that trains, not from the
sampler, so the ratio starts at 1; what the sampler's differ by is logged as `mismatch`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object
from rich.console import Console
from transformers import set_seed

from generation.engines.checkpoint import end_tokens
from generation.output.files import write_atomically
from training.data.batches import Batch, Example
from training.data.encode import PromptRow
from training.model import launch
from training.model.loading import load_critic, load_policy
from training.model.memory import process as heap
from training.model.modules import Policy, RewardModel, TrainableModel
from training.model.quantized.layers import is_quantized
from training.monitor.file import resume
from training.monitor.measure import HeldOutResponse, check_of
from training.ppo.baseline import Baseline, baseline
from training.ppo.checkpoint import load_state, optimizer_state, restore, restore_optimizer, save_state, weights
from training.ppo.ending import Saved, settle, write
from training.ppo.evaluate import PPOWatch, responses_of
from training.ppo.experience import Responses, build_experience, figures, in_precision, measured
from training.ppo.job import PPOJob
from training.ppo.losses import AdaptiveKL, FixedKL, kl_estimates
from training.ppo.record import Record, averages
from training.ppo.sampling import Sampling, responses_to_learn, sampling_figures
from training.ppo.update import Update, trainable_parameters
from training.rollout.rewards import RewardSum
from training.rollout.rollouts import Generate, seeds_of, to_bf16
from training.rollout.vllm import open_writer
from training.run import folder as output
from training.run.fit import Stopped
from training.run.metrics import Metrics
from training.run.trainer import peak_memory

RESPONSES = "responses.jsonl"
"""Responses of the last evaluation, with their rewards: what the numbers are of."""

LIVE = "tensorboard"
"""Where TensorBoard finds the numbers while they come."""


Opened = Callable[[PPOJob, Accelerator, asyncio.Runner, Record, PPOWatch], "Loop"]
"""What loads everything."""


def run(job: PPOJob, console: Console, opened: Opened | None = None) -> dict[str, Any]:
    """Train, or go on training, and write the checkpoint; returns what training.json says. opened: the loop, in place of `Loop`.

    Raises UserError for a folder that cannot be used, Unavailable where a sampling or judge model was unavailable, Stopped for
    a run that a health check ended; where it was the monitor that ended it, the policy of the best gold check is saved, and
    training.json says so.
    """
    accelerator = Accelerator(
        cpu=launch.on_cpu(), log_with=list(job.settings.report_to) or None, project_dir=job.out / LIVE
    )
    now = f"micro_batch_size (now {job.settings.micro_batch_size}), sampler.responses_in_flight, sampler.max_tokens"
    lower = f"{now}, or set gradient_checkpointing: true"
    written = output.run_exclusively(
        job.out, job.run_record, lower, lambda: _train(job, console, accelerator, opened or Loop)
    )
    if halted := written.get("halted"):
        raise Stopped(f"{halted} Saved is the policy of step {written['best_step']}.")
    return written


def _train(job: PPOJob, console: Console, accelerator: Accelerator, opened: Opened) -> dict[str, Any]:
    began = time.monotonic()
    main = accelerator.is_main_process
    metrics = Metrics(job.out) if main else None
    found, past = broadcast_object_list([output.resume_state(job.out, metrics, job.counts) if metrics else None])[0]
    checks = broadcast_object_list([resume(job.out, found[1] if found else -1) if main else None])[0]
    if job.settings.report_to:
        accelerator.init_trackers(job.recipe)
    record = Record(metrics, past, job.settings, console, job.steps, accelerator.log, job.recipe)
    with asyncio.Runner() as runner:
        loop = opened(job, accelerator, runner, record, PPOWatch(job.settings.monitor, job.out, checks, main))
        try:
            ended = loop.run(found)
            results = {f"eval_{name}": value for name, value in ended.results.items()}
            results |= {"weights_moved": loop.saved.moved.moved} if loop.saved.moved else {}
            if main:
                write(job, loop.saved.policy, results)
        finally:
            loop.close()
            for tracker in accelerator.trackers:  # accelerate's end of training would leave the other processes
                tracker.finish()
            output.close(metrics, job.out)
    known = {"recipe": job.recipe, "steps": ended.steps, "digests": job.run_record["digests"]}
    if ended.halted:
        known |= {"halted": ended.halted, "best_step": ended.best}
    written = output.results_record(known, job.counts, results, time.monotonic() - began)
    if main:
        output.finish(job.out, written)
    return written


class TrainingEnd(NamedTuple):
    """How the iterations ended."""

    steps: int
    """Iterations that were done."""
    results: Mapping[str, float]
    """Of the evaluation of the policy that is saved."""
    halted: str = ""
    """Why the monitor ended them."""
    best: int | None = None
    """Iteration of the policy that is saved, where it is not the last."""


class Loop:
    """The models of a run and what is done with them."""

    def __init__(
        self, job: PPOJob, accelerator: Accelerator, runner: asyncio.Runner, record: Record, watch: PPOWatch
    ) -> None:
        """Load everything. Raises ModelError."""
        s = job.settings
        self._job, self._settings, self._accelerator, self._runner, self._record = job, s, accelerator, runner, record
        self._watch = watch
        self._baseline: Baseline | None = None
        self._halted = ""
        """Why the monitor ended the run."""
        set_seed(s.seed)  # an adapter's first weights are drawn
        self.policy: Policy = load_policy(job.files, s)
        self.saved = Saved(self.policy)
        """What is to be written, once the iterations are done."""
        self._mixed = s.precision == "bf16" and not launch.sharded()
        if self.policy.adapted and self._mixed and self.policy.base_dtype == torch.bfloat16:
            to_bf16(self.policy.inner, frozen=True)
        self._ready(self.policy)
        self._reference: Policy | None = None if self.policy.adapted else self._base()
        self.critic: RewardModel | None = load_critic(job.critic, s) if job.critic else None
        if self.critic:
            self._ready(self.critic)
        if not launch.sharded():
            _same_everywhere([*trainable_parameters(self.policy), *trainable_parameters(self.critic)], accelerator)
        self._ends = end_tokens(self.policy.inner.generation_config.eos_token_id) | job.encoder.ends
        self._writer = open_writer(s, s.sampler, job.files, self._ends, runner)
        self._sampling = Sampling(job, self._writer, runner)
        self._update = Update(self.policy, self.critic, s, accelerator, job.steps)
        k = s.kl
        self._kl = AdaptiveKL(k.coefficient, k.target, k.horizon) if k.target else FixedKL(k.coefficient)

    def _ready(self, module: TrainableModel) -> None:
        """Put a model where it is used, spread over the processes where weights are."""
        if launch.sharded():
            launch.spread(module, module.layers, self._accelerator.device)
        module.to(self._accelerator.device).train(self._settings.gradient_checkpointing)

    def _base(self) -> Policy:
        """The policy as it was before training."""
        found: Policy = load_policy(self._job.files, self._settings).requires_grad_(False)
        if self._mixed:
            to_bf16(found.inner)
        self._ready(found)
        return found

    def _base_again(self) -> Policy:
        """As `_base`, once the policy is merged and has been read: it is put aside, so that two models are not whole at once."""
        if not launch.sharded():  # its weights are values of that type
            self.policy.model.to(self.policy.saved_dtype).cpu()
        return self._base()

    def run(self, found: tuple[Path, int] | None) -> TrainingEnd:
        """All iterations from the state on that was found, or up to the one at which the monitor halts. `saved` is what is to be
        written then, and the results are of that. Raises Stopped.
        """
        ended = self._iterations(found)
        if not ended.halted and not self._settings.merges:
            return ended
        results = self._of_saved(ended.steps if ended.best is None else ended.best)
        if results and not ended.results:
            self._record.evaluation(ended.steps, results)
        return ended._replace(results=results)

    def _iterations(self, found: tuple[Path, int] | None) -> TrainingEnd:
        s, done, results = self._settings, 0, dict[str, float]()
        held_out = self._job.held_out()
        if held_out and any(rewards and rewards.compares for rewards in (self._job.rewards, self._job.gold)):
            mine = [held_out[place] for place in self._places(len(held_out))]
            self._writer.refresh(self.policy, 0)
            main = self._accelerator.is_main_process
            self._baseline = baseline(self._job.out, self._sampling, mine, s.seed, main)
        if found:
            self._restore(found[0])
            done = found[1]
        elif s.check_every:
            self._evaluate(0)
        for iteration in range(done, self._job.steps):
            values = self._iteration(iteration)
            self._record.train(iteration + 1, values)
            last = iteration + 1 == self._job.steps
            if last and not s.merges:
                self._settle()
            at_end = last and (not s.merges or s.check_every)  # else the merged policy's evaluation is the only one
            if at_end or any(every and (iteration + 1) % every == 0 for every in (s.eval_every, s.check_every)):
                results = self._evaluate(iteration + 1)
            if self._halted:
                best = self._watch.go_back(self.policy)
                if best is None:
                    why = f"{self._halted} No earlier policy was saved, because no detector could halt the run at that time."
                    return TrainingEnd(iteration + 1, results, why, iteration + 1)
                return TrainingEnd(iteration + 1, best.results, self._halted, best.step)
            if s.save_every and (iteration + 1) % s.save_every == 0 and not last:
                self._save(iteration + 1)
        return TrainingEnd(self._job.steps, results)

    def _settle(self) -> None:
        """Give the policy the weights that are saved."""
        dequantized = self._settings.merges and is_quantized(self.policy.model)
        if dequantized and not isinstance(self._writer, Generate):  # vLLM has the quantized base
            self._writer.close()
            self._writer = Generate(self._settings.sampler, self._ends, self._job.files, self._mixed)
            # it samples from this module, whose weights change below
            self._writer.refresh(self.policy, self._job.steps)
            self._sampling = Sampling(self._job, self._writer, self._runner)
        self.saved = settle(self._job, self.policy)

    def _of_saved(self, step: int) -> dict[str, float]:
        """Evaluate what is saved. step: iteration that it is of."""
        del self._update  # it holds the critic, whose memory is needed now
        self.critic = None
        self._settle()
        if not self._job.held_out():
            return {}
        evaluated = self._held_out(step, self._job.gold, self._settings.merges)
        self._keep_held_out(evaluated)
        return averages([response.row for response in evaluated])

    def close(self) -> None:
        """Release samplers and rewards."""
        self._writer.close()
        for rewards in (self._job.rewards, self._job.gold):
            if rewards:
                self._runner.run(rewards.close())

    def _iteration(self, iteration: int) -> dict[str, float]:
        heap.give_back()
        began = time.monotonic()
        prompts = self._job.prompts(iteration)
        places = self._places(len(prompts))
        mine = [prompts[place] for place in places]
        self._writer.refresh(self.policy, iteration)
        found = self._learned(mine, list(places), iteration)
        seconds = time.monotonic() - began
        return found | {
            "tokens_per_second": found["length"] * found["rewarded"] / seconds,
            "seconds": seconds,
            "peak_memory_gb": peak_memory() / 1e9,
        }

    def _learned(self, prompts: Sequence[PromptRow], places: Sequence[int], iteration: int) -> dict[str, float]:
        """Sample, reward, learn; what is logged of it. prompts, places: ours of the iteration."""
        s, began = self._settings, time.monotonic()
        groups, replaced = self._sampling.resampled(self._sampling.groups(prompts, places, iteration), iteration)
        wrote = time.monotonic()
        means, failures = sampling_figures(groups, replaced, s, iteration)
        if failures:
            self._record.failures(iteration + 1, failures)
        responses = responses_to_learn(groups, s)
        logp, ref_logp = self._scored(responses, reference=False), self._scored(responses, reference=True)
        critic = self.critic
        values = (
            None
            if critic is None
            else self._measured(lambda batch: critic(batch, tokens=True)[:, 0], responses, critic.layout)
        )
        experience = build_experience(responses, logp, ref_logp, values, self._kl.value, s, self._accelerator)
        found = {
            **means,
            **figures(experience, responses.table(responses.sampled), self._accelerator, s.importance_cap),
        }
        found["kl_coefficient"] = self._kl.value
        found |= self._update.learn(experience, iteration)
        self._kl.update(found["kl"], round(means["rewarded"]))
        return found | {"seconds_writing": wrote - began}

    def _places(self, count: int) -> range:
        """Ours among so many prompts."""
        return range(self._accelerator.process_index, count, self._accelerator.num_processes)

    def _scored(self, responses: Responses, reference: bool, temperature: float | None = None) -> Any:
        """Log-probabilities [rows, longest] by the policy, or the reference; at the sampler's temperature where none is given."""
        policy = self._reference if reference and self._reference is not None else self.policy
        off = reference and self._reference is None
        warm = self._settings.sampler.temperature if temperature is None else temperature
        return self._measured(lambda batch: policy(batch, warm, reference=off).logprobs, responses, policy.layout)

    def _measured(self, run: Any, responses: Responses, layout: Any) -> Any:
        def mixed(batch: Batch) -> Any:
            with in_precision(self._settings, self._accelerator.device):
                return run(batch)

        return measured(mixed, responses, self._settings.micro_batch_size, layout, self._accelerator.device)

    def _evaluate(self, iteration: int) -> dict[str, float]:
        """One response to each held-out prompt, from the same seeds each time; no results where there are no such prompts."""
        if not self._job.held_out():
            return {}
        every = self._settings.check_every
        due = every is not None and (iteration % every == 0 or iteration == self._job.steps)
        evaluated = self._held_out(iteration, self._job.gold if due else None)
        results = averages([response.row for response in evaluated])
        if due:
            self._check(iteration, evaluated, results)
        else:
            self._record.evaluation(iteration, results)
        self._keep_held_out(evaluated)
        return results

    def _held_out(self, iteration: int, gold: RewardSum | None, merged: bool = False) -> list[HeldOutResponse]:
        """Held-out responses of all processes, rewarded, also by `gold` where it is given. merged: the policy's adapter is."""
        rows = self._job.held_out()
        places = self._places(len(rows))
        mine = [rows[place] for place in places]
        self._writer.refresh(self.policy, iteration)
        written = self._sampling.write(mine, seeds_of(self._settings.seed, -1, mine, 1)) if mine else []
        graded = self._sampling.graded(mine, written, self._job.rewards, self._baseline)
        golds = self._sampling.graded(mine, written, gold, self._baseline) if gold else None
        examples = [Example(p.tokens, [w[0].tokens]) for p, w in zip(mine, written, strict=True)]
        responses = Responses(examples, list(range(len(mine))), [0.0] * len(mine), [w[0].logprobs for w in written])
        logp = self._scored(responses, reference=False)
        if merged:  # it is not its own reference any more
            self._reference = self._base_again()
        ref_logp = self._scored(responses, reference=True)
        kl = kl_estimates(logp, ref_logp, responses.mask()).k1.tolist() if mine else []
        found: list[HeldOutResponse] = gather_object(responses_of(places, mine, written, graded, golds, kl))
        return found

    def _keep_held_out(self, evaluated: Sequence[HeldOutResponse]) -> None:
        if self._accelerator.is_main_process:  # as ASCII: a prompt may hold half a surrogate
            lines = (
                json.dumps({"prompt": response.prompt, "response": response.text, **response.row}) + "\n"
                for response in evaluated
            )
            write_atomically(self._job.out / RESPONSES, "".join(lines))

    def _check(self, iteration: int, evaluated: Sequence[HeldOutResponse], results: Mapping[str, float]) -> None:
        """Show an evaluation to the monitor."""
        check = check_of(iteration, evaluated, self._watch.words, self._job.reference)
        more = {name: value for name, value in check.values.items() if name not in ("proxy", "spread")}
        self._record.evaluation(iteration, {**results, **more})
        verdict = self._watch.see(check, results, self.policy)
        self._record.verdict(iteration, verdict)
        if verdict.level == "halt":
            self._halted = verdict.reason

    def _save(self, iteration: int) -> None:
        main = self._accelerator.is_main_process
        if main or launch.sharded():
            parts = {
                "policy": weights(self.policy),
                "critic": weights(self.critic) if self.critic else {},
                "optimizer": optimizer_state(self._update.optimizer),
                "kl": self._kl.state(),
                "best": self._watch.state(),
            }
        if main:
            save_state(self._job.out, iteration, parts, self._settings.keep_checkpoints)
        self._accelerator.wait_for_everyone()

    def _restore(self, folder: Path) -> None:
        found = load_state(folder)
        restore(self.policy, found["policy"])
        if self.critic:
            restore(self.critic, found["critic"])
        restore_optimizer(self._update.optimizer, found["optimizer"])
        self._kl.load(found["kl"])
        self._watch.load(found["best"])


def _same_everywhere(parameters: Sequence[Any], accelerator: Accelerator) -> None:
    """Give all processes the main one's weights: their gradients are added up, so they must begin alike."""
    if accelerator.num_processes > 1:
        with torch.no_grad():
            for p in parameters:
                p.copy_(broadcast(p.detach().clone()))
