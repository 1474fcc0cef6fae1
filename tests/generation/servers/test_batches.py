"""Calls by a vendor's batch API, against a server of that form on loopback."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from constitution.records import Message
from generation.engines.base import Completion, ErrorReason, ModelError, RefusedError, Request, Sampling, TransientError
from generation.engines.limited import Limited
from generation.servers.batches import NOTES, Batches
from generation.servers.endpoint import Endpoint
from generation.servers.settings import EndpointSettings


class Vendor(ThreadingHTTPServer):
    """Takes files and batches. A batch is done when it was asked for `polls` times."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.polls = 1
        self.status = "completed"
        self.broken = 0
        """So many requests are answered with an error first."""
        self.broken_status = 503
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        """What a prompt is answered, once; others are answered with their own words."""
        self.left_out: set[str] = set()
        """Prompts that get no line, once."""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def finish(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.status
        if self.status == "failed":
            batch["errors"] = {"data": [{"message": "line 1: model x does not exist"}]}
            return
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            prompt = asked["body"]["messages"][0]["content"]
            if prompt in self.left_out:
                self.left_out.discard(prompt)
                continue
            said = {"choices": [{"message": {"content": prompt.upper()}, "finish_reason": "stop"}]}
            status, body = self.answers.pop(prompt, (200, said))
            one = {"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (good if status == 200 else bad).append(json.dumps(one))
        for field, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[field] = f"{field}-{batch['id']}"
                self.files[batch[field]] = "\n".join(lines).encode() + b"\n"


class Handler(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        content = (
            self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self.chunks()
        )
        self.server.asked.append(f"POST {self.path}")
        if self.away():
            return
        if self.path == "/v1/files":
            name = f"file-{len(self.server.files)}"
            kind = self.headers["Content-Type"].partition("boundary=")[2].encode()
            parts = [part for part in content.split(b"--" + kind) if b"\r\n\r\n" in part]
            assert b'name="purpose"' in parts[0]
            assert parts[0].endswith(b"batch\r\n")
            self.server.files[name] = parts[1].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            self.reply({"id": name})
        else:
            made = json.loads(content)
            batch = {"id": f"batch-{len(self.server.batches)}", "status": "validating", "polls": 0, **made}
            self.server.batches[batch["id"]] = batch
            self.reply(batch)

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if self.away():
            return
        _, _, kind, name, *_ = self.path.split("/")
        if kind == "files":
            self.send(200, self.server.files[name])
            return
        batch = self.server.batches.get(name)
        if batch is None:
            self.send(404, b"{}")
            return
        batch["polls"] += 1
        if batch["polls"] >= self.server.polls and batch["status"] == "validating":
            self.server.finish(batch)
        self.reply(batch)

    def away(self) -> bool:
        if self.server.broken:
            self.server.broken -= 1
            self.send(self.server.broken_status, b"later")
            return True
        return False

    def chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def reply(self, body: dict[str, Any]) -> None:
        self.send(200, json.dumps(body).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    server = Vendor()
    yield server
    server.shutdown()
    server.server_close()


def ask(prompt: str) -> Request:
    return Request("d", "sample", (), Sampling(8), messages=(Message(role="user", content=prompt),))


def engine(vendor: Vendor, folder: Path | None = None, **more: Any) -> Batches:
    url = f"http://127.0.0.1:{vendor.server_address[1]}/v1"
    quick = {"batch_idle_seconds": 0.02, "batch_poll_seconds": 0.01, "backoff_seconds": 0.01, "attempts": 3}
    made = Batches(Endpoint(EndpointSettings.model_validate({"url": url, "batch": True, **quick, **more}), "m"))
    if folder:
        Limited(made, 99).keep_in(folder)
    return made


def run(batches: Batches, *prompts: str) -> list[Any]:
    async def together() -> list[Any]:
        try:
            asked = (asyncio.wait_for(batches.generate(ask(prompt)), 5) for prompt in prompts)
            return list(await asyncio.gather(*asked, return_exceptions=True))
        finally:
            await batches.close()

    return asyncio.run(together())


def texts(found: list[Any]) -> list[str]:
    return [one.text if isinstance(one, Completion) else repr(one) for one in found]


def test_calls_are_one_batch(vendor: Vendor, tmp_path: Path) -> None:
    vendor.polls = 3
    assert texts(run(engine(vendor, tmp_path), *(f"p{i}" for i in range(20)))) == [f"P{i}" for i in range(20)]
    assert len(vendor.batches) == 1
    (batch,) = vendor.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    first = json.loads(vendor.files["file-0"].splitlines()[0])
    assert {name: first[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": ask("p0").key().hex(), "method": "POST", "url": "/v1/chat/completions",
    }  # fmt: skip
    assert first["body"]["messages"] == [{"role": "user", "content": "p0"}]
    assert len(json.loads((tmp_path / NOTES).read_text())["keys"]) == 20


def test_a_killed_run_waits_for_the_same_batch(vendor: Vendor, tmp_path: Path) -> None:
    vendor.polls = 1 << 30

    async def killed() -> None:
        batches = engine(vendor, tmp_path)
        tasks = [asyncio.create_task(batches.generate(ask(f"p{i}"))) for i in range(5)]
        while not (tmp_path / NOTES).is_file():
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await batches.close()

    asyncio.run(asyncio.wait_for(killed(), 5))
    vendor.polls = 1
    # one of the calls is stored already, and one is new
    assert texts(run(engine(vendor, tmp_path), "p1", "p2", "p3", "p4", "new")) == ["P1", "P2", "P3", "P4", "NEW"]
    second = vendor.files[vendor.batches["batch-1"]["input_file_id"]].splitlines()
    assert [json.loads(line)["body"]["messages"][0]["content"] for line in second] == ["new"]
    assert len(vendor.batches) == 2


def test_calls_that_come_later_find_what_their_batch_answered(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "p1", "p2")
    before = len(vendor.batches)

    async def in_turn() -> list[str]:
        batches = engine(vendor, tmp_path)
        try:
            return [(await batches.generate(ask(prompt))).text for prompt in ("p2", "p1")]
        finally:
            await batches.close()

    assert asyncio.run(asyncio.wait_for(in_turn(), 5)) == ["P2", "P1"]
    assert len(vendor.batches) == before


def test_each_line_is_read_as_an_answer_is(vendor: Vendor) -> None:
    vendor.answers = {
        "long": (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
        "odd": (422, {"error": {"message": "not this one"}}),
        "later": (500, {"error": {"message": "broken"}}),
    }
    fine, long, odd, later = run(engine(vendor), "fine", "long", "odd", "later")
    assert (fine.text, later.text) == ("FINE", "LATER")
    assert long.error.reason == ErrorReason.PROMPT_TOO_LONG
    assert isinstance(odd, RefusedError)
    assert len(vendor.batches) == 2  # what may pass was asked again


def test_a_call_that_its_batch_left_out_goes_into_the_next(vendor: Vendor) -> None:
    vendor.left_out = {"b"}
    assert texts(run(engine(vendor), "a", "b")) == ["A", "B"]
    assert len(vendor.batches) == 2


def test_batches_that_expire_make_the_run_incomplete(vendor: Vendor, tmp_path: Path) -> None:
    vendor.status = "expired"
    vendor.finish = lambda batch: batch.update(status="expired")  # type: ignore[method-assign]
    (error,) = run(engine(vendor, tmp_path, attempts=2), "a")
    assert isinstance(error, TransientError)
    assert "ended as expired without it" in str(error)
    assert len(vendor.batches) == 2


def test_a_batch_that_fails_ends_the_run_and_is_not_waited_for_again(vendor: Vendor, tmp_path: Path) -> None:
    vendor.status = "failed"
    found = run(engine(vendor, tmp_path), "a", "b")
    assert {type(one) for one in found} == {ModelError}
    assert "line 1: model x does not exist" in str(found[0])
    vendor.status = "completed"
    assert texts(run(engine(vendor, tmp_path), "a", "b")) == ["A", "B"]


def test_a_batch_that_the_server_no_longer_has_is_made_again(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "a")
    vendor.batches.clear()
    assert texts(run(engine(vendor, tmp_path), "a")) == ["A"]


def test_trouble_of_the_server_is_waited_for(vendor: Vendor) -> None:
    vendor.broken = 2
    assert texts(run(engine(vendor), "a")) == ["A"]
    vendor.broken = 99
    (error,) = run(engine(vendor), "a")
    assert isinstance(error, TransientError)
    assert "batches: status 503: later" in str(error)


def test_a_server_without_batches_ends_the_run(vendor: Vendor) -> None:
    vendor.broken, vendor.broken_status = 99, 404
    (error,) = run(engine(vendor), "a")
    assert isinstance(error, ModelError)
    assert "batches: status 404: later" in str(error)
