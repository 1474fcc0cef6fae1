"""The loop: the policy samples, the judge labels, training updates, evaluation decides whether the round is kept.

Every step is one of our commands, run as a process of its own, and done when the file that it writes last is there. So a loop that
was killed resumes with the step it was in, and finished steps are never started again.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.command import BUG, REFUSED
from constitution.errors import Fault, Problem, SolonError, Unavailable, UserError
from evaluation.policy.result import PolicyEvaluation, read_evaluation
from generation.output import manifest
from generation.output.files import write_atomically
from training.loop import steps as loop_steps
from training.loop.children import Runner, tail
from training.loop.config import LoopConfig
from training.loop.gates import Evidence, figures, judge
from training.loop.inputs import Inputs, draw, judged_by, prompt_lines
from training.loop.record import DONE, Decision, Outcome, point, read, write
from training.loop.steps import CHECKPOINTS, DECISION, EVALUATION, PREVIOUS, PROMPTS, TRAINED, Round, Step
from training.monitor.monitor import after_round
from training.run.snapshot import STOPPED

Report = Callable[[Path, Outcome], None]
CRASHES = {128 + one for one in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)}
"""Exit codes of a step that ended by a signal of its own making."""


def failure(step: Step, code: int) -> SolonError:
    """The error of a step that did not do its work, with the last lines of its log. Exit code 2: it would fail again."""
    got = f"ended with exit code {code}; the whole log is in {step.log}:\n{tail(step.log)}"
    if code == REFUSED:
        return UserError(Problem(step.name, got=got))
    return Fault(f"{step.name}: {got}") if code == BUG or code in CRASHES else Unavailable(f"{step.name}: {got}")


@dataclass(slots=True)
class Progress:
    """Where a loop is."""

    policy: str
    """What the next round starts from: a folder within the loop's, or the base by its name."""
    rate: float = 1.0
    """What learning rates are multiplied with."""
    phase: int = 0
    turn: int = 0
    """Draws of prompts so far."""
    earlier: list[Round] = field(default_factory=list)
    kept: list[PolicyEvaluation] = field(default_factory=list)
    """Evaluations of the rounds that were kept."""
    decisions: list[Decision] = field(default_factory=list)

    def outcome(self, stopped: str = "") -> Outcome:
        """What came of it so far."""
        accepted = sum(decision.accepted for decision in self.decisions)
        return Outcome(policy=self.policy, accepted=accepted, stopped=stopped, decisions=tuple(self.decisions))


