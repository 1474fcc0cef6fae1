"""Evaluations of a PPO run: a row for each held-out prompt, and the monitor that sees them and may end the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from constitution.records import Failure, Response
from critics.transcript import message_text
from training.data.encode import PromptRow
from training.model import launch
from training.monitor.file import append
from training.monitor.measure import HeldOutResponse, amount
from training.monitor.monitor import Monitor, Verdict
from training.monitor.moves import PRINCIPLE, Check
from training.ppo.checkpoint import restore, weights
from training.ppo.config import PPOMonitor
from training.rollout.rewards import ResponseReward
from training.rollout.rollouts import Rollout

Grade = tuple[Response, ResponseReward | Failure]
_GOLDEN = {"over-optimisation", "predicted peak"}
"""Detectors that see nothing without gold."""


class Best(NamedTuple):
    """The policy that a halted run is put back to."""

    step: int
    results: Mapping[str, float]
    """Of its evaluation."""
    weights: Mapping[str, Any]
    """Trained ones, on the CPU; none in processes that save nothing."""


class PPOWatch:
    """Sees each check. Every process sees the same ones, so that all end together; the main one writes and keeps weights."""

    def __init__(self, settings: PPOMonitor, out: Path, past: Sequence[Check], main: bool) -> None:
        """past: the checks that were seen before a restart."""
        self._monitor = Monitor(settings)
        # with gold whatever halts: these may be set anew where a run goes on, and the best policy is behind by then
        self._keeps = bool(settings.gold or set(settings.halts) - _GOLDEN)
        self._out = out
        self._main = main
        self.best: Best | None = None
        """None where there is no gold and no detector that could see anything would halt the run."""
        for check in past:
            self._monitor.see(check)

    @property
    def words(self) -> int | None:
        """Amount of text at which diversity is measured; None before the first check."""
        checks = self._monitor.checks
        return amount(checks[0]) if checks else None

    def see(self, check: Check, results: Mapping[str, float], policy: Any) -> Verdict:
        """The verdict, which is written down. The policy is kept where it is the best so far: by gold, or without gold the last one
        that nothing halts.
        """
        verdict = self._monitor.see(check)
        if self._main:
            append(self._out, check, verdict)
        best = self._monitor.best
        better = verdict.level != "halt" if best is None else best == check.step
        if self._keeps and better:
            found = weights(policy) if self._main or launch.sharded() else {}
            kept = {name: p.to("cpu", copy=True) for name, p in found.items()} if self._main else {}
            self.best = Best(check.step, dict(results), kept)
        return verdict

    def go_back(self, policy: Any) -> Best | None:
        """Put the policy back to the best one. None where none was kept, as in a run that nothing could halt as it began: it stays
        as it is.
        """
        if self.best and (self._main or launch.sharded()):
            restore(policy, self.best.weights)
        return self.best

    def state(self) -> dict[str, Any] | None:
        """For a checkpoint."""
        return None if self.best is None else self.best._asdict()

    def load(self, saved: Mapping[str, Any] | None) -> None:
        """What `state` gave."""
        if saved is not None:
            kept = {name: value.cpu() for name, value in saved["weights"].items()} if self._main else {}
            self.best = Best(int(saved["step"]), saved["results"], kept)


def responses_of(
    places: Sequence[int],
    prompts: Sequence[PromptRow],
    written: Sequence[Sequence[Rollout]],
    grades: Sequence[Sequence[Grade]],
    golds: Sequence[Sequence[Grade]] | None,
    kl: Sequence[float],
) -> list[HeldOutResponse]:
    """One process's responses, one to each of its prompts. golds: None where no check is due, or none asks for gold."""
    found = []
    for i, (place, prompt, answers, nats) in enumerate(zip(places, prompts, written, kl, strict=True)):
        response, grade = grades[i][0]
        row = {"kl": nats, "length": float(len(answers[0].tokens)), "truncated": float(not answers[0].ended)}
        row["failed"] = float(isinstance(grade, Failure))
        if not isinstance(grade, Failure):
            row |= {"score": grade.score, **grade.parts}
        if golds is not None:
            gold = golds[i][0][1]
            row["gold_failed"] = float(isinstance(gold, Failure))
            if not isinstance(gold, Failure):
                row["gold"] = gold.score
                row |= {f"gold/{name}": value for name, value in gold.parts.items() if name.startswith(PRINCIPLE)}
        found.append(HeldOutResponse(place, prompt.prompt.messages[-1].content, message_text(response.message), row))
    return found
