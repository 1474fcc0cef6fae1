"""Ask a panel about labelled pairs: the same methods, prompts and calls as a run's, with the better response known."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Problem, Problems, UserError
from constitution.loading import load
from constitution.principles import Constitution
from constitution.records import Failure, Prompt, Response, Vote
from constitution.terminal import complain
from constitution.words import word_count
from critics import templating
from critics.ranking.aggregate import effective_vote
from critics.ranking.weights import Origin, Weights
from evaluation.judge.batching import BatchAgreement, batch_agreement
from evaluation.judge.labelled import LabelledPair, labelled_digest, read_labelled
from evaluation.judge.matrix import VoteMatrix, from_votes
from evaluation.judge.panels import enough
from evaluation.judge.settings import PanelSettings
from generation import settings as reading
from generation.config import EXAMPLE, RunConfig
from generation.data.matching import unmatched
from generation.engines.base import TransientError
from generation.models.factory import chat_models, model_registry
from generation.output.folder import SETTINGS
from generation.pipeline.panel import Panel, check_forms, panel_of, unknown_principles
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS, CallCount, Session
from generation.pipeline.voting import votes_on


class GivenWeights(NamedTuple):
    """Weights that are evaluated, and their file."""

    weights: Weights
    path: Path


class PanelAnswers(NamedTuple):
    """What a panel said of labelled pairs."""

    matrix: VoteMatrix
    origin: Origin
    yaml_weights: dict[str, float]
    """Voter -> what its vote counts by the constitution's own weights."""
    failures: dict[str, int]
    """Reason -> votes, or rows of the file, that are missing for it."""
    calls: CallCount
    batch: BatchAgreement | None = None
    """Where several principles shared a call: how that agrees with one call a principle, which is asked too."""


class PanelRecords(NamedTuple):
    """All records on the pairs, and what they cost."""

    panel: Panel
    records: list[Vote | Failure]
    """Votes have a = better, b = worse, prompt_id = the pair's id."""
    calls: CallCount


def ask(
    settings: PanelSettings,
    data: str,
    *,
    columns: Sequence[str] = (),
    fits: bool = False,
    weights: GivenWeights | None = None,
) -> PanelAnswers:
    """Ask the panel that the settings name about labelled pairs.

    columns: `FIELD=COLUMN` of columns with other names. fits: weights are to be fitted on the answers. weights: those that are
    evaluated. Raises UserError, for too few prompts to fit on, and for weights of another form of judging, before anything is
    asked.
    """
    constitution, run = read_settings(settings)
    return asyncio.run(ask_about(data, constitution, run, settings, columns=columns, fits=fits, weights=weights))


async def ask_about(
    data: str,
    constitution: Constitution,
    run: RunConfig,
    settings: PanelSettings,
    *,
    columns: Sequence[str] = (),
    fits: bool = False,
    weights: GivenWeights | None = None,
) -> PanelAnswers:
    """As `ask`, with the constitution and the settings of a run read already. Raises UserError."""
    pairs, unread = read_labelled(data, settings.limit, columns, complain, constitution.columns)
    tags = {tag for pair in pairs for tag in pair.prompt.tags}
    found = {name for pair in pairs if pair.prompt.metadata for name in json.loads(pair.prompt.metadata)}
    for line in unmatched(constitution, tags, found):
        complain(f"{data}: {line}")
    if fits:
        enough(pair.group for pair in pairs)
    answers = await judge_pairs(pairs, constitution, run, settings.out, settings.reuse, weights)
    batch = None
    if run.plan.batch_principles > 1:
        alone = run.model_copy(update={"plan": run.plan.model_copy(update={"batch_principles": 1})})
        single = await judge_pairs(pairs, constitution, alone, settings.out, settings.reuse)
        calls = (sum(counted.calls) for counted in (answers, single))
        batch = batch_agreement(run.plan.batch_principles, answers.records, single.records, *calls)
    votes = [record for record in answers.records if isinstance(record, Vote)]
    failures = Counter(f"{r.stage}: {r.reason}" for r in answers.records if isinstance(r, Failure))
    if unread:
        failures["read: bad_row"] = len(unread)
    origin = Origin(
        constitution=constitution.digest,
        judges={judge.name: judge.model.digest for judge in answers.panel.judges},
        templates=templating.digest(run.plan.templates),
        judging=run.plan.judging(),
        forms=answers.panel.forms(constitution, run.plan),
        data=labelled_digest(data),
        pairs=len(pairs),
    )
    matrix = _matrix(
        pairs, [vote for vote in votes if effective_vote(vote, run.plan.position_inconsistent) is not None]
    )
    halved = run.plan.position_inconsistent == "half"
    return PanelAnswers(
        replace(matrix, inconsistent_counts=0.5) if halved else matrix,
        origin,
        yaml_weights(answers.panel, constitution, set(matrix.voters)),
        dict(sorted(failures.items())),
        answers.calls,
        batch,
    )


