"""Renders the prompt templates. Texts from people, datasets and models enter only as variables, never as templates.

A folder of the user's own may stand before the shipped templates, file by file (`plan.templates`). It is read and checked when
settings are read; `use` says in which folder's words what follows in this task is asked.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator

from constitution.digest import hasher
from constitution.errors import Problem, UserError, invalid, suggest
from constitution.principles import Principle

FOLDER = Path(__file__).parent / "templates"
MAX_CHARACTERS = 4_000_000
"""Cap on one rendered prompt: four times the largest cell that is read."""
MAX_FILE = 100_000
"""Characters of one template of the user's own."""
KEPT = 256
"""Pieces of prompts that are kept. Questions about the same responses are asked together, so few are in use at a time."""

Files = Mapping[str, str]
"""Name of a template -> its text."""


class Templates:
    """The shipped templates, or those with some replaced."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(dict(files)),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        """Render the template file `name`. Raises UserError when the output passes MAX_CHARACTERS."""
        pieces: list[str] = []
        room = MAX_CHARACTERS
        for piece in self.environment.get_template(name).generate(**variables):
            room -= len(piece)
            if room < 0:
                fix = "shorten the conversation or its responses"
                raise UserError(
                    Problem(name, "", "the rendered prompt is too long", f"{MAX_CHARACTERS:,} characters", fix)
                )
            pieces.append(piece)
        return "".join(pieces).strip()


SHIPPED = Templates({path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.jinja"))})
_own: dict[Path, Templates] = {}
_current: ContextVar[Templates] = ContextVar("templates", default=SHIPPED)


def load(folder: Path) -> Templates:
    """Read a folder whose files stand before the shipped ones of their names. Raises UserError with all that is wrong in it."""
    try:
        paths = sorted(folder.iterdir())
        own = {
            path.name: path.read_text(encoding="utf-8") for path in paths if path.suffix == ".jinja" and path.is_file()
        }
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(Problem(str(folder), "", f"cannot be read ({error})", "a folder of templates")) from None
    problems = [_unknown(path) for path in paths if path.suffix == ".jinja" and path.name not in SHIPPED.files]
    if not own:
        allowed = f"files named {', '.join(SHIPPED.files)}"
        raise UserError(Problem(str(folder), "", "holds no template", allowed, f"copy one from {FOLDER} and edit it"))
    found = Templates({**SHIPPED.files, **{name: text for name, text in own.items() if name in SHIPPED.files}})
    for name in own.keys() & SHIPPED.files.keys():
        problems += [Problem(str(folder / name), *rest) for rest in _wrong(found, name)]
    if problems:
        raise UserError(sorted(problems))
    _own[folder] = found
    return found


def _usable(folder: Path | None) -> Path | None:
    if folder is not None:
        try:
            load(folder)
        except UserError as error:
            raise invalid("; ".join(map(str, error.problems)), fix=f"the shipped ones are in {FOLDER}") from None
    return folder


TemplatesFolder = Annotated[Path | None, AfterValidator(_usable)]
"""A setting: a folder of templates, which is read and checked as settings are read."""


def use(folder: Path | None) -> None:
    """What this task renders from here on is in a folder's words, or in the shipped ones. Raises UserError, as `load` does."""
    _current.set(SHIPPED if folder is None else _own.get(folder) or load(folder))


def render(name: str, **variables: object) -> str:
    """Render the template file `name`. Raises UserError when the output passes MAX_CHARACTERS."""
    return _current.get().render(name, variables)


def render_once(name: str, **variables: Hashable) -> str:
    """As `render`, and kept: what all questions about the same responses begin with, or a question that is put about many."""
    return rendered(_current.get(), name, **variables)


@lru_cache(maxsize=KEPT)
def rendered(templates: Templates, name: str, **variables: Hashable) -> str:
    """What `render_once` keeps."""
    return templates.render(name, variables)


def digest(folder: Path | None = None) -> str:
    """Hex digest over every template, and the requests that are built for principles: part of a run's provenance."""
    probe = Principle(id="probe", objective="probe", text="probe")
    templates = SHIPPED if folder is None else _own.get(folder) or load(folder)
    h = hasher()
    h.update(
        "\0".join((probe.critique_request, probe.revise_request, probe.compare_request, probe.ask_request)).encode()
    )
    for name, text in sorted(templates.files.items()):
        h.update(name.encode() + b"\0" + text.encode() + b"\0")
    return h.hexdigest()


_DELIMITER = "4e"


class _Mark(NamedTuple):
    conversation: str = " c0"
    replies: str = f" {_DELIMITER}"


class _Example(NamedTuple):
    prompt: str = "(1)"
    response: str = "(2)"
    critique: str = "(3)"
    revision: str = "(4)"


