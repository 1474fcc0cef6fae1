"""Prompts from anywhere. A bad row becomes a Failure with its place and reason; reading goes on."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from constitution.digest import digest, hasher
from constitution.errors import Problem, UserError
from constitution.records import Failure, Message, Prompt
from critics.rules.row import REFERENCE
from generation.data import conversation as shapes
from generation.data.conversation import Messages
from generation.data.mapping import Columns, columns
from generation.data.message import Told, said
from generation.data.record import BadRow, Record
from generation.data.source import source
from generation.data.values import Names, check_text, clean, metadata, unfolded

FIELDS = (
    "prompt", "messages", "conversations", "system", "responses", "chosen", "rejected", "tools", "tags", "id", "reference",
)  # fmt: skip
NEEDED = ("prompt", "messages", "conversations", "chosen")
"""Fields of which a prompt has one."""
SHOWN = 3
"""Bad rows that are told one by one."""
MANY = 1000
"""Names of columns, tags and keys that are kept, at most."""
STAGE = "read"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What one pass over the prompts found."""

    rows: int
    has_tools: bool
    """Some row has tools, tool calls or tool results."""
    ignored: tuple[str, ...]
    """Columns that are not read; they go into `metadata`."""
    fingerprint: str
    """Digest of what was read of the rows."""
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that cannot be read for it, and single responses of others."""
    first: tuple[Failure, ...] = ()
    """The first of them."""
    tags: Counter[str] = field(default_factory=Counter)
    """Tag -> rows that have it."""
    notes: tuple[str, ...] = ()
    """What else should be told."""
    references: int = 0
    """Rows with a reference answer."""
    given: int = 0
    """Rows with responses of their own."""
    single: int = 0
    """Those of them that have only one."""

    @property
    def columns(self) -> frozenset[str]:
        """What rules may read of some row, beside what every prompt is made of."""
        return frozenset(self.ignored) | ({REFERENCE} if self.references else frozenset())

    def lines(self, spec: str) -> Iterator[str]:
        """What a user should know of the rows before anything is asked of a model."""
        if self.failed:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.failed.most_common())
            yield f"{spec}: {self.failed.total():,} of {self.rows:,} rows cannot be read, whole or in part ({reasons}), as:"
            yield from (f"  {failure.detail}" for failure in self.first)
        if self.ignored:
            yield f"{spec}: columns kept as metadata: {', '.join(self.ignored)}"
        yield from (f"{spec}: {note}" for note in self.notes)


def read(
    spec: str, limit: int | None = None, given: Iterable[str] | Mapping[str, str] = ()
) -> Iterator[Prompt | Failure]:
    """Each row as a prompt or a failure, in the source's order, with bounded memory. Raises UserError.

    A failure with a `subject` is of one response of the prompt that follows it. given: `FIELD=COLUMN` of columns with other names.
    """
    found = columns(FIELDS, given)
    records, _ = source(spec, found.read).one()
    for one in _read(records(), found, limit, Told(), Counter()):
        yield from one.bad
        yield one.made


def inspect(spec: str, limit: int | None = None, given: Iterable[str] | Mapping[str, str] = ()) -> SourceInfo:
    """Read all rows once and count. Raises UserError, also where no column can be used."""
    found = columns(FIELDS, given)
    records, notes = source(spec, found.read).one()
    h = hasher()
    told, seen, failed, tags = Told(), Counter[str](), Counter[str](), Counter[str]()
    rows, references, responses, single, has_tools, first = 0, 0, 0, 0, False, list[Failure]()
    for one in _read(records(), found, limit, told, seen):
        rows += 1
        if isinstance(one.made, Prompt):
            h.update(one.made.model_dump_json().encode() + b"\n")
            has_tools = has_tools or _has_tools(one.made)
            tags.update(one.made.tags if len(tags) < MANY else ())
            references += bool(one.made.reference)
            responses += bool(one.made.responses)
            single += len(one.made.responses) == 1
        for failure in (*one.bad, *([one.made] if isinstance(one.made, Failure) else [])):
            h.update(f"{failure.reason}\n".encode())
            failed[failure.reason] += 1
            if len(first) < SHOWN:
                first.append(failure)
    if not rows:
        fix = 'each row needs a `prompt`, as in {"prompt": "Why is the sky blue?"}'
        raise UserError(Problem(spec, got="has no rows", fix=fix))
    found.check(spec, seen, NEEDED)
    notes += tuple(f"{what} ({count:,} times)" for what, count in told.items())
    ignored = tuple(sorted(set(seen).difference(found.read)))
    return SourceInfo(
        rows, has_tools, ignored, h.hexdigest(), failed, tuple(first), tags, notes, references, responses, single
    )


class _Row(NamedTuple):
    made: Prompt | Failure
    bad: tuple[Failure, ...] = ()


def _read(
    records: Iterator[Record], found: Columns, limit: int | None, told: Told, seen: Counter[str]
) -> Iterator[_Row]:
    """told, seen: what is left alone and the names of columns, which are added to."""
    with closing(Names()) as names:
        for number, record in enumerate(itertools.islice(records, limit), 1):
            if not isinstance(record.row, BadRow) and len(seen) < MANY:
                seen.update(dict.fromkeys(unfolded(record.row), 1))
            try:
                made = _made(record, found, told)
            except BadRow as error:
                yield _Row(_failure(record, error, names, found, number))
            except Exception as error:  # nobody knows what a row can hold; whatever it is, the others go on
                bad = BadRow("bad_row", f"cannot be read ({type(error).__name__}: {str(error)[:200]})")
                yield _Row(_failure(record, bad, names, found, number))
            else:
                name = names.unique(made.prompt.id)
                prompt = made.prompt if name == made.prompt.id else made.prompt.model_copy(update={"id": name})
                bad_ones = (
                    Failure(name, STAGE, e.reason, str(e.at(record.place)), f"{name}/responses[{i}]")
                    for i, e in made.bad
                )
                yield _Row(prompt, tuple(bad_ones))


def _failure(record: Record, error: BadRow, names: Names, found: Columns, number: int) -> Failure:
    """A row's failure, under its own id where it has one."""
    name = f"row-{record.place.rpartition(':')[2]}"
    if isinstance(record.row, Mapping):
        own = record.row.get(found.mapped.get("id", "id"))
        if isinstance(own, str | int | float) and own == own:
            name = clean(shapes.name(own))[:200] or name
    return Failure(names.unique(name), STAGE, error.reason, clean(str(error.at(record.place))))


