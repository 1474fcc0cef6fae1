"""Values of a row's fields -> conversations and responses, whatever their form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from constitution.errors import shown
from constitution.records import Message
from generation.data.message import Told, finite, message, said
from generation.data.record import BadRow, bounded
from generation.data.text import parsed, turns_in

T = TypeVar("T")
Messages = tuple[Message, ...]
_REPLY = ("text", "response", "completion", "generated_text", "output")
"""Keys under which makers of sets of responses keep a response's text."""


def conversation(key: str, value: object, told: Told, structured: bool = False) -> Messages:
    """The messages of a text, a message, a list of them, or either as a string; of a text, one of the user. Raises BadRow.

    structured: a string holds messages, and is never text itself.
    """
    found = value
    if isinstance(value, str):
        found = turns_in(value)
        if found is None and structured:
            found = _under(key, lambda: parsed(value))
        if found is None:
            return (said("user", value),)
    return _under(key, lambda: _messages(found, told))


def spoken(key: str, value: object, told: Told) -> Messages:
    """The messages of a response: a text, one message, or a whole conversation that ends with the response. Raises BadRow."""
    if value is None:
        raise BadRow("bad_response", "is null", "an assistant's response that is not empty", key=key)
    if isinstance(value, str):
        found = turns_in(value)
        if found is None:
            return (said("assistant", value),)
        value = found
    if isinstance(value, Mapping) and "role" not in value and "from" not in value:
        texts = [name for name in ("content", *_REPLY) if isinstance(value.get(name), str)]
        if len(texts) == 1:
            return (said("assistant", value[texts[0]]),)
    return _under(key, lambda: _messages(value, told))


class Pair(NamedTuple):
    """Two responses to one conversation; either may be none."""

    before: Messages
    chosen: Message | BadRow
    rejected: Message | BadRow


class Sides(NamedTuple):
    """Two ways in which one conversation goes on, each of them the turns from an answer to the last; either may be none."""

    before: Messages
    chosen: Messages | BadRow
    rejected: Messages | BadRow


def pair(given: Messages | None, chosen: object, rejected: object, told: Told, empty: bool = False) -> Pair:
    """Two sides of one message each. empty: a response may be. Raises BadRow."""
    found = sides(given, chosen, rejected, told, empty)
    return Pair(found.before, _single("chosen", found.chosen), _single("rejected", found.rejected))


def _single(key: str, side: Messages | BadRow) -> Message | BadRow:
    if isinstance(side, BadRow):
        return side
    if len(side) > 1:
        return BadRow(
            "bad_response", f"has {len(side)} turns after the prompt", "one message of the assistant", key=key
        )
    return side[0]


def sides(given: Messages | None, chosen: object, rejected: object, told: Told, empty: bool = False) -> Sides:
    """What both answer, which is given or what both begin with, and how each goes on. Raises BadRow where there is none.

    A side is a text, or the assistant's and other turns, or a whole conversation. empty: a side may say nothing.
    """
    found: list[Messages | BadRow] = []
    for key, value in (("chosen", chosen), ("rejected", rejected)):
        try:
            found.append(spoken(key, value, told))
        except BadRow as error:
            found.append(error)
    read = [side for side in found if not isinstance(side, BadRow)]
    whole = [side for side in read if len(side) > 1 and (given is None or side[0].role != "assistant")]
    before = given
    if len(whole) == 2:
        shared = whole[0][: _parting(*whole)]
        before = shared if given is None or _within(given, shared) else given
    elif whole:
        before = _asked(whole[0], given)
    if before is None:
        raise BadRow("bad_row", "has no prompt, and chosen and rejected are responses alone", fix="add a column prompt")
    answers = (answer(key, side, before, empty) for key, side in zip(("chosen", "rejected"), found, strict=True))
    return Sides(before, *answers)


def answer(key: str, turns: Messages | BadRow, before: Messages, empty: bool = False) -> Messages | BadRow:
    """How turns that may begin with `before` go on from there, or why they do not: from an answer to an answer.

    empty: it may say nothing.
    """
    rest = None if isinstance(turns, BadRow) else _after(before, turns)
    if rest is None:
        one = reply(key, turns, before, empty)
        return one if isinstance(one, BadRow) else (one,)
    if any(turn.role == "system" for turn in rest):
        return BadRow("wrong_roles", "has a system message after the prompt", "assistant, tool, user", key=key)
    if not empty and not all(turn.content.strip() or turn.tool_calls for turn in rest if turn.role == "assistant"):
        return BadRow("bad_response", "is empty", "an assistant's response that is not empty", key=key)
    return rest


