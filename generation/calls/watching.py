"""How far the calls of a run are, read again and again while it goes on: each time only those that are new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from sqlite3 import Connection, Error
from typing import Any

from generation.calls.database import explain, is_empty, open_to_read
from generation.engines.base import Usage

_HEADS = """
SELECT rowid, model, batched, stage, reused, failed, prompt_tokens, cached_tokens, completion_tokens, seconds FROM calls
WHERE rowid > ?
"""
_OUTCOMES = "SELECT body FROM outcomes ORDER BY rowid DESC LIMIT ?"
_NEWEST = "SELECT key, stage, prompt, subject, failed FROM calls ORDER BY rowid DESC LIMIT ?"


@dataclass(slots=True)
class StageSum:
    """What the calls of one stage came to."""

    made: int = 0
    reused: int = 0
    prompt: int = 0
    """Tokens; likewise the next two."""
    cached: int = 0
    completion: int = 0
    seconds: float = 0.0
    """Of the engine, summed over calls that overlap."""
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> calls."""


@dataclass(slots=True)
class CallWatch:
    """Sums over a file of calls that another program may be writing. Calls that are forgotten meanwhile stay counted."""

    path: Path
    stages: dict[str, StageSum] = field(default_factory=dict)
    prompts: int = 0
    """Prompts whose outcome is kept."""
    newest: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """(key, stage, prompt, subject, why it failed or empty) of the last calls, the newest first."""
    usage: dict[tuple[str, bool], Usage] = field(default_factory=dict)
    """(model, whether by its vendor's batch API) -> tokens of the calls made."""
    outcomes: list[bytes] = field(default_factory=list)
    """Of the last prompts, the newest first: what is kept of them (generation/output/settled.py reads it)."""
    _last: int = 0

    def update(self, newest: int = 10) -> None:
        """Read what is new; nothing where there is no file yet. Raises StoreError."""
        if not self.path.is_file():
            return
        with closing(open_to_read(self.path)) as connection:
            if is_empty(self.path, connection):
                return
            for number, model, batched, *row in self._rows(connection, _HEADS, self._last):
                self._add(model, bool(batched), *row)
                self._last = number
            self.newest = [(key.hex(), *rest) for key, *rest in self._rows(connection, _NEWEST, newest)]
            self.outcomes = [body for (body,) in self._rows(connection, _OUTCOMES, newest)]
            ((self.prompts,),) = self._rows(connection, "SELECT count(*) FROM outcomes")

    def _add(
        self,
        model: str,
        batched: bool,
        stage: str,
        reused: bool,
        failed: str,
        prompt: int,
        cached: int,
        completion: int,
        seconds: float,
    ) -> None:
        known = self.stages.setdefault(stage, StageSum())
        known.made += not reused
        known.reused += bool(reused)
        if not reused:
            before = self.usage.get((model, batched), Usage(batched=batched))
            self.usage[model, batched] = replace(
                before,
                prompt=before.prompt + prompt,
                cached=before.cached + cached,
                completion=before.completion + completion,
            )
        known.prompt += prompt
        known.cached += cached
        known.completion += completion
        known.seconds += 0 if reused else seconds
        if failed:
            known.failed[failed] += 1

    def _rows(self, connection: Connection, sql: str, *values: int) -> Iterator[Any]:
        try:
            yield from connection.execute(sql, values)
        except Error as error:
            raise explain(self.path, error) from None
