"""The constitution as text and as a form, what an edit changes in a run's labels, what asking again costs, and asking again."""

from __future__ import annotations

import asyncio
import shlex
from typing import Annotated, Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from constitution.digest import digest
from constitution.errors import Problem, UserError
from constitution.options import arguments
from constitution.records import Strict
from constitution.source.editing import set_value
from generation.pipeline.job import plan_ahead, prepare
from studio.bodies import read_body
from studio.editing.asking import Asking, refuse_second
from studio.editing.editor import Editor, editor_of, summary
from studio.editing.tried import tried
from studio.pages import fragment, page
from studio.state import Linked, Studio, View, studio_of
from studio.subject import Kind, Subject

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


class Prompted(Strict):
    """The text, and a prompt that is tried under it."""

    text: Text
    prompt: str = Field(max_length=1 << 17)
    responses: tuple[str, str] = ("", "")
    """Two responses that are compared; both empty where the policy is sampled."""


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
    return fragment(request, "edit_effect.html.jinja", **await run_in_threadpool(_check, editor, sent.text, sent.least))


def _check(editor: Editor, text: str, least: float | None) -> dict[str, Any]:
    read = editor.read(text)
    effect = editor.effect(read.constitution, least) if read.constitution else None
    moved = editor.readable(effect.moved[:MOST_SHOWN]) if effect else []
    return {"told": read.told, "effect": effect, "moved": moved, "principles": summary(effect) if effect else []}


async def form(request: Request) -> Response:
    """The text as a form, each principle beside what is known of it."""
    sent = await read_body(request, Edited)
    return await run_in_threadpool(_form, request, sent.text)


def _form(request: Request, text: str) -> Response:
    editor = editor_of(studio_of(request))
    known = editor.report() if editor.run or editor.tested else None
    return fragment(request, "edit_form.html.jinja", constitution=editor.read(text).constitution, report=known)


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
    return await run_in_threadpool(_price, request, sent)


def _price(request: Request, sent: Edited) -> Response:
    editor = editor_of(studio_of(request))
    ahead = editor.price(editor.constitution(sent.text), sent.least)
    cost = sum(one.expected.cost for one in ahead.takes.values())
    return fragment(request, "edit_price.html.jinja", calls=ahead.calls, cost=cost)


async def tested(request: Request) -> Response:
    """What the principles are worth, each at its line of the text."""
    sent = await read_body(request, Edited)
    return await run_in_threadpool(_tested, request, sent.text)


def _tested(request: Request, text: str) -> Response:
    editor = editor_of(studio_of(request))
    read, known = editor.read(text), editor.report()
    texts = {one.id: one.text for one in read.constitution.principles} if read.constitution else {}
    return fragment(
        request, "edit_tested.html.jinja", report=known, lines=read.lines, texts=texts, saved=editor.tested is not None
    )


async def ask(request: Request) -> Response:
    """Start the run under the edited constitution, or resume it."""
    sent = await read_body(request, Edited)
    refuse_second(*_under_way(request).values())
    _under_way(request)["asked"] = await run_in_threadpool(_start, editor_of(studio_of(request)), sent)
    return _asking(request)


def _start(editor: Editor, sent: Edited) -> Asking:
    constitution = editor.constitution(sent.text)
    calls = editor.price(constitution, sent.least).calls
    return Asking.start(editor.again(constitution, sent.least), calls.certain.total(), calls.most())


async def try_prompt(request: Request) -> Response:
    """Start a run of one prompt under the edited constitution."""
    sent = await read_body(request, Prompted)
    refuse_second(*_under_way(request).values())
    _under_way(request)["tried"] = await run_in_threadpool(_try, editor_of(studio_of(request)), sent)
    return _tried(request)


def _try(editor: Editor, sent: Prompted) -> Asking:
    responses = tuple(text for text in sent.responses if text.strip())
    if not sent.prompt.strip() or len(responses) == 1:
        raise UserError(Problem("", got="a prompt is missing, or one of two responses", fix="write both, or neither"))
    settings = editor.trying(editor.constitution(sent.text), sent.prompt, responses)
    calls = asyncio.run(plan_ahead(prepare(settings))).calls
    return Asking.start(settings, calls.certain.total(), calls.most())


async def stop(request: Request) -> Response:
    """Stop what is under way; what was made is kept."""
    for one in _under_way(request).values():
        one.stop()
    return _asking(request)


def asking(request: Request) -> Response:
    """How far asking again is."""
    return _asking(request)


def tried_prompt(request: Request) -> Response:
    """What came of the prompt that was tried."""
    return _tried(request)


def _under_way(request: Request) -> dict[str, Asking]:
    """What this studio asks or asked last: `asked` again, and `tried`."""
    known: dict[str, Asking] = request.app.state.under_way
    return known


def _asking(request: Request) -> Response:
    studio, values = studio_of(request), _standing(request, "asked")
    if values["now"] and values["now"].finished and (run := editor_of(studio).run):
        studio.made["asked"] = Linked(Subject(Kind.RUN, run), Subject(Kind.RUN, values["now"].out))
    return fragment(request, "edit_asking.html.jinja", **values)


def _tried(request: Request) -> Response:
    values, found = _standing(request, "tried"), None
    if values["now"] and values["now"].finished:
        out = values["now"].out
        studio_of(request).made["tried"] = Linked(Subject(Kind.RUN, out))
        found = tried(out)
    return fragment(request, "edit_tried.html.jinja", **values, found=found)


def _standing(request: Request, name: str) -> dict[str, Any]:
    found = _under_way(request).get(name)
    if found is None:
        return {"now": None, "command": ""}
    command = shlex.join(["solon", "feedback", *arguments(found.settings)])
    return {"now": found.standing(), "command": command}


def _post(path: str, endpoint: object) -> Route:
    return Route(path, endpoint, methods=["POST"])  # type: ignore[arg-type]


ROUTES = (
    Route("/edit", show),
    Route("/edit/asking", asking),
    Route("/edit/tried", tried_prompt),
    _post("/edit/check", check),
    _post("/edit/form", form),
    _post("/edit/field", field),
    _post("/edit/save", save),
    _post("/edit/price", price),
    _post("/edit/tested", tested),
    _post("/edit/ask", ask),
    _post("/edit/try", try_prompt),
    _post("/edit/stop", stop),
)
VIEW = View("/edit", "Edit", ROUTES, shown)
