"""The options of `python -m evaluation policy` -> a job that is checked through before any model loads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from constitution.loading import load
from constitution.principles import Constitution, suggest
from constitution.records import MAIN, Failure, Prompt
from critics import templating
from critics.weights import Weights, WeightsError, read_weights, refuse_other
from evaluation import asking
from evaluation.files import check_writable
from evaluation.inputs import InputError
from generation import prompts
from generation.cast import Cast, Part, Wrap, chat_model, chat_models, parts
from generation.chat_model import ChatModel
from generation.config import RunConfig
from generation.engine import ModelError
from generation.folder import SETTINGS
from generation.job import CALLS, WRONG_INPUT
from generation.models import EMBEDDED
from generation.panel import Panel, check_voters, panel_of
from generation.replay_engine import Replay
from generation.store import StoredCalls

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before a model loads."""

    a: Part
    b: Part
    base: Part
    """What the KL is measured from."""
    judges: Cast
    """Of `run`, whose policy is its judge."""
    run: RunConfig
    constitution: Constitution
    """The principles that judge: those held out are not among them."""
    gold: Constitution | None
    weights: Weights | None
    held_out: tuple[str, ...]
    source: str
    digest: str
    """Of the prompts."""
    rows: tuple[Prompt | Failure, ...]
    out: Path
    reuse: tuple[Path, ...]

    @property
    def unscored(self) -> str:
        """Why replies cannot be scored, and so the KL not be measured; empty where they can."""
        mute = [part.name for part in (self.a, self.base) if any(not server.token_ids for server in part.endpoints)]
        if not mute:
            return ""
        return f"{mute[0]}: a server of messages scores no given reply; use a vLLM server with token_ids: true"

    def crew(self, wrap: Wrap) -> Crew:
        """The models; tokenizers load now, weights at the first call. Raises ModelError."""
        _, judges = chat_models(self.run, self.judges, wrap)
        made = {_identity(self.judges.judges[name]): model for name, model in judges.items()}
        for part in (self.a, self.b, self.base):
            if _identity(part) not in made:
                made[_identity(part)] = chat_model(self.run, part, wrap)
        panel = panel_of(self.run, judges, self.weights)
        asked = replace(panel, judges=tuple(j for j in panel.judges if j.name not in self.held_out))
        a, b, base = (made[_identity(part)] for part in (self.a, self.b, self.base))
        return Crew(a, b, base, asked, replace(asked, weights=None))


@dataclass(frozen=True, slots=True)
class Crew:
    """The models of an evaluation. Equal parts are one model."""

    a: ChatModel
    b: ChatModel
    base: ChatModel
    panel: Panel
    """The judges that are not held out."""
    unweighted: Panel
    """The same by the YAML's weights: no others are fitted for the gold constitution."""


def prepare(options: argparse.Namespace) -> Job:
    """Read and check everything. Raises InputError with the problems of all files at once."""
    problems: list[str] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (InputError, *WRONG_INPUT) as error:
            problems.append(str(error))
            return None

    if options.limit is not None and options.limit < 1:
        problems.append(f"--limit: got {options.limit}; allowed is 1 or more")
    seeded = [f"plan.seed={options.seed}"] if options.seed is not None else []
    read = attempt(partial(asking.read_both, options, seeded))
    gold = attempt(partial(load, options.gold)) if options.gold else None
    limit = options.limit if options.limit and options.limit > 0 else None
    info = attempt(partial(prompts.inspect, options.prompts, limit))
    attempt(partial(_check_out, options.out))
    attempt(partial(check_writable, options.json, options.page))
    reuse = tuple(path / CALLS for path in options.reuse)
    attempt(lambda: StoredCalls(reuse).close())
    run = _judging(read[1]) if read else None
    policies = [attempt(partial(_policy, run, spec, flag)) for flag, spec in _specs(options)] if run else []
    cast = attempt(partial(parts, run)) if run else None
    held_out = _names(options.held_out)
    constitution = attempt(partial(_without, read[0], held_out, run)) if read and run else None
    weights = attempt(partial(_weights, options.weights, read[0], run, cast)) if read and run and cast else None
    if problems or not (read and run and cast and constitution and info) or None in policies:
        raise InputError("\n".join(problems))
    a, b, base = (part for part in policies if part)
    rows = tuple(prompts.read(options.prompts, limit))
    job = Job(
        a, b, base, cast, run, constitution, gold, weights, held_out,
        options.prompts, info.fingerprint, rows, options.out, reuse,
    )  # fmt: skip
    _check_judges(job)
    return job


