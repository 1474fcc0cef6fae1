"""`solon constitution test PATH --data PAIRS|RUN`: what each principle is worth, before labels are made by it."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from constitution.errors import Problem, UserError
from constitution.loading import load
from constitution.principles import Constitution
from evaluation.files import check_writable, write_json
from evaluation.judge.asking import read_both
from evaluation.principles.asking import Answers, Pairs, ask, calls_at_most, from_run, is_run, judge, read_pairs, writer
from evaluation.principles.checks import Probe, Relation, agreement, by_kind, doubts, relation
from evaluation.principles.figures import report
from evaluation.principles.report import Proposed, TestReport
from evaluation.principles.settings import TestSettings
from evaluation.principles.wording import Wording, fixed, sharper
from generation.config import RunConfig
from generation.pipeline.session import CALLS, Session

SHARPENED = ("varies_with_wording", "two_in_one", "ignores_its_text", "judges_disagree", "methods_disagree")
"""Doubts for which a sharper wording may help."""


def run(settings: TestSettings, console: Console) -> int:
    """Ask, write, print. Exit code 0 done, 1 a principle is in doubt. Raises UserError."""
    check_writable(settings.json_file)
    if is_run(settings.data) and (settings.votes_only or not (settings.judge or settings.config or settings.overrides)):
        constitution = load(settings.constitution)
        answers, proposals = from_run(settings, constitution), list[Proposed]()
    else:
        if settings.votes_only:
            raise UserError(Problem("--votes-only", "", f"{settings.data} is no finished run", "a run's folder"))
        constitution, config = read_both(settings)
        config = config.judge_alone()
        pairs = read_pairs(settings, constitution.columns)
        if settings.plan:
            _print_plan(settings, constitution, config, pairs, console)
            return 0
        answers, proposals = asyncio.run(_test(settings, constitution, config, pairs))
    found = doubts(constitution.principles, answers.wordings, answers.said)
    told = report(constitution, answers, found, proposals)
    if settings.json_file:
        write_json(settings.json_file, told.model_dump())
    _print(told, console)
    return int(bool(found))


async def _test(
    settings: TestSettings, constitution: Constitution, config: RunConfig, pairs: Pairs
) -> tuple[Answers, list[Proposed]]:
    answers = await ask(settings, constitution, config, pairs)
    if not settings.sharpen:
        return answers, []
    doubted = {
        one.principle
        for one in doubts(constitution.principles, answers.wordings, answers.said)
        if one.check in SHARPENED
    }
    return answers, await _sharpened(settings, constitution, config, pairs, answers, doubted)


async def _sharpened(
    settings: TestSettings,
    constitution: Constitution,
    config: RunConfig,
    pairs: Pairs,
    answers: Answers,
    doubted: set[str],
) -> list[Proposed]:
    """A proposal for each doubted principle, asked about the same pairs."""
    wordings = list[Wording]()
    async with Session(settings.out / CALLS, reuse=[path / CALLS for path in settings.reuse]) as session:
        model = await writer(session, config)
        for place, principle in enumerate(constitution.principles):
            if principle.id in doubted:
                wordings += await sharper(model, principle, place)
    if not wordings:
        return []
    more = await judge(settings, constitution, config, pairs, wordings)
    found = []
    for one, other in zip(wordings[::2], wordings[1::2], strict=True):
        before = agreement(Probe(constitution.by_id(one.of), by_kind(one.of, answers.wordings), answers.said, 0.01))
        votes = more.said.of(one.probe.id)
        after = relation(votes, more.said.of(other.probe.id), 0.01)
        same = relation(votes, answers.said.of(one.of), 0.01)
        values = {"before": _value(before), "after": _value(after), "same": _value(same)}
        found.append(Proposed(principle=one.of, text=one.probe.text, **values))
    return found


def _value(found: Relation | None) -> float | None:
    return found.value if found else None


def _print_plan(
    settings: TestSettings, constitution: Constitution, config: RunConfig, pairs: Pairs, console: Console
) -> None:
    judged = [principle for principle in constitution.principles if principle.judged]
    wordings = [wording for i, principle in enumerate(judged) for wording in fixed(principle, i)]
    more = [principle for principle in judged for _ in range(settings.paraphrases)]
    more += [principle for principle in judged if not principle.antithesis and settings.paraphrases]
    asked = [*wordings, *(Wording(principle.id, "again", principle) for principle in more)]
    n = calls_at_most(config, asked, len(pairs.pairs))
    console.print(
        f"{len(judged)} principles in {len(asked)} wordings, of which the judge writes {len(more)}; {len(pairs.pairs)} pairs: "
        f"{n + len(more):,} calls, but for those that {settings.out} has.",
        markup=False,
    )


def _print(told: TestReport, console: Console) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for column in (
        "principle",
        "in other words",
        "antithesis",
        "takes a side",
        "most like",
        "what is doubtful, and what mends it",
    ):
        table.add_column(column, overflow="fold")
    for name, one in told.principles.items():
        own = one.in_other_words.value if one.in_other_words else None
        decides = "" if one.decides is None else f"{one.decides:.0%}"
        like = "" if one.likeness is None else f"{one.most_like} ({one.likeness:.2f})"
        doubts = "\n".join(f"{each.check}: {each.what}. {each.fix}" for each in told.about(name))
        shown = ["" if value is None else f"{value:.2f}" for value in (own, one.antithesis)]
        table.add_row(Text(name), *shown, decides, Text(like), Text(doubts))
    console.print(table)
    for proposed in told.proposals:
        after, before, same = (
            "?" if value is None else f"{value:.2f}" for value in (proposed.after, proposed.before, proposed.same)
        )
        text = f"{proposed.principle}: try {proposed.text!r}: in other words {after} (now {before}), with the present one {same}"
        console.print(Text(text))
    doubted = len({each.principle for each in told.doubts})
    lost = f"; {told.failed_votes:,} votes failed" if told.failed_votes else ""
    console.print(
        f"{doubted} of {len(told.principles)} principles are in doubt, by {told.pairs:,} pairs{lost}. "
        f"Calls: {told.calls.made:,} made, {told.calls.reused:,} stored.",
        markup=False,
    )
