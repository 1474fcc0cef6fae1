"""Serves a studio: its address, its token, its end."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from importlib import import_module
from urllib.parse import quote

import pyarrow as pa
import uvicorn

from constitution.errors import Problem, Problems, UserError
from constitution.terminal import complain, printable
from evaluation.principles.report import read_report
from studio.data.build import Progress
from studio.data.difference import difference_of
from studio.data.index import index_of
from studio.security import START, Access, is_loopback
from studio.settings import StudioSettings
from studio.state import Studio
from studio.subject import Kind, subject_of

MIN_TOKEN = 32
"""Characters of a token that is given."""
TELL = 100_000
"""Pairs between two lines about what takes long."""


def serve(settings: StudioSettings) -> int:
    """Listen, print the address, and answer until Ctrl-C; returns 0. Raises UserError."""
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what it frees
    studio, token = open_studio(settings), token_of(settings)
    with _listening(settings.host, settings.port) as listener:
        port = listener.getsockname()[1]
        # by name: what pages need is loaded when the index is built, so that the two do not need their memory at once
        app = import_module("studio.app").build(studio, Access.at(settings.host, port, token))
        written = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"{printable(str(settings.subject))}: http://{written}:{port}{START}?token={quote(token)}", flush=True)
        print("Ctrl-C ends it.", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return 0


def open_studio(settings: StudioSettings) -> Studio:
    """What the settings name. Raises UserError with all that is wrong."""
    problems = Problems()
    studio: Studio | None = None
    with problems.collect():
        studio = Studio(subject_of(settings.subject))
    if settings.against is not None:
        with problems.collect():
            against = subject_of(settings.against)
            if studio is not None:
                studio.against = against
    if settings.tested is not None:
        with problems.collect():
            read_report(settings.tested)
            if studio is not None:
                studio.tested = settings.tested
    problems.check()
    assert studio is not None
    runs = [one.path for one in (studio.subject, studio.against) if one is not None and one.kind is Kind.RUN]
    indices = [index_of(run, _counting("indexing")) for run in runs]
    if len(indices) == 2 and indices[0] and indices[1]:
        difference_of(indices[0], indices[1], _counting("comparing"))
    return studio


def _counting(what: str) -> Progress:
    """Tells on stderr how far that is, of a large run."""
    told = 0

    def progress(pairs: int) -> None:
        nonlocal told
        if pairs - told >= TELL:
            told = pairs
            complain(f"{what}: {pairs:,} pairs")

    return progress


def token_of(settings: StudioSettings) -> str:
    """The token of this start. Raises UserError where other machines may ask and none was given."""
    if settings.token_file is None:
        if not is_loopback(settings.host):
            fix = "write a token of your own to a file that only you can read, and name it with --token-file"
            raise UserError(Problem("--host", got=f"{settings.host} is reached from other machines", fix=fix))
        return secrets.token_urlsafe(32)
    try:
        token = settings.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(Problem(str(settings.token_file), got=f"cannot be read ({error})")) from None
    if len(token) < MIN_TOKEN or not token.isascii() or not all(c.isalnum() or c in "-_" for c in token):
        allowed = f"at least {MIN_TOKEN} letters, digits, - and _"
        raise UserError(Problem(str(settings.token_file), got=f"has {len(token)} characters", allowed=allowed))
    return token


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # so that the address answers once it is printed
    except OSError as error:
        fix = "name another --port, or none for a free one"
        raise UserError(Problem("--host, --port", got=f"{host}:{port}: {error.strerror or error}", fix=fix)) from None
    return listener
