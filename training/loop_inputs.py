"""Everything a loop is made from, read and checked before anything loads."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from constitution.loading import ConstitutionError
from constitution.loading import load as load_constitution
from constitution.principles import Constitution
from constitution.records import MAIN, Failure, Prompt, Strict
from critics.weights import WeightsError, read_weights
from evaluation.inputs import InputError
from generation import manifest, prompts, settings
from generation.cast import parts
from generation.digests import file_digest
from generation.engine import ModelError
from generation.folder import RunFolderError, check_ours
from generation.models import resolve
from generation.panel import unknown_principles
from generation.prompts import PromptsError
from training.loop_config import BestOfPhase, LoopConfig, PPOPhase
from training.loop_folder import SETTINGS

EXAMPLE = "retry.times=2"
"""A setting, as messages and help show it."""
_WRONG = (ConstitutionError, PromptsError, ModelError, WeightsError, RunFolderError, InputError)
_TAG = re.compile(r"\b(phases\.\d+)\.(?:sft|dpo|ppo|best_of)\b")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a loop needs beside its settings."""

    prompts: tuple[Prompt, ...]
    unread: Mapping[str, int]
    """Why rows are no prompts, and how many."""
    digests: Mapping[str, str]
    """Of whatever the settings name."""


def load(path: Path, overrides: Sequence[str]) -> LoopConfig:
    """The settings. Raises ConfigError with every problem at once."""

    def explain(error: ValidationError, place: str, kind: type[Strict]) -> str:
        # pydantic names a phase's recipe beside its number; the file has no such key
        return _TAG.sub(r"\1", settings.explain(error, place, kind))

    return settings.load(LoopConfig, path, overrides, example=EXAMPLE, explain=explain)


def read(config: LoopConfig, out: Path) -> Inputs:
    """Read and check what the settings name. Raises InputError with every problem at once; no weights are loaded."""
    found = _Reading()
    found.attempt("", lambda: check_ours(out, SETTINGS))
    found.models(config)
    laws = found.constitution("constitution", config.constitution)
    judged, _ = (
        found.constitution(f"evaluation.{name}", getattr(config.evaluation, name)) for name in ("constitution", "gold")
    )
    for place, path in {"weights": config.weights, "evaluation.weights": config.evaluation.weights}.items():
        if path:
            found.digest(place, partial(_weights, Path(path)))
    if config.evaluation.refusals:
        found.digest("evaluation.refusals", lambda: file_digest(_there(Path(config.evaluation.refusals))))
    rows, unread = found.prompts("prompts", config.prompts)
    held_out, _ = found.prompts("evaluation.prompts", config.evaluation.prompts, config.evaluation.limit)
    told = [_too_few(config, rows), _overlap(rows, held_out)] if rows else []
    for run in config.data:
        if manifest.read(Path(run)) is None:
            told.append(f"data.{run}: is no finished run folder (no {manifest.NAME}); name one, or leave it out")
    told += [*_principles(config, laws, judged or laws), *_files(config), *_gates(config)]
    if problems := [*found.problems, *filter(None, told)]:
        raise InputError("\n".join(problems))
    return Inputs(rows, unread, found.digests)


