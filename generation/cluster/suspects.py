"""Prompts whose work ends the process of their shard, as where an engine crashes on them: found one by one, and given up."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from constitution.records import Failure, Prompt
from generation.cluster.storage import Storage
from generation.output.records import Feedback
from generation.shard import Shard

SUSPECTS = "suspects"
"""Folder, in the storage, of what is known of them."""
MOST = 3
"""Ends of the process, while a prompt was worked on and no other, after which it is given up: a node may be lost by chance, and
where many are lost one after the other, twice at the same prompt."""


class Suspects:
    """Those of a shard. What is said of the last start is known to the next one, wherever it is."""

    def __init__(self, storage: Storage, shard: Shard, folder: Path, careful: bool) -> None:
        """folder: of this machine. careful: True to work on one prompt at a time, and say before which. Raises StorageError."""
        self._storage, self._name, self._folder = storage, suspects_of(shard), folder
        self._careful = careful
        self._alone = asyncio.Lock()
        self._begun, self._ended, self._found = "", Counter[str](), ""
        with suppress(ValueError, AttributeError, TypeError):  # what is damaged is found again
            state = json.loads(storage.read(self._name) or "{}")
            self._ended.update({str(name): int(count) for name, count in state.get("ended", {}).items()})
            if begun := str(state.get("begun", "")):
                self._ended[begun] += 1
                self._found = begun if self._ended[begun] >= MOST else ""
        if self._ended:
            self._write("")

    @asynccontextmanager
    async def around(self, prompt: Prompt) -> AsyncIterator[Feedback | None]:
        """Work on a prompt inside; gives its outcome where it is given up. Raises StorageError."""
        if not self._careful and self._ended[prompt.id] < MOST:
            yield None
            return
        async with self._alone:
            if (ended := self._ended[prompt.id]) >= MOST:
                detail = f"the process of its shard ended {ended} times while it alone was worked on"
                yield Feedback(prompt, failures=(Failure(prompt.id, "engine", "process_ended", detail),))
                self._careful = self._careful and prompt.id != self._found  # the rest need not wait for each other
                return
            if self._careful:
                self._write(prompt.id)
            yield None
            self.close()  # what ends the process from here on is not this prompt

    def close(self) -> None:
        """No prompt is worked on alone any more, and the process has not ended. Raises StorageError."""
        if self._begun:
            self._write("")

    def _write(self, begun: str) -> None:
        self._storage.write(self._name, json.dumps({"begun": begun, "ended": self._ended}), self._folder)
        self._begun = begun


def suspects_of(shard: Shard) -> str:
    """The file of a shard's in the storage."""
    return f"{SUSPECTS}/{shard.name}.json"