def fields_of(record: Record, found: Columns) -> tuple[dict[str, Any], Collection[str], dict[str, Any]]:
    """(the row's fields that are not null, the names of all that it has, its other columns). Raises BadRow."""
    if isinstance(record.row, BadRow):
        raise record.row
    given, others = found.split(record.row)
    fields = {key: value for key, value in given.items() if value is not None}
    if record.columnar:
        fields = {key: shapes.unpadded(value) for key, value in fields.items()}
    check_text(fields)
    return fields, given.keys(), others


class _Made(NamedTuple):
    prompt: Prompt
    bad: list[tuple[int, BadRow]]
    """Responses that are none, by their place in the list."""


def _made(record: Record, found: Columns, told: Told) -> _Made:
    """A row as a Prompt. Raises BadRow."""
    fields, present, others = fields_of(record, found)
    messages, replies = asked(fields, present, told)
    responses, bad = different(replies, told)
    if replies and not responses:
        raise bad[0][1]
    tools = shapes.tools(fields.get("tools"))
    prompt = Prompt.model_construct(
        id=_id(fields.get("id"), messages, responses, tools),
        messages=messages,
        tools=tools,
        tags=shapes.tags(fields.get("tags")),
        responses=tuple(responses),
        reference=_reference(fields.get("reference"), told),
        metadata=metadata(unfolded(others), told),
        template_kwargs={},
    )
    return _Made(prompt, bad)


