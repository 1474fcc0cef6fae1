"""The index of a run: what is in its file, and where that is kept.

The file is a cache: derived from the run's parquet files alone, named by the digest of the manifest, which has theirs. It is
written beside its place and moved there whole, so that two studios on one folder cannot harm each other.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generation.models.digests import cache_folder

VERSION = 4
"""Of what is in the file; another one is not read."""
CREATE = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -16384;
CREATE TABLE pairs (
    number INTEGER PRIMARY KEY, split TEXT NOT NULL, row INTEGER NOT NULL,
    prompt_id TEXT NOT NULL, chosen_id TEXT NOT NULL, rejected_id TEXT NOT NULL,
    p REAL NOT NULL, margin REAL NOT NULL, against REAL NOT NULL, flips REAL NOT NULL,
    prompt TEXT NOT NULL, chosen TEXT NOT NULL, rejected TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, detail=none, prefix='1 2 3 4');
CREATE TABLE failures (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, prompt_id TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE marks (prompt_id TEXT NOT NULL, response_id TEXT NOT NULL, indicator TEXT NOT NULL);
CREATE TABLE places (prompt_id TEXT NOT NULL, file TEXT NOT NULL, row INTEGER NOT NULL);
CREATE TABLE calls (prompt INTEGER NOT NULL, row INTEGER NOT NULL);
CREATE TABLE orders (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE frequent (word TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE numbers (name TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE postings (facet TEXT NOT NULL, value TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE facets (
    facet TEXT NOT NULL, value TEXT NOT NULL, pairs INTEGER NOT NULL, PRIMARY KEY (facet, value)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
"""`numbers` and `postings` hold arrays in pieces, in the pairs' order: float32 a pair, and int32 numbers of pairs. `orders` has the
int32 numbers of all pairs by each of their numbers, `frequent` a bit a pair for each word of many, `calls` the rows of calls.sqlite
by the checksum of their prompt."""
FINISH = """
CREATE INDEX pairs_prompt ON pairs (prompt_id);
CREATE INDEX failures_reason ON failures (stage, reason);
CREATE INDEX failures_prompt ON failures (prompt_id);
CREATE INDEX calls_prompt ON calls (prompt, row);
CREATE INDEX places_prompt ON places (prompt_id, file);
CREATE INDEX postings_value ON postings (facet, value);
INSERT INTO words (words) VALUES ('optimize');
"""
KEPT_DAYS = 30
"""An index that nobody opened for so long is removed."""


def place(digest: str) -> Path:
    """Where the index of the run with that manifest is kept."""
    return cache_folder() / "studio" / f"{digest}.v{VERSION}.sqlite"


def open_to_read(path: Path) -> sqlite3.Connection:
    """The index in a file. Raises sqlite3.Error, also where it is of another version."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise sqlite3.DatabaseError("is of another version")
        connection.execute("SELECT count(*) FROM facets")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written inside is written at once."""
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def remove_old(folder: Path, keep: Path) -> None:
    """Remove indices that nobody opened for long; one that cannot be removed is no error."""
    for path in folder.glob("*.sqlite*"):
        try:
            if path != keep and time.time() - path.stat().st_mtime > KEPT_DAYS * 86400:
                path.unlink()
        except OSError:
            continue
