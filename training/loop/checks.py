"""Reads what the settings of a loop name, and gathers everything that is wrong with it. Tokenizers load, weights do not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from constitution.errors import InputError, Problem, UserError
from constitution.loading import load as load_constitution
from constitution.options import parse
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Prompt
from evaluation.policy import job as policy_job
from evaluation.policy.provenance import History, history
from evaluation.policy.settings import PolicySettings
from evaluation.run_files import split_files
from generation import prompts
from generation.config import RunConfig
from generation.engines.base import ModelError
from generation.engines.replay import Replay
from generation.models.digests import file_digest
from generation.models.factory import chat_models, parts
from generation.models.files import resolve
from generation.output import manifest
from generation.pipeline import job
from training.data.columns import prompted
from training.data.rows import words
from training.data.sources import Kind
from training.data.sources import read as read_rows
from training.loop import steps as loop_steps
from training.loop.config import RETRAINED, BestOfPhase, LoopConfig, Phase, PPOPhase
from training.loop.steps import Step
from training.rollout.config import JudgeReward, Rewards
from training.rollout.rewards import open_rewards
from training.rollout.rules import RewardError

_WRONG = (
    UserError, ModelError, RewardError,
)  # fmt: skip
_OPTION = re.compile(r"--(constitution|gold|held-out|judge|limit|prompts|refusals|weights)\b")

T = TypeVar("T")


class Reading:
    """What was read so far, and what could not be."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.digests: dict[str, str] = {}
        self._told: list[str] = []
        """Problems without their places."""

    def attempt(self, place: str, read: Callable[[], T], told: Collection[str] = ()) -> T | None:
        """What it reads; None where that is a problem. told: problems that are not told again."""
        try:
            return read()
        except _WRONG as error:
            lines = [line for line in str(error).split("\n") if line not in told]
            self._told += lines
            self.problems += [f"{place}: {line}" if place else line for line in lines]
            return None

    def digest(self, place: str, read: Callable[[], str]) -> None:
        """Keep a digest."""
        found = self.attempt(place, read)
        if found is not None:
            self.digests[place] = found

    def judges(self, place: str, run: RunConfig, base: str, judge: str) -> Mapping[str, str]:
        """Name -> digest of all that judges; none where a model cannot be used."""
        cast = self.attempt(place, partial(parts, run.model_copy(update={"policy": base, "judge": judge})), self._told)
        found = cast.digests() if cast else {}
        self.digests |= {f"{place}.{name}": digest for name, digest in found.items()}
        return found

    def constitution(self, place: str, path: str) -> Constitution | None:
        """None where none is named, too."""
        laws = self.attempt(place, lambda: load_constitution(Path(path))) if path else None
        if laws:
            self.digests[place] = laws.digest
        return laws

    def prompts(self, place: str, source: str, limit: int | None = None) -> tuple[tuple[Prompt, ...], Counter[str]]:
        """Rows that are prompts, and why others are none. That all are none is a problem."""
        if self.attempt(place, lambda: prompts.inspect(source, limit)) is None:
            return (), Counter()
        rows = [*prompts.read(source, limit)]
        asked = tuple(row for row in rows if isinstance(row, Prompt))
        unread = Counter(row.reason for row in rows if isinstance(row, Failure))
        if not asked:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(unread.items()))
            self.problems.append(f"{place}: {source}: none of {len(rows)} rows is a prompt ({why}); mend them")
        self.digests[place] = digest_of([prompt.model_dump_json() for prompt in asked])
        return asked, unread

    def run(self, name: str, kinds: Collection[Kind]) -> set[str]:
        """The words of the prompts of a run that are trained on."""
        place, asked = f"data.{name}", set[str]()
        if manifest.read(Path(name).expanduser()) is None:
            self.problems.append(f"{place}: is no finished run folder (no {manifest.NAME}); name one, or leave it out")
            return asked
        for kind in sorted(kinds):
            found = self.attempt(place, partial(_trained_on, name, kind))
            if found is not None:
                asked |= found
                self.digests[f"{place}.{kind}"] = _files(name, kind)
        return asked

    def phase(self, place: str, phase: Phase) -> History:
        """The models and rewards that a phase names. Returns what of them its policy is trained against."""
        named = {"training.critic": getattr(phase.training, "critic", None)}
        if (reward := getattr(phase, "reward", None)) and "model" in reward.model_fields_set:
            named["reward.model"] = reward.model
        for name, spec in named.items():
            if spec:
                self.digest(f"{place}.{name}", partial(_model, spec))
        if isinstance(phase, PPOPhase) and (gold := phase.training.monitor.gold):
            # its digests are none of the loop's: a run's monitor may be set otherwise
            for name, source in _sources(gold):
                self.attempt(f"{place}.training.monitor.gold.{name}", partial(open_rewards, source))
        if isinstance(phase, PPOPhase | BestOfPhase):
            return self._rewards(f"{place}.training.reward", phase.training.reward)
        return History()

    def _rewards(self, place: str, rewards: Rewards) -> History:
        folders: list[str] = []
        principles, judges = list[Principle](), set[str]()
        for name, source in _sources(rewards):
            opened = self.attempt(f"{place}.{name}", partial(open_rewards, source))
            if opened is None:
                continue
            for key, digest in opened.digests.items():
                part = key.removeprefix("reward/")
                self.digests[f"{place}.{name if source.models else part}"] = digest
                judges |= {digest} if part.startswith(("judge.", "models.")) else set()
            if laws := source.rules or source.judge:
                principles += load_constitution(laws.constitution).principles
            folders += [*(source.models.paths if source.models else ()), *reward_models(source.judge)]
        found = self.attempt(place, partial(history, [], folders)) or History()
        found.principles += principles
        found.judges |= judges
        return found

    def together(self, config: LoopConfig, out: Path, held_out: Sequence[str]) -> None:
        """Whether what is named goes together: what the commands that label and evaluate check before anything loads.

        held_out: in place of the evaluation's own.
        """
        first, told = loop_steps.rounds(config, out)[0], frozenset(self._told)
        with TemporaryDirectory() as folder:
            settings = Path(folder) / "settings.yaml"
            settings.write_text(loop_steps.feedback(config, first, config.model).text, encoding="utf-8")
            self.attempt("feedback", partial(_labels, config, first.run, settings), told)
            step = loop_steps.evaluation(config, first, 1, config.model)
            settings.write_text(step.text, encoding="utf-8")
            self.attempt("evaluation", partial(_evaluates, step, config.model, settings, held_out), told)


