"""A shard from its rows to the storage, in the process that Ray gave it. It knows nothing of Ray."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import StringIO

from constitution.errors import SolonError, Unavailable, UserError
from constitution.terminal import complain
from generation.calls.budget import LimitReached
from generation.calls.database import StoreError
from generation.cluster.attempts import Ended
from generation.cluster.order import ROWS, Order, Watch
from generation.cluster.parts import fetch_calls, hand_over, keep_calls
from generation.cluster.storage import Storage
from generation.cluster.suspects import Suspects
from generation.output.folder import InUse, OwnedFolder, run_folder
from generation.output.manifest import Manifest, damages, read
from generation.pipeline.job import Job, produce
from generation.pipeline.progress import Progress
from generation.shard import Shard

PATIENCE = 60.0
"""Seconds that a shard's folder may be held by a process that is about to end, as of a command that was killed."""
WATCHED = 1.0
"""Seconds between two looks at how far a shard is."""


def make(order: Order, shard: Shard, node: str, watch: Watch, careful: bool = False) -> Ended:
    """Make a shard, or go on with what this node's disk or the storage has of it, and hand it over. Never raises.

    careful: True to find the prompt that ends the process.
    """
    try:
        _make(order, shard, watch, careful)
    except LimitReached as error:
        return Ended(shard, False, node, str(error), limited=True)
    except (SolonError, OSError, MemoryError) as error:
        words = str(error) or type(error).__name__
        refused = isinstance(error, UserError) and not isinstance(error, StoreError)
        return Ended(shard, False, node, f"{_here()}: {words}", refused=refused)
    except Exception as error:  # of one shard; the others go on, and the command tells it
        words = "".join(traceback.format_exception_only(error)).strip()
        return Ended(shard, False, node, f"{_here()}: {words}", fault="".join(traceback.format_exception(error)))
    return Ended(shard, True, node)


def _here() -> str:
    return f"{socket.gethostname()} (process {os.getpid()})"


def _make(order: Order, shard: Shard, watch: Watch, careful: bool) -> None:
    storage = Storage(order.storage)
    rows = order.scratch / ROWS / f"{shard.name}.gz"
    if not rows.is_file() and not storage.get(f"{ROWS}/{rows.name}", rows):
        raise Unavailable(f"{storage.address}: has no rows of shard {shard}; run the same command again to resume")
    job = order.part(shard, rows)
    with _held(run_folder(job.out)):
        run_folder(job.out).claim(job.settings())
        fetch_calls(storage, shard, job.out)
        suspects = Suspects(storage, shard, job.out, careful)
    job = replace(job, around=suspects.around)
    progress = Progress(0, stream=StringIO())
    settings = job.config.cluster
    keep = partial(keep_calls, storage, shard, job.out)
    with (
        _now_and_then(WATCHED, lambda: watch(progress.snapshot())),
        _now_and_then(settings.checkpoint_seconds, keep),
    ):
        try:
            if not _finished(job):
                asyncio.run(produce(job, None, progress))
        except Exception:
            with suppress(SolonError, OSError):
                keep()  # another node may go on
            raise
        finally:
            watch(progress.snapshot())
            with suppress(SolonError, OSError):
                suspects.close()
    hand_over(storage, shard, job.out)
    with suppress(OSError):
        shutil.rmtree(job.out)
        rows.unlink()


def _finished(job: Job) -> Manifest | None:
    """The manifest, where the shard was finished here and not handed over."""
    with suppress(UserError):
        manifest = read(job.out)
        return manifest if manifest and manifest.digests == job.digests and not damages(job.out, manifest) else None
    return None


@contextmanager
def _now_and_then(seconds: float, do: Callable[[], None]) -> Iterator[None]:
    """Do it every so often meanwhile, in a thread. What goes wrong there is told, and tried again the next time."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            try:
                do()
            except (SolonError, OSError) as error:
                complain(str(error))

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _held(folder: OwnedFolder) -> Iterator[None]:
    """The folder's lock, once a process that is about to end has left it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with folder.locked():
                yield
            return
        except InUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