class Loop:
    """One loop in its folder, which the caller has locked and claimed."""

    def __init__(
        self, config: LoopConfig, out: Path, inputs: Inputs, console: Console, run: Runner, report: Report | None = None
    ) -> None:
        """report: writes the page, after each round and at the end."""
        self._config = config
        self._out = out
        self._inputs = inputs
        self._console = console
        self._run = run
        self._report = report
        self._rounds = loop_steps.rounds(config, out)

    def go(self) -> Outcome:
        """Run all rounds, or resume where the last start ended. Raises Unavailable and UserError."""
        now, stopped, given_up = Progress(self._config.model), "", -1
        for one in self._rounds:
            if one.index == given_up:
                continue
            if one.index != now.phase:
                now.phase, now.rate = one.index, 1.0
            if not self._round(one, now):
                given_up = one.index
                if self._config.stop and not self._followed(one):
                    stopped = (
                        f"round {one.number} ({one.phase.recipe}) was given up: {'; '.join(now.decisions[-1].reasons)}"
                    )
                    break
        self._point(now)
        outcome = now.outcome(stopped)
        self._show(outcome)
        write(self._out / DONE, outcome)
        return outcome

    def _round(self, one: Round, now: Progress) -> bool:
        """One round, with as many attempts as it needs and may have; whether it was kept."""
        if one.asks:
            self._ask(one, now)
        if one.fresh:
            self._step(loop_steps.feedback(self._config, one, self._path(now.policy)), one, now)
        if one.rewarded:
            self._step(loop_steps.reward(self._config, one, now.earlier), one, now)
        kept = new = False
        for number in count(1):
            known = self._known(one, number, now)
            new = new or known is None
            decision = known or self._attempt(one, number, now)
            self._clear(one.checkpoint(number), decision.accepted)
            now.decisions.append(decision)
            self._console.print(f"round {one.number}, attempt {number}: {_decision_text(decision)}", markup=False)
            if kept := decision.accepted:
                now.policy = decision.policy
                now.kept.append(read_evaluation(one.attempt(number) / "evaluation" / EVALUATION))
            if kept or not self._again(one, number + 1):
                break
            now.rate *= self._config.retry.lr_factor
        now.earlier.append(one)
        if new:
            self._show(now.outcome())
        return kept

    def _known(self, one: Round, number: int, now: Progress) -> Decision | None:
        """What was decided of an attempt before; None where nothing was. Raises UserError where it started from another policy."""
        path = one.attempt(number) / DECISION
        known = read(path, Decision)
        if known and known.parent != now.policy:
            got = f"started from {known.parent}, but of the rounds before it {now.policy} is what is kept"
            fix = "set retry.times and stop as they were, or choose another --out"
            raise UserError(Problem(str(path), got=got, fix=fix))
        return known

    def _clear(self, checkpoint: Path, kept: bool) -> None:
        """Remove what is not needed once an attempt is decided: its training checkpoints, and its weights if it is not kept."""
        shutil.rmtree(checkpoint / CHECKPOINTS, ignore_errors=True)
        if not kept and not self._config.retry.keep:
            for path in checkpoint.glob("*.safetensors*"):
                path.unlink()

    def _again(self, one: Round, number: int) -> bool:
        """Whether a round has that try: it had it already, or may have it and no later round has begun."""
        folder = one.attempt(number)
        had = any(path.exists() for path in (folder / DECISION, folder / "evaluation" / EVALUATION))
        return had or (number <= self._config.retry.times + 1 and not self._followed(one))

    def _followed(self, one: Round) -> bool:
        """Whether a later round has begun, so that what became of this one is settled."""
        return any(later.folder.exists() for later in self._rounds[one.number :])

    def _ask(self, one: Round, now: Progress) -> None:
        """Write the round's prompts."""
        path = one.folder / PROMPTS
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, prompt_lines(draw(self._inputs, self._config, now.turn)))
        now.turn += 1

    def _hold_out(self, number: int) -> None:
        """Write the held-out prompts of an attempt, where each has its own."""
        path = loop_steps.held_out(self._out, number)
        if self._config.evaluation.prompts_per_attempt and not path.exists():
            write_atomically(path, prompt_lines(judged_by(self._inputs, self._config, number)))

    def _attempt(self, one: Round, number: int, now: Progress) -> Decision:
        """Train and evaluate once, and decide."""
        step = loop_steps.training(self._config, one, now.earlier, self._path(now.policy), number, now.rate)
        ended = self._step(step, one, now, may_end=True)
        begun = Decision(
            round=one.number,
            attempt=number,
            recipe=one.phase.recipe,
            parent=now.policy,
            policy=str(one.checkpoint(number).relative_to(self._out)),
            learning_rate=one.phase.settings.learning_rate * now.rate,
            accepted=False,
            reasons=(f"training ended: {ended}",) if ended else (),
        )
        decision = begun if ended else self._decide(begun, self._evidence(one, number, now), now, _trained(step.done))
        write(one.attempt(number) / DECISION, decision)
        return decision

    def _evidence(self, one: Round, number: int, now: Progress) -> Evidence:
        """Evaluate, and gather what else gates look at."""
        config = self._config
        self._hold_out(number)
        step = loop_steps.evaluation(config, one, number, config.model)
        self._step(step, one, now)
        found = read_evaluation(step.done)
        previous = found if now.policy == config.model else None
        if config.gates.previous is not None and previous is None:
            step = loop_steps.evaluation(config, one, number, self._path(now.policy), PREVIOUS)
            self._step(step, one, now)
            previous = read_evaluation(step.done)
        made = manifest.whole(one.run) if one.fresh else None
        rewarded = _trained(one.reward / TRAINED) if one.rewarded else {}
        return Evidence(
            found,
            previous,
            agreement=rewarded.get("results", {}).get("eval_accuracy"),
            controls=(made.controls.right, made.controls.asked) if made else None,
            idle=tuple(name for name, used in made.rules.items() if used.applied and not used.decided) if made else (),
        )

    def _decide(self, begun: Decision, evidence: Evidence, now: Progress, trained: dict[str, Any]) -> Decision:
        """What gates and monitor say of an attempt."""
        verdict = after_round(self._config.monitor, [*now.kept, evidence.evaluation])
        gates = judge(self._config.gates, evidence)
        reasons = [gate.reason for gate in gates if not gate.passed]
        reasons += [f"monitor: {alert.text}" for alert in verdict.alerts if alert.level == "halt"]
        idle = [f"{name}: this rule told no two of the round's responses apart" for name in evidence.idle]
        halted = [f"training was halted: {trained['halted']}"] if trained.get("halted") else []
        return begun.model_copy(
            update={
                "digest": evidence.evaluation.a.digest,
                "accepted": not reasons,
                "reasons": tuple(reasons),
                "gates": gates,
                "level": verdict.level,
                "alerts": tuple(alert.text for alert in verdict.alerts),
                "notes": (*halted, *idle, *evidence.evaluation.warnings),
                "figures": figures(evidence),
                "base": evidence.evaluation.responses.b,
            }
        )

    def _step(self, step: Step, one: Round, now: Progress, may_end: bool = False) -> str:
        """Do a step that is not done; why a health check ended it, where it may. Raises Unavailable or UserError."""
        if step.done.exists():
            return ""
        (self._out / DONE).unlink(missing_ok=True)  # there only while the loop is whole
        self._point(now)
        step.settings.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(step.settings, step.text)
        began = time.monotonic()
        title = f"round {one.number} ({one.phase.recipe}): {step.name}"
        with self._console.status(title):
            code = self._run(step.command, step.log)
        self._console.print(f"{title}: {time.monotonic() - began:,.0f} s", markup=False)
        if step.done.exists():
            return ""
        stopped = step.done.with_name(STOPPED)
        if may_end and stopped.exists():
            return " ".join(stopped.read_text(encoding="utf-8").split())
        raise failure(step, code)

    def _point(self, now: Progress) -> None:
        """Have the link lead to what is kept. Not before all old decisions are read: it would go back for a while."""
        if now.policy != self._config.model:
            point(self._out, now.policy)

    def _path(self, policy: str) -> str:
        """A policy as commands take it."""
        return policy if policy == self._config.model else str(self._out / policy)

    def _show(self, outcome: Outcome) -> None:
        if self._report:
            self._report(self._out, outcome)


def _trained(path: Path) -> dict[str, Any]:
    """What training.json says. Raises UserError for one that is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = "delete it, and its step is done again"
        raise UserError(Problem(str(path), got=f"cannot be read ({error})", fix=fix)) from None
    return found


def _decision_text(decision: Decision) -> str:
    """A decision on the terminal."""
    win = decision.figures.get("win")
    over = f"win rate {win.value:.1%} ({win.low:.1%} to {win.high:.1%})" if win else "not evaluated"
    kept = "kept" if decision.accepted else "not kept: " + "; ".join(decision.reasons)
    return "\n  ".join([f"{kept}; {over}", *(f"note: {text}" for text in (*decision.alerts, *decision.notes))])
