"""Calls by a vendor's batch API, in OpenAI's form: a file up, a batch made of it, asked for until it is done, and files down.

Source of the form: OpenAI's guide to its Batch API (https://platform.openai.com/docs/guides/batch), which Azure, Groq, Together,
Mistral and others follow. A file is noted in the run's folder before a batch is made of it, and the batch once it is made. A
resumed run waits for the same batches; of a file without one it looks among the server's, so no calls are sent twice.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from constitution.errors import SolonError
from generation.engines.base import (
    CallError,
    Completion,
    ErrorReason,
    Meter,
    ModelError,
    RefusedError,
    Request,
    TransientError,
)
from generation.servers.endpoint import AgainError, Endpoint, written
from generation.servers.http.client import MAX_BYTES, NoReplyError, Reply, TooLargeError
from generation.servers.http.waits import tries

NOTES = "batches.jsonl"
"""The file of batches in a run's folder: a line for each file sent, with its id, its server and the keys of its calls; one for the
batch made of it; and one for a batch that failed."""
_LISTED = 100
"""Batches on one page of a server's list."""
MOST_CALLS, MOST_BYTES = 50_000, 100 << 20
"""Of one batch: OpenAI takes so many calls and 200 MB."""
MOST_ANSWERS = 512 << 20
"""Bytes of a file of answers that are read."""
PATH = "/v1/chat/completions"
"""What every line of a batch asks."""
_DONE = frozenset({"completed", "failed", "expired", "cancelled", "canceled"})
_GONE = frozenset({404, 405})
"""What was asked for is not there."""
_PASSING = frozenset({408, 409, 425, 429})


@dataclass(slots=True)
class _Call:
    """A request that waits for its line of an output file."""

    request: Request
    line: bytes
    answer: asyncio.Future[Completion]
    tries: int = 0


