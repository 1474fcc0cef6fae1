"""The constitution as text and as a form, what an edit changes in a run's labels, what asking again costs, and asking again."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from constitution.digest import digest
from constitution.editing import set_value
from constitution.options import arguments
from constitution.records import Strict
from studio.bodies import read_body
from studio.editing.asking import Asking, refuse_second
from studio.editing.editor import Editor, editor_of, summary
from studio.pages import fragment, page
from studio.state import Studio, View, studio_of
from studio.subject import Kind

MOST_SHOWN = 1_000
"""Pairs that are listed; the counts are of all."""
Text = Annotated[str, Field(max_length=1 << 19)]
Least = Annotated[float | None, Field(default=None, ge=0, allow_inf_nan=False)]


class Edited(Strict):
    """The text as it is now."""

    text: Text
    least: Least
    """plan.min_log_odds."""


class Saved(Strict):
    """A text to be saved."""

    text: Text
    seen: str
    """Digest of the file's text when it was read."""


class Value(Strict):
    """A value of the form."""

    text: Text
    keys: tuple[str, ...] = Field(min_length=2, max_length=3)
    value: str | bool | float


def shown(studio: Studio) -> bool:
    """True for a constitution, and for a finished run."""
    subject = studio.subject
    return subject.kind is Kind.CONSTITUTION or (
        subject.kind is Kind.RUN and (subject.path / "manifest.json").is_file()
    )


def show(request: Request) -> Response:
    """The editor."""
    editor = editor_of(studio_of(request))
    text = editor.text()
    least = editor.recount().ballots.config.plan.min_log_odds if editor.run else None  # type: ignore[union-attr]
    return page(
        request,
        "edit.html.jinja",
        text=text,
        seen=digest(text),
        editor=editor,
        least=least,
        **_check(editor, text, None),
    )


async def check(request: Request) -> Response:
    """What is said of the text, and what it changes."""
    sent = await read_body(request, Edited)
    editor = editor_of(studio_of(request))
    return fragment("edit_effect.html.jinja", **await run_in_threadpool(_check, editor, sent.text, sent.least))


def _check(editor: Editor, text: str, least: float | None) -> dict[str, Any]:
    read = editor.read(text)
    effect = editor.effect(read.constitution, least) if read.constitution else None
    moved = editor.readable(effect.moved[:MOST_SHOWN]) if effect else []
    return {"told": read.told, "effect": effect, "moved": moved, "principles": summary(effect) if effect else []}


async def form(request: Request) -> Response:
    """The text as a form."""
    sent = await read_body(request, Edited)
    found = await run_in_threadpool(editor_of(studio_of(request)).read, sent.text)
    return fragment("edit_form.html.jinja", constitution=found.constitution)


async def field(request: Request) -> Response:
    """The text with a value of the form in it."""
    sent = await read_body(request, Value)
    return JSONResponse({"text": set_value(sent.text, sent.keys, sent.value)})


async def save(request: Request) -> Response:
    """Write the file that was opened."""
    sent = await read_body(request, Saved)
    return JSONResponse({"seen": await run_in_threadpool(editor_of(studio_of(request)).save, sent.text, sent.seen)})


async def price(request: Request) -> Response:
    """The calls that asking again takes."""
    sent = await read_body(request, Edited)
    editor = editor_of(studio_of(request))
    return await run_in_threadpool(_price, editor, sent)


def _price(editor: Editor, sent: Edited) -> Response:
    constitution = editor.constitution(sent.text)
    ahead = editor.price(constitution, sent.least)
    cost = sum(one.expected.cost for one in ahead.takes.values())
    return fragment("edit_price.html.jinja", calls=ahead.calls, cost=cost)


def doubtful(request: Request) -> Response:
    """What is wrong with the run's principles, by its votes."""
    return fragment("edit_doubts.html.jinja", doubts=editor_of(studio_of(request)).doubts())


async def ask(request: Request) -> Response:
    """Start the run under the edited constitution, or resume it."""
    sent = await read_body(request, Edited)
    refuse_second(_asking(request))
    request.app.state.asking = await run_in_threadpool(_start, editor_of(studio_of(request)), sent)
    return _standing(request)


def _start(editor: Editor, sent: Edited) -> Asking:
    constitution = editor.constitution(sent.text)
    calls = editor.price(constitution, sent.least).calls
    return Asking.start(editor.again(constitution, sent.least), calls.certain.total(), calls.most())


async def stop(request: Request) -> Response:
    """Stop it; what was made is kept."""
    if under_way := _asking(request):
        under_way.stop()
    return _standing(request)


def asking(request: Request) -> Response:
    """How far it is."""
    return _standing(request)


def _asking(request: Request) -> Asking | None:
    """What this studio asks again, or asked last."""
    found: Asking | None = getattr(request.app.state, "asking", None)
    return found


def _standing(request: Request) -> Response:
    found = _asking(request)
    if found is None:
        return fragment("edit_asking.html.jinja", now=None, command="")
    command = shlex.join(["solon", "feedback", *arguments(found.settings)])
    return fragment("edit_asking.html.jinja", now=found.standing(), command=command)


def _post(path: str, endpoint: object) -> Route:
    return Route(path, endpoint, methods=["POST"])  # type: ignore[arg-type]


ROUTES = (
    Route("/edit", show),
    Route("/edit/asking", asking),
    Route("/edit/doubts", doubtful),
    _post("/edit/check", check),
    _post("/edit/form", form),
    _post("/edit/field", field),
    _post("/edit/save", save),
    _post("/edit/price", price),
    _post("/edit/ask", ask),
    _post("/edit/stop", stop),
)
VIEW = View("/edit", "Edit", ROUTES, shown)