def reward_models(judging: RunConfig | JudgeReward | None) -> list[str]:
    """Those of a panel."""
    return [member.model for member in judging.panel if member.rewards] if judging else []


def digest_of(texts: Sequence[str]) -> str:
    """32 hex characters over texts in their order."""
    return blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()


def _trained_on(run: str, kind: Kind) -> set[str]:
    return {words(prompted(raw.row)) for raw in read_rows(run, kind) if raw.split != "test"}


def _files(run: str, kind: Kind) -> str:
    return digest_of([file_digest(path) for _, path in split_files(Path(run).expanduser(), kind)])


def _model(spec: str) -> str:
    return resolve(spec).digest


def _sources(rewards: Rewards) -> Iterator[tuple[str, Rewards]]:
    """Each by itself, so that what is wrong with one hides nothing of another. Without the model that the loop trains."""
    if rewards.rules:
        yield "rules", Rewards(rules=rewards.rules)
    for path in rewards.models.paths if rewards.models else ():
        if rewards.models and path != RETRAINED:
            yield f"models.{path}", Rewards(models=rewards.models.model_copy(update={"paths": (path,)}))
    if rewards.judge:
        yield "judge", Rewards(judge=rewards.judge)


def _labels(config: LoopConfig, out: Path, settings: Path) -> None:
    """What a run checks. Raises InputError and ModelError."""
    weights = Path(config.weights) if config.weights else None
    try:
        found = job.prepare(Path(config.constitution), config.prompts, out, settings, (), {}, None, (), weights)
    except UserError as error:
        raise InputError(_OPTION.sub(_setting, str(error))) from None
    chat_models(found.config, found.cast, lambda _: Replay.pseudo())


def _evaluates(step: Step, base: str, settings: Path, held_out: Sequence[str]) -> None:
    """What an evaluation checks, with the base as the policy. Raises UserError."""
    given = parse(PolicySettings, step.command[step.command.index("policy") + 1 :])
    changed = {"a": base, "config": settings, "held_out": tuple(held_out), "json_file": None, "page": None}
    try:
        policy_job.prepare(given.model_copy(update=changed))
    except UserError as error:
        raise UserError(map(_of_loop, error.problems)) from None


def _of_loop(problem: Problem) -> Problem:
    """A problem of an option, told of the loop's setting of the same name."""
    if not problem.place.startswith("--"):
        return problem
    name = problem.place.removeprefix("--").replace("-", "_")
    return problem._replace(place="" if name in ("a", "b", "base") else name)


def _setting(option: re.Match[str]) -> str:
    """An option of a command as the loop's settings name it."""
    return option[1].replace("-", "_")
