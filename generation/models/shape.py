"""What a chat template makes of the messages it is given, found once when a model loads.

The prompt must be the beginning of the same chat answered: labels are read where the answer goes on. Between the two a template
may write thoughts that are closed, a header of the answer, or a space. And a message that it leaves out, the model never sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from critics.text.thoughts import PAIRS
from generation.engines.base import ModelError
from generation.models.messages import ThoughtsPlace

Render = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None, bool, Mapping[str, JsonValue]], str]
"""Messages, tools, whether to open the answer, more variables of the template -> the text. Raises ValueError."""

THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Keys under which templates look for what the assistant thought."""
SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates keep a model from thinking, where they are false."""
_CLOSING = dict(PAIRS)
OPEN_THOUGHTS = re.compile(rf"(?:{'|'.join(map(re.escape, _CLOSING))})\s*\Z", re.IGNORECASE)
CLOSED_THOUGHTS = re.compile(
    "|".join(rf"{re.escape(first)}\s*{re.escape(last)}\s*\Z" for first, last in PAIRS), re.IGNORECASE
)
_SPEAKER = re.compile(r"assistant|model|\bgpt\b|\bbot\b", re.IGNORECASE)
_Q, _A, _MORE, _SYSTEM, _RESULT, _TOOL = "marmalade", "buttercup", "lavender", "peppermint", "chamomile", "rosemary"
_ASKED = {"role": "user", "content": _Q}
_ANSWERED = {"role": "assistant", "content": _A}
_CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "id": "callcall1", "function": {"name": _TOOL, "arguments": {}}}],
}
RowKind = Literal["answers", "thoughts", "calls"]
"""What rows have: answers in words, thoughts before them, tools."""


class Shape(NamedTuple):
    """What is known of a template."""

    opens_thoughts: str = ""
    """The mark with which the generation prompt opens thoughts that it does not close."""
    told: Mapping[str, JsonValue] = {}
    """Variables by which the template closes the thoughts itself."""
    closing: str = ""
    """What stands between the prompt and an answer: the end of thoughts, or the answer's header."""
    space: str = ""
    """White space that the template writes before an answer."""
    hidden: frozenset[str] = frozenset()
    """What it leaves out: `system`, `tool`, `tools`, `earlier user`, `earlier assistant`."""
    notes: tuple[str, ...] = ()
    """What is to be told, in words."""


def examine(render: Render, known: Mapping[str, JsonValue], mentions: Callable[[str], bool], header: str = "") -> Shape:
    """Render small chats. known: variables that are given. header: what stands for a generation prompt, where there is none.

    Raises ModelError for a template with which nothing can be asked.
    """
    try:
        asked = render([_ASKED], None, True, {})
    except ValueError as error:
        raise ModelError(f"the chat template cannot write a chat of one user message: {error}") from error
    if _Q not in asked:
        raise ModelError("the chat template leaves out what the user says; mend it, and save the tokenizer")
    gap, notes = _gap(render, asked)
    if header:
        notes.append(f"its chat template knows no generation prompt: {header!r} opens an answer, as in answered chats")
    hidden = _hidden(render, mentions)
    if hidden:
        notes.append(f"its chat template leaves out: {', '.join(sorted(hidden))}; prompts with such messages fail")
    told: dict[str, JsonValue] = {}
    for switch in SWITCHES:
        if known.get(switch) is not False and mentions(switch):
            quiet = render([_ASKED], None, True, {switch: False})
            if quiet != asked and not OPEN_THOUGHTS.search(quiet):
                told = {switch: False}
    opens = opened_thoughts(asked)
    if told:
        gap = ""
    elif opens:
        gap = f"\n{_CLOSING.get(opens.lower(), opens)}\n\n"
    return Shape(opens, told, gap if gap.strip() else "", "" if gap.strip() else gap, hidden, tuple(notes))


