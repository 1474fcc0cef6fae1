"""Who may ask, and what a browser may do with the answer. Stands before every route.

A request is answered only when its `Host` is an address that the studio listens on, no other site made it, and it brings the token
of this start: in a cookie, which the first address sets. What changes something must come from the studio's own pages, as JSON of
bounded size. Names are compared whole with those that are known; nothing of a request is parsed that need not be.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

START = "/start"
"""The path of the first address; its `token` becomes the cookie."""
MAX_QUERY = 8192
"""Bytes of a query string."""
MAX_BODY = 1 << 20
"""Bytes of what is sent."""
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer, also of those that refuse."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must bring."""

    hosts: frozenset[str]
    """Values of `Host`, port included."""
    token: str

    @property
    def cookie(self) -> str:
        """Name of the cookie. Ports share cookies, so that the name has the port: one studio does not end another's."""
        return f"solon-studio-{min(self.hosts).rpartition(':')[2]}"

    @classmethod
    def at(cls, host: str, port: int, token: str) -> Access:
        """Of a studio that listens there; on loopback by each of its names."""
        written = f"[{host}]" if ":" in host else host
        names = LOOPBACK if is_loopback(host) else (written.lower(),)
        return cls(frozenset(f"{name}:{port}" for name in (*names, written.lower())), token)


class Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """ASGI middleware: refuses what `Access` does not allow, and adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            answer = self._answer(scope)
        except Refused as refused:
            answer = PlainTextResponse(refused.reason + "\n", refused.status)
        await (answer or self.app)(scope, _bounded(receive), guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """The answer to the first address; None for what a route answers. Raises Refused."""
        headers = _single_headers(scope)
        host = headers.get("host", "").lower()
        if host not in self.access.hosts:
            raise Refused(400, "This is no address of the studio.")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "Only GET, HEAD and POST are answered.")
        if len(scope["query_string"]) > MAX_QUERY:
            raise Refused(414, "The address is too long.")
        self._same_origin(headers, host, scope["method"])
        if scope["path"] == START and scope["method"] == "GET":
            return self._start(scope)
        if not self._known(headers):
            raise Refused(403, "Open the address that `solon studio` printed.")
        if scope["method"] == "POST":
            _json_alone(headers)
        return None

    def _same_origin(self, headers: Mapping[str, str], host: str, method: str) -> None:
        origin = headers.get("origin")
        if (origin is not None or method == "POST") and origin != f"http://{host}":
            raise Refused(403, "Another site asked.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "Another site asked.")

    def _start(self, scope: Scope) -> Response:
        found = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=8))
        if not self._matches(found.get("token", "")):
            raise Refused(
                403, "This is not the token of the studio that runs now. It prints a new address at each start."
            )
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.access.cookie, self.access.token, path="/", httponly=True, samesite="strict")
        return answer

    def _known(self, headers: Mapping[str, str]) -> bool:
        try:
            found: dict[str, Any] = dict(SimpleCookie(headers.get("cookie", "")))
        except CookieError:
            return False
        return self.access.cookie in found and self._matches(found[self.access.cookie].value)

    def _matches(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.access.token.encode())


def is_loopback(host: str) -> bool:
    """True for an address that no other machine reaches."""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.count(".") == 3)


def _single_headers(scope: Scope) -> dict[str, str]:
    """Headers by name. Raises Refused where one that is looked at is there twice, as proxies and servers read those differently."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "cookie", "content-type", "content-length", "sec-fetch-site"):
            raise Refused(400, f"Two headers are named {key}.")
        found[key] = value.decode("latin-1")
    return found


def _json_alone(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "Only JSON is taken.")
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise Refused(411, "Its length must be told.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise Refused(413, f"At most {MAX_BODY:,} bytes are taken.")


def _bounded(receive: Receive) -> Receive:
    """The same messages; of a body that is longer than it may be, the end of the connection."""
    seen = 0

    async def next_message() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MAX_BODY else {"type": "http.disconnect"}

    return next_message