def asked(fields: Mapping[str, Any], present: Collection[str], told: Told) -> tuple[Messages, list[Message | BadRow]]:
    """(what is asked, the given responses). present: names of the fields, with those that are null. Raises BadRow."""
    before = turns(fields, told)
    replies: list[Message | BadRow] = []
    chosen, rejected = fields.get("chosen"), fields.get("rejected")
    given = fields.get("responses")
    if given is None and {"chosen", "rejected"} <= set(present) and not (chosen is None and rejected is None):
        pair = shapes.pair(before, chosen, rejected, told)
        before, replies = pair.before, [pair.chosen, pair.rejected]
    if before is None:
        raise missing(present)
    if given is not None:
        replies = [_reply(value, before, told) for value in shapes.listed("responses", given)]
    elif not replies and fields.get("prompt") is None and before and before[-1].role == "assistant":
        # a whole conversation, as sets for training keep it
        told["the conversation's last message, the assistant's, is taken as a given response to what is before it"] += 1
        replies, before = [shapes.reply("messages", before[-1:], before[:-1])], before[:-1]
    messages = with_system(before, fields.get("system"))
    shapes.check_roles(messages)
    return messages, replies


def missing(present: Collection[str]) -> BadRow:
    """Why a row without a conversation is none."""
    if not set(NEEDED).isdisjoint(present):
        return BadRow("empty_prompt", "is empty", "text, or messages that say something", key="prompt")
    return BadRow("bad_row", "has no prompt", " or ".join(f"`{name}`" for name in NEEDED[:3]))


def turns(fields: Mapping[str, Any], told: Told) -> Messages | None:
    """The conversation that waits for a response; None where no field has one. Raises BadRow.

    Beside a prompt, messages are a whole conversation: it is taken where it goes on to that very prompt, as it may say more.
    """
    whole = next((key for key in ("messages", "conversations") if fields.get(key) is not None), None)
    if fields.get("prompt") is None:
        return None if whole is None else shapes.conversation(whole, fields[whole], told, structured=True)
    prompt = shapes.conversation("prompt", fields["prompt"], told)
    if whole is None or len(prompt) != 1:
        return prompt
    try:
        messages = shapes.conversation(whole, fields[whole], told, structured=True)
    except BadRow:
        messages = ()
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    if messages and messages[-1].content.strip() == prompt[0].content.strip() and messages[-1].role == prompt[0].role:
        return messages
    told[f"{whole} beside a prompt that they do not go on to, which is read alone"] += 1
    return prompt


def with_system(messages: Messages, system: object) -> Messages:
    """The conversation under the system message of a column of its own. Raises BadRow."""
    if system is None or (isinstance(system, str) and not system.strip()):
        return messages
    if not isinstance(system, str):
        raise BadRow("bad_row", f"got {type(system).__name__}", "text", key="system")
    if messages and messages[0].role == "system":
        if messages[0].content.strip() == system.strip():
            return messages
        raise BadRow(
            "wrong_roles", "is another than the system message of the conversation", "one of the two", key="system"
        )
    return (said("system", system), *messages)


def _reply(value: object, before: Messages, told: Told) -> Message | BadRow:
    if value is None:
        return BadRow("bad_response", "is null", "an assistant's response that is not empty", key="responses")
    try:
        return shapes.reply("responses", shapes.spoken("responses", value, told), before)
    except BadRow as error:
        return error.named("bad_response")


def different(replies: Iterable[Message | BadRow], told: Told) -> tuple[list[Message], list[tuple[int, BadRow]]]:
    """(the responses, each once, those that are none)."""
    seen = dict[str, Message]()
    bad = list[tuple[int, BadRow]]()
    for i, one in enumerate(replies):
        if isinstance(one, BadRow):
            bad.append((i, one))
        elif seen.setdefault(shapes.folded(one), one) is not one:
            told["a given response that another one repeats, but for white space, is left out"] += 1
    return [*seen.values()], bad


def _reference(value: object, told: Told) -> str:
    """A reference answer as text. Raises BadRow."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return shapes.name(value)
    found = shapes.spoken("reference", value, told)
    return found[-1].content


def _id(value: object, messages: Messages, responses: list[Message], tools: tuple[dict[str, Any], ...]) -> str:
    """The row's own id; else one that follows from what it says."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        spoken = [m.model_dump(mode="json") for m in (*messages, *responses)]
        return digest(json.dumps([spoken, tools]), 8)
    return shapes.name(value)[:200]


def _has_tools(prompt: Prompt) -> bool:
    return bool(prompt.tools) or any(m.role == "tool" or m.tool_calls for m in (*prompt.messages, *prompt.responses))
