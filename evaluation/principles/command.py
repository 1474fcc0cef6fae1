"""`solon constitution test PATH --data PAIRS|RUN`: what each principle is worth, before labels are made by it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from constitution.errors import Problem, UserError
from constitution.loading import load
from constitution.principles import Constitution
from evaluation.files import check_writable, write_json
from evaluation.judge.asking import read_both
from evaluation.principles.asking import Answers, Pairs, ask, calls_at_most, from_run, is_run, judge, read_pairs, writer
from evaluation.principles.checks import Doubt, Probe, Relation, agreement, by_kind, doubts, relation
from evaluation.principles.settings import TestSettings
from evaluation.principles.wording import Wording, fixed, sharper
from generation.config import RunConfig
from generation.pipeline.session import CALLS, Session

SHARPENED = ("varies_with_wording", "two_in_one", "ignores_its_text", "judges_disagree", "methods_disagree")
"""Doubts for which a sharper wording may help."""


class Proposal(NamedTuple):
    """A wording in a principle's place."""

    principle: str
    text: str
    before: float | None
    """Agreement of the principle with itself in other words."""
    after: float | None
    """The same of the proposal."""
    same: float | None
    """Agreement of the two."""


def run(settings: TestSettings, console: Console) -> int:
    """Ask, write, print. Exit code 0 done, 1 a principle is in doubt. Raises UserError."""
    check_writable(settings.json_file)
    if is_run(settings.data) and (settings.votes_only or not (settings.judge or settings.config or settings.overrides)):
        constitution = load(settings.constitution)
        answers, proposals = from_run(settings, constitution), list[Proposal]()
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
    if settings.json_file:
        write_json(settings.json_file, numbers(constitution, answers, found, proposals))
    _print(constitution, answers, found, proposals, console)
    return int(bool(found))


async def _test(
    settings: TestSettings, constitution: Constitution, config: RunConfig, pairs: Pairs
) -> tuple[Answers, list[Proposal]]:
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
) -> list[Proposal]:
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
        found.append(Proposal(one.of, one.probe.text, *(_value(part) for part in (before, after, same))))
    return found


def _value(found: Relation | None) -> float | None:
    return found.value if found else None


def numbers(
    constitution: Constitution, answers: Answers, found: Sequence[Doubt], proposals: Sequence[Proposal]
) -> Mapping[str, object]:
    """What `--json` writes."""
    return {
        "constitution": constitution.digest,
        "pairs": len(answers.said.pairs),
        "calls": answers.calls._asdict(),
        "failed_votes": answers.failures,
        "principles": {name: _figures(constitution, answers, name) for name in _judged(constitution)},
        "doubts": [one._asdict() for one in found],
        "proposals": [one._asdict() for one in proposals],
    }


def _judged(constitution: Constitution) -> list[str]:
    return [principle.id for principle in constitution.principles if principle.judged]


def _figures(constitution: Constitution, answers: Answers, name: str) -> dict[str, Any]:
    probe = Probe(constitution.by_id(name), by_kind(name, answers.wordings), answers.said, 0.05)
    own = agreement(probe)
    against = [one.value for votes in probe.votes("antithesis") if (one := relation(probe.own, votes, 0.05))]
    return {
        "in_other_words": own._asdict() if own else None,
        "antithesis": against[0] if against else None,
        "wordings": {kind: len(names) for kind, names in probe.wordings.items()},
    }


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


def _print(
    constitution: Constitution,
    answers: Answers,
    found: Sequence[Doubt],
    proposals: Sequence[Proposal],
    console: Console,
) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for column in ("principle", "in other words", "antithesis", "what is doubtful, and what mends it"):
        table.add_column(column, overflow="fold")
    for name in _judged(constitution):
        figures = _figures(constitution, answers, name)
        own, against = figures["in_other_words"], figures["antithesis"]
        said = "\n".join(f"{one.check}: {one.what}. {one.fix}" for one in found if one.principle == name)
        shown = [f"{value:.2f}" if isinstance(value, float) else "" for value in (own and own["value"], against)]
        table.add_row(Text(name), *shown, Text(said))
    console.print(table)
    for one in proposals:
        after, before = ("?" if value is None else f"{value:.2f}" for value in (one.after, one.before))
        same = "?" if one.same is None else f"{one.same:.2f}"
        text = f"{one.principle}: try {one.text!r}: in other words {after} (now {before}), with the present one {same}"
        console.print(Text(text))
    doubted = len({one.principle for one in found})
    n, calls = len(answers.said.pairs), answers.calls
    lost = f"; {answers.failures:,} votes failed" if answers.failures else ""
    console.print(
        f"{doubted} of {len(_judged(constitution))} principles are in doubt, by {n:,} pairs{lost}. "
        f"Calls: {calls.made:,} made, {calls.reused:,} stored.",
        markup=False,
    )
