"""`python -m evaluation episodes`: does a policy call tools when it needs them, rightly, and go by what they say?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from constitution.records import Failure
from constitution.terminal import complain, printable
from evaluation.episodes.figures import RATES, by_kind, rates
from evaluation.episodes.playing import Played, play
from evaluation.episodes.settings import EpisodesSettings
from evaluation.episodes.table import FILE, episodes
from evaluation.files import check_writable, write, write_json
from evaluation.pages.shares import shares_page, shares_section
from generation import settings as reading
from generation.config import EXAMPLE, RunConfig
from generation.models.factory import ModelSpec, chat_model, model_registry
from generation.output.folder import OwnedFolder
from generation.pipeline.scheduler import UNAVAILABLE
from generation.pipeline.session import CALLS, Session


def run(settings: EpisodesSettings, console: Console) -> int:
    """Play, write, print. Exit code 0 done, 1 a model was unavailable. Raises UserError."""
    check_writable(settings.json_file, settings.page)
    given = [("A", settings.a), *([("B", settings.b)] if settings.b else [])]
    models: dict[str, tuple[RunConfig, ModelSpec]] = {}
    for side, model in given:
        flags = {"policy": model, "judge": model, "engine": settings.engine}
        config = reading.load(RunConfig, settings.config, settings.overrides, flags, example=EXAMPLE)
        models[side] = config, model_registry(config).policy
    episodes(settings.episodes or FILE)
    with OwnedFolder(settings.out, CALLS).locked():
        played = asyncio.run(_played(settings, models))
    lost = {side: [one for one in found if isinstance(one, Failure)] for side, found in played.items()}
    known = {side: [one for one in found if isinstance(one, Played)] for side, found in played.items()}
    if any(one.reason == UNAVAILABLE for found in lost.values() for one in found):
        complain("incomplete: a model was unavailable; nothing is written; run the same command again to resume")
        return 1
    if settings.page:
        write(settings.page, _page(known, given))
    if settings.json_file:
        write_json(settings.json_file, {side: _figures(model, known[side], lost[side]) for side, model in given})
    _show(known, lost, console)
    return 0


async def _played(
    settings: EpisodesSettings, models: Mapping[str, tuple[RunConfig, ModelSpec]]
) -> dict[str, list[Played | Failure]]:
    """Model after model, so that no two need to fit into memory together."""
    found = episodes(settings.episodes or FILE)
    chosen = found.episodes[: settings.limit]
    played: dict[str, list[Played | Failure]] = {}
    async with Session(settings.out / CALLS, prompts=len(chosen) * len(models)) as session:
        for side, (config, spec) in models.items():
            dated = session.dated(config)
            policy = chat_model(dated, spec, session.wrap)
            await session.preflight(policy)
            played[side] = await play(policy, found, chosen, dated.plan, session.prompt_done)
            await policy.engine.close()
    return played


def _figures(model: str, played: Sequence[Played], lost: Sequence[Failure]) -> dict[str, Any]:
    return {
        "model": model,
        "episodes": len(played),
        "rates": {name: one.model_dump() for name, one in rates(played).items()},
        "success": {kind: one.model_dump() for kind, one in by_kind(played).items()},
        "calls": sum(one.calls for one in played),
        "failures": [f"{one.prompt_id}: {one.reason}" for one in lost],
        "played": {
            one.episode.id: {
                "success": one.success,
                "needless": one.needless,
                "messages": [message.model_dump(mode="json", exclude_defaults=True) for message in one.messages],
            }
            for one in played
        },
    }


def _page(known: Mapping[str, Sequence[Played]], given: Sequence[tuple[str, str]]) -> str:
    sections = [
        shares_section(f"{side}: {title}", text, shares(played), RATES)
        for side, played in known.items()
        for title, text, shares in (
            ("rates", "Of waste and unfinished less is better.", rates),
            ("success by kind", "Right answers that rest on the calls they need.", by_kind),
        )
    ]
    return shares_page("Tool use over several steps", given, sections)


def _show(known: Mapping[str, Sequence[Played]], lost: Mapping[str, Sequence[Failure]], console: Console) -> None:
    """A line for each rate, with a column for each policy."""
    of_side = {
        side: rates(played) | {f"of {kind}": one for kind, one in by_kind(played).items()}
        for side, played in known.items()
    }
    names = [*RATES, *dict.fromkeys(name for found in of_side.values() for name in found if name not in RATES)]
    console.print(f"{'':12}{''.join(f'{side:>22}' for side in of_side)}", markup=False)
    for name in names:
        cells = (found.get(name) for found in of_side.values())
        shown = (
            f"{100 * e.value:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}]" if e and e.value == e.value else "-"
            for e in cells
        )
        console.print(
            f"{name:12}{''.join(f'{cell:>22}' for cell in shown)}  {RATES.get(name, 'success, by the kind of episode')}",
            markup=False,
        )
    if len(known) == 2:
        right = [{one.episode.id for one in played if one.success} for played in known.values()]
        console.print(f"only A succeeds: {len(right[0] - right[1])}, only B: {len(right[1] - right[0])}", markup=False)
    for side, failures in lost.items():
        for one in failures:
            console.print(f"{side}: {printable(f'{one.prompt_id}: {one.reason} {one.detail}')}", markup=False)
