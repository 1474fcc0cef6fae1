"""Prompts from JSONL, CSV, parquet, a datasets folder or a hub id. A bad row becomes a Failure; reading goes on."""

from __future__ import annotations

import csv
import itertools
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from constitution.digest import digest, hasher
from constitution.errors import Problem, UserError, suggest
from constitution.records import Failure, Message, Prompt

MAX_CELL = 1 << 20
"""Most bytes of one row's text."""
USED = ("id", "prompt", "messages", "tools", "tags", "responses")
"""Columns that are read; others are named once and left alone."""
FILES = (".jsonl", ".ndjson", ".csv", ".parquet")


class _BadRow(Exception):
    """Why a row is no prompt: a reason and a detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What one cheap pass over the prompts found."""

    rows: int
    has_tools: bool
    """Some row has tools, tool calls or tool results."""
    ignored: tuple[str, ...]
    """Columns that are not read."""
    fingerprint: str
    """Digest of the rows' contents."""


Raw = Mapping[str, Any] | _BadRow
"""A row as the file has it, or why it is none."""


def read(spec: str, limit: int | None = None) -> Iterator[Prompt | Failure]:
    """Each row as a prompt or a failure, in the file's order, with bounded memory. Raises UserError."""
    with closing(_Names()) as names:
        for place, raw in itertools.islice(_rows(spec), limit):
            try:
                if isinstance(raw, _BadRow):
                    raise raw
                prompt = _prompt(raw)
            except _BadRow as error:
                name = names.unique(f"row-{place.rpartition(':')[2]}")
                yield Failure(name, "read", error.reason, f"{place}: {error.detail}")
            else:
                yield prompt.model_copy(update={"id": names.unique(prompt.id)})


def inspect(spec: str, limit: int | None = None) -> SourceInfo:
    """Count the rows and look for tools and columns. Raises UserError, also where no column can be used."""
    h = hasher()
    rows, has_tools, columns = 0, False, set[str]()
    for _, raw in itertools.islice(_rows(spec), limit):
        rows += 1
        if isinstance(raw, _BadRow):
            h.update(raw.reason.encode())
            continue
        text = json.dumps(raw, sort_keys=True, default=str)
        h.update(text.encode() + b"\n")
        has_tools = has_tools or _mentions_tools(raw)
        columns.update(raw)
    if not rows:
        fix = 'each row needs a `prompt`, as in {"prompt": "Why is the sky blue?"}'
        raise UserError(Problem(spec, got="has no rows", fix=fix))
    if columns and columns.isdisjoint(("prompt", "messages")):
        hints = "".join(hint for name in sorted(columns) if (hint := suggest(name, ("prompt", "messages"))))
        got = f"got columns {', '.join(sorted(columns))}{hints}"
        raise UserError(Problem(spec, "", got, "`prompt` (text or messages) or `messages`", "rename one"))
    return SourceInfo(rows, has_tools, tuple(sorted(columns.difference(USED))), h.hexdigest())


def _mentions_tools(row: Mapping[str, Any]) -> bool:
    if row.get("tools"):
        return True
    turns = [row.get("prompt"), row.get("messages"), row.get("responses")]
    return any('"tool' in json.dumps(turn, default=str) for turn in turns if isinstance(turn, list))


def _rows(spec: str) -> Iterator[tuple[str, Raw]]:
    """(`file:row`, row) of every row."""
    path = Path(spec)
    suffix = path.suffix.lower()
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        if path.exists() or suffix in FILES or spec.startswith((".", "/", "~")) or spec.count("/") != 1:
            allowed = f"{', '.join(FILES)}, a datasets folder, or a hub id such as owner/name"
            raise UserError(Problem(spec, "", "no such file", allowed))
        return _hub(spec)
    if suffix not in FILES:
        got = f"got the ending {suffix or '(none)'!r}"
        raise UserError(Problem(spec, "", got, ", ".join(FILES), "rename or convert the file"))
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(Problem(spec, "", f"cannot be read ({error.strerror})", "", "check its permissions")) from None
    readers = {".csv": _csv, ".parquet": _parquet}
    return readers.get(suffix, _jsonl)(path)


def _jsonl(path: Path) -> Iterator[tuple[str, Raw]]:
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(MAX_CELL + 1)
            if not line:
                return
            place = f"{path}:{number}"
            if len(line) > MAX_CELL:
                while line and not line.endswith(b"\n"):  # leave the rest of an over-long line unread, piece by piece
                    line = file.readline(MAX_CELL)
                yield place, _BadRow("cell_too_large", f"over {MAX_CELL:,} bytes")
            elif line.strip():
                yield place, _json_row(line)


