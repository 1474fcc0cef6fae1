"""Everything a loop is made from, read and checked before anything loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from constitution.errors import Problems
from constitution.principles import Constitution
from constitution.records import Prompt
from critics.ranking.weights import read_weights
from evaluation.policy.job import TRAINED
from evaluation.policy.provenance import History, history
from evaluation.probes.refusals import read_refusal_prompts
from generation import settings
from generation.models.files import resolve
from training.data.rows import words
from training.data.sources import Kind
from training.loop.checks import InputReader, digest_of, reward_models
from training.loop.config import EvaluationConfig, LoopConfig, Phase, SFTPhase
from training.loop.folder import owned

EXAMPLE = "retry.times=2"
"""A setting, as messages and help show it."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a loop needs beside its settings."""

    prompts: tuple[Prompt, ...]
    unread: Mapping[str, int]
    """Why rows are no prompts, and how many."""
    digests: Mapping[str, str]
    """Of whatever the settings name."""
    held_out: tuple[Prompt, ...] = ()
    """Prompts of evaluations."""


def load(path: Path, overrides: Sequence[str]) -> LoopConfig:
    """The settings. Raises UserError with every problem at once."""
    return settings.load(LoopConfig, path, overrides, example=EXAMPLE)


def read(config: LoopConfig, out: Path) -> Inputs:
    """Read and check what the settings name. Raises UserError with every problem at once; no weights are loaded."""
    found, given = InputReader(), config.evaluation
    found.attempt("", owned(out).check)
    found.digest("model", lambda: resolve(config.model).digest)
    labelling = found.judges("feedback", config.feedback, config.model, config.feedback.judge or config.model)
    judging = found.judges("evaluation", given.settings, config.model, given.judge or config.model)
    constitution = found.constitution("constitution", config.constitution)
    judged, gold = (found.constitution(f"evaluation.{name}", getattr(given, name)) for name in ("constitution", "gold"))
    judged = judged or (None if given.constitution else constitution)
    for place, path in {"weights": config.weights, "evaluation.weights": given.weights}.items():
        if path:
            found.digest(place, partial(_weights, Path(path)))
    if given.refusals:
        found.digest("evaluation.refusals", partial(_refusals, given))
    rows, unread = found.prompts("prompts", config.prompts, config.columns)
    held_out, _ = found.prompts("evaluation.prompts", given.prompts, given.columns, given.limit)
    kinds: set[Kind] = {_kind(phase) for phase in config.phases if phase.needs_pairs}
    trained_on = {"`prompts`": {words(prompt) for prompt in rows}}
    trained_on |= {f"the rows of data.{run}": found.run(run, kinds) for run in config.data}
    problems = found.problems
    _check_count(config, rows, problems)
    _check_attempts(config, held_out, problems)
    for name, known in trained_on.items():
        _check_overlap(name, known, held_out, problems)
    found.check_columns("prompts", constitution)
    found.check_columns("evaluation.prompts", judged, gold)
    histories = _histories(config, found, constitution, labelling)
    if gold:
        _check_gold(gold, histories, problems)
    before = found.attempt("model", partial(history, [], [config.model])) or History()
    held_out_names = _held_out(config, judged, judging, before, histories, problems)
    found.together(config, out, held_out_names)
    _check_launch(config, problems)
    _check_gates(config, constitution, problems)
    problems.check()
    return Inputs(rows, unread, found.digests, held_out)


def _weights(path: Path) -> str:
    return digest_of([read_weights(path).model_dump_json()])


def _refusals(given: EvaluationConfig) -> str:
    found = read_refusal_prompts(Path(given.refusals), given.refusal_columns)
    return digest_of([probe.model_dump_json() for probe in found])


def _kind(phase: Phase) -> Kind:
    """What of a run a phase trains on."""
    return "sft" if isinstance(phase, SFTPhase) else "preferences"


def _check_count(config: LoopConfig, rows: Sequence[Prompt], problems: Problems) -> None:
    size = config.prompts_per_round or 1
    if rows and len(rows) < size:
        got = f"got {size}, and {config.prompts} has {len(rows)} prompts"
        problems.add("", "prompts_per_round", got, fix="set at most that")


def _check_attempts(config: LoopConfig, held_out: Sequence[Prompt], problems: Problems) -> None:
    """Each attempt at a round has held-out prompts of its own."""
    size, attempts = config.evaluation.prompts_per_attempt or 0, config.retry.times + 1
    if held_out and len(held_out) < size * attempts:
        got = f"got {size}, and {config.evaluation.prompts} has {len(held_out)} prompts for {attempts} attempts at a round"
        fix = f"set at most {len(held_out) // attempts}, or a smaller retry.times"
        problems.add("", "evaluation.prompts_per_attempt", got, fix=fix)


def _check_overlap(name: str, known: Collection[str], held_out: Sequence[Prompt], problems: Problems) -> None:
    """A policy must not be judged on prompts that it was trained on."""
    if both := [prompt.id for prompt in held_out if words(prompt) in known]:
        got = f"{len(both)} are among {name} too, as {both[0]}"
        problems.add("", "evaluation.prompts", got, fix="take them out of one file")