def opened_thoughts(opening: str) -> str:
    """The mark of thoughts that a text ends with, and does not close; empty where there is none."""
    found = OPEN_THOUGHTS.search(opening)
    return found.group().strip() if found else ""


def missing_header(render: Render, encode: Callable[[str], list[int]]) -> str:
    """What the template writes before every answer and in no prompt, as one does that knows no generation prompt; else empty.

    White space at its end is not of it: it is the answer's to begin with. With it a prompt must be the beginning of the answered
    chat in token ids, too.
    """
    chats: list[list[dict[str, Any]]] = [
        [_ASKED],
        [{"role": "system", "content": _SYSTEM}, _ASKED],
        [_ASKED, _ANSWERED, {"role": "user", "content": _MORE}],
    ]
    header = ""
    for chat in chats:
        try:
            asked, whole = (
                render(chat, None, False, {}),
                render([*chat, {**_ANSWERED, "content": _RESULT}], None, False, {}),
            )
            opened = render(chat, None, True, {})
        except ValueError:
            if header:
                continue
            return ""
        if opened != asked or not whole.startswith(asked):
            return ""
        gap = CLOSED_THOUGHTS.sub("", whole[len(asked) :].partition(_RESULT)[0])
        header = header or OPEN_THOUGHTS.sub("", gap).rstrip(" ")
        before = encode(asked + header)
        if not header.strip() or not gap.startswith(header) or encode(whole)[: len(before)] != before:
            return ""
    return header


def place_of_thoughts(render: Render, mentions: Callable[[str], bool], controls: Collection[str]) -> ThoughtsPlace:
    """Where thoughts go. mentions: whether a text stands in the template. controls: texts of control tokens."""
    spelled = {text.lower(): text for text in controls}
    pairs = ((spelled.get(first, first), spelled.get(last, last)) for first, last in PAIRS)
    marks = next(((first, last) for first, last in pairs if mentions(last) or last in controls), None)
    for key in THOUGHTS:
        if mentions(key):
            try:
                rendered = render([_ASKED, {**_ANSWERED, key: _MORE}], None, False, {})
            except ValueError:
                continue
            if _MORE in rendered:
                return ThoughtsPlace(key, marks)
    return ThoughtsPlace("", marks, bool(marks and mentions(marks[1])))


def ends_of_turns(render: Render, mentions: Callable[[str], bool], control: re.Pattern[str]) -> tuple[str, ...]:
    """Control tokens that end what the assistant says, the ordinary one first: others end answered turns, or calls of tools.

    Raises ModelError where none does. Of several in a row the last is meant that also stands behind an answered turn: a mark that
    ends the text may stand before it, and one that ends the chat behind it.
    """

    def after(chat: list[dict[str, Any]], word: str) -> list[str]:
        rendered = render(chat, None, False, {})
        return control.findall(rendered[rendered.rindex(word) :]) if word in rendered else []

    try:
        last = after([_ASKED, _ANSWERED], _A)
    except ValueError:
        last = []
    if not last:
        raise ModelError(
            "the chat template ends the assistant's turn with no control token; write one after the assistant's "
            "content, such as {{ eos_token }}, and save the tokenizer"
        )
    earlier: list[str] = []
    with suppress(ValueError):
        earlier = after([_ASKED, _ANSWERED, {"role": "user", "content": _MORE}], _A)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, earlier, strict=False))]
    found = [shared[-1] if shared else last[0]]
    if earlier and found[0] not in earlier:
        found.append(earlier[0])
    if mentions("tool_calls"):
        with suppress(ValueError):
            called = after([_ASKED, _CALLED], _TOOL)
            found += [] if {*found} & {*called} else called[-1:]
    return tuple(found)


class BorrowedEnds(NamedTuple):
    """How answers end under a template that ends none: with what it writes next, up to the control token that begins it."""

    answer: str
    call: str
    """Behind calls of tools."""

    def behind(self, message: Mapping[str, Any]) -> str:
        """What ends a chat whose last message it is."""
        if message["role"] != "assistant":
            return ""
        return self.call if message.get("tool_calls") else self.answer


