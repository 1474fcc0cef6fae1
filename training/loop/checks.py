"""Reads what the settings of a loop name, and gathers everything that is wrong with it. Tokenizers load, weights do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from constitution.digest import digest, file_digest
from constitution.errors import Problem, Problems, UserError
from constitution.loading import load as load_constitution
from constitution.options import flag
from constitution.principles import Constitution, Principle
from constitution.records import Failure, Prompt
from evaluation.policy import job as policy_job
from evaluation.policy.provenance import History, history
from evaluation.policy.settings import PolicySettings
from generation.config import RunConfig
from generation.data import prompts
from generation.data.mapping import as_options
from generation.data.matching import unread
from generation.data.message import Told
from generation.engines.replay import Replay
from generation.models.factory import chat_models, model_registry
from generation.models.files import resolve
from generation.output import manifest
from generation.output.files import parts_of
from generation.output.reading import split_files
from generation.pipeline import job
from generation.request import FeedbackSettings
from training.data.parsing import prompted
from training.data.rows import words
from training.data.sources import Kind
from training.data.sources import read as read_rows
from training.loop import steps as loop_steps
from training.loop.config import RETRAINED, BestOfPhase, LoopConfig, Phase, PPOPhase
from training.rollout.config import JudgeReward, Rewards
from training.rollout.rewards import open_rewards

_OPTIONS = {
    flag(PolicySettings, name): key
    for name, key in {
        "a": "model",
        "b": "model",
        "base": "model",
        "constitution": "evaluation.constitution",
        "prompts": "evaluation.prompts",
        "columns": "evaluation.columns",
        "limit": "evaluation.limit",
        "judge": "evaluation.judge",
        "gold": "evaluation.gold",
        "weights": "evaluation.weights",
        "refusals": "evaluation.refusals",
        "refusal_columns": "evaluation.refusal_columns",
        "held_out": "evaluation.held_out",
    }.items()
}
"""Options of an evaluation -> settings of the loop that they come from."""

T = TypeVar("T")


class InputReader:
    """What was read so far, and what could not be."""

    def __init__(self) -> None:
        self.problems = Problems()
        self.digests: dict[str, str] = {}
        self._columns: dict[str, frozenset[str]] = {}
        """Place of prompts -> what rules may read of their rows."""
        self._reported: set[Problem] = set()
        """Problems as they were raised, without the settings that they were noted under."""

    def attempt(self, setting: str, read: Callable[[], T], again: bool = False) -> T | None:
        """What it reads; None where that is a problem. again: what was told before is not told anew."""
        try:
            return read()
        except UserError as error:
            new = [problem for problem in error.problems if not (again and problem in self._reported)]
            self._reported.update(error.problems)
            self.problems.found += [problem.named_by(setting) if setting else problem for problem in new]
            return None

    def digest(self, place: str, read: Callable[[], str]) -> None:
        """Keep a digest."""
        found = self.attempt(place, read)
        if found is not None:
            self.digests[place] = found

    def judges(self, place: str, run: RunConfig, base: str, judge: str) -> Mapping[str, str]:
        """Name -> digest of all that judges; none where a model cannot be used."""
        settings = run.model_copy(update={"policy": base, "judge": judge})
        registry = self.attempt(place, partial(model_registry, settings), again=True)
        found = registry.digests() if registry else {}
        self.digests |= {f"{place}.{name}": digest for name, digest in found.items()}
        return found

    def constitution(self, place: str, path: str) -> Constitution | None:
        """None where none is named, too."""
        found = self.attempt(place, lambda: load_constitution(Path(path))) if path else None
        if found:
            self.digests[place] = found.digest
        return found

    def prompts(
        self, place: str, source: str, columns: Mapping[str, str], limit: int | None = None
    ) -> tuple[tuple[Prompt, ...], Counter[str]]:
        """Rows that are prompts, and why others are none. That all are none is a problem. columns: field -> its column."""
        info = self.attempt(place, lambda: prompts.inspect(source, limit, columns))
        if info is None:
            return (), Counter()
        self._columns[place] = info.columns
        rows = [row for row in prompts.read(source, limit, columns) if isinstance(row, Prompt) or not row.subject]
        asked = tuple(row for row in rows if isinstance(row, Prompt))
        unread = Counter(row.reason for row in rows if isinstance(row, Failure))
        if not asked:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(unread.items()))
            self.problems.add("", place, f"{source}: none of {len(rows)} rows is a prompt ({why})", fix="mend them")
        self.digests[place] = digest_of([prompt.model_dump_json() for prompt in asked])
        return asked, unread

    def check_columns(self, place: str, *constitutions: Constitution | None) -> None:
        """Note rules that read what none of these prompts has: they would never vote, and nobody reads what a step prints."""
        for one in constitutions:
            if one and place in self._columns and (missing := unread(one, self._columns[place])):
                got = f"no row has column {', '.join(missing)}, which a rule of {one.name} reads"
                self.problems.add("", place, got, fix="add it, or correct the rule")

    def run(self, name: str, kinds: Collection[Kind]) -> set[str]:
        """The words of the prompts of a run that are trained on."""
        place, asked = f"data.{name}", set[str]()
        if self.attempt(place, partial(manifest.whole, Path(name).expanduser())) is None:
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
            self.attempt("", partial(open_rewards, gold, key=f"{place}.training.monitor.gold"))
        if isinstance(phase, PPOPhase | BestOfPhase):
            return self._rewards(f"{place}.training.reward", phase.training.reward)
        return History()

    def _rewards(self, place: str, rewards: Rewards) -> History:
        folders: list[str] = []
        principles, judges = list[Principle](), set[str]()
        for name, source in _sources(rewards):
            opened = self.attempt("", partial(open_rewards, source, key=place))
            if opened is None:
                continue
            for key, known in opened.digests.items():
                part = key.removeprefix("reward/")
                self.digests[f"{place}.{name if source.models else part}"] = known
                judges |= {known} if part.startswith(("judge.", "models.")) else set()
            if named := source.rules or source.judge:
                principles += load_constitution(named.constitution).principles
            folders += [*(source.models.paths if source.models else ()), *reward_models(source.judge)]
        found = self.attempt(place, partial(history, [], folders)) or History()
        found.principles += principles
        found.judges |= judges
        return found

    def together(self, config: LoopConfig, out: Path, held_out: Sequence[str]) -> None:
        """Whether what is named goes together: what the commands that label and evaluate check before anything loads.

        held_out: in place of the evaluation's own.
        """
        self.attempt("feedback", partial(_label, config, loop_steps.rounds(config, out)[0].run), again=True)
        options = loop_steps.compared(config, out, config.model, config.model)
        options = options.model_copy(update={"held_out": tuple(held_out)})
        try:
            policy_job.prepare(options, loop_steps.judging(config))
        except UserError as error:
            self.problems.found += [_of_loop(problem) for problem in error.problems if problem not in self._reported]


def reward_models(judging: RunConfig | JudgeReward | None) -> list[str]:
    """Those of a panel."""
    return [member.model for member in judging.panel if member.rewards] if judging else []


def digest_of(texts: Sequence[str]) -> str:
    """32 hex characters over texts in their order."""
    return digest("\0".join(texts))


def _trained_on(run: str, kind: Kind) -> set[str]:
    """Words of the prompts of a run's rows. Raises UserError."""
    return {words(prompted(raw.row, Told())) for raw in read_rows(run, kind) if raw.split != "test"}


def _files(run: str, kind: Kind) -> str:
    files = [part for _, path in split_files(Path(run).expanduser(), kind) for part in parts_of(path)]
    return digest_of([file_digest(path) for path in files])


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


def _label(config: LoopConfig, out: Path) -> None:
    """What a run checks. Raises UserError."""
    weights = Path(config.weights) if config.weights else None
    run = loop_steps.labelling(config, 1, config.model)
    named = FeedbackSettings(
        constitution=Path(config.constitution), prompts=config.prompts, columns=as_options(config.columns),
        out=str(out), weights=weights,
    )  # fmt: skip
    found = job.prepare(named, run)
    chat_models(found.config, found.registry, lambda _: Replay.pseudo())


def _of_loop(problem: Problem) -> Problem:
    """A problem of an evaluation, told of the loop's setting that it comes from."""
    if key := _OPTIONS.get(problem.place):
        return problem._replace(place="").under(key)
    return problem.named_by("evaluation" if problem.place else "evaluation.settings")
