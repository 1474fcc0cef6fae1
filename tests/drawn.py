"""Plots of the same numbers are drawn once in a run of the tests: to draw them takes half of a page's time, and pages are many."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path

from evaluation.pages import plots
from evaluation.pages.plots import Plot

KINDS = "line", "bars", "heat", "counted"


def remember(folder: Path) -> None:
    """From now on a plot that is drawn is kept in the folder, and one that is there is not drawn. `__wrapped__` draws anew."""
    for kind in KINDS:
        setattr(plots, kind, _once(getattr(plots, kind), folder))


def _once(draw: Callable[..., Plot], folder: Path) -> Callable[..., Plot]:
    @wraps(draw)
    def plot(*arguments: object, **named: object) -> Plot:
        kept = folder / hashlib.sha256(pickle.dumps((draw.__name__, arguments, named))).hexdigest()
        with suppress(FileNotFoundError):
            return Plot(*json.loads(kept.read_bytes()))
        made = draw(*arguments, **named)
        part = kept.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        part.write_text(json.dumps(made))
        part.replace(kept)
        return made

    return plot