def borrowed_ends(
    render: Render, mentions: Callable[[str], bool], control: re.Pattern[str], bos: str | None
) -> BorrowedEnds | None:
    """Ends of a template that writes the next speaker's token behind an answer, and nothing where none follows, as GLM's, whose
    models stop at that token. None for a template that ends answers, or whose next token says nothing: it opens answers as well.
    """

    def gap(answered: Mapping[str, Any], following: Mapping[str, Any]) -> str:
        """What the template writes behind an answer that is not the last message, up to its first control token."""
        try:
            alone, whole = (render([_ASKED, answered, *more], None, False, {}) for more in ((), (following,)))
            opening = render([_ASKED], None, True, {})[len(render([_ASKED], None, False, {})) :]
        except ValueError:
            return ""
        found = control.search(whole, len(alone), max(whole.rfind(following["content"]), 0))
        if not whole.startswith(alone) or not found or found.group() in (*control.findall(opening), bos):
            return ""
        return whole[len(alone) : found.end()]

    try:
        ended = control.search(render([_ASKED, _ANSWERED], None, False, {}).rpartition(_A)[2])
    except ValueError:
        return None
    answer = "" if ended else gap(_ANSWERED, {"role": "user", "content": _MORE})
    if not answer:
        return None
    result = {"role": "tool", "content": _RESULT, "name": _TOOL, "tool_call_id": "callcall1"}
    call = gap(_CALLED, result) if mentions("tool_calls") else ""
    return BorrowedEnds(answer, call or answer)


def differences(
    render: Render,
    mentions: Callable[[str], bool],
    place: ThoughtsPlace,
    kinds: Collection[RowKind],
    told: Mapping[str, JsonValue],
) -> list[str]:
    """What is to be told before rows of these kinds are trained on. told: variables that rows are rendered with.

    Raises ModelError for what would be trained wrong.
    """
    notes = [*_answers(render, mentions, told)]
    if "thoughts" in kinds:
        notes += _thoughts(place)
    if "calls" in kinds:
        notes += _calls(render, mentions, told)
    return notes


def _answers(render: Render, mentions: Callable[[str], bool], told: Mapping[str, JsonValue]) -> Iterator[str]:
    asked, answered = render([_ASKED], None, True, told), render([_ASKED, _ANSWERED], None, False, told)
    switch = next((name for name in SWITCHES if mentions(name)), "")
    if not answered.startswith(asked):
        opened = OPEN_THOUGHTS.search(asked) or CLOSED_THOUGHTS.search(asked)
        if opened and answered.startswith(asked[: opened.start()]):
            yield (
                f"its chat template writes {opened.group()!r} before an answer is sampled, and not in a chat that is answered: "
                "answers without thoughts are trained on without it; give their thoughts as reasoning_content"
                + (f", or set chat_template_kwargs: {{{switch}: ...}}" if switch else "")
            )
        else:
            yield (
                "its chat template writes a chat otherwise once it is answered, and that is what is trained on; the prompt that is "
                "sampled after is not the beginning of it"
            )
    elif (gap := answered[len(asked) :].partition(_A)[0]).strip():
        closed = switch if CLOSED_THOUGHTS.search(gap) else ""
        yield (
            f"its chat template writes {gap!r} before an answer, which is trained on as part of it"
            + (f"; set chat_template_kwargs: {{{closed}: false}} to have it in the prompt" if closed else "")
        )


def _thoughts(place: ThoughtsPlace) -> Iterator[str]:
    if place.field:
        return
    if place.marks is None:
        yield "its chat template has no place for thoughts, and its tokenizer no marks of them: reasoning_content is left out"
    elif place.is_dropped:
        first, last = place.marks
        yield (
            "its chat template leaves out what the assistant thought: thoughts of the last answer are trained on as the model "
            f"writes them, between {first} and {last}, and those of earlier ones are not"
        )
    else:
        first, last = place.marks
        yield f"its chat template knows no reasoning_content: thoughts are trained on between {first} and {last}"


