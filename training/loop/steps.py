"""The steps of a round: which command each is, where it writes, by which file it is known to be done."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from constitution.checks.own import loading_options
from constitution.options import arguments as command_line
from evaluation.policy.settings import PolicySettings
from generation.config import RunConfig
from generation.data.mapping import as_options
from generation.output.manifest import NAME as MANIFEST
from training.loop.config import RETRAINED, BestOfPhase, LoopConfig, Phase, PPOPhase

PROMPTS = "prompts.jsonl"
RUN, REWARD = "run", "reward"
"""Folders of a round's pairs and of its reward model."""
CHECKPOINT = "checkpoint"
"""Folder of what an attempt trained."""
DECISION = "decision.json"
EVALUATION = "policy.json"
TRAINED = "training.json"
CHECKPOINTS = "checkpoints"
"""Folder of an attempt's checkpoints, from which a killed training resumes."""
PREVIOUS = "evaluation-previous"
"""The evaluation against the policy that the round started from."""


class Step(NamedTuple):
    """One command of a round."""

    name: str
    command: tuple[str, ...]
    done: Path
    """There when the step is done."""
    log: Path
    settings: Path
    """The file of settings that the command reads, and what it says."""
    text: str


class Part(NamedTuple):
    """Something that a round of a loop has made, or is making."""

    round: int
    attempt: int
    """0 for what all attempts share."""
    name: str
    path: Path

    @property
    def label(self) -> str:
        """Its name among all of a loop's."""
        return f"round-{self.round}-{f'attempt-{self.attempt}-' if self.attempt else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a loop, whatever became of those before."""

    number: int
    """From 1."""
    index: int
    """Of its phase."""
    phase: Phase
    folder: Path

    def attempt(self, number: int) -> Path:
        """The folder of one attempt at it, from 1."""
        return self.folder / f"attempt-{number}"

    def checkpoint(self, number: int) -> Path:
        """What one attempt trained."""
        return self.attempt(number) / CHECKPOINT

    @property
    def run(self) -> Path:
        """The folder of its pairs."""
        return self.folder / RUN

    @property
    def reward(self) -> Path:
        """The folder of its reward model."""
        return self.folder / REWARD

    @property
    def rewarded(self) -> bool:
        """Whether it trains a reward model."""
        return getattr(self.phase, "reward", None) is not None

    @property
    def fresh(self) -> bool:
        """Whether it makes pairs."""
        return self.phase.needs_pairs and self.phase.fresh

    @property
    def asks(self) -> bool:
        """Whether it draws prompts."""
        return self.fresh or isinstance(self.phase, PPOPhase | BestOfPhase)


def rounds(config: LoopConfig, out: Path) -> list[Round]:
    """All rounds of a loop that lies in `out`."""
    phases = [(i, phase) for i, phase in enumerate(config.phases) for _ in range(phase.rounds)]
    return [Round(number, i, phase, out / f"round-{number}") for number, (i, phase) in enumerate(phases, 1)]


def labelling(config: LoopConfig, number: int, policy: str) -> RunConfig:
    """Settings of the run of a round, by its number from 1."""
    given = config.feedback
    # another seed each round: a policy that did not change then gives other responses to the same prompts
    plan = given.plan.model_copy(update={"seed": given.plan.seed + number - 1})
    return given.model_copy(update={"policy": policy, "judge": given.judge or config.model, "plan": plan})


def feedback(config: LoopConfig, this: Round, policy: str) -> Step:
    """The round's pairs, from the policy that it starts with."""
    settings = labelling(config, this.number, policy).model_dump(mode="json")
    arguments = ["--constitution", config.constitution, "--prompts", this.folder / PROMPTS, "--out", this.run]
    arguments += ["--weights", config.weights] if config.weights else []
    arguments += ["--ray", config.ray, "--shards", str(config.shards)] if config.ray else []
    return _step(this, this.folder, "feedback", ("generate_feedback",), arguments, settings, this.run / MANIFEST)


def reward(config: LoopConfig, this: Round, earlier: Sequence[Round]) -> Step:
    """The round's reward model, from the newest pairs."""
    assert isinstance(this.phase, PPOPhase | BestOfPhase)
    assert this.phase.reward is not None
    given = this.phase.reward
    model = given.model if "model" in given.model_fields_set else config.model
    settings = {**given.model_dump(mode="json"), "model": model, "data": pairs(config, this, earlier)}
    # its accuracy is a gate of fresh pairs, and those of earlier rounds would be most of what is held out
    settings["eval_sources"] = [str(one.run) for one in _made(this, earlier)[-1:]]
    return _training(config, this, this.folder, "reward", "reward", settings, this.reward)


def training(config: LoopConfig, this: Round, earlier: Sequence[Round], policy: str, attempt: int, rate: float) -> Step:
    """The policy of one attempt. rate: what the learning rate is multiplied with."""
    phase = this.phase
    asked = isinstance(phase, PPOPhase | BestOfPhase)
    settings = phase.training.model_dump(mode="json")
    settings |= {
        "model": policy,
        "data": {str(this.folder / PROMPTS): 1.0} if asked else pairs(config, this, earlier),
        "learning_rate": phase.training.learning_rate * rate,
        "seed": phase.training.seed + this.number - 1,
    }
    if asked and (models := settings["reward"]["models"]):
        own = str(this.reward)
        models["paths"] = [own if path == RETRAINED else path for path in models["paths"]]
    if isinstance(phase, BestOfPhase) and attempt > 1:  # the same responses, rewarded alike
        settings["reuse"] = [*settings["reuse"], str(this.checkpoint(attempt - 1))]
    folder = this.attempt(attempt)
    return _training(config, this, folder, phase.recipe, "training", settings, this.checkpoint(attempt))