def read_settings(settings: PanelSettings) -> tuple[Constitution, RunConfig]:
    """The constitution and the settings of a run, checked together. Raises UserError with the problems of both."""
    constitution, run = read_both(settings)
    return constitution, run.judge_alone()


def read_both(
    settings: PanelSettings, overrides: Sequence[str] = (), run: RunConfig | None = None
) -> tuple[Constitution, RunConfig]:
    """The constitution and the settings of a run as they are, `overrides` after `--set`. Raises UserError with all problems.

    run: settings that are read already; no others are read then.
    """
    problems = Problems()
    constitution = None
    if settings.constitution is None:
        problems.add(
            "--constitution", got="is missing", fix="name a YAML file of principles, as in principles/hhh.yaml"
        )
    else:
        with problems.collect():
            constitution = load(settings.constitution)
    with problems.collect():
        flags = {"judge": settings.judge, "engine": settings.engine}
        run = run or reading.load(RunConfig, settings.config, [*settings.overrides, *overrides], flags, example=EXAMPLE)
    if constitution and run:
        problems.found += unknown_principles(run, constitution)
    problems.check()
    assert constitution is not None
    assert run is not None
    return constitution, run


async def judge_pairs(
    pairs: Sequence[LabelledPair],
    constitution: Constitution,
    run: RunConfig,
    out: Path,
    reuse: Sequence[Path] = (),
    weights: GivenWeights | None = None,
) -> PanelRecords:
    """Ask every voter about every pair, under all principles that apply. Raises UserError, also for weights that do not fit.

    out: folder of the calls; what is there is not asked again. A pair whose judge stays unavailable becomes Failures.
    """
    if (out / SETTINGS).exists():
        fix = f"choose another --out, with --reuse {out} to take its calls"
        raise UserError(Problem(str(out), got="is the folder of a run", fix=fix))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"cannot be written ({error.strerror})"
        raise UserError(Problem(str(out), got=got, fix="choose another --out")) from error
    rows = asyncio.Semaphore(run.prompts_in_flight)
    async with Session(out / CALLS, reuse=[path / CALLS for path in reuse], prompts=len(pairs)) as session:
        run = session.dated(run)
        _, judges = chat_models(run, model_registry(run), session.wrap)
        await session.preflight(*judges.values(), structured=run.plan.batch_principles > 1)
        panel = panel_of(run, judges, None)
        if weights:
            check_forms(replace(panel, weights=weights.weights), constitution, run.plan, weights.path)

        async def one(pair: LabelledPair) -> list[Vote | Failure]:
            records = await ask_panel(panel, constitution, run, pair.prompt, pair.better, pair.worse, rows)
            session.prompt_done(pair.prompt.id, failed=any(isinstance(record, Failure) for record in records))
            return records

        found = await asyncio.gather(*(one(pair) for pair in pairs))
        return PanelRecords(panel, [record for records in found for record in records], session.calls)


async def ask_panel(
    panel: Panel,
    constitution: Constitution,
    run: RunConfig,
    prompt: Prompt,
    a: Response,
    b: Response,
    rows: asyncio.Semaphore,
    *,
    vetoes: bool = False,
) -> list[Vote | Failure]:
    """What all voters say of one pair, under all principles that apply. A judge that stays unavailable is a Failure.

    rows: bounds the pairs that are asked about at once. vetoes: principles with a veto decide, as in a run; else every voter is
    heard on every pair.
    """
    applicable = constitution.applicable(prompt.tags)
    voters, first = panel.voters(applicable), panel.vetoes(applicable) if vetoes else []
    async with rows:
        try:
            return await votes_on(panel, voters, prompt, a, b, run.plan, first)
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


def _matrix(pairs: Sequence[LabelledPair], votes: Sequence[Vote]) -> VoteMatrix:
    lengths = [(word_count(pair.better.text), word_count(pair.worse.text)) for pair in pairs]
    return from_votes(
        votes,
        [pair.id for pair in pairs],
        [pair.group for pair in pairs],
        [pair.subset for pair in pairs],
        [float((better > worse) - (better < worse)) for better, worse in lengths],
    )