def _specs(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [("--a", options.a), ("--b", options.b), ("--base", options.base or options.b)]


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Names, whether given one by one or with commas."""
    return tuple(dict.fromkeys(name.strip() for text in given for name in text.split(",") if name.strip()))


def _judging(run: RunConfig) -> RunConfig:
    """The settings with the judge as their only model, and one reply a prompt unless they say otherwise."""
    samples = run.plan.samples if "samples" in run.plan.model_fields_set else 1
    changed = {"policy": run.judge or EMBEDDED, "judge": "", "plan": run.plan.model_copy(update={"samples": samples})}
    return run.model_copy(update=changed | ({"vllm": run.judge_vllm} if run.judge_vllm else {}))


def _policy(run: RunConfig, spec: str, flag: str) -> Part:
    """One policy, alone on the machine. Raises InputError."""
    alone = run.model_copy(update={"policy": spec, "judge": "", "panel": (), "judge_endpoints": ()})
    fixed = [server.url for server in run.endpoints if server.model and server.model != spec]
    if fixed and run.engine == "endpoint":
        raise InputError(
            f"{flag} {spec}: endpoints: {fixed[0]} is asked for another model, {run.endpoints[0].model!r}; leave `model` out, so "
            "that each policy is asked for by its own name"
        )
    try:
        return parts(alone).policy
    except ModelError as error:
        raise InputError(f"{flag}: {error}") from None


def _identity(part: Part) -> tuple[object, ...]:
    return part.digest, part.endpoints, part.rewards


def _check_out(out: Path) -> None:
    if (out / SETTINGS).exists():
        raise InputError(f"{out}: is the folder of a run; choose another --out, with --reuse {out} to take its calls")


def _without(constitution: Constitution, held_out: Sequence[str], run: RunConfig) -> Constitution:
    """The constitution without the principles that are held out. Raises InputError."""
    judges = [MAIN, *(member.name for member in run.panel)]
    known = [*(principle.id for principle in constitution.principles), *judges]
    unknown = [name for name in held_out if name not in known]
    if unknown:
        raise InputError(
            "\n".join(
                f"--held-out: {name!r} is no principle of {constitution.name} and no judge{suggest(name, known)}; "
                f"allowed: {', '.join(known)}"
                for name in unknown
            )
        )
    kept = tuple(principle for principle in constitution.principles if principle.id not in held_out)
    if not kept or (set(judges) <= set(held_out) and not any(p.check for p in kept)):
        raise InputError(f"--held-out {','.join(held_out)}: leaves nobody to judge; hold out fewer")
    if len(kept) == len(constitution.principles):
        return constitution
    objectives = {p.objective for p in kept}
    mixture = {name: weight for name, weight in constitution.objectives.items() if name in objectives}
    # made anew: a copy would keep the digest that the whole one was asked for
    return Constitution(
        **{name: getattr(constitution, name) for name in ("name", "version", "description", "licence")},
        objectives=mixture,
        principles=kept,
    )


def _weights(path: Path | None, constitution: Constitution, run: RunConfig, cast: Cast) -> Weights | None:
    """The fitted weights, checked against all that judges. Raises WeightsError and ModelError."""
    if path is None:
        if run.plan.stop_error:
            raise WeightsError(
                f"plan.stop_error {run.plan.stop_error}: needs fitted weights; add --weights FILE, or leave it 0"
            )
        return None
    weights = read_weights(path)
    refuse_other(weights, path, constitution.digest, cast.digests(), templating.digest(), run.plan.judging())
    _, judges = chat_models(run, cast, lambda _: Replay.pseudo())
    check_voters(panel_of(run, judges, weights), constitution)
    return weights


def _check_judges(job: Job) -> None:
    """Refuse what nobody would judge, and models that lack the words of their ways. Raises InputError."""
    try:
        crew = job.crew(lambda _: Replay.pseudo())
    except ModelError as error:
        raise InputError(str(error)) from None
    panels = [("--constitution", job.constitution, crew.panel)]
    panels += [("--gold", job.gold, crew.unweighted)] if job.gold else []
    silent = [place for place, laws, panel in panels if not panel.voters(laws.principles)]
    if silent:
        raise InputError(
            f"{' and '.join(silent)}: nobody judges these principles; hold out fewer, or set panel and plan.ways"
        )


def warn(text: str) -> None:
    """Say it on stderr."""
    print(f"warning: {text}", file=sys.stderr)
