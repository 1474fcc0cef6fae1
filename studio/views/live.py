"""How far a run, a training or a loop is: read from its files while it goes on, and after its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from constitution.errors import UserError
from studio.data.live import LoopState, RunState, RunWatch, TrainingState, loop_state, training_state
from studio.pages import page, text_of
from studio.plots import Lines, lines
from studio.state import Studio, View, studio_of
from studio.subject import Kind

EVERY = 1.0
"""Seconds between two looks."""

Look = Callable[[], str]
"""The page's changing part, as HTML."""


def live(request: Request) -> Response:
    """The page as it is now; its script puts what is new into it."""
    return page(request, "live.html.jinja", now=_look(studio_of(request))())


def events(request: Request) -> Response:
    """A stream of server-sent events: the changing part, whenever it changed."""
    headers = {"cache-control": "no-store"}
    studio = studio_of(request)
    return StreamingResponse(_changes(studio, _look(studio)), media_type="text/event-stream", headers=headers)


async def _changes(studio: Studio, look: Look) -> AsyncIterator[str]:
    before = ""
    while True:
        try:
            now = await run_in_threadpool(look)
        except UserError as error:
            now = text_of(studio, "live_error.html.jinja", lines=str(error).splitlines())
        # a line of a comment, where nothing is new: so it is known whether anybody is still there
        yield f"data: {json.dumps(now)}\n\n" if now != before else ": \n\n"
        before = now
        await asyncio.sleep(EVERY)


def _look(studio: Studio) -> Look:
    path, kind = studio.subject.path, studio.subject.kind
    if kind is Kind.RUN:
        watch = RunWatch(path)
        return lambda: _run(studio, watch.look())
    if kind is Kind.TRAINING:
        return lambda: _training(studio, training_state(path))
    return lambda: _loop(studio, loop_state(path))


def _run(studio: Studio, state: RunState) -> str:
    failed = {
        f"{stage}: {reason}": count for stage, one in state.stages.items() for reason, count in one.failed.items()
    }
    return text_of(studio, "live_run.html.jinja", state=state, failed=failed)


def _training(studio: Studio, state: TrainingState) -> str:
    charts: list[Lines] = [lines(title, [*curves.items()]) for title, curves in state.curves.items()]
    return text_of(studio, "live_training.html.jinja", state=state, charts=charts)


def _loop(studio: Studio, state: LoopState) -> str:
    return text_of(studio, "live_loop.html.jinja", state=state)


def _shown(studio: Studio) -> bool:
    return studio.subject.kind in (Kind.RUN, Kind.TRAINING, Kind.LOOP)


VIEW = View("/live", "Live", (Route("/live", live), Route("/live/events", events)), _shown)
