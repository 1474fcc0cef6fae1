"""Servers of a test, which are stopped at its end."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.generation.servers.loopback import Behaviour, Server


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts servers by a script of behaviours, and stops them at the end."""
    started: list[Server] = []

    def start(*behaviours: Behaviour) -> Server:
        started.append(Server(*behaviours))
        return started[-1]

    yield start
    for server in started:
        server.stop()
