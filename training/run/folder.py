"""The folder that a recipe writes: whose it is, how it is resumed, when it is done.

training.yaml      what was asked for, whole; the folder is known by it
metrics.jsonl      a line for each logged step
checkpoints/       for resuming; deleted once the run is done
training.html      curves
README.md          model card; with weights, configuration and tokenizer beside it, the folder is an ordinary checkpoint
training.json      counts and results, written last: its presence means that the run is done
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from constitution.errors import Problem, Unavailable, UserError
from generation.output.files import remove, sync, write_atomically
from generation.output.folder import OwnedFolder
from training.model import launch
from training.run import rank
from training.run.metrics import DATA, Metrics, Row, read
from training.run.page import RELEASED, SETTINGS, write_page
from training.run.sealed import damage

Counts = Mapping[str, Mapping[str, int]]
"""Split -> what became of its rows."""

DONE = "training.json"
CHECKPOINTS = "checkpoints"


_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_ROOM = 1 << 20
"""Bytes. With less than this free, a library that failed to write is taken to have met a full disk."""


def owned(folder: Path) -> OwnedFolder:
    """The folder of a training run."""
    return OwnedFolder(folder, SETTINGS, RELEASED)


def check(folder: Path) -> None:
    """Raises UserError for a file, and for a folder with something in it that no training run began. Changes nothing."""
    owned(folder).check()


def claim(folder: Path, snapshot: Mapping[str, Any]) -> None:
    """Make the folder this run's own, or check that it already is. Raises UserError where it is another's."""
    owned(folder).claim(snapshot)


def release_claim(folder: Path) -> None:
    """Let other settings use what the folder has: the calls they need are cached, and nothing is trained yet."""
    owned(folder).release()


def run_exclusively(
    folder: Path, snapshot: Mapping[str, Any], lower: str, train: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What training.json says: of a run that is done, or of `train`, while the main process keeps others out of the folder.

    snapshot: training.yaml. lower: settings that save memory. Raises UserError for an unusable folder or a full GPU, Unavailable
    for a disk that is full or fails.
    """
    main = launch.state().is_main_process
    try:
        with owned(folder).locked() if main else nullcontext():
            if main:
                claim(folder, snapshot)
            done: dict[str, Any] | None = broadcast_object_list([finished(folder) if main else None])[0]
            return done or train()
    except torch.OutOfMemoryError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(Problem("", "memory", f"the GPU is full ({reason})", fix=f"lower {lower}")) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        if (trouble := _disk_trouble(error, folder)) is None:
            raise
        got = f"{folder}: what training writes cannot be written ({trouble})"
        raise Unavailable(f"{got}; make room, then run the same command again: it resumes") from error


def _disk_trouble(error: BaseException, folder: Path) -> str | None:
    """What a disk said, if it was a disk that said it: libraries that write weights hide it behind errors of their own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _DISK:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    full = not isinstance(error, OSError) and shutil.disk_usage(folder).free < _ROOM
    return "the disk is full" if full else None


def close(metrics: Metrics | None, folder: Path) -> None:
    """End a run's log and draw its page. A page that cannot be written is told, and hides no other error."""
    if metrics is None:
        return
    try:
        metrics.close()
        write_page(folder)
    except OSError as error:
        rank.tell(
            f"{folder}: its page cannot be written ({error.strerror}); run the same command again once there is room"
        )


def finished(folder: Path) -> dict[str, Any] | None:
    """What training.json says; None where the run is not done."""
    try:
        found = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def last_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest whole checkpoint and its step. Newer ones that were cut short or damaged are named on stderr and deleted."""
    numbered = {path: _step(path) for path in (folder / CHECKPOINTS).glob("checkpoint-*")}
    for path, step in sorted(numbered.items(), key=lambda item: item[1], reverse=True):
        reason = damage(path) if step >= 0 else "its name has no step"
        if reason is None:
            return path, step
        rank.tell(f"{path}: is no checkpoint to go on from: {reason}; the one before it is taken")
        remove(path)
    return None


def _step(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else -1


def rotate(folder: Path, keep: int, best: Path | None = None) -> None:
    """Delete all but the newest `keep` checkpoints of a run's folder, and the best."""
    steps = {path: _step(path) for path in (folder / CHECKPOINTS).glob("checkpoint-*")}
    for path in sorted(steps, key=steps.__getitem__)[:-keep]:
        if path != best:
            remove(path)


def resume_state(
    folder: Path, metrics: Metrics, counts: Counts, figures: Mapping[str, float] = MappingProxyType({})
) -> tuple[tuple[Path, int] | None, list[Row]]:
    """The newest checkpoint with its step, or None, and the metrics logged until then.

    figures: what was measured before the first step.
    """
    found = last_checkpoint(folder)
    metrics.resume(found[1] if found else -1)
    if not found:
        for split, count in counts.items():
            metrics.write(0, {f"{split}/{name}": float(n) for name, n in count.items()}, DATA)
        if figures:
            metrics.write(0, figures, DATA)
    return found, read(metrics.path)


def results_record(
    snapshot: Mapping[str, Any], counts: Counts, results: Mapping[str, float], seconds: float
) -> dict[str, Any]:
    """What training.json says. snapshot: what only the recipe knows, `recipe`, `steps` and `digests` at least."""
    rows = {split: dict(count) for split, count in counts.items()}
    rounded = {name: float(f"{value:.7g}") for name, value in results.items()}
    return {**snapshot, "seconds": round(seconds, 1), "rows": rows, "results": rounded}


def finish(folder: Path, snapshot: Mapping[str, Any]) -> None:
    """Write training.json, once all beside it is on disk, and drop the checkpoints."""
    for path in folder.iterdir():
        if path.is_file():
            sync(path)
    write_atomically(folder / DONE, json.dumps(snapshot, indent=2) + "\n")
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
