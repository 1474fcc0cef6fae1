"""Ask a panel about labelled pairs: the same methods, prompts and calls as a run's, with the better reply known."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from constitution.errors import InputError, UserError
from constitution.loading import load
from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Vote
from critics import templating
from critics.ranking.aggregate import heard
from critics.ranking.weights import Origin
from critics.text.rules import word_count
from evaluation.judge.ballots import Ballots, from_votes
from evaluation.judge.labelled import LabelledPair, file_digest, read_labelled
from generation import settings
from generation.calls.store import CallStore, StoreError
from generation.calls.stored import Stored
from generation.config import ENGINES, EXAMPLE, RunConfig
from generation.engines.base import Engine, ModelError, TransientError
from generation.models.factory import OpenEngine, chat_models, parts
from generation.output.folder import SETTINGS
from generation.pipeline.job import CALLS
from generation.pipeline.panel import Panel, panel_of, unknown_principles
from generation.pipeline.progress import Progress
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.voting import votes_on


class Asked(NamedTuple):
    """What a panel said of labelled pairs."""

    ballots: Ballots
    origin: Origin
    yaml_weights: dict[str, float]
    """Voter -> what its vote counts by the constitution's own weights."""
    failures: dict[str, int]
    """Reason -> votes, or rows of the file, that are missing for it."""
    calls_made: int
    calls_reused: int


class Answers(NamedTuple):
    """All records on the pairs, and what they cost."""

    panel: Panel
    records: list[Vote | Failure]
    """Votes have a = better, b = worse, prompt_id = the pair's id."""
    calls_made: int
    calls_reused: int


def add_arguments(parser: argparse.ArgumentParser, out: str = "runs/judge", asked: str = "pairs") -> None:
    """The options of everything that asks a live panel. out: the usual folder. asked: what the data's rows are."""
    add = parser.add_argument
    add("--constitution", type=Path, metavar="FILE", help="principles, as YAML")
    add("--judge", metavar="MODEL", help="`embedded`, a local folder or a hub id (settings' default: embedded)")
    add("--engine", choices=ENGINES, help="(settings' default: vllm where installed, else transformers)")
    add("--config", type=Path, metavar="FILE", help="settings, as YAML; those of a run")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, as in plan.methods=[compare,contrast]",
    )
    add(
        "--out",
        type=Path,
        default=Path(out),
        metavar="FOLDER",
        help="where calls are kept (default: %(default)s)",
    )
    add("--reuse", type=Path, action="append", default=[], metavar="RUN", help="take calls that this run made")
    add("--limit", type=int, metavar="N", help=f"read only the first N {asked}")


def ask(options: argparse.Namespace) -> Asked:
    """Ask the panel that the options name about the pairs of `--data`. Raises InputError."""
    constitution, run = read_settings(options)
    pairs, unread = read_labelled(options.data, options.limit)
    answers = asyncio.run(judge_pairs(pairs, constitution, run, options.out, options.reuse))
    votes = [record for record in answers.records if isinstance(record, Vote)]
    failures = Counter(f"{r.stage}: {r.reason}" for r in answers.records if isinstance(r, Failure))
    if unread:
        failures["read: bad_row"] = len(unread)
    origin = Origin(
        constitution=constitution.digest,
        judges={judge.name: judge.model.digest for judge in answers.panel.judges},
        templates=templating.digest(),
        judging=run.plan.judging(),
        data=file_digest(options.data),
        pairs=len(pairs),
    )
    ballots = _ballots(pairs, [vote for vote in votes if heard(vote, run.plan.position_inconsistent) is not None])
    halved = run.plan.position_inconsistent == "half"
    return Asked(
        replace(ballots, flipped_counts=0.5) if halved else ballots,
        origin,
        yaml_weights(answers.panel, constitution, set(ballots.voters)),
        dict(sorted(failures.items())),
        answers.calls_made,
        answers.calls_reused,
    )


def read_settings(options: argparse.Namespace) -> tuple[Constitution, RunConfig]:
    """The constitution and the settings, checked together. Raises InputError with the problems of both."""
    constitution, run = read_both(options)
    # nothing is sampled: the judge has the machine to itself
    return constitution, run.model_copy(update={"policy": run.judge_model, "judge": ""})