def _after(before: Messages, turns: Messages) -> Messages | None:
    """The several turns that follow `before`, whether or not turns begin with it; None where there are no such."""
    if not turns or turns[-1].role != "assistant" or _within(turns[:-1], before):
        return None
    rest = turns[len(before) :] if _begins(turns, before) else turns
    return rest if rest[0].role == "assistant" else None


def _begins(turns: Messages, some: Messages) -> bool:
    """Whether turns begin with messages, and go on."""
    return 0 < len(some) < len(turns) and _words(turns[: len(some)]) == _words(some)


def _asked(whole: Messages, given: Messages | None) -> Messages | None:
    """What comes before the response in a whole conversation that stands beside a response alone."""
    if given is None:
        return whole[:-1]
    system = 1 if whole[0].role == "system" and not _begins(whole, given) else 0
    end = system + len(given)
    one_answer = all(turn.role != "user" for turn in whole[end:])  # perhaps with calls of tools and what they gave
    if one_answer and _begins(whole[system:], given) and whole[end].role == "assistant":
        return whole[:end]
    return whole[:-1] if _within(given, whole[:-1]) else given


def _parting(one: Messages, other: Messages) -> int:
    """Messages that two conversations begin with, both going on with an answer. Raises BadRow where there are none."""
    same = next((i for i, (a, b) in enumerate(zip(_words(one), _words(other), strict=False)) if a != b), None)
    most = min(len(one), len(other)) - 1
    for place in range(most if same is None else same, 0, -1):
        if one[place].role == other[place].role == "assistant" and one[place - 1].role != "assistant":
            return place
    raise BadRow("bad_row", "chosen and rejected answer different conversations", "two responses to one conversation")


def reply(key: str, turns: Messages | BadRow, before: Messages, empty: bool = False) -> Message | BadRow:
    """The response that messages end with, or why it is none: it must be the assistant's and follow `before`.

    empty: it may say nothing.
    """
    if isinstance(turns, BadRow):
        return turns.named("bad_response")
    if not turns:
        return BadRow("bad_response", "has no messages", "a response", key=key)
    *head, last = turns
    if last.role != "assistant":
        return BadRow("bad_response", f"got role {last.role!r}", "an assistant's response that is not empty", key=key)
    if not (empty or last.content.strip() or last.tool_calls):
        return BadRow("bad_response", "is empty", "an assistant's response that is not empty", key=key)
    if head and not _within(tuple(head), before):
        got = "does not begin with the prompt's messages"
        return BadRow("bad_response", got, "one message of the assistant, or the prompt's and it", key=key)
    return last


def folded(message: Message) -> str:
    """A response without what does not tell it apart: its white space."""
    text = " ".join(message.content.split())
    calls = [call.model_dump_json() for call in message.tool_calls]
    return "\0".join((message.role, text, *calls))


def check_roles(messages: Messages) -> None:
    """Raises BadRow where no response can follow."""
    if not any(m.content.strip() for m in messages if m.role != "system"):
        raise BadRow("empty_prompt", "nobody says anything", "a text, or messages that say something", key="prompt")
    if messages[-1].role in ("assistant", "system"):
        got = f"the last message is the {messages[-1].role}'s"
        fix = "leave it out, or give it as one of `responses`" if messages[-1].role == "assistant" else ""
        raise BadRow("wrong_roles", got, "a user's or a tool's, which the policy answers", fix)
    called = False
    for index, one in enumerate(messages):
        if one.role == "system" and index:
            raise BadRow("wrong_roles", f"message {index + 1} is a system message", "one, and first")
        if one.role == "tool" and not called:
            raise BadRow("wrong_roles", f"message {index + 1} is a tool's", "a tool's after an assistant's tool call")
        called = called if one.role == "tool" else bool(one.tool_calls)


