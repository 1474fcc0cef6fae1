"""What bounds an answer: time, size before and after decompression; and what is never followed."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from generation.engines.base import Completion, RefusedError, TransientError
from generation.servers.endpoint import MOST_BYTES, Endpoint
from generation.servers.http.client import MAX_BYTES, TooLargeError, decompress
from generation.servers.settings import EndpointSettings
from tests.generation.servers.loopback import CHAT, SAY, ask, settings

TEXT = json.dumps(CHAT).encode()
RAW = zlib.compressobj(wbits=-15)
BARE = RAW.compress(TEXT) + RAW.flush()


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", BARE),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT))),
        ("identity", TEXT),
    ],
)
def test_encodings_are_read(encoding: str, content: bytes) -> None:
    assert decompress(content, encoding) == TEXT


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        pytest.param("gzip", lambda: gzip.compress(bytes(MAX_BYTES + 1)), id="bomb"),
        pytest.param("gzip, gzip", lambda: gzip.compress(gzip.compress(bytes(MAX_BYTES + 1))), id="bomb-in-a-bomb"),
        pytest.param("gzip", lambda: gzip.compress(bytes(MAX_BYTES // 2)) * 3, id="bomb-of-members"),
        pytest.param("gzip", lambda: gzip.compress(TEXT)[:-9], id="cut"),
        pytest.param("gzip", lambda: b"\x1f\x8bwords", id="no-gzip"),
        pytest.param("br", bytes, id="not-asked-for"),
    ],
)
def test_what_is_too_large_or_cannot_be_read_is_refused(encoding: str, content: Callable[[], bytes]) -> None:
    with pytest.raises(TooLargeError):
        decompress(content(), encoding)


def test_a_compressed_answer_is_read_and_a_bomb_is_none(serve: Any) -> None:
    packed = {"headers": {"Content-Encoding": "gzip"}, "raw": gzip.compress(TEXT)}
    bomb = {"headers": {"Content-Encoding": "gzip, gzip"}, "raw": gzip.compress(gzip.compress(bytes(MAX_BYTES + 1)))}
    (completion,) = ask(settings(serve(packed)), SAY)
    assert isinstance(completion, Completion)
    assert completion.text == "hello"
    (error,) = ask(settings(serve(bomb), attempts=1), SAY)
    assert isinstance(error, RefusedError)
    assert "bytes after decompression" in str(error)


def test_an_answer_is_as_long_as_its_request_allows(serve: Any) -> None:
    spaced = {"raw": TEXT + b" " * 2 * MOST_BYTES}
    (refused,) = ask(settings(serve(spaced), attempts=1), SAY)
    assert isinstance(refused, RefusedError)
    assert "the answer is over" in str(refused)
    (completion,) = ask(settings(serve(spaced)), replace(SAY, sampling=replace(SAY.sampling, max_tokens=4096)))
    assert isinstance(completion, Completion)
    assert completion.text == "hello"


def test_an_answer_of_very_many_lists_is_none(serve: Any) -> None:
    padded = json.dumps({**CHAT, "x": [[]] * 200_001}, separators=(",", ":"))
    (refused,) = ask(settings(serve({"raw": padded.encode()}), attempts=1), SAY)
    assert isinstance(refused, RefusedError)
    fewer = json.dumps({**CHAT, "x": [[]] * 190_000}, separators=(",", ":"))
    (completion,) = ask(settings(serve({"raw": fewer.encode()})), SAY)
    assert isinstance(completion, Completion)


def test_an_answer_that_drips_has_a_deadline(serve: Any) -> None:
    server = serve({"json": CHAT, "drip": 0.02})
    (error,) = ask(settings(server, timeout_seconds=1, deadline_seconds=0.1, attempts=1), SAY)
    assert isinstance(error, TransientError)
    assert "no whole answer in time" in str(error)


def test_a_redirect_is_not_followed_and_told_without_its_secrets(serve: Any) -> None:
    other = serve({"json": CHAT})
    server = serve({"status": 307, "raw": b"", "headers": {"Location": f"http://bob:pw@{other.url[7:]}/v1?token=abc"}})
    (error,) = ask(settings(server), SAY)
    assert f"status 307: to http://{other.url[7:]}/v1;" in str(error)
    assert other.seen == []


def test_the_environments_proxies_are_not_used_and_named_ones_are(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = serve({"json": CHAT}), serve({"json": CHAT})
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask(settings(server), SAY)
    assert len(server.seen) == 1
    ask(settings(server, proxy=proxy.url), SAY)
    assert (len(server.seen), [path for path, *_ in proxy.seen]) == (1, [f"{server.url}/v1/chat/completions"])


def test_headers_and_query_are_sent(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "secret-1234")
    monkeypatch.setenv("OTHER", "other-1234")
    server = serve({"json": CHAT})
    more = {"api_key_env": "MINE", "key_header": "api-key", "headers": {"X-Title": "t", "X-Token": "t ${OTHER}"}}
    ask(settings(server, **more, headers_env={"X-Org": "OTHER"}, query={"api-version": "1"}), SAY)
    path, headers, _ = server.seen[0]
    assert path == "/v1/chat/completions?api-version=1"
    sent = {name: headers.get(name) for name in ("api-key", "X-Title", "X-Token", "X-Org", "Authorization")}
    assert sent == {"api-key": "secret-1234", "X-Title": "t", "X-Token": "t other-1234", "X-Org": "other-1234", "Authorization": None}  # fmt: skip


def test_a_connection_that_was_closed_while_idle_is_opened_anew() -> None:
    """The server answers one request on each connection and closes it without saying so."""
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        while not (await reader.readline()).lower().startswith(b"content-length"):
            pass
        await reader.readuntil(b"}]}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TEXT) + TEXT)
        await writer.drain()
        await reader.readline()  # the next request, which is not answered
        writer.close()

    async def together() -> list[Completion]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(EndpointSettings(url=f"http://127.0.0.1:{port}"), "m")
        try:
            return [await endpoint.generate(SAY) for _ in range(3)]
        finally:
            await endpoint.close()
            server.close()

    assert [completion.text for completion in asyncio.run(together())] == ["hello"] * 3
    assert taken == 3