def _histories(
    config: LoopConfig, found: InputReader, constitution: Constitution | None, labelling: Mapping[str, str]
) -> list[History]:
    """What each phase trains the policy against."""
    folders = [*config.data, *reward_models(config.feedback)]
    past = found.attempt("data", partial(history, [], folders)) or History()
    histories, labels = [], False
    for i, phase in enumerate(config.phases):
        against = found.phase(f"phases.{i}", phase)
        if phase.needs_pairs:
            labels = labels or phase.fresh
            against.principles += [*past.principles, *(constitution.principles if labels and constitution else ())]
            against.judges |= {*past.judges, *(labelling.values() if labels else ())}
        histories.append(against)
    return histories


def _check_gold(gold: Constitution, histories: Sequence[History], problems: Problems) -> None:
    """Gold that is trained against would compare the reward with itself."""
    names = {name: None for against in histories for name in against.provenance(gold, {}).principles}
    if names:
        got = f"{', '.join(names)} of {gold.name} is trained against too, by its rule or its text"
        fix = "name principles that no phase is rewarded or labelled by"
        problems.add("", "evaluation.gold", got, fix=fix)


def _held_out(
    config: LoopConfig,
    constitution: Constitution | None,
    judges: Mapping[str, str],
    before: History,
    histories: Sequence[History],
    problems: Problems,
) -> list[str]:
    """Names of principles and judges that have no vote in evaluations. A problem where they would differ between rounds."""
    given = config.evaluation.held_out
    if constitution is None or TRAINED not in given:
        return [*given]
    seen = [against.provenance(constitution, judges) for against in (before, *histories)]
    first, *phases = ({*one.principles, *one.judges} for one in seen)
    after = [first | phase for phase in phases]
    if config.stop:  # each phase starts from the last one's policy
        after = [*accumulate(after, set[str].union)]
    names = sorted(set().union(*after))
    other = next((i for i, one in enumerate(after) if one != after[0]), None)
    if other:
        got = (
            f"`{TRAINED}` stands for {_listed(after[0])} in phases.0 and for {_listed(after[other])} in phases.{other}, and rounds "
            "are compared by the same judges"
        )
        problems.add("", "evaluation.held_out", got, fix=f"name them: [{', '.join(names)}]")
    return [*(name for name in given if name != TRAINED), *names]


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _check_launch(config: LoopConfig, problems: Problems) -> None:
    if config.launch and not shutil.which(config.launch[0]):
        fix = "name one that is there, as in .venv/bin/accelerate"
        problems.add("", "launch", f"{config.launch[0]}: no such program", fix=fix)


def _check_gates(config: LoopConfig, constitution: Constitution | None, problems: Problems) -> None:
    """Gates that no round, or not each, could ever pass, as what they look at is never measured."""
    gates, given = config.gates, config.evaluation
    if gates.gold is not None and not given.gold:
        got, fix = "needs a constitution that nothing is trained against", "name it in evaluation.gold"
        problems.add("", "gates.gold", got, fix=fix)
    for name in ("refusal_up", "unsafe_refusal_down"):
        if getattr(gates, name) is not None and not given.probes:
            problems.add("", f"gates.{name}", "needs refusals to be counted", fix="set evaluation.probes: true")
    if (
        gates.controls is not None
        and constitution
        and not any(principle.judged for principle in constitution.applicable(()))
    ):
        got = f"{constitution.name} has no principle by which a model judges them"
        problems.add("", "gates.controls", got, fix="add one that applies to all prompts, or leave the gate out")
    if gates.agreement is not None and not config.feedback.test_fraction:
        fix = "set feedback.test_fraction above 0, or leave the gate out"
        problems.add("", "gates.agreement", "needs pairs that are held out", fix=fix)
    for i, phase in enumerate(config.phases):
        if gates.controls is not None and not (phase.needs_pairs and phase.fresh and config.feedback.plan.controls):
            fix = "have it make fresh pairs, or leave the gate out"
            problems.add("", "gates.controls", f"phases.{i} labels no control pairs", fix=fix)
        if gates.agreement is not None and getattr(phase, "reward", None) is None:
            fix = "add `reward: {}` to it, or leave the gate out"
            problems.add("", "gates.agreement", f"phases.{i} trains no reward model", fix=fix)


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


def judged_by(inputs: Inputs, config: LoopConfig, attempt: int) -> tuple[Prompt, ...]:
    """The held-out prompts of an attempt, from 1: none of an earlier attempt's."""
    size = config.evaluation.prompts_per_attempt or len(inputs.held_out)
    return inputs.held_out[(attempt - 1) * size : attempt * size]


def prompt_lines(drawn: Sequence[Prompt]) -> str:
    """Prompts as a JSONL file. Ready responses are left out, as the policy's own are wanted."""
    rows = []
    for prompt in drawn:
        row = prompt.model_dump(mode="json", exclude_defaults=True, exclude={"messages", "responses"})
        messages = [message.model_dump(mode="json", exclude_defaults=True) for message in prompt.messages]
        rows.append(json.dumps({**row, "prompt": messages}, ensure_ascii=False))
    return "".join(f"{row}\n" for row in rows)