def listed(key: str, value: object, allowed: str = "a list") -> list[Any]:
    """A list, also one that is kept as JSON or Python's repr. Raises BadRow."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{", "(")):
        text = value
        value = _under(key, lambda: parsed(text))
    if isinstance(value, Mapping) and key == "tools":
        value = [value]
    if not isinstance(value, list | tuple):
        raise BadRow("bad_row", f"got {shown(value)}", allowed, key=key)
    return _under(key, lambda: [*bounded(value, "items")])


def tools(value: object) -> tuple[dict[str, Any], ...]:
    """Descriptions of tools: objects, or the JSON of a list of them or of each. Raises BadRow."""
    if value in (None, "", [], {}):
        return ()
    allowed = "a list of objects that describe tools, or its JSON"
    items = listed("tools", value, allowed)
    found = _under("tools", lambda: [parsed(one) if isinstance(one, str) else one for one in items])
    if not all(isinstance(tool, Mapping) for tool in found):
        raise BadRow("bad_row", f"got {shown(value)}", allowed, key="tools")
    return tuple(finite(tool, "tools") for tool in found)


def template_kwargs(value: object) -> dict[str, Any]:
    """What a row tells the chat template: an object, or its JSON. Raises BadRow."""
    if value in (None, "", {}):
        return {}
    found = _under("chat_template_kwargs", lambda: parsed(value) if isinstance(value, str) else value)
    if not isinstance(found, Mapping):
        allowed = "an object, as in {enable_thinking: false}, or its JSON"
        raise BadRow("bad_row", f"got {shown(value)}", allowed, key="chat_template_kwargs")
    return {str(key): inner for key, inner in finite(found, "chat_template_kwargs").items() if inner is not None}


def tags(value: object) -> tuple[str, ...]:
    """Tags: a list, or a text that commas or semicolons divide, or else white space. Raises BadRow."""
    if value is None:
        return ()
    if isinstance(value, str) and not value.lstrip().startswith(("[", "(")):
        divided = value.replace(";", ",").split(",") if "," in value or ";" in value else value.split()
        return _different(_under("tags", lambda: bounded(divided, "tags")))
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    found = listed("tags", value)
    if not all(isinstance(tag, str | int | float) for tag in found):
        raise BadRow("bad_row", f"got {shown(value)}", "a list of words", key="tags")
    return _different([name(tag) for tag in found])


def _different(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag.strip() for tag in found if tag.strip()))


def name(value: object) -> str:
    """A value as a name: a whole number that a table made a fraction is the number again."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def unpadded(value: Any) -> Any:
    """Without the nulls that a table of typed columns has where a key is in another row alone."""
    if isinstance(value, Mapping):
        return {key: unpadded(inner) for key, inner in value.items() if inner is not None}
    return [unpadded(inner) for inner in value] if isinstance(value, list | tuple) else value


def _under(key: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except BadRow as error:
        raise error.under(key) from None


def _messages(value: object, told: Told) -> Messages:
    if isinstance(value, Mapping):
        value = _rows(value)
    if not isinstance(value, list | tuple):
        raise BadRow("bad_row", f"got {shown(value)}", "text, a message or a list of messages")
    found = []
    for number, turn in enumerate(bounded(value, "messages")):
        try:
            found.append(message(turn, told))
        except BadRow as error:
            raise error.under(str(number)) from None
    return tuple(found)


def _rows(value: Mapping[str, Any]) -> list[Any]:
    """The messages of one, or of an object of lists, as old versions of `datasets` keep a list of them."""
    columns = {key: inner for key, inner in value.items() if isinstance(inner, list)}
    if columns.keys() & {"role", "from"} and len({len(inner) for inner in columns.values()}) == 1:
        return [dict(zip(columns, turn, strict=True)) for turn in zip(*columns.values(), strict=True)]
    return [value]


def _words(messages: Messages) -> list[tuple[str, ...]]:
    return [(m.role, m.content.strip(), *(call.function.model_dump_json() for call in m.tool_calls)) for m in messages]


def _within(some: Messages, whole: Messages) -> bool:
    """Whether messages are the end of others, or one text of a user among them."""
    few, many = _words(some), _words(whole)
    return few == many[len(many) - len(few) :] or (len(few) == 1 and few[0] in many)
