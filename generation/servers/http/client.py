"""HTTP: one request and the whole answer, within bounds of time and size."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from generation.servers.settings import EndpointSettings
from generation.tasks import aside

MAX_BYTES = 32 << 20
"""Most of an answer that is read, compressed or not, and most of it after decompression."""
_CONNECT_SECONDS = 30.0


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class NoReplyError(Exception):
    """No whole answer came."""

    def __init__(self, words: str, silent: bool = False, stale: bool = False, sent: bool = True) -> None:
        super().__init__(words)
        self.sent = sent
        """The request may have reached the server, which then bills it."""
        self.silent = silent
        """It took too long, which an overloaded server does."""
        self.stale = stale
        """The server closed the connection before it answered, as it does with one that was idle."""


class TooLargeError(Exception):
    """The answer is larger than any answer should be, or compressed in a way that was not asked for."""


class Client:
    """Connections to one server. Redirects are not followed, cookies not kept, proxies used only where settings name one."""

    def __init__(self, settings: EndpointSettings, headers: Mapping[str, str], proxy: str) -> None:
        self._settings = settings
        self._headers = {"User-Agent": "solon", "Accept": "application/json", "Accept-Encoding": "identity", **headers}
        self._proxy = proxy or None
        self._session: Any = None
        """An aiohttp.ClientSession, once something is sent."""

    def __repr__(self) -> str:
        return f"Client({self._settings.url!r})"

    async def post(self, url: str, body: bytes, most: int) -> Reply:
        """The answer to a JSON body, up to so many bytes. Raises NoReplyError and TooLargeError."""
        return await self.send("POST", url, body, {"Content-Type": "application/json"}, most)

    async def send(
        self,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        most: int = MAX_BYTES,
    ) -> Reply:
        """The answer to any request, up to so many bytes. Raises NoReplyError and TooLargeError."""
        import aiohttp  # 0.2 s, which runs without servers need not wait for

        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as response:
                content = await _read(response.content, most)
                encoding = response.headers.get("Content-Encoding", "")
                whole = await aside(partial(decompress, content, encoding, most), most) if encoding else content
                return Reply(response.status, response.headers, whole)
        except aiohttp.ConnectionTimeoutError:
            raise NoReplyError("cannot connect in time", silent=True, sent=False) from None
        except TimeoutError:
            raise NoReplyError("no whole answer in time", silent=True) from None
        except aiohttp.ServerDisconnectedError:
            raise NoReplyError("the server closed the connection", stale=True) from None
        except aiohttp.ClientConnectorError as error:
            raise NoReplyError(f"cannot connect ({error.strerror or type(error).__name__})", sent=False) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReplyError(f"{type(error).__name__}: {error}"[:200]) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> Any:
        import aiohttp

        s = self._settings
        timeout = aiohttp.ClientTimeout(
            total=s.deadline_seconds, sock_connect=min(_CONNECT_SECONDS, s.timeout_seconds), sock_read=s.timeout_seconds
        )
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


async def _read(stream: Any, most: int) -> bytes:
    chunks = bytearray()
    while chunk := await stream.readany():
        chunks += chunk
        if len(chunks) > most:
            raise TooLargeError(f"the answer is over {most:,} bytes")
    return bytes(chunks)


def decompress(content: bytes, encoding: str, most: int = MAX_BYTES) -> bytes:
    """The content without its encodings, which a server may use though none was asked for. Raises TooLargeError."""
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("gzip", "x-gzip", "deflate"):
            content = _inflate(content, most)
        elif name not in ("", "identity"):
            raise TooLargeError(f"Content-Encoding {name[:40]} was not asked for")
    return content


def _inflate(content: bytes, most: int) -> bytes:
    """gzip, zlib or bare deflate, one member after the other, up to so many bytes in all."""
    found = bytearray()
    waiting = content
    try:
        while waiting:
            window = 47 if waiting[:2] == b"\x1f\x8b" or waiting[0] & 0x0F == 8 else -15
            reader = zlib.decompressobj(window)
            found += reader.decompress(waiting, most + 1 - len(found))
            if len(found) > most:
                raise TooLargeError(f"the answer is over {most:,} bytes after decompression")
            if not reader.eof:
                raise TooLargeError("the compressed answer is cut")
            waiting = reader.unused_data
    except zlib.error as error:
        raise TooLargeError(f"the compressed answer cannot be read ({error})") from None
    return bytes(found)