def _calls(render: Render, mentions: Callable[[str], bool], told: Mapping[str, JsonValue]) -> Iterator[str]:
    if not mentions("tools"):
        yield "its chat template knows no tools: they are described in the system message"
    if not mentions("tool_calls"):
        yield "its chat template writes no tool calls: they are trained on as JSON between <tool_call> and </tool_call>"
        return
    try:
        called = render([_ASKED, {**_CALLED, "content": _A}], None, False, told)
    except ValueError as error:
        yield f"its chat template refuses tool calls: {error}"
        return
    if _TOOL not in called:
        raise ModelError("the chat template leaves out which tool is called; mend it, and save the tokenizer")
    if _A not in called:
        yield "its chat template leaves out what is said beside a tool call"


def left_out(shape: Shape, chat: Sequence[Mapping[str, Any]], tools: Any) -> str:
    """What of a chat the template leaves out, in words; empty where nothing."""
    roles = {str(message["role"]) for message in chat} & {"system", "tool"}
    roles |= {f"earlier {message['role']}" for message in chat[:-1] if message["role"] in ("user", "assistant")}
    if tools:
        roles.add("tools")
    return ", ".join(sorted(roles & shape.hidden))


def _gap(render: Render, asked: str) -> tuple[str, list[str]]:
    """What the template writes between the prompt and an answer, and what is to be told. Raises ModelError."""
    try:
        answered = render([_ASKED, _ANSWERED], None, False, {})
    except ValueError as error:
        return "", [f"its chat template cannot write a chat that is answered ({error})"]
    if _A not in answered:
        raise ModelError("the chat template leaves out what the assistant says; mend it, and save the tokenizer")
    stem = CLOSED_THOUGHTS.sub("", OPEN_THOUGHTS.sub("", asked))
    same = answered.startswith((asked, stem))
    common = asked if answered.startswith(asked) else stem if same else _common(asked, answered)
    gap = answered[len(common) :].partition(_A)[0]
    unopened = gap.strip() and (_SPEAKER.search(gap) or asked == render([_ASKED], None, False, {}))
    if unopened:
        raise ModelError(
            f"the chat template does not open the assistant's turn: before an answer it writes {gap!r}, and not in the prompt; "
            "write it there where add_generation_prompt is true, and save the tokenizer"
        )
    if not same:
        told = "its chat template writes a chat otherwise once it is answered: the prompt is not the beginning of it"
        return "", [told]
    return gap, []


def _common(one: str, other: str) -> str:
    """The beginning of both."""
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in equal)


def _hidden(render: Render, mentions: Callable[[str], bool]) -> frozenset[str]:
    """What the template leaves out. A chat that it refuses is not left out: it fails in its own words."""
    schema = {"type": "object", "properties": {}}
    tool = {"type": "function", "function": {"name": _TOOL, "description": _MORE, "parameters": schema}}
    chats: list[tuple[list[dict[str, Any]], Any, dict[str, str]]] = [
        ([{"role": "system", "content": _SYSTEM}, _ASKED], None, {"system": _SYSTEM}),
        (
            [_ASKED, _ANSWERED, {"role": "user", "content": _MORE}],
            None,
            {"earlier user": _Q, "earlier assistant": _A},
        ),
    ]
    if mentions("tool_calls"):
        result = {"role": "tool", "content": _RESULT, "name": _TOOL, "tool_call_id": "callcall1"}
        chats.append(([_ASKED, _CALLED, result], None, {"tool": _RESULT}))
    if mentions("tools"):
        chats.append(([_ASKED], [tool], {"tools": _TOOL}))
    hidden = set()
    for chat, tools, words in chats:
        try:
            rendered = render(chat, tools, True, {})
        except ValueError:
            continue
        hidden |= {name for name, word in words.items() if word not in rendered}
    return frozenset(hidden)
