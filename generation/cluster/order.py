"""What the process of a shard is told: all that the command has read and checked, so that a node needs none of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from constitution.checks.own import load_rules, own_rules
from constitution.digest import digest
from constitution.errors import Problem, UserError
from generation.config import RunConfig
from generation.data.labels import Labels
from generation.models.factory import model_registry
from generation.output.folder import ACCEPTANCE, WEIGHTS
from generation.output.settled import code
from generation.pipeline.job import Job
from generation.pipeline.progress import Snapshot
from generation.shard import Shard
from generation.temporary import cluster_folder

ROWS = "rows"
"""Folder, in the storage, of the rows of each shard."""
CHECKPOINTS = "checkpoints"
"""Folder of the calls of shards that are not finished."""
SHARDS = ".shards"
"""What the storage of a run's shards ends in, beside the run."""

Watch = Callable[[Snapshot], None]
"""Is told now and then how far a shard is."""


class RulesFile(NamedTuple):
    """A file with rules of the user's own."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """The run that a shard is a part of."""

    job: Job
    storage: str
    """Address of what its shards are handed to."""
    rules: tuple[RulesFile, ...]
    code: str
    """Digest of the code that decides what comes of a prompt."""

    @property
    def scratch(self) -> Path:
        """The folder of the run on a node's local disk. Raises OSError where its place is another user's."""
        base = Path(self.job.config.cluster.scratch or cluster_folder())
        return base / digest(f"{self.storage} {self.job.digests.model_dump_json()}")

    def folder(self, shard: Shard) -> Path:
        """That of a shard."""
        return self.scratch / shard.name

    def part(self, shard: Shard, rows: Path) -> Job:
        """The run over one shard, on this machine. rows: the file of its rows.

        Raises UserError where this machine has other code, or other models, than the one that gave the order.
        """
        if code() != self.code:
            fix = "install the same version on every node"
            raise UserError(Problem("--ray", got="this node has another version of Solon than the command", fix=fix))
        for file in self.rules:
            path = self.scratch / "rules" / digest(file.body) / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.body)
            load_rules(path)
        folder, job = self.folder(shard), self.job
        registry = model_registry(job.config)
        if registry.digests() != job.registry.digests() or (
            {name: one.digest for name, one in registry.policies.items()}
            != {name: one.digest for name, one in job.registry.policies.items()}
        ):
            fix = "give every node the same files, or name a model of the hub"
            raise UserError(Problem("--ray", got="this node has other model files than the command", fix=fix))
        return replace(
            job, out=folder, config=_share(job.config, shard.parts), registry=registry, reuse=(), shard=shard, part=rows,
            digests=job.digests.model_copy(update={"shard": str(shard), "labels": ""}),
            weights_file=folder / WEIGHTS, acceptance_file=folder / ACCEPTANCE, labels=Labels(b""),
            inspected=job.inspected._replace(key=""),
        )  # fmt: skip


def _share(config: RunConfig, parts: int) -> RunConfig:
    """The settings of one of so many parts, which may spend its part of what the run may: together they never spend more."""
    cost = None if config.max_cost is None else config.max_cost / parts
    calls, tokens = (None if limit is None else limit // parts for limit in (config.max_calls, config.max_tokens))
    return config.model_copy(update={"max_cost": cost, "max_calls": calls, "max_tokens": tokens})


def order(job: Job, storage: str) -> Order:
    """What the shards of a run are told."""
    files: Iterable[str] = dict.fromkeys(one.file for one in own_rules().values())
    rules = tuple(RulesFile(Path(file).name, Path(file).read_bytes()) for file in files)
    return Order(job, storage, rules, code())
