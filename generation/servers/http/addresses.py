"""Addresses of a server's entry points, from what its settings say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from generation.engines.base import ModelError
from generation.servers.settings import VARIABLE, EndpointSettings

_VERSION = re.compile(r"v\d+((alpha|beta)\d*)?(\.\d+)?|deployments", re.IGNORECASE)
"""A part of a path that says that the path is the API's own, to which `/chat/completions` is added."""
_CHAT = "/chat/completions"


class Addresses(NamedTuple):
    """Where a server is asked. They may hold secrets: show `EndpointSettings.url` in their place."""

    chat: str
    tokens: str
    """vLLM's entry point for prompts as token ids."""
    files: str
    """Where batch files lie: FILES, and FILES/ID/content."""
    batches: str
    proxy: str
    """Empty where none is used."""


def addresses(settings: EndpointSettings) -> Addresses:
    """All addresses of a server. Raises ModelError where a variable is not set."""
    parts = urlsplit(expand(settings.url, settings.url))
    query = urlencode(
        [
            *parse_qsl(parts.query, keep_blank_values=True),
            *((name, expand(value, settings.url)) for name, value in settings.query.items()),
        ]
    )
    given = parts.path.rstrip("/")
    base = _base(given)

    def at(path: str) -> str:
        return urlunsplit((parts.scheme, parts.netloc, path, query, ""))

    # a deployment's name is no part of the addresses of files
    shared = re.sub(r"/deployments/[^/]+$", "", base)
    bare = re.sub(r"/v1$", "", given.removesuffix(_CHAT))
    return Addresses(
        at(base + _CHAT),
        at(f"{bare}/inference/v1/generate"),
        at(f"{shared}/files"),
        at(f"{shared}/batches"),
        expand(settings.proxy, settings.url),
    )


def _base(path: str) -> str:
    if path.endswith(_CHAT):
        return path.removesuffix(_CHAT)
    path = path.removesuffix("/chat")
    return path if any(map(_VERSION.fullmatch, path.split("/"))) else f"{path}/v1"


def expand(text: str, place: str) -> str:
    """A setting with the values of its variables. Raises ModelError where one is not set."""
    return VARIABLE.sub(lambda found: variable(found[1], place), text)


def variable(name: str, place: str) -> str:
    """Value of an environment variable. Raises ModelError where it is not set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ModelError(f"endpoint {place}: environment variable {name} is not set; export the key there")
    return value


def named_variables(settings: EndpointSettings) -> Iterable[str]:
    """Names of all variables whose values are secrets of this server."""
    texts = [settings.url, settings.proxy, *settings.headers.values(), *settings.query.values()]
    found = [name for text in texts for name in VARIABLE.findall(text)]
    return [*filter(None, [settings.api_key_env]), *settings.headers_env.values(), *found]