class _Reading:
    """What was read so far, and what could not be."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.digests: dict[str, str] = {}

    def attempt(self, place: str, read: Callable[[], T]) -> T | None:
        """What it reads; None where that is a problem."""
        try:
            return read()
        except _WRONG as error:
            self.problems += [f"{place}: {line}" if place else line for line in str(error).split("\n")]
            return None

    def digest(self, place: str, read: Callable[[], str]) -> bool:
        """Keep a digest; whether there is one."""
        found = self.attempt(place, read)
        if found is not None:
            self.digests[place] = found
        return found is not None

    def models(self, config: LoopConfig) -> None:
        """The base, and all judges."""
        base, given = config.model, config.evaluation
        if not self.digest("model", lambda: resolve(base).digest):
            return
        for place, run, judge in (
            ("feedback", config.feedback, config.feedback.judge),
            ("evaluation", given.settings, given.judge),
        ):
            cast = self.attempt(place, partial(parts, run.model_copy(update={"policy": base, "judge": judge or base})))
            self.digests |= {f"{place}.{name}": digest for name, digest in (cast.digests() if cast else {}).items()}

    def constitution(self, place: str, path: str) -> Constitution | None:
        """None where none is named, too."""
        laws = self.attempt(place, lambda: load_constitution(Path(path))) if path else None
        if laws:
            self.digests[place] = laws.digest
        return laws

    def prompts(self, place: str, source: str, limit: int | None = None) -> tuple[tuple[Prompt, ...], Counter[str]]:
        """Rows that are prompts, and why others are none."""
        if self.attempt(place, lambda: prompts.inspect(source, limit)) is None:
            return (), Counter()
        rows = [*prompts.read(source, limit)]
        asked = tuple(row for row in rows if isinstance(row, Prompt))
        self.digests[place] = _digest([prompt.model_dump_json() for prompt in asked])
        return asked, Counter(row.reason for row in rows if isinstance(row, Failure))


def _too_few(config: LoopConfig, rows: Sequence[Prompt]) -> str:
    size = config.prompts_per_round or 1
    if len(rows) >= size:
        return ""
    return f"prompts_per_round: got {size}, and {config.prompts} has {len(rows)} prompts; set at most that"


def _overlap(rows: Sequence[Prompt], held_out: Sequence[Prompt]) -> str:
    """What is wrong where a policy is judged by what it learnt from."""
    known = {_words(prompt) for prompt in rows}
    both = [prompt.id for prompt in held_out if _words(prompt) in known]
    return (
        f"evaluation.prompts: {len(both)} are among `prompts` too, as {both[0]}; take them out of one file"
        if both
        else ""
    )


def _words(prompt: Prompt) -> tuple[str, ...]:
    return tuple(message.model_dump_json() for message in prompt.messages)


def _principles(config: LoopConfig, laws: Constitution | None, judged: Constitution | None) -> list[str]:
    """What is wrong where settings name principles."""
    told, given = [], config.evaluation
    if laws:
        told += [f"feedback: {problem}" for problem in unknown_principles(config.feedback, laws)]
    if judged:
        told += [f"evaluation.settings: {problem}" for problem in unknown_principles(given.settings, judged)]
        known = {
            MAIN,
            "trained",
            *(principle.id for principle in judged.principles),
            *(m.name for m in given.settings.panel),
        }
        if unknown := sorted({*given.held_out} - known):
            allowed = f"principles of {given.constitution or config.constitution}, judges and `trained`"
            told.append(f"evaluation.held_out: got {', '.join(unknown)}; allowed are {allowed}")
    return told


def _weights(path: Path) -> str:
    return _digest([read_weights(path).model_dump_json()])


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path


def _files(config: LoopConfig) -> list[str]:
    """What phases name and what starts them."""
    problems = []
    for i, phase in enumerate(config.phases):
        if isinstance(phase, PPOPhase | BestOfPhase):
            sources = phase.training.reward
            for name, source in {"rules": sources.rules, "judge": sources.judge}.items():
                if source and not Path(source.constitution).is_file():
                    problems.append(
                        f"phases.{i}.training.reward.{name}.constitution: {source.constitution}: no such file"
                    )
    if config.launch and shutil.which(config.launch[0]) is None:
        problems.append(
            f"launch: {config.launch[0]}: no such program; name one that is there, as in .venv/bin/accelerate"
        )
    return problems


def _gates(config: LoopConfig) -> list[str]:
    """Gates that no round, or not each, could ever pass, as what they look at is never measured."""
    problems, gates, given = [], config.gates, config.evaluation
    if gates.gold is not None and not given.gold:
        problems.append("gates.gold: needs a constitution that nothing is trained against; name it in evaluation.gold")
    for name in ("refusal_up", "unsafe_refusal_down"):
        if getattr(gates, name) is not None and not given.probes:
            problems.append(f"gates.{name}: needs refusals to be counted; set evaluation.probes: true")
    for i, phase in enumerate(config.phases):
        if gates.canaries is not None and not (phase.needs_pairs and phase.fresh and config.feedback.plan.canaries):
            problems.append(
                f"gates.canaries: phases.{i} labels no canaries; have it make fresh pairs, or leave the gate out"
            )
        if gates.agreement is not None and getattr(phase, "reward", None) is None:
            problems.append(
                f"gates.agreement: phases.{i} trains no reward model; add `reward: {{}}` to it, or leave the gate out"
            )
    return problems


def draw(inputs: Inputs, config: LoopConfig, turn: int) -> tuple[Prompt, ...]:
    """The prompts of the turn-th draw, from 0: a function of seed and turn. None comes twice before all had their turn, and none
    twice in one draw.
    """
    count = len(inputs.prompts)
    size = config.prompts_per_round or count
    drawn: list[int] = []
    left: list[int] = []  # of the pass over all prompts that is under way
    passes = 0
    for _ in range(turn + 1):
        drawn, left = left[:size], left[size:]
        if missing := size - len(drawn):
            order = np.random.default_rng([config.seed, passes]).permutation(count).tolist()
            order.sort(key={*drawn}.__contains__)  # what the draw has already comes last in the new pass
            drawn, left = drawn + order[:missing], order[missing:]
            passes += 1
    return tuple(inputs.prompts[i] for i in sorted(drawn))


def prompt_lines(drawn: Sequence[Prompt]) -> str:
    """Prompts as a JSONL file. Ready replies are left out, as the policy's own are wanted."""
    rows = []
    for prompt in drawn:
        row = prompt.model_dump(mode="json", exclude_defaults=True, exclude={"messages", "responses"})
        messages = [message.model_dump(mode="json", exclude_defaults=True) for message in prompt.messages]
        rows.append(json.dumps({**row, "prompt": messages}, ensure_ascii=False))
    return "".join(f"{row}\n" for row in rows)


def _digest(texts: Sequence[str]) -> str:
    return blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()
