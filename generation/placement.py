"""How a run on Ray is placed: what a shard's process asks the cluster for, and how much may be lost and tried again."""

from __future__ import annotations

from pydantic import Field

from constitution.records import Strict


class ClusterSettings(Strict):
    """A run on Ray (`--ray`): each shard is a process of its own, with the engines that the settings name, on one node."""

    num_cpus: float = Field(default=1.0, ge=0)
    """CPU cores of a shard's process, its engine's among them."""
    num_gpus: float | None = Field(default=None, ge=0)
    """GPUs of a shard's process: several for a large model, a part for several processes on one. None: one where a model runs in
    the process and the cluster has GPUs, else none."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Resources of your own that a shard's node must have, as {spot: 1}."""
    shards_in_flight: int = Field(default=64, ge=1)
    """Most shards that are given to Ray at once. Those that wait there tell an autoscaler how many nodes are wanted."""
    attempts: int = Field(default=5, ge=1)
    """Starts of a shard, one after the other and each on another node where there is one, that may come to nothing new before it is
    given up. One that finished more prompts than any before it counts anew."""
    checkpoint_seconds: float = Field(default=300.0, ge=1)
    """A shard's calls are copied to the storage this often while it runs: a lost node loses no more than what it made since."""
    scratch: str = ""
    """Folder on each node's local disk that shards are made in; empty: `solon-ray` and the user's number, of temporary files."""
