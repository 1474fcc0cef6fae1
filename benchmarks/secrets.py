"""Canary keys in every place where settings may name one, and servers that repeat them: in which files and outputs they are seen.

python -m benchmarks.secrets

Each case is a whole run against a server on loopback that puts the keys it was sent into what it answers, in plain and in other
forms. A place is one file or stream of one case. Prints the number of places looked at and of those in which a key was found.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import sqlite3
import tempfile
import threading
import traceback
import zlib
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pyarrow.parquet as pq
import yaml

import generate_feedback
from benchmarks.common import show, write_constitution, write_prompts

CANARIES = {
    "CANARY_KEY": "sk-canary-key-0123456789abcdef",
    "CANARY_HEADER": "hdr-canary-9f8e7d6c5b4a3210",
    "CANARY_QUERY": "qry+canary/11aa22bb33cc44dd==",
    "CANARY_USER": "canaryuser:canary-password-5566",
    "CANARY_PROXY": "proxyuser:proxy-password-7788",
}
FORMS = ("plain", "url", "base64", "basic", "hex", "json", "short")
"""How a server writes what it repeats."""


class Case(NamedTuple):
    """What the server does with the keys that it was sent."""

    status: int
    body: str
    """`{keys}` stands for them."""
    headers: dict[str, str]


ERROR = '{"error": {"message": "rejected: {keys}", "code": "%s"}}'
ANSWER = '{"choices": [{"message": {"content": "%s"}, "finish_reason": "%s"}], "usage": {}}'
CASES = {
    "400": Case(400, ERROR % "x", {}),
    "401": Case(401, ERROR % "invalid_api_key", {}),
    "402": Case(402, ERROR % "x", {}),
    "403": Case(403, "<html>denied to {keys}</html>", {}),
    "404": Case(404, ERROR % "model_not_found", {}),
    "parameter": Case(400, '{"error": {"message": "max_tokens is not supported for {keys}"}}', {}),
    "too long": Case(400, ERROR % "context_length_exceeded", {}),
    "content": Case(400, ERROR % "content_filter", {}),
    "429": Case(429, ERROR % "rate_limit", {"Retry-After": "0"}),
    "500": Case(500, ERROR % "x", {}),
    "redirect": Case(307, "", {"Location": "http://{keys}@127.0.0.1/?key={keys}"}),
    "error in a 200": Case(200, ERROR % "x", {}),
    "malformed": Case(200, "not json: {keys}", {}),
    "unknown end": Case(200, ANSWER % ("x", "{keys}"), {}),
    "in the text": Case(200, ANSWER % ("Your key is {keys}.", "stop"), {}),
    "refusal": Case(200, '{"choices": [{"message": {"refusal": "no, {keys}"}, "finish_reason": "stop"}]}', {}),
    "hangs up": Case(0, "", {}),
}


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's case says. It is its own proxy."""

    def do_POST(self) -> None:
        """Repeat the keys."""
        self.rfile.read(int(self.headers["Content-Length"]))
        case: Case = self.server.case  # type: ignore[attr-defined]
        if not case.status:
            self.connection.close()
            return
        keys = _repeated(self.path, dict(self.headers))
        self.send_response(case.status)
        for name, value in case.headers.items():
            self.send_header(name, value.replace("{keys}", quote(keys, safe="")))
        body = case.body.replace("{keys}", json.dumps(keys)[1:-1]).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _repeated(path: str, headers: dict[str, str]) -> str:
    """All that the server was sent and that is secret, in all forms."""
    sent = [unquote(path.partition("key=")[2]).partition("&")[0]]
    for name in ("Authorization", "Proxy-Authorization", "X-Canary"):
        value = headers.get(name, "")
        sent.append(value)
        if value.startswith("Basic "):
            sent.append(base64.b64decode(value[6:]).decode())
    forms = []
    for value in filter(None, (one.removeprefix("Bearer ") for one in sent)):
        raw = value.encode()
        forms += [value, quote(value, safe=""), base64.b64encode(raw).decode(), base64.b64encode(b"x:" + raw).decode()]
        forms += [raw.hex(), json.dumps(value), value[: len(value) * 2 // 3] + "..."]
    return " ".join(forms)


def settings(port: int, way: str) -> dict[str, Any]:
    """A server's settings that name canaries in one way or another."""
    server: dict[str, Any] = {"model": "m", "attempts": 2, "backoff_seconds": 0.01, "max_wait_seconds": 0.02}
    url = f"http://127.0.0.1:{port}/v1"
    if way == "key and headers":
        server |= {
            "url": f"{url}?key=${{CANARY_QUERY}}",
            "api_key_env": "CANARY_KEY",
            "headers_env": {"X-Canary": "CANARY_HEADER"},
        }
    elif way == "address and proxy":
        server |= {"url": url.replace("//", "//${CANARY_USER}@"), "proxy": f"http://${{CANARY_PROXY}}@127.0.0.1:{port}"}
    elif way == "written down":  # which is refused
        server |= {
            "url": url.replace("//", f"//{CANARIES['CANARY_USER']}@"),
            "headers": {"X-Key": CANARIES["CANARY_KEY"]},
        }
    else:  # written down, where a list is wanted
        server |= {
            "url": url.replace("//", f"//{CANARIES['CANARY_USER']}@"),
            "headers": f"Authorization: Bearer {CANARIES['CANARY_KEY']}",
        }
        return {"engine": "endpoint", "policy": "m", "endpoints": server}
    return {"engine": "endpoint", "policy": "m", "endpoints": [server], "plan": {"controls": 0, "rounds": 0}}


def traces() -> list[str]:
    """What of the canaries counts as seen: half of a value, in plain or in another form."""
    found = []
    for value in CANARIES.values():
        for part in {value, *value.split(":")}:
            for form in (part, quote(part, safe=""), base64.b64encode(part.encode()).decode(), part.encode().hex()):
                found.append(form[: max(12, len(form) // 2 + 1)].lower())
    return found


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every file of a run, with what is packed in them."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        text = path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet" and len(text) > 8:  # a run that stops leaves files that it had begun
            text += json.dumps(pq.read_table(path).to_pylist(), default=str)
        elif path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as base:
                for (table,) in base.execute("select name from sqlite_master where type = 'table'").fetchall():
                    text += " ".join(unpacked(cell) for row in base.execute(f'select * from "{table}"') for cell in row)
        yield name, text


def unpacked(cell: object) -> str:
    """A cell of the store as text; what was asked lies there compressed."""
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return zlib.decompress(cell).decode("utf-8", "replace")
    except zlib.error:
        return cell.decode("latin-1")


def run(folder: Path, port: int, way: str) -> Iterator[tuple[str, str]]:
    """(place, text) of one run."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings(port, way)), encoding="utf-8")
    constitution, prompts = write_constitution(folder / "c.yaml", 1), write_prompts(folder / "p.jsonl", 2)
    out = folder / "run"
    arguments = ["--constitution", constitution, "--prompts", prompts, "--out", out, "--config", config]
    printed, logged = io.StringIO(), io.StringIO()
    logging.basicConfig(stream=logged, level=logging.DEBUG, force=True)
    with redirect_stdout(printed), redirect_stderr(logged):
        try:
            generate_feedback.main([str(one) for one in arguments])
        except Exception:
            traceback.print_exc()
    yield "stdout", printed.getvalue()
    yield "stderr and log", logged.getvalue()
    if out.exists():
        yield from texts(out)


def main() -> None:
    """All cases in all ways."""
    os.environ.update(CANARIES)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    places, seen, wanted = 0, [], traces()
    for way in ("key and headers", "address and proxy", "written down", "in a wrong place"):
        for name, case in CASES.items():
            server.case = case  # type: ignore[attr-defined]
            with tempfile.TemporaryDirectory() as folder:
                for place, text in run(Path(folder), server.server_address[1], way):
                    places += 1
                    lower = text.lower()
                    seen += [f"{way}, {name}: {place}: {one}" for one in wanted if one in lower][:1]
            if way in ("written down", "in a wrong place"):
                break  # no call is made
    server.shutdown()
    print("\n".join(seen))
    show("places looked at for canary keys", places, "places", ">= 40")
    show("places in which a canary key was seen", len(seen), "places", "0")


if __name__ == "__main__":
    main()
