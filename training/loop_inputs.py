"""Everything a loop is made from, read and checked before anything loads."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    problems: list[str] = []

    def attempt(place: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except _WRONG as error:
            problems.extend(f"{place}: {line}" if place else line for line in str(error).split("\n"))
            return None

    attempt("", lambda: check_ours(out, SETTINGS))
    digests: dict[str, str | None] = {"model": attempt("model", lambda: resolve(config.model).digest)}
    if digests["model"]:
        base = config.model
        labelling = config.feedback.model_copy(update={"policy": base, "judge": config.feedback.judge or base})
        judging = config.evaluation.settings.model_copy(
            update={"policy": base, "judge": config.evaluation.judge or base}
        )
        for place, run in {"feedback": labelling, "evaluation": judging}.items():
            for name, digest in (attempt(place, lambda run=run: parts(run).digests()) or {}).items():
                digests[f"{place}.{name}"] = digest
    laws = attempt("constitution", lambda: load_constitution(Path(config.constitution)))
    digests["constitution"] = laws and laws.digest
    digests |= _evaluated(config, attempt, laws, problems)
    rows = attempt("prompts", lambda: [*prompts.read(config.prompts)]) or []
    asked = tuple(row for row in rows if isinstance(row, Prompt))
    unread = Counter(row.reason for row in rows if isinstance(row, Failure))
    digests["prompts"] = _digest([row.model_dump_json() for row in asked])
    if rows and len(asked) < (config.prompts_per_round or 1):
        problems.append(
            f"prompts_per_round: got {config.prompts_per_round}, and {config.prompts} has {len(asked)} prompts; set at most that"
        )
    if laws:
        problems += [f"feedback: {problem}" for problem in unknown_principles(config.feedback, laws)]
    for run in config.data:
        if manifest.read(Path(run)) is None:
            problems.append(f"data.{run}: is no finished run folder (no {manifest.NAME}); name one, or leave it out")
    problems += [*_files(config), *_gates(config)]
    if problems:
        raise InputError("\n".join(problems))
    return Inputs(asked, unread, {name: digest for name, digest in digests.items() if digest})


def _evaluated(
    config: LoopConfig,
    attempt: Callable[[str, Callable[[], str]], str | None],
    laws: Constitution | None,
    problems: list[str],
) -> dict[str, str | None]:
    """Digests of what the evaluation names."""
    given = config.evaluation
    found = {
        "evaluation.prompts": attempt(
            "evaluation.prompts", lambda: prompts.inspect(given.prompts, given.limit).fingerprint
        )
    }
    for name in ("constitution", "gold"):
        if path := getattr(given, name):
            found[f"evaluation.{name}"] = attempt(
                f"evaluation.{name}", lambda path=path: load_constitution(Path(path)).digest
            )
    for place, path in {"weights": config.weights, "evaluation.weights": given.weights}.items():
        if path:
            found[place] = attempt(place, lambda path=path: _digest([read_weights(Path(path)).model_dump_json()]))
    if given.refusals:
        found["evaluation.refusals"] = attempt("evaluation.refusals", lambda: file_digest(_there(Path(given.refusals))))
    if not given.constitution and laws:
        problems += [f"evaluation.settings: {problem}" for problem in unknown_principles(given.settings, laws)]
        judges = {MAIN, *(member.name for member in given.settings.panel)}
        if unknown := sorted({*given.held_out} - {principle.id for principle in laws.principles} - judges):
            problems.append(
                f"evaluation.held_out: got {', '.join(unknown)}; allowed are principles of {config.constitution} and judges"
            )
    return found


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
        if getattr(gates, name) is not None and not (given.probes or given.refusals):
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
    """The prompts of the turn-th draw, from 0: a function of seed and turn. In a pass over all of them none comes twice."""
    count = len(inputs.prompts)
    size = config.prompts_per_round or count
    epoch, place = divmod(turn, count // size)
    order = np.random.default_rng([config.seed, epoch]).permutation(count)
    return tuple(inputs.prompts[i] for i in sorted(order[place * size : (place + 1) * size]))


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