def _json_row(line: bytes) -> Raw:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _BadRow("not_utf8", "save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        return _BadRow("bad_json", str(error)[:200])
    return (
        row
        if isinstance(row, dict)
        else _BadRow("bad_row", f"got a {type(row).__name__}; allowed: an object with `prompt`")
    )


def _csv(path: Path) -> Iterator[tuple[str, Raw]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            cells = {
                key: _cell(key, value) for key, value in row.items() if key is not None and value not in (None, "")
            }
            yield (
                f"{path}:{reader.line_num}",
                {"prompt": "", **cells} if "prompt" in (reader.fieldnames or ()) else cells,
            )


def _cell(key: str, value: str) -> Any:
    """Lists in a CSV are written as JSON."""
    if key in ("tags", "tools", "responses", "messages") or (key == "prompt" and value.lstrip().startswith("[{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _parquet(path: Path) -> Iterator[tuple[str, Raw]]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (OSError, ValueError) as error:
        got = f"is not parquet ({' '.join(str(error).split())[:200]})"
        raise UserError(Problem(str(path), "", got, "", "write it again")) from None


def _folder(path: Path) -> Iterator[tuple[str, Raw]]:
    files = sorted(file for file in path.rglob("*") if file.suffix in FILES)
    arrow = sorted(path.rglob("*.arrow"))
    if not files and not arrow:
        got = f"is no dataset (no {', '.join(FILES)} or .arrow file in it)"
        raise UserError(Problem(str(path), "", got, "", "give a file, or save_to_disk a dataset there"))
    return itertools.chain.from_iterable(map(_rows, map(str, files))) if files else _saved(path)


def _saved(path: Path) -> Iterator[tuple[str, Raw]]:
    from datasets import Dataset, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        got = f"cannot be loaded as a saved dataset ({error})"
        raise UserError(Problem(str(path), "", got, "", "write it with save_to_disk")) from None
    splits = {"": loaded} if isinstance(loaded, Dataset) else dict(loaded)
    for split, dataset in splits.items():
        yield from ((f"{path}/{split}:{i + 1}", row) for i, row in enumerate(dataset))


def _hub(spec: str) -> Iterator[tuple[str, Raw]]:
    from datasets import load_dataset

    try:
        stream = load_dataset(spec, split="train", streaming=True)
    except Exception as error:  # the hub's client raises many kinds, all of which mean the same to the user
        reason = " ".join(str(error).split())[:300]
        got = f"is no file here and cannot be had from the hub ({reason})"
        raise UserError(Problem(spec, "", got, "", "check the name and the network")) from None
    return ((f"{spec}:{i + 1}", row) for i, row in enumerate(stream))


def _prompt(row: Mapping[str, Any]) -> Prompt:
    """A row as a Prompt. Raises _BadRow."""
    row = {key: value for key, value in row.items() if key in USED and value is not None}
    _check_text(row)
    turns = row.get("messages", row.get("prompt"))
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list):
        raise _BadRow("bad_row", f"prompt: got {type(turns).__name__}; allowed: text or a list of messages")
    messages = tuple(_message(turn) for turn in turns)
    _check_roles(messages)
    responses = tuple(_reply(response) for response in _list(row, "responses"))
    tools = _list(row, "tools")
    if not all(isinstance(tool, dict) for tool in tools):
        raise _BadRow("bad_row", "tools: allowed: a list of JSON objects")
    tags = tuple(map(str, _list(row, "tags")))
    parts = [[m.model_dump(mode="json") for m in (*messages, *responses)], tools]
    name = row.get("id") or digest(json.dumps(parts), 8)
    return Prompt(id=str(name)[:200], messages=messages, tools=tuple(tools), tags=tags, responses=responses)


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key, [])
    if isinstance(value, str) and key == "tags":
        return value.split()
    if not isinstance(value, list):
        raise _BadRow("bad_row", f"{key}: got {type(value).__name__}; allowed: a list")
    return value


def _reply(value: object) -> Message:
    """A ready response: text, a message, or a list of one message."""
    if isinstance(value, str):
        value = {"role": "assistant", "content": value}
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    message = _message(value)
    if message.role != "assistant" or not (message.content.strip() or message.tool_calls):
        raise _BadRow(
            "bad_response",
            f"responses: got role {message.role!r}, {len(message.content)} characters; "
            "allowed: an assistant's response that is not empty",
        )
    return message


def _message(value: object) -> Message:
    if not isinstance(value, dict):
        raise _BadRow("bad_row", f"message: got {type(value).__name__}; allowed: {{role, content}}")
    try:
        return Message.model_validate({key: inner for key, inner in value.items() if inner is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = (
            "wrong_roles"
            if where == "role"
            else "malformed_tool_call"
            if "tool" in f"{where}{first['msg']}"
            else "bad_row"
        )
        raise _BadRow(reason, f"{where}: {first['msg']}"[:300]) from None


def _check_text(value: object) -> None:
    """Refuse what crashes tokenizers, databases or terminals. Raises _BadRow."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > MAX_CELL:
        raise _BadRow("cell_too_large", f"{len(text):,} characters; allowed: {MAX_CELL:,}")
    if "\\u0000" in text and "\0" in "".join(_strings(value)):
        raise _BadRow("nul_byte", "has a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _BadRow("lone_surrogate", f"has a lone surrogate {text[error.start]!r}; it is no character") from None


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _check_roles(messages: tuple[Message, ...]) -> None:
    if not any(m.content.strip() for m in messages if m.role != "system"):
        raise _BadRow("empty_prompt", "nobody says anything")
    if messages[-1].role in ("assistant", "system"):
        raise _BadRow(
            "wrong_roles",
            f"the last message is the {messages[-1].role}'s; allowed: a user's or a tool's, which the policy answers",
        )
    called = False
    for index, message in enumerate(messages):
        if message.role == "system" and index:
            raise _BadRow("wrong_roles", f"message {index + 1} is a system message; allowed: one, and first")
        if message.role == "tool" and not called:
            raise _BadRow("wrong_roles", f"message {index + 1} is a tool's; allowed after an assistant's tool call")
        called = called if message.role == "tool" else bool(message.tool_calls)


class _Names:
    """Makes names unique. SQLite holds those that were given, in a temporary file once they are many."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE names (name TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def unique(self, name: str) -> str:
        """The name, with -2, -3, ... when it comes again."""
        upsert = "INSERT INTO names VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        ((times,),) = self._db.execute(upsert, (name,)).fetchall()
        return name if times == 1 else self.unique(f"{name}-{times}")

    def close(self) -> None:
        """Forget them; the temporary file goes."""
        self._db.close()
