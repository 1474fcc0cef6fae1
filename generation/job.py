"""One run, from checked inputs to a finished folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from constitution import principles
from constitution.principles import Constitution, ConstitutionError
from constitution.records import Failure, Prompt
from critics import templating
from generation import config, prompts
from generation.cast import OpenEngine, Part, chat_models, parts
from generation.chat_model import ChatModel
from generation.config import ConfigError, RunConfig
from generation.dataset import DatasetWriter
from generation.engine import Engine, ModelError
from generation.folder import RunFolder, RunFolderError, open_run
from generation.forecast import Forecast, Ledger, forecast
from generation.manifest import Digests, Manifest, Tally
from generation.pipeline import feedback
from generation.progress import Progress
from generation.prompts import PromptsError, SourceInfo
from generation.run import UNAVAILABLE, run
from generation.store import CallStore, StoreError
from generation.stored import Stored

T = TypeVar("T")
CALLS = "calls.sqlite"


class BadInput(ValueError):  # noqa: N818 - it is the user's input that is wrong
    """The run cannot start; the message lists every problem found, each with its place and its fix."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run is made from, read and checked; no model is loaded."""

    out: Path
    constitution: Constitution
    config: RunConfig
    source: str
    limit: int | None
    info: SourceInfo
    policy: Part
    judge: Part
    reuse: tuple[Path, ...]
    digests: Digests

    def rows(self) -> Iterator[Prompt | Failure]:
        """The prompts, read anew."""
        return prompts.read(self.source, self.limit)
