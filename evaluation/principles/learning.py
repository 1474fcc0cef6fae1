"""`solon constitution learn LABELLED`: a short list of principles that explains labelled pairs, as a constitution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from constitution.errors import Problem, UserError
from constitution.lint import warnings
from constitution.loading import load, load_with_places, to_yaml
from constitution.principles import Constitution, Principle
from constitution.records import Vote
from constitution.terminal import complain, printable
from critics.ranking.weights import Estimate
from evaluation.files import check_writable, write
from evaluation.judge.asking import judge_pairs
from evaluation.judge.labelled import LabelledPair, read_labelled
from evaluation.judge.panels import enough
from evaluation.principles.asking import calls_at_most, writer
from evaluation.principles.proposals import as_principles, by_contrast, merged
from evaluation.principles.selection import Chosen, Measured, choose, measure
from evaluation.principles.settings import LearnSettings
from evaluation.principles.wording import Wording, without_veto
from evaluation.statistics import Floats, share
from generation import settings as reading
from generation.config import EXAMPLE, RunConfig
from generation.pipeline.session import CALLS, Session


class Learnt(NamedTuple):
    """What came of it."""

    candidates: tuple[Principle, ...]
    votes: Floats
    """[pairs, candidates] log-odds for the better response; NaN where there is no vote."""
    chosen: Chosen
    measured: Measured


def run(settings: LearnSettings, console: Console) -> int:
    """Ask, choose, write, print. Exit code 0 done, 1 no principle says anything of the labels. Raises UserError."""
    check_writable(settings.write)
    config = _settings(settings)
    pool = load(settings.pool) if settings.pool else None
    pairs, _ = read_labelled(settings.data, settings.limit, settings.columns, complain, pool.columns if pool else ())
    enough(pair.group for pair in pairs)
    if settings.plan:
        _print_plan(settings, config, pool, len(pairs), console)
        return 0
    found = asyncio.run(learn(settings, config, pool, pairs))
    if not found.chosen.places:
        complain(
            "no principle says anything of the labels beyond chance; try more pairs, another judge or another pool"
        )
        return 1
    made = constitution_of(settings, pool, found)
    if settings.write:
        write(settings.write, header(found, len(pairs)) + to_yaml(made))
        for problem in warnings(load_with_places(settings.write)):
            complain(problem)
    _print(made, found, console)
    return 0


def _print_plan(
    settings: LearnSettings, config: RunConfig, pool: Constitution | None, pairs: int, console: Console
) -> None:
    new = settings.candidates if settings.contrast else 0
    asked = [Wording(one.id, "own", one) for one in (pool.principles if pool else ()) if one.judged]
    asked += [Wording(f"new-{i}", "own", Principle(id=f"new-{i}", objective="new", text="new")) for i in range(new)]
    calls = calls_at_most(config, asked, pairs) + (
        min(settings.contrast_pairs, pairs) + new if settings.contrast else 0
    )
    console.print(f"{len(asked)} candidates at most, {pairs} pairs: {calls:,} calls at most.", markup=False)


def _settings(settings: LearnSettings) -> RunConfig:
    if not (settings.pool or settings.contrast):
        problem = Problem("constitution learn", "", "has no candidates", "--pool FILE, --contrast, or both")
        raise UserError(problem)
    flags = {"judge": settings.judge, "engine": settings.engine}
    return reading.load(RunConfig, settings.config, settings.overrides, flags, example=EXAMPLE).judge_alone()


async def learn(
    settings: LearnSettings, config: RunConfig, pool: Constitution | None, pairs: Sequence[LabelledPair]
) -> Learnt:
    """Candidates, their votes, and which to keep. Raises UserError where there is no candidate."""
    candidates = list(pool.principles) if pool else []
    if settings.contrast:
        check_writable(settings.out / CALLS)
        async with Session(settings.out / CALLS, reuse=[path / CALLS for path in settings.reuse]) as session:
            model = await writer(session, config)
            texts = await by_contrast(model, pairs, settings.contrast_pairs, settings.seed)
            new = merged(texts, settings.candidates)
            candidates += await as_principles(model, new, settings.objective, candidates)
    if not candidates:
        raise UserError(Problem(settings.data, "", "the judge wrote no principle", "sentences", "try a stronger judge"))
    objectives = (pool.objectives if pool else {}) | ({settings.objective: 1.0} if settings.contrast else {})
    whole = Constitution(
        name="candidates", version=1, objectives=objectives, principles=tuple(map(without_veto, candidates))
    )
    asked = await judge_pairs(pairs, whole, config, settings.out, settings.reuse)
    votes = voted([record for record in asked.records if isinstance(record, Vote)], pairs, candidates)
    groups = [pair.group for pair in pairs]
    chosen = choose(votes, groups, settings.most, settings.seed)
    return Learnt(tuple(candidates), votes, chosen, measure(votes, groups, settings.most, settings.seed))


def voted(votes: Sequence[Vote], pairs: Sequence[LabelledPair], candidates: Sequence[Principle]) -> Floats:
    """[pairs, candidates] mean log-odds of all voters under each principle, as a run takes them; NaN for none."""
    rows = {pair.id: i for i, pair in enumerate(pairs)}
    columns = {one.id: k for k, one in enumerate(candidates)}
    sums, counts = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)))
    for vote in votes:
        where = rows[vote.prompt_id], columns[vote.principle]
        sums[where] += vote.value
        counts[where] += 1
    found: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def constitution_of(settings: LearnSettings, pool: Constitution | None, found: Learnt) -> Constitution:
    """The chosen principles with their weights, those of greatest weight first. An objective weighs what its principles do."""
    largest = float(found.chosen.weights.max())
    weights = [max(0.01, round(float(weight) / largest, 2)) for weight in found.chosen.weights]
    chosen = sorted(zip(weights, found.chosen.places, strict=True), key=lambda one: -one[0])
    principles = tuple(found.candidates[place].model_copy(update={"weight": weight}) for weight, place in chosen)
    objectives = {
        name: round(sum(one.weight for one in principles if one.objective == name), 2)
        for name in dict.fromkeys(one.objective for one in principles)
    }
    return Constitution(
        name=settings.name,
        version=1,
        license=pool.license if pool else "",
        objectives=objectives,
        principles=principles,
    )


def header(found: Learnt, pairs: int) -> str:
    """What was measured, as comments: numbers alone, no words of data or models."""
    chosen, whole = found.measured
    return (
        f"# Learnt from {pairs} labelled pairs: {len(found.chosen.places)} of {len(found.candidates)} candidates.\n"
        f"# Accuracy on pairs that a list was not chosen on: {_percent(chosen)}; of all candidates: {_percent(whole)}.\n"
        "# Read every principle before you use it.\n"
    )


def _percent(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _print(made: Constitution, found: Learnt, console: Console) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for column in ("principle", "weight", "right alone", "text"):
        table.add_column(column, overflow="fold")
    places = {one.id: k for k, one in enumerate(found.candidates)}
    for one in made.principles:
        votes = found.votes[:, places[one.id]]
        sides = votes[np.abs(np.nan_to_num(votes)) > 0]
        alone = share(float((sides > 0).sum()), len(sides)).value
        table.add_row(Text(one.id), f"{one.weight:g}", f"{alone:.1%} of {len(sides)}", Text(printable(one.text)))
    console.print(table)
    chosen, whole = found.measured
    console.print(
        f"{len(made.principles)} of {len(found.candidates)} candidates; on pairs they were not chosen on {_percent(chosen)} right, "
        f"all candidates {_percent(whole)}.",
        markup=False,
    )
