"""Whose folder a loop is in, and what may change between its restarts: `loop.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generation.output.folder import MACHINE, OwnedFolder
from training.loop.config import LoopConfig, Phase
from training.loop.steps import Round, rounds
from training.run.page import SETTINGS as TRAINING
from training.run.page import is_claimed
from training.run.snapshot import settings_snapshot

SETTINGS = "loop.yaml"


def owned(out: Path) -> OwnedFolder:
    """The folder of a loop."""
    return OwnedFolder(out, SETTINGS)


def claim(out: Path, config: LoopConfig, digests: Mapping[str, str]) -> None:
    """Make the folder this loop's own: write loop.yaml, or check that it says the same. Raises UserError where it does not.

    Rounds that have not begun may be changed, added or left out; of one that has, training and reward until theirs has begun.
    """
    owned(out).claim(_settings_snapshot(config, out, digests), lambda snapshot: _begun(snapshot, out))


def _begun(snapshot: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What loop.yaml says but for rounds, and trainings of a round, that have not begun."""
    kept = {}
    for number, one in snapshot.get("rounds", {}).items():
        folder = out / f"round-{number}"
        if folder.exists():
            trained = {"training": f"attempt-*/checkpoint/{TRAINING}", "reward": f"reward/{TRAINING}"}
            later = {name for name, begun in trained.items() if not any(map(is_claimed, folder.glob(begun)))}
            kept[number] = {name: value for name, value in one.items() if name not in later}
    return {**snapshot, "rounds": kept}


def _settings_snapshot(config: LoopConfig, out: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """What loop.yaml says: everything that decides what comes out, and under `machine` what may change between restarts."""
    apart = {"feedback", "phases", "evaluation", "stop", "launch", "retry", "ray", "shards"}
    evaluation = config.evaluation.model_dump(mode="json", exclude={"settings"})
    return {
        **config.model_dump(mode="json", exclude=apart),
        "feedback": config.feedback.results(),
        "evaluation": {**evaluation, "settings": config.evaluation.settings.results()},
        "retry": {"lr_factor": config.retry.lr_factor},
        "rounds": {one.number: _round(one, digests) for one in rounds(config, out)},
        "digests": {name: digest for name, digest in digests.items() if not name.startswith("phases.")},
        MACHINE: {
            "stop": config.stop,
            "retry.times": config.retry.times,
            "retry.keep": config.retry.keep,
            "launch": list(config.launch),
            "ray": config.ray,
            "shards": config.shards,
            "feedback": _apart(config.feedback.model_dump(mode="json"), config.feedback.results()),
            "evaluation": _apart(
                config.evaluation.settings.model_dump(mode="json"), config.evaluation.settings.results()
            ),
            "phases": [_machine(phase) for phase in config.phases],
        },
    }


def _round(one: Round, digests: Mapping[str, str]) -> dict[str, Any]:
    """digests: those of what its phase names are its own, so that what rounds to come name may change."""
    own = {name.removeprefix(f"phases.{one.index}."): digest for name, digest in digests.items()}
    return {name: _without(value) for name, value in _phase(one.phase, own).items()}


def _machine(phase: Phase) -> dict[str, Any]:
    return {name: value[MACHINE] for name, value in _phase(phase, {}).items() if isinstance(value, dict)}


def _phase(phase: Phase, digests: Mapping[str, str]) -> dict[str, Any]:
    """A phase's settings, those of its recipes as training.yaml has them. digests: of `training.` and `reward.`, and others."""
    kept = phase.model_dump(mode="json", exclude={"training", "reward", "rounds"})
    kept["training"] = settings_snapshot(phase.recipe, phase.training, _below("training.", digests))
    reward = getattr(phase, "reward", None)
    return {**kept, **({"reward": settings_snapshot("reward", reward, _below("reward.", digests))} if reward else {})}


def _below(group: str, digests: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(group): digest for name, digest in digests.items() if name.startswith(group)}


def _without(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if key != MACHINE} if isinstance(value, dict) else value


def _apart(whole: dict[str, Any], kept: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key not in kept}
