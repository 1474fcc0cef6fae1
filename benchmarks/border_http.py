"""HTTP and JSON at their edges: more kinds of `benchmarks.border`."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable

from benchmarks.border_call import Call, Misbehave, Reply, http

STATUSES = (
    202, 206, 304, 407, 410, 418, 421, 423, 424, 426, 428, 431, 449, 494, 498, 499, 505, 507, 511, 521, 522, 524, 525, 530, 598,
)  # fmt: skip
LATER = "Wed, 21 Oct 2015 07:28:00 GMT"


def _raw(*parts: bytes, pause: float = 0.0, stay: float = 0.0) -> Reply:
    """Bytes as they are, one part after the other; then the connection ends."""

    async def write(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        await asyncio.sleep(stay)

    return write


def _json(call: Call) -> bytes:
    return json.dumps(call.answer).encode()


def _written(change: Callable[[bytes], bytes], *headers: str) -> Misbehave:
    """The answer's JSON, changed."""
    return lambda call: http(200, change(_json(call)), *headers)


def _sent(change: Callable[[bytes], bytes]) -> Misbehave:
    """The whole answer's bytes, changed; then the connection ends."""
    return lambda call: _raw(change(http(200, call.answer)))


def _headed(head: bytes) -> Misbehave:
    """The answer behind another head; then the connection ends."""
    return lambda call: _raw(head + b"\r\n\r\n" + _json(call))


def _refused(status: int, message: str, *headers: str, calls: int | None = None) -> Misbehave:
    """The first calls are refused, or all."""
    reply = http(status, {"error": {"message": message}}, *headers)
    return lambda call: reply if calls is None or call.n <= calls else None


def _page(status: int, text: str) -> Misbehave:
    return lambda call: http(status, f"<html><body>{text}</body></html>".encode())


def _chunked(keep: int | None, end: bytes) -> Misbehave:
    """One chunk of so much of the answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    def misbehave(call: Call) -> Reply:
        content = _json(call)[:keep]
        return _raw(head, f"{len(content):x}\r\n".encode() + content + b"\r\n" + end)

    return misbehave


def _latin(call: Call) -> Reply:
    """Bytes of another encoding, which only the head tells."""
    if not call.label:
        call.message["content"] += "\xe9"
    content = json.dumps(call.answer, ensure_ascii=False).encode("latin-1")
    return _raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=iso-8859-1\r\n\r\n", content)


def _stream(call: Call) -> Reply:
    """A whole stream, with the comments by which some keep a connection open."""
    chunk = {"object": "chat.completion.chunk", "choices": [{**call.choice, "delta": call.message, "message": None}]}
    return http(200, f": PROCESSING\n\ndata: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())


def _short(call: Call) -> Reply:
    """More bytes than are announced."""
    return http(200, call.answer).replace(f"Length: {len(_json(call))}".encode(), b"Length: 40")


HTTP: dict[str, Misbehave] = {
    **{f"status-{code}": _refused(code, f"status {code}") for code in STATUSES},
    "created-201": lambda call: http(201, call.answer),
    "pending-202": lambda call: http(202, {"id": "x", "status": "pending"}),
    "key-passes": _refused(401, "token is being refreshed", calls=3),
    "bill-passes": _refused(402, "no credit", calls=1),
    "overloaded-529": _refused(529, "Overloaded", calls=8),
    "model-loads-404": _refused(404, "model x not found, try pulling it first", calls=8),
    "challenge-403": _page(403, "Just a moment... Enable JavaScript and cookies to continue"),
    "https-port-400": _page(400, "The plain HTTP request was sent to HTTPS port"),
    "wait-negative": _refused(429, "slow down", "Retry-After: -5", calls=2),
    "wait-huge": _refused(503, "slow down", "Retry-After: 99999999999", calls=2),
    "wait-fraction": _refused(429, "slow down", "Retry-After: 0.01", calls=2),
    "wait-words": _refused(429, "slow down", "Retry-After: soon", calls=2),
    "wait-nan": _refused(429, "slow down", "Retry-After: nan", calls=2),
    "wait-past": _refused(503, "slow down", f"Retry-After: {LATER}", calls=2),
    "limits-odd": _refused(429, "x", "x-ratelimit-reset-requests: 6m1e9s", "x-ratelimit-reset: inf", calls=2),
    # how the answer comes
    "http-1.0": _headed(b"HTTP/1.0 200 OK\r\nContent-Type: application/json"),
    "until-close": _headed(b"HTTP/1.1 200 OK\r\nConnection: close"),
    "continue-100": lambda call: b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, call.answer),
    "hints-103": lambda call: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(200, call.answer),
    "chunked": _chunked(None, b"0\r\n\r\n"),
    "chunked-ends-early": _chunked(-20, b""),
    "chunked-cut-json": _chunked(-20, b"0\r\n\r\n"),
    "chunked-bad-size": _chunked(None, b"zz\r\n"),
    "gzip-cut": _written(lambda body: gzip.compress(body)[:-30], "Content-Encoding: gzip"),
    "gzip-unsaid": _written(gzip.compress),
    "gzip-false": _written(lambda body: body, "Content-Encoding: gzip"),
    "gzip-twice": _written(lambda body: gzip.compress(gzip.compress(body)), "Content-Encoding: gzip, gzip"),
    "brotli": _written(lambda body: body, "Content-Encoding: br"),
    "length-too-long": lambda call: _raw(http(200, call.answer).replace(b"Length: ", b"Length: 1"), stay=60),
    "length-too-short": _short,
    "length-no-number": _sent(lambda sent: sent.replace(b"Length: ", b"Length: x")),
    "length-twice": lambda call: _raw(http(200, call.answer, "Content-Length: 3")),
    "answered-twice": lambda call: http(200, call.answer) * 2,
    "head-huge": lambda call: _raw(http(200, call.answer, f"X-Trace: {'x' * 100_000}")),
    "head-latin-1": _sent(lambda sent: sent.replace(b"\r\n\r\n", b"\r\nX-Owner: J\xf6rg\r\n\r\n", 1)),
    "cookies": lambda call: http(200, call.answer, *(f"Set-Cookie: c{i}=v; Path=/" for i in range(50))),
    "slow": lambda call: _raw(http(200, call.answer)[:60], http(200, call.answer)[60:], pause=0.2),
    "refuses-connections": lambda call: _raw() if call.n % 3 == 0 else None,
    "hangs-up-idle": _sent(lambda sent: sent),
    # how it is written
    "bom": _written(lambda body: b"\xef\xbb\xbf" + body),
    "utf-16": _written(lambda body: body.decode().encode("utf-16")),
    "latin-1": _latin,
    "space-before": _written(lambda body: b"\n \n" * 500 + body),
    "words-after": _written(lambda body: body + b"\n<!-- served by x -->"),
    "comma-too-many": _written(lambda body: body[:-1] + b",}"),
    "quotes-single": _written(lambda body: body.replace(b'"', b"'")),
    "prefixed": _written(lambda body: b")]}',\n" + body),
    "callback": _written(lambda body: b"callback(" + body + b");"),
    "in-a-text": _written(lambda body: json.dumps(body.decode()).encode()),
    "nan": _written(lambda body: body[:-1] + b', "score": NaN, "top": -Infinity}'),
    "keys-twice": _written(lambda body: b'{"choices": [], "usage": null, ' + body[1:]),
    "lines": _written(lambda body: body + b"\n" + body),
    "stream-whole": _stream,
    "event-lines": _written(lambda body: b"data: " + body + b"\n\ndata: [DONE]\n\n"),
}