class Batches:
    """An engine that gathers calls and asks them as batches of one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._settings = endpoint.settings
        self._calls: dict[str, _Call] = {}
        self._gathered: dict[str, _Call] = {}
        self._known: dict[str, str] = {}
        """Key of a call -> its batch, or the file that is sent for it while there is none."""
        self._files: dict[str, None] = {}
        """Files that an earlier start sent, of which no batch is noted."""
        self._lines: dict[str, Mapping[str, Any]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._notes: Path | None = None
        self._sent = 0

    def __repr__(self) -> str:
        return f"Batches({self._endpoint!r})"

    def keep_in(self, folder: Path) -> None:
        """Note batches in this folder, and wait for those that are noted there."""
        self._notes = folder / NOTES
        if self._notes.is_file():
            for line in self._notes.read_text(encoding="utf-8").splitlines():
                note = _json(line)
                if isinstance(note, Mapping) and note.get("url") == self._settings.url:
                    self._recall(note)

    def _recall(self, note: Mapping[str, Any]) -> None:
        """Take what a line says."""
        file, batch = str(note.get("file", "")), str(note.get("batch", ""))
        if note.get("failed"):
            self._files.pop(batch, None)
            self._known = {name: known for name, known in self._known.items() if known != batch}
        elif batch:
            self._files.pop(file, None)
            self._known = {name: batch if known == file else known for name, known in self._known.items()}
        else:
            self._files[file] = None
            self._known |= dict.fromkeys(note.get("keys", ()), file)

    async def generate(self, request: Request) -> Completion:
        """The answer, when its batch is done.

        Raises TransientError where a batch ended without it, RefusedError and ModelError as `Endpoint.generate`.
        """
        name = request.key().hex()
        fields = self._endpoint.fields(request)
        body = written({"custom_id": name, "method": "POST", "url": PATH, "body": fields})
        if isinstance(body, Completion):
            return body
        call = self._calls[name] = _Call(request, body + b"\n", asyncio.get_running_loop().create_future())
        try:
            self._place(name, call)
            return await call.answer
        finally:
            self._calls.pop(name, None)
            self._gathered.pop(name, None)

    def count_with(self, meter: Meter) -> None:
        """Tell the meter of lines that were paid and are no answers."""
        self._endpoint.meter = meter

    async def close(self) -> None:
        """Stop waiting. The server goes on with its batches, and the same command waits for them again."""
        if self._timer:
            self._timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._endpoint.close()

    def _place(self, name: str, call: _Call) -> None:
        """Answer a call from what is known, or have it wait for its batch, or gather it for the next."""
        if name in self._lines:
            self._answer(call, self._lines.pop(name))
        elif name in self._known:
            self._follow(self._known[name])
        else:
            self._gathered[name] = call
            full = (
                len(self._gathered) >= MOST_CALLS or sum(len(one.line) for one in self._gathered.values()) >= MOST_BYTES
            )
            if self._timer:
                self._timer.cancel()
            wait = 0.0 if full else self._settings.batch_idle_seconds
            self._timer = asyncio.get_running_loop().call_later(wait, self._send)

    def _send(self) -> None:
        """Send what was gathered."""
        gathered, self._gathered = self._gathered, {}
        if gathered:
            self._sent += 1
            self._start(f"sending {self._sent}", self._submit(gathered), gathered)

    def _follow(self, batch: str) -> None:
        """Wait for a batch, once for all its calls."""
        if batch not in self._tasks:
            self._start(batch, self._resume(batch) if batch in self._files else self._collect(batch), None)

    async def _resume(self, file: str) -> None:
        """Wait for the batch of a file that was sent: the run was killed before one was noted."""
        batch = await self._make(file, [name for name, known in self._known.items() if known == file], again=True)
        del self._files[file]
        self._follow(batch)

    def _start(self, name: str, work: Any, calls: Mapping[str, _Call] | None) -> None:
        async def guarded() -> None:
            try:
                await work
            except SolonError as error:
                self._tasks.pop(name, None)
                waiting = (
                    calls if calls is not None else {n: c for n, c in self._calls.items() if self._known.get(n) == name}
                )
                for call in list(waiting.values()):
                    _fail(call, error)
            else:
                self._tasks.pop(name, None)

        self._tasks[name] = asyncio.create_task(guarded())

    async def _submit(self, gathered: Mapping[str, _Call]) -> None:
        """File up, batch made, each noted, then wait."""
        content = b"".join(call.line for call in gathered.values())
        file = _named(await self._ask("POST", self._endpoint.addresses.files, lambda: _form(content)), self._endpoint)
        self._note({"file": file, "url": self._settings.url, "keys": list(gathered)})
        self._follow(await self._make(file, gathered))

    async def _make(self, file: str, names: Iterable[str], again: bool = False) -> str:
        """Make a batch of a file, and note it. again: one may be made already, as where an answer to an earlier try was lost."""
        made = {"input_file_id": file, "endpoint": PATH, "completion_window": self._settings.batch_window}
        body = json.dumps(made).encode()
        tried = again

        async def once() -> str:
            nonlocal tried
            batch = await self._made_of(file) if tried else ""
            tried = True
            return batch or _named(await self._once("POST", self._endpoint.addresses.batches, body), self._endpoint)

        try:
            batch: str = await tries(self._settings)(once)
        except ModelError:
            self._note({"batch": file, "url": self._settings.url, "failed": True})
            raise
        self._known |= dict.fromkeys(names, batch)
        self._note({"file": file, "batch": batch, "url": self._settings.url})
        return batch

    async def _made_of(self, file: str) -> str:
        """The batch that the server has of a file; empty where it has none, or no list of its batches."""
        after = ""
        while True:
            query = f"limit={_LISTED}" + (f"&after={quote(after)}" if after else "")
            reply = await self._once("GET", _asking(self._endpoint.addresses.batches, query), gone=True)
            page = _json(reply.content)
            listed = page.get("data") if isinstance(page, Mapping) and reply.status not in _GONE else None
            batches = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
            for one in batches:
                if one.get("input_file_id") == file:
                    return str(one.get("id"))
            last = str(batches[-1].get("id", "")) if batches else ""
            if not (last and isinstance(page, Mapping) and page.get("has_more")) or last == after:
                return ""
            after = last

    def _note(self, note: Mapping[str, Any]) -> None:
        if self._notes:
            with self._notes.open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
                file.flush()
                os.fsync(file.fileno())

    async def _collect(self, batch: str) -> None:
        """Wait for a batch, and give each of its calls its line. A call without one is gathered anew."""
        status = await self._done(batch)
        for field in ("output_file_id", "error_file_id"):
            if status.get(field):
                url = _below(self._endpoint.addresses.files, str(status[field]), "content")
                self._take(_lines((await self._ask("GET", url, most=MOST_ANSWERS)).content))
        if status.get("status") == "failed" and not status.get("output_file_id"):
            self._note({"batch": batch, "url": self._settings.url, "failed": True})
            said = json.dumps(status.get("errors"))
            raise ModelError(
                self._endpoint.said(f"batch {batch} failed: {said[:300]}; mend it, and run the same command again")
            )
        for name in [name for name, known in self._known.items() if known == batch]:
            del self._known[name]
            if call := self._calls.get(name):
                call.tries += 1
                if call.tries >= self._settings.attempts:
                    _fail(
                        call,
                        TransientError(
                            self._endpoint.said(f"batch {batch} ended as {status.get('status')} without it")
                        ),
                    )
                else:
                    self._place(name, call)

    async def _done(self, batch: str) -> Mapping[str, Any]:
        """The batch, once it has ended. One that the server no longer has counts as expired."""
        url = _below(self._endpoint.addresses.batches, batch)
        while True:
            reply = await self._ask("GET", url, gone=True)
            status = _json(reply.content)
            if reply.status in _GONE:
                return {"status": "expired"}
            if not isinstance(status, Mapping):
                raise TransientError(self._endpoint.said(f"batch {batch}: the answer is no JSON object"))
            if status.get("status") in _DONE:
                return status
            await asyncio.sleep(self._settings.batch_poll_seconds)

    def _take(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Lines of a file of answers, to the calls that wait for them; others are kept for calls to come."""
        for line in lines:
            name = str(line.get("custom_id"))
            self._known.pop(name, None)
            if call := self._calls.get(name):
                self._answer(call, line)
            else:
                self._lines[name] = line

    def _answer(self, call: _Call, line: Mapping[str, Any]) -> None:
        """Read a line as if it had come by itself. What may pass goes into the next batch."""
        response = line.get("response")
        if isinstance(response, Mapping):
            status = response.get("status_code")
            content = json.dumps(response.get("body")).encode()
        else:
            status, content = 0, json.dumps({"error": line.get("error")}).encode()
        try:
            reply = Reply(status if isinstance(status, int) and status else 200, {}, content)
            found = self._endpoint.read(reply, call.request)
        except AgainError as error:
            call.tries += 1
            if call.tries < self._settings.attempts:
                self._place(call.request.key().hex(), call)
            elif error.malformed:
                _fail(call, RefusedError(CallError(ErrorReason.BAD_ANSWER, str(error))))
            else:
                _fail(call, error)
        except SolonError as error:
            _fail(call, error)
        else:
            if not call.answer.done():
                call.answer.set_result(found)

    async def _ask(self, method: str, url: str, body: Any = None, gone: bool = False, most: int = MAX_BYTES) -> Reply:
        """A request for files and batches, tried again where the trouble may pass. gone: that nothing is there is an answer.

        Raises TransientError and ModelError.
        """
        return await tries(self._settings)(self._once, method, url, body, gone, most)

    async def _once(self, method: str, url: str, body: Any = None, gone: bool = False, most: int = MAX_BYTES) -> Reply:
        try:
            content = body() if callable(body) else body
            kind = {"Content-Type": "application/json"} if isinstance(content, bytes) else None
            reply = await self._endpoint.client.send(method, url, content, kind, most)
        except (NoReplyError, TooLargeError) as error:
            raise TransientError(self._endpoint.said(f"batches: {error}")) from None
        if 200 <= reply.status < 300 or (gone and reply.status in _GONE):
            return reply
        said = self._endpoint.said(f"batches: status {reply.status}: {reply.content[:300].decode('utf-8', 'replace')}")
        raise (TransientError if reply.status in _PASSING or reply.status >= 500 else ModelError)(said)


def _named(reply: Reply, endpoint: Endpoint) -> str:
    """The id of the file or the batch that a server made. Raises ModelError."""
    found = _json(reply.content)
    if not isinstance(found, Mapping) or "id" not in found:
        raise ModelError(endpoint.said(f"{str(found)[:200]} is no file and no batch; has the server a batch API?"))
    return str(found["id"])


def _asking(address: str, query: str) -> str:
    """An address with more of a query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))


def _fail(call: _Call, error: Exception) -> None:
    if not call.answer.done():
        again = ModelError(error.problems) if isinstance(error, ModelError) else error
        call.answer.set_exception(again)


def _form(content: bytes) -> Any:
    import aiohttp

    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", content, filename="batch.jsonl", content_type="application/jsonl")
    return form


def _below(address: str, *names: str) -> str:
    """An address with more of a path, before its query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path="/".join([parts.path, *names])))


def _lines(content: bytes) -> Iterable[Mapping[str, Any]]:
    """The JSON objects of a file of answers; a line that is none has no call to go to."""
    found = (_json(line) for line in content.split(b"\n") if line.strip())
    return [line for line in found if isinstance(line, Mapping)]


def _json(text: bytes | str) -> object:
    """A JSON value; None for what is none."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found
