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
from training.model.modules import Policy, RewardModel
from training.model.rounding import round_weights
from training.model.saving import as_saved, save
from training.monitor.file import resume
from training.monitor.measure import HeldOutResponse, check_of
from training.ppo.baseline import Baseline, baseline
from training.ppo.checkpoint import load_state, optimizer_state, restore, restore_optimizer, save_state, weights
from training.ppo.evaluate import PPOWatch, responses_of
from training.ppo.experience import Responses, build_experience, figures, in_precision, measured
from training.ppo.job import PPOJob
from training.ppo.losses import AdaptiveKL, FixedKL, kl_estimates
from training.ppo.record import Record, averages
from training.ppo.sampling import Sampling, responses_to_learn, sampling_figures
from training.ppo.update import Update, trainable_parameters
from training.rollout.rewards import CONSTITUTIONS
from training.rollout.rollouts import seeds_of, to_bf16
from training.rollout.vllm import open_writer
from training.run import folder as output
from training.run.card import Base, Data, write_card
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
            policy = _whole(job, loop.policy)
            if main:
                if moved := as_saved(policy, job.files, job.settings):
                    results["weights_moved"] = moved.moved
                _write(job, policy, results)
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


def _whole(job: PPOJob, policy: Policy) -> Policy:
    """The policy with all its weights, in the main process. Every process must ask."""
    if not launch.sharded():
        policy.inner.tie_weights()
        return policy
    state = {name: launch.whole(p.detach()).cpu() for name, p in policy.named_parameters()}
    if not launch.state().is_main_process:
        return policy
    found = load_policy(job.files, job.settings)
    found.load_state_dict(state, strict=False)  # tied weights have one name
    return found


def _write(job: PPOJob, policy: Policy, results: Mapping[str, float]) -> None:
    """The checkpoint and its card."""
    save(policy, job.tokenizer, job.out, job.settings.lora is not None and job.settings.lora.merge, job.encoder.ends)
    write_card(
        job.out,
        recipe=job.recipe,
        base=Base(job.files.name, job.files.digest),
        data=[Data(source.name, source.digest, source.rows, source.weight) for source in job.sources],
        constitutions=[d for name, d in job.rewards.digests.items() if name in CONSTITUTIONS],
        settings=job.run_record,
        results=results,
        license=job.settings.license,
    )


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
        mixed = s.precision == "bf16" and not launch.sharded()
        if self.policy.adapted and mixed and self.policy.base_dtype == torch.bfloat16:
            to_bf16(self.policy.inner, frozen=True)
        self._reference: Policy | None = None
        if not self.policy.adapted:
            self._reference = load_policy(job.files, s).requires_grad_(False)
            if mixed:
                to_bf16(self._reference.inner)
        self.critic: RewardModel | None = load_critic(job.critic, s) if job.critic else None
        for module in (self.policy, self._reference, self.critic):
            if module is not None:
                if launch.sharded():
                    launch.spread(module, module.layers, accelerator.device)
                module.to(accelerator.device).train(s.gradient_checkpointing)
        if not launch.sharded():
            _same_everywhere([*trainable_parameters(self.policy), *trainable_parameters(self.critic)], accelerator)
        self._ends = end_tokens(self.policy.inner.generation_config.eos_token_id) | job.encoder.ends
        self._writer = open_writer(s, s.sampler, job.files, self._ends, runner)
        self._sampling = Sampling(job, self._writer, runner)
        self._update = Update(self.policy, self.critic, s, accelerator, job.steps)
        k = s.kl
        self._kl = AdaptiveKL(k.coefficient, k.target, k.horizon) if k.target else FixedKL(k.coefficient)

    def run(self, found: tuple[Path, int] | None) -> TrainingEnd:
        """All iterations from the state on that was found, or up to the one at which the monitor halts. Raises Stopped."""
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
            if last:
                self._round()
            if last or any(every and (iteration + 1) % every == 0 for every in (s.eval_every, s.check_every)):
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

    def _round(self) -> None:
        """Give the policy the values that are saved, so that these are evaluated. An adapter that is merged has none of its own."""
        policy, lora = self.policy, self._settings.lora
        if not (lora and lora.merge):
            at_random, adapted = policy.rounds_at_random, policy.adapted
            round_weights(policy.inner, policy.saved_dtype, {}, at_random, self._settings.seed, trained_only=adapted)

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
        rows = self._job.held_out()
        if not rows:
            return {}
        every = self._settings.check_every
        due = every is not None and (iteration % every == 0 or iteration == self._job.steps)
        places = self._places(len(rows))
        mine = [rows[place] for place in places]
        self._writer.refresh(self.policy, iteration)
        written = self._sampling.write(mine, seeds_of(self._settings.seed, -1, mine, 1)) if mine else []
        graded = self._sampling.graded(mine, written, self._job.rewards, self._baseline)
        gold = self._sampling.graded(mine, written, self._job.gold, self._baseline) if self._job.gold and due else None
        examples = [Example(p.tokens, [w[0].tokens]) for p, w in zip(mine, written, strict=True)]
        responses = Responses(examples, list(range(len(mine))), [0.0] * len(mine), [w[0].logprobs for w in written])
        logp, ref_logp = self._scored(responses, reference=False), self._scored(responses, reference=True)
        kl = kl_estimates(logp, ref_logp, responses.mask()).k1.tolist() if mine else []
        evaluated: list[HeldOutResponse] = gather_object(responses_of(places, mine, written, graded, gold, kl))
        results = averages([response.row for response in evaluated])
        if due:
            self._check(iteration, evaluated, results)
        else:
            self._record.evaluation(iteration, results)
        if self._accelerator.is_main_process:  # as ASCII: a prompt may hold half a surrogate
            lines = (
                json.dumps({"prompt": response.prompt, "response": response.text, **response.row}) + "\n"
                for response in evaluated
            )
            write_atomically(self._job.out / RESPONSES, "".join(lines))
        return results

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