def read_both(options: argparse.Namespace, overrides: Sequence[str] = ()) -> tuple[Constitution, RunConfig]:
    """The constitution and the settings as they are, `overrides` after `--set`. Raises InputError with the problems of both."""
    problems: list[str] = []
    constitution = run = None
    if options.constitution is None:
        problems.append("--constitution: is missing; name a YAML file of principles, as in principles/hhh.yaml")
    else:
        try:
            constitution = load(options.constitution)
        except UserError as error:
            problems.append(str(error))
    try:
        flags = {"judge": options.judge, "engine": options.engine}
        run = settings.load(RunConfig, options.config, [*options.set, *overrides], flags, example=EXAMPLE)
    except UserError as error:
        problems.append(str(error))
    if constitution and run:
        problems += map(str, unknown_principles(run, constitution))
    if constitution is None or run is None or problems:
        raise InputError("\n".join(problems))
    return constitution, run


async def judge_pairs(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    run: RunConfig,
    out: Path,
    reuse: Sequence[Path] = (),
) -> Answers:
    """Ask every voter about every pair, under all principles that apply. Raises InputError.

    out: folder of the calls; what is there is not asked again. A pair whose judge stays unavailable becomes Failures.
    """
    if (out / SETTINGS).exists():
        raise InputError(f"{out}: is the folder of a run; choose another --out, with --reuse {out} to take its calls")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with closing(CallStore(out / CALLS, reuse=[path / CALLS for path in reuse])) as store:
            return await _judge_pairs(pairs, constitution, run, store)
    except (StoreError, ModelError) as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


async def _judge_pairs(
    pairs: Sequence[LabelledPair], constitution: Constitution, run: RunConfig, store: CallStore
) -> Answers:
    engines: list[Stored] = []
    rows = asyncio.Semaphore(run.prompts_in_flight)
    with Progress(len(pairs)) as progress:

        def wrap(open_engine: OpenEngine) -> Engine:
            engines.append(Stored(store, open_engine, progress.call))
            return engines[-1]

        async def one(pair: LabelledPair) -> list[Vote | Failure]:
            records = await ask_panel(panel, constitution, run, pair.prompt, pair.better, pair.worse, rows)
            progress.row(failed=any(isinstance(record, Failure) for record in records))
            return records

        try:
            _, judges = chat_models(run, parts(run), wrap)
            panel = panel_of(run, judges, None)
            found = await asyncio.gather(*(one(pair) for pair in pairs))
        finally:
            for engine in engines:
                await engine.close()
        made, reused = (sum(getattr(s, name) for s in progress.stages.values()) for name in ("made", "reused"))
    return Answers(panel, [record for records in found for record in records], made, reused)


async def ask_panel(
    panel: Panel,
    constitution: Constitution,
    run: RunConfig,
    prompt: Prompt,
    a: Response,
    b: Response,
    rows: asyncio.Semaphore,
) -> list[Vote | Failure]:
    """What all voters say of one pair, under all principles that apply. A judge that stays unavailable is a Failure.

    rows: bounds the pairs that are asked about at once.
    """
    voters = panel.voters(constitution.applicable(prompt.tags))
    async with rows:
        try:
            return await votes_on(panel, voters, prompt, a, b, run.plan)
        except TransientError as error:
            return [Failure(prompt.id, "engine", UNAVAILABLE, str(error))]


def yaml_weights(panel: Panel, constitution: Constitution, present: Collection[str]) -> dict[str, float]:
    """Voter -> what its vote counts in a pair's logit when all that are present vote: a mean of means, as in a run."""
    voters = [voter for voter in panel.voters(constitution.principles) if voter.name in present]
    of_principle = Counter(voter.principle.id for voter in voters)
    asked = [principle for principle in constitution.principles if of_principle[principle.id]]
    of_objective = {name: sum(p.weight for p in asked if p.objective == name) for name in {p.objective for p in asked}}
    mixture = sum(constitution.objectives[name] for name in of_objective)
    return {
        v.name: constitution.objectives[v.principle.objective]
        / mixture
        * (v.principle.weight / of_objective[v.principle.objective])
        / of_principle[v.principle.id]
        for v in voters
    }


def _ballots(pairs: Sequence[LabelledPair], votes: Sequence[Vote]) -> Ballots:
    lengths = [(word_count(pair.better.text), word_count(pair.worse.text)) for pair in pairs]
    return from_votes(
        votes,
        [pair.id for pair in pairs],
        [pair.group for pair in pairs],
        [pair.subset for pair in pairs],
        [float((better > worse) - (better < worse)) for better, worse in lengths],
    )