def judging(config: LoopConfig) -> RunConfig:
    """Settings by which evaluations sample and judge."""
    given = config.evaluation
    plan = given.settings.plan.model_copy(update={"seed": given.seed})
    return given.settings.model_copy(update={"judge": given.judge or config.model, "plan": plan})


def compared(config: LoopConfig, out: Path, policy: str, against: str) -> PolicySettings:
    """Options of the evaluation of one policy against another; KL is from the base in either case.

    out: the loop's folder, which has one folder of calls for all evaluations, so that the base is asked once.
    """
    given = config.evaluation
    options: dict[str, object] = {"a": policy, "b": against, "base": config.model, "prompts": given.prompts}
    options |= {"constitution": given.constitution or config.constitution, "judge": given.judge or config.model}
    options |= {"seed": given.seed, "out": out / "evaluation"}
    named = {"gold": given.gold, "weights": given.weights, "refusals": given.refusals, "limit": given.limit}
    options |= {name: value for name, value in named.items() if value}
    options |= {} if given.probes else {"probes": "none"}
    options |= {"held_out": given.held_out} if given.held_out else {}
    options |= {"columns": as_options(given.columns), "refusal_columns": as_options(given.refusal_columns)}
    return PolicySettings.model_validate(options)


def evaluation(config: LoopConfig, this: Round, attempt: int, against: str, name: str = "evaluation") -> Step:
    """One attempt's policy against another."""
    folder = this.attempt(attempt)
    out = folder / name
    options = compared(config, this.folder.parent, str(this.checkpoint(attempt)), against)
    options = options.model_copy(update={"json_file": out / EVALUATION, "page": out / "page.html"})
    if config.evaluation.prompts_per_attempt:
        own = {"prompts": str(held_out(this.folder.parent, attempt)), "columns": (), "limit": None}
        options = options.model_copy(update=own)
    settings = config.evaluation.settings.model_dump(mode="json", exclude={"policy", "judge"}, exclude_unset=True)
    return _step(this, folder, name, ("evaluation", "policy"), command_line(options), settings, out / EVALUATION)


def held_out(out: Path, attempt: int) -> Path:
    """The prompts by which such attempts of all rounds are judged, where each number has its own. out: the loop's folder."""
    return out / f"held-out-{attempt}.jsonl"


def pairs(config: LoopConfig, this: Round, earlier: Sequence[Round]) -> dict[str, float]:
    """Run folder -> weight: the newest pairs count 1, those of earlier rounds `older`, runs that were given their own weight."""
    made = [str(one.run) for one in _made(this, earlier)]
    older = {run: this.phase.older for run in made[:-1] if this.phase.older}
    return {**config.data, **older, **dict.fromkeys(made[-1:], 1.0)}


def _made(this: Round, earlier: Sequence[Round]) -> list[Round]:
    """Rounds that have made pairs, the newest last."""
    return [one for one in [*earlier, this] if one.fresh]


def _training(
    config: LoopConfig, this: Round, folder: Path, recipe: str, name: str, settings: dict[str, Any], out: Path
) -> Step:
    start = () if recipe == "best_of" else config.launch
    return _step(this, folder, name, ("training", recipe), ["--out", out], settings, out / TRAINED, start)


def _step(
    this: Round,
    folder: Path,
    name: str,
    module: tuple[str, ...],
    arguments: Sequence[object],
    settings: dict[str, Any],
    done: Path,
    start: tuple[str, ...] = (),
) -> Step:
    """A command of ours with its file of settings beside what it writes."""
    file = folder / f"{name}.yaml"
    command = (
        *(start or (sys.executable,)),
        "-m",
        *module,
        *map(str, arguments),
        *loading_options(),
        "--config",
        str(file),
    )
    title = name if folder == this.folder else f"{folder.name}-{name}"
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return Step(title, command, done, this.folder / "log" / f"{title}.txt", file, text)


def parts(out: Path) -> list[Part]:
    """What the rounds of a loop have made so far: runs, trainings and evaluations, in order."""
    found = []
    for folder in out.glob("round-[0-9]*"):
        number = folder.name.removeprefix("round-")
        if not number.isdecimal():
            continue
        found += [Part(int(number), 0, name, folder / name) for name in (RUN, REWARD)]
        for attempt in folder.glob("attempt-[0-9]*"):
            tried = attempt.name.removeprefix("attempt-")
            paths = {"training": attempt / CHECKPOINT}
            paths |= {name: attempt / name / EVALUATION for name in ("evaluation", PREVIOUS)}
            found += [Part(int(number), int(tried), *one) for one in paths.items() if tried.isdecimal()]
    return sorted(one for one in found if one.path.exists())


def planned(config: LoopConfig, out: Path) -> Iterator[tuple[Round, str, Path]]:
    """Every step of a loop whose rounds are all kept at the first attempt: round, name, and the file that tells that it is done."""
    for one in rounds(config, out):
        first = one.attempt(1)
        if one.fresh:
            yield one, "feedback", one.run / MANIFEST
        if one.rewarded:
            yield one, "reward", one.reward / TRAINED
        yield one, one.phase.recipe, one.checkpoint(1) / TRAINED
        yield one, "evaluation", first / "evaluation" / EVALUATION
        if config.gates.previous is not None and one.number > 1:  # the first round starts from the base
            yield one, PREVIOUS, first / PREVIOUS / EVALUATION
        yield one, "decision", first / DECISION