Sample = tuple[dict[str, Any], tuple[str, ...]]
"""Variables as the code gives them, and texts that must come out, in this order."""
_SHOWN: dict[str, Any] = {"mark": _Mark(), "conversation": "(talk)", "reference": ""}
_REFERENCE: dict[str, Any] = {"mark": _Mark(), "reference": "(right)"}
_VERDICTS = ("A", "B")
_REWRITE = {**_SHOWN, "reply": "(reply)", "critiques": ["(flaw)"], "requests": ["(wish)"], "examples": (_Example(),)}
_DEBATE: dict[str, Any] = {
    **_SHOWN, "reply": "(reply)", "other": "(other)", "request": "(wish)", "argument": "(argued)",
    "arguments": ("(for a)", "(for b)"),
}  # fmt: skip
_SAMPLES: Mapping[str, tuple[Sample, ...]] = {
    "pair.jinja": (({**_SHOWN, "a": "(one)", "b": "(two)"}, ("(talk)", _DELIMITER, "(one)", _DELIMITER, "(two)", _DELIMITER)),),
    "reply.jinja": (({**_SHOWN, "reply": "(reply)"}, ("(talk)", _DELIMITER, "(reply)", _DELIMITER)),),
    "reference.jinja": ((_REFERENCE, ("(right)",)), ({**_REFERENCE, "reference": ""}, ())),
    "compare.jinja": tuple(
        ({"request": "(wish)", "reason": reason, "form": form}, ("(wish)", *labels))
        for reason, form, labels in (
            (False, "labels", _VERDICTS), (False, "text", (*_VERDICTS, "tie")), (False, "json", ('"verdict"', *_VERDICTS)),
            (True, "labels", ()), (True, "text", (*_VERDICTS, "tie")), (True, "json", ('"verdict"', *_VERDICTS)),
        )
    ),
    "verdict.jinja": (({}, _VERDICTS),),
    "score.jinja": tuple(
        ({"principle": "(law)", "question": "(ask)", "grade": grade, "form": form}, shown)
        for grade, form, shown in (
            (True, "labels", ("(law)", "0", "9")), (True, "text", ("(law)", "0", "9")),
            (True, "json", ("(law)", '"grade"', "0", "9")),
            (False, "labels", ("(ask)", "Yes", "No")), (False, "text", ("(ask)", "Yes", "No")),
            (False, "json", ("(ask)", '"answer"', "Yes", "No")),
        )
    ),
    "rubric.jinja": (({"requests": ("(wish)", "(want)")}, ("1", "(wish)", "2", "(want)", *_VERDICTS)),),
    "critique.jinja": (({"request": "(wish)", "examples": (_Example(),)}, ("(wish)", "No issues")),),
    "critique_turn.jinja": (({**_REFERENCE, "request": "(wish)"}, ("(wish)", "No issues")),),
    "debate.jinja": tuple(
        ({**_DEBATE, "part": part, "answers": answers}, shown)
        for part, answers, shown in (
            ("argue", (), ("(talk)", _DELIMITER, "(other)", _DELIMITER, "(reply)", _DELIMITER, "(wish)")),
            ("answer", (), (_DELIMITER, "(argued)", _DELIMITER, "(wish)")),
            ("judge", (), (_DELIMITER, "(for a)", _DELIMITER, "(for b)", _DELIMITER)),
            ("judge", ("(by a)", "(by b)"), ("(for a)", "(for b)", _DELIMITER, "(by a)", _DELIMITER, "(by b)", _DELIMITER)),
        )
    ),
    "revise.jinja": ((_REWRITE, ("(talk)", _DELIMITER, "(reply)", _DELIMITER, "(flaw)", "(wish)")),),
}  # fmt: skip
"""How each template is rendered to see whether it says what the code that reads the answers counts on."""


def _unknown(path: Path) -> Problem:
    return Problem(
        str(path), "", f"is no template{suggest(path.name, SHIPPED.files)}", ", ".join(SHIPPED.files), "rename it"
    )


def _wrong(templates: Templates, name: str) -> Iterator[tuple[str, str, str, str]]:
    """(key, what was got, what is allowed, fix) of all that is wrong with a template."""
    text = templates.files[name]
    if len(text) > MAX_FILE:
        yield "", f"has {len(text):,} characters", f"{MAX_FILE:,}", ""
        return
    try:
        used = meta.find_undeclared_variables(templates.environment.parse(text))
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}", str(error.message), "a template of Jinja", ""
        return
    known = _SAMPLES[name][0][0].keys()
    if unknown := sorted(used - known):
        yield "", f"unknown variable {unknown[0]!r}{suggest(unknown[0], known)}", ", ".join(sorted(known)) or "none", ""
        return
    for variables, shown in _SAMPLES[name]:
        try:
            out = templates.render(name, variables)
        except (TemplateError, UndefinedError, UserError, TypeError, ValueError, ArithmeticError) as error:
            yield "", f"cannot be rendered ({error})", "", ""
            return
        if missing := _missing(out, shown):
            case = ", ".join(
                f"{key}={variables[key]}" for key in ("form", "reason", "grade", "part") if key in variables
            )
            yield (
                "",
                f"does not show {_MEANT.get(missing, repr(missing))}{f' with {case}' if case else ''}",
                "",
                "add it",
            )
            return


_MEANT = {
    "(talk)": "the conversation", _DELIMITER: "a delimiter with mark.replies around each response", "(one)": "the first response",
    "(two)": "the second response after the first", "(reply)": "the response", "(right)": "the reference", "(wish)": "the request",
    "(want)": "the second request", "(law)": "the principle", "(ask)": "the question", "(flaw)": "the critiques",
    "(other)": "the other response before it", "(argued)": "the argument", "(for a)": "the first argument",
    "(for b)": "the second argument", "(by a)": "the first answer", "(by b)": "the second answer",
}  # fmt: skip


def _missing(out: str, shown: tuple[str, ...]) -> str:
    """The first of the texts that is not there, or, of what is inserted, that does not stand after those before it."""
    place = 0
    for text in shown:
        if text != _DELIMITER and not text.startswith("("):
            if not re.search(rf"(?<!\w){re.escape(text)}(?!\w)", out):
                return text
            continue
        place = out.find(text, place) + len(text)
        if place < len(text):
            return text
    return ""
