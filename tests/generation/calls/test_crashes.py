"""The store of calls as a state machine: whatever happens to it, what was flushed is there, once and as it was."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from generation.calls.database import StoreError
from generation.calls.store import CallStore
from generation.engines.base import CallError, Completion, ErrorReason, Request, Sampling
from tests.properties import examples

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
NAME, LOG = "calls.sqlite", "calls.sqlite-wal"
REQUEST = Request("model", "sample", (1, 2, 3), Sampling(8, 1.0, 1.0, 7))
KEYS = [bytes([number]) * 16 for number in range(10)]
ANSWERS = st.builds(
    Completion,
    text=st.sampled_from(["", "yes", "no"]) | st.integers(0, 9).map(lambda number: str(number) * 9000),
    error=st.none() | st.just(CallError(ErrorReason.PROMPT_TOO_LONG, "long")),
)
Disk = dict[str, bytes]


class StoreMachine(RuleBasedStateMachine):
    """Up to two writers at once, each with what it was given and has not flushed. `kept` is what must be on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.folders = 0
        self.kept: dict[bytes, Completion] = {}
        self.writers: list[tuple[CallStore, dict[bytes, Completion]]] = []
        self.put_disk({})

    def teardown(self) -> None:
        for store, _ in self.writers:
            store.close()
        with sqlite3.connect(self.folder / NAME) as connection:
            if self.folder.joinpath(NAME).stat().st_size:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        shutil.rmtree(self.base)

    def open(self, failed: bool = False, damaged: bool = False) -> None:
        # nothing is written before a flush, so that an example is the same each time
        store = CallStore(
            self.folder / NAME, window=1000, window_seconds=3600, forget_failed=failed, forget_damaged=damaged
        )
        self.writers.append((store, {}))

    def flush(self, which: int) -> None:
        store, pending = self.writers[which]
        store.flush()
        for key, answer in pending.items():
            self.kept.setdefault(key, answer)
        pending.clear()

    @precondition(lambda self: len(self.writers) < 2)
    @rule()
    def another_writer(self) -> None:
        self.open()

    @precondition(lambda self: self.writers)
    @rule(
        which=st.integers(0, 1),
        answers=st.dictionaries(st.sampled_from(KEYS), ANSWERS, min_size=1),
        flush=st.booleans(),
    )
    def put(self, which: int, answers: dict[bytes, Completion], flush: bool) -> None:
        which %= len(self.writers)
        store, pending = self.writers[which]
        for key, answer in answers.items():
            store.put(key, REQUEST, answer)
            pending.setdefault(key, answer)
        if flush:
            self.flush(which)

    @precondition(lambda self: self.writers)
    @rule()
    def close(self) -> None:
        self.flush(0)
        store, _ = self.writers.pop(0)
        store.close()

    @precondition(lambda self: self.kept and not self.writers)
    @rule(forget_failed=st.booleans())
    def damaged(self, forget_failed: bool) -> None:
        """A damaged call is told, and forgotten where that is asked for; so are those that came to nothing."""
        lost = min(self.kept)
        with sqlite3.connect(self.folder / NAME) as connection:
            connection.execute("UPDATE calls SET seconds = 9 WHERE key = ?", [lost])
        connection.close()
        with pytest.raises(StoreError, match="1 stored calls are damaged"):
            self.open()
        del self.kept[lost]
        if forget_failed:
            self.kept = {key: answer for key, answer in self.kept.items() if answer.text and not answer.error}
        self.open(failed=forget_failed, damaged=True)

    @precondition(lambda self: self.writers)
    @rule(answers=st.dictionaries(st.sampled_from(KEYS), ANSWERS, min_size=1))
    def full(self, answers: dict[bytes, Completion]) -> None:
        """On a full disk a flush writes all, or tells and writes nothing, and what was there stays."""
        store, pending = self.writers[0]
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        self.put(0, answers, flush=False)
        told = ""
        try:
            self.flush(0)
        except StoreError as error:
            told = str(error)
        store._connection.execute("PRAGMA max_page_count = 1000000")
        if told:
            assert "the disk is full" in told
            with pytest.raises(StoreError, match="the disk is full"):
                store.put(KEYS[0], REQUEST, Completion("late"))
            pending.clear()
            self.end()

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), torn=st.booleans())
    def kill(self, data: st.DataObject, torn: bool) -> None:
        """All writers at once, before or after a flush; or power fails in its midst, and of what the log got any sectors are lost."""
        given = [dict(pending) for _, pending in self.writers]
        before = self.disk()
        for which in range(data.draw(st.integers(0, len(self.writers)))):
            self.writers[which][0].flush()
        after = self.disk()
        old, new = before.get(LOG, b""), after.get(LOG, b"")
        if torn and before[NAME] == after[NAME] and new.startswith(old):
            tail = bytearray(new[len(old) : data.draw(st.integers(len(old), len(new)))])
            for at in range(0, len(tail), SECTOR):
                if data.draw(st.integers(0, 7)) == 0:
                    tail[at : at + SECTOR] = bytes(len(tail[at : at + SECTOR]))
            after = {**before, LOG: old + tail}
        self.end(after)
        self.open()
        store, _ = self.writers[0]
        for key in {*KEYS} - {*self.kept}:
            if found := store.get(key):  # flushed or not, it was somebody's
                assert found in [pending[key] for pending in given if key in pending]
                self.kept[key] = found

    def disk(self) -> Disk:
        """All files, but for what writers share in memory."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if not path.name.endswith("-shm")}

    def put_disk(self, disk: Disk) -> None:
        self.folders += 1
        self.folder = self.base / str(self.folders)
        self.folder.mkdir()
        for name, body in disk.items():
            (self.folder / name).write_bytes(body)

    def end(self, disk: Disk | None = None) -> None:
        """No writer is left, and the disk is as it is now or as it is given."""
        disk = self.disk() if disk is None else disk
        for store, pending in self.writers:
            try:
                store.close()
            except StoreError:
                assert not pending  # of the one that was told that the disk is full
        self.writers = []
        self.put_disk(disk)

    @invariant()
    def every_writer_sees_what_is_kept_and_its_own(self) -> None:
        for store, pending in self.writers:
            for key in KEYS:
                assert store.get(key) == pending.get(key, self.kept.get(key))


class TestStore(StoreMachine.TestCase):  # type: ignore[valid-type, misc]
    """As hypothesis has pytest find it."""

    settings = settings(examples(8), stateful_step_count=12)
