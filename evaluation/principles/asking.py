"""Ask a panel about pairs under every wording of every principle; or take the votes of a finished run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import Failure, Message, Prompt, Vote
from constitution.terminal import complain
from constitution.words import word_count
from critics.methods import METHODS
from evaluation.files import check_writable
from evaluation.judge.asking import judge_pairs
from evaluation.judge.labelled import LabelledPair, made_pair, read_labelled
from evaluation.principles import votes as arrays
from evaluation.principles.settings import TestSettings
from evaluation.principles.votes import Said
from evaluation.principles.wording import Wording, fixed, probes, written
from generation.config import RunConfig
from generation.data import prompts
from generation.data.source import RUN
from generation.models.chat_model import ChatModel
from generation.models.factory import chat_models, model_registry
from generation.output.run import open_run
from generation.pipeline.panel import panel_of
from generation.pipeline.session import CALLS, CallCount, Session


class Pairs(NamedTuple):
    """Pairs to judge."""

    pairs: tuple[LabelledPair, ...]
    labelled: bool
    """Somebody said which is better; else the order is that of the file."""


class Answers(NamedTuple):
    """Everything that was asked."""

    wordings: tuple[Wording, ...]
    said: Said
    failures: int
    """Votes that could not be had."""
    calls: CallCount


def is_run(data: str) -> bool:
    """Whether data is a finished run's folder."""
    path = Path(data).expanduser()
    return all((path / name).is_file() for name in RUN)


def read_pairs(settings: TestSettings, rules: Collection[str] = ()) -> Pairs:
    """Pairs of a file or of a run's dataset. rules: columns that rules read. Raises UserError where there are none."""
    if is_run(settings.data):
        found = [
            made_pair(
                f"{pair.chosen_id} {pair.rejected_id}",
                pair.prompt,
                pair.chosen,
                pair.rejected,
                "",
                pair.tags,
                pair.tools,
                pair.metadata or "",
            )
            for pair in open_run(settings.data).pairs()
        ]
        return Pairs(_some(settings, found[: settings.limit]), False)
    try:
        labelled, _ = read_labelled(settings.data, settings.limit, settings.columns, complain, rules)
        return Pairs(_some(settings, labelled), True)
    except UserError as error:
        given = [
            made_pair(row.id, row.messages, row.responses[0], row.responses[1], "", row.tags, row.tools, row.metadata)
            for row in prompts.read(settings.data, settings.limit, _without_sides(settings.columns))
            if isinstance(row, Prompt) and len(row.responses) > 1
        ]
        if not given:
            raise error from None
        return Pairs(_some(settings, given), False)


def _without_sides(columns: Sequence[str]) -> list[str]:
    return [column for column in columns if not column.startswith(("chosen=", "rejected="))]


def _some(settings: TestSettings, found: Sequence[LabelledPair]) -> tuple[LabelledPair, ...]:
    if not found:
        raise UserError(Problem(settings.data, "", "holds no pair of responses", "rows with two responses each"))
    return tuple(found)


async def ask(settings: TestSettings, constitution: Constitution, run: RunConfig, pairs: Pairs) -> Answers:
    """Have the wordings written, and every pair judged under each. Raises UserError."""
    judged = [principle for principle in constitution.principles if principle.judged]
    places = {principle.id: i for i, principle in enumerate(constitution.principles)}
    wordings = [wording for principle in judged for wording in fixed(principle, places[principle.id])]
    check_writable(settings.out / CALLS)
    async with Session(settings.out / CALLS, reuse=[path / CALLS for path in settings.reuse]) as session:
        model = await writer(session, run)
        for principle in judged if settings.paraphrases else ():
            wordings += await written(model, principle, places[principle.id], settings.paraphrases)
        made = session.calls
    answers = await judge(settings, constitution, run, pairs, wordings)
    calls = CallCount(answers.calls.made + made.made, answers.calls.reused + made.reused)
    return answers._replace(calls=calls)


async def writer(session: Session, run: RunConfig) -> ChatModel:
    """The judge that writes in words: the panel's first."""
    run = session.dated(run)
    _, judges = chat_models(run, model_registry(run), session.wrap)
    await session.preflight(*judges.values())
    return panel_of(run, judges, None).main


async def judge(
    settings: TestSettings, constitution: Constitution, run: RunConfig, pairs: Pairs, wordings: Sequence[Wording]
) -> Answers:
    """Every pair under every wording. Raises UserError."""
    asked = await judge_pairs(
        pairs.pairs, probes(constitution, wordings), with_methods(run, wordings), settings.out, settings.reuse
    )
    votes = [record for record in asked.records if isinstance(record, Vote)]
    failures = sum(isinstance(record, Failure) for record in asked.records)
    names = [(pair.id, pair.better.id, pair.worse.id) for pair in pairs.pairs]
    longer = [_longer(pair.better.message, pair.worse.message) for pair in pairs.pairs]
    return Answers(tuple(wordings), arrays.said(votes, names, longer, pairs.labelled), failures, asked.calls)


def with_methods(run: RunConfig, wordings: Sequence[Wording]) -> RunConfig:
    """Settings under which every wording is asked as its principle is."""
    of = {wording.probe.id: wording.of for wording in wordings}

    def spread(methods_of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {probe: methods_of[name] for probe, name in of.items() if name in methods_of}

    plan = run.plan.model_copy(update={"methods_of": spread(run.plan.methods_of)})
    panel = tuple(
        member.model_copy(
            update={
                "methods_of": spread(member.methods_of),
                "principles": tuple(probe for probe, name in of.items() if name in member.principles),
            }
        )
        for member in run.panel
    )
    return run.model_copy(update={"plan": plan, "panel": panel})


def from_run(settings: TestSettings, constitution: Constitution) -> Answers:
    """The votes of a finished run, under the principles as they stood. Raises UserError."""
    run = open_run(settings.data)
    if run.constitution.digest != constitution.digest:
        got = "was made under another constitution"
        fix = f"test {run.folder}/constitution.yaml, or name a --judge to ask about its pairs"
        raise UserError(Problem(settings.data, "", got, constitution.name, fix))
    words = {one.id: word_count(one.text) for one in run.responses()}
    votes = [*run.votes()]
    names = [*dict.fromkeys((vote.prompt_id, vote.a, vote.b) for vote in votes)][: settings.limit]
    longer = [float(_sign(words.get(a, 0) - words.get(b, 0))) for _, a, b in names]
    wordings = tuple(Wording(principle.id, "own", principle) for principle in constitution.principles)
    return Answers(wordings, arrays.said(votes, names, longer, False), 0, CallCount(0, len(votes)))


def calls_at_most(run: RunConfig, wordings: Sequence[Wording], pairs: int) -> int:
    """Calls about pairs, where every vote is had at the first try."""
    run = with_methods(run, wordings)
    each = 0
    for wording in wordings:
        for methods in (
            run.plan.methods_of.get(wording.probe.id, run.plan.methods),
            *(one.methods for one in run.panel),
        ):
            each += sum(METHODS[name].calls * (1 if METHODS[name].pairwise else 2) for name in methods)
    return each * pairs


def _longer(one: Message, other: Message) -> float:
    return float(_sign(word_count(one.content) - word_count(other.content)))


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
