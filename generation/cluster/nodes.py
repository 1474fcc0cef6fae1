"""Ray, and all that is asked of it: to run shards on its nodes and to say what became of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from constitution.errors import Problem, Unavailable, UserError
from generation.cluster.attempts import Ended
from generation.cluster.order import Order
from generation.cluster.worker import make
from generation.pipeline.progress import Snapshot
from generation.placement import ClusterSettings
from generation.shard import Shard

LOCAL = "local"
_STORE_BYTES = 128 << 20
"""Memory of a local cluster's object store: nothing large goes through it."""
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for clusters of more than this machine; without them it listens on 127.0.0.1 alone."""
_NODE = "ray.io/node-id"


class Seen(NamedTuple):
    """What a shard last said of itself."""

    node: str
    snapshot: Snapshot


class Board:
    """An actor that shards tell how far they are. What it holds may be lost: they tell it again."""

    def __init__(self) -> None:
        self._seen: dict[Shard, Seen] = {}

    def tell(self, shard: Shard, node: str, snapshot: Snapshot) -> None:
        """How far a shard is."""
        self._seen[shard] = Seen(node, snapshot)

    def all(self) -> dict[Shard, Seen]:
        """What was told of every shard."""
        return self._seen


def run_shard(order: Order, shard: Shard, board: Any, careful: bool) -> Ended:
    """The body of a task."""
    node = _ray().get_runtime_context().get_node_id()
    board.tell.remote(shard, node, Snapshot())
    return make(order, shard, node, lambda snapshot: board.tell.remote(shard, node, snapshot), careful)


def _ray() -> Any:
    """Raises UserError where it is not installed."""
    try:
        import ray
    except ImportError as error:
        got = f"needs Ray, which cannot be imported here ({error})"
        raise UserError(Problem("--ray", got=got, fix="pip install 'solon-cai[ray]'")) from None
    return ray


class Cluster:
    """A connection to Ray; a context manager. A cluster of this machine ends with it."""

    def __init__(self, address: str, settings: ClusterSettings, local_models: bool) -> None:
        """local_models: True where a shard's process runs a model itself. Raises UserError, and Unavailable."""
        if address == LOCAL:
            os.environ.setdefault(_LOOPBACK, "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
        self._ray = _ray()
        self._settings = settings
        own = {"object_store_memory": _STORE_BYTES, "include_dashboard": False} if address == LOCAL else {}
        try:
            self._ray.init(
                address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True,
                namespace="solon", **own,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(Problem("--ray", got=str(error), allowed="local, auto or HOST:PORT")) from None
        except Exception as error:  # Ray raises plain ones too
            what = f"--ray {address}: no cluster answers ({' '.join(str(error).split())[:200]})"
            raise Unavailable(f"{what}; start one, or run the same command again") from None
        gpus = settings.num_gpus
        if gpus is None:
            gpus = 1.0 if local_models and self._ray.cluster_resources().get("GPU") else 0.0
        self._wants = {"num_cpus": settings.num_cpus, "num_gpus": gpus, "resources": settings.resources}
        # what is retried, where and how often is the command's to say, which knows how far a shard was
        self._task = self._ray.remote(run_shard)
        self._board = self._ray.remote(Board).options(num_cpus=0, max_restarts=-1, max_task_retries=1).remote()
        self._running: dict[Any, Shard] = {}
        self._order: Any = None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        """Raises Unavailable where the cluster itself was lost."""
        lost = isinstance(error, self._ray.exceptions.RayError | ConnectionError)
        with suppress(self._ray.exceptions.RayError, ConnectionError):
            for reference in self._running:
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()
        if isinstance(error, Exception) and lost:
            what = f"the Ray cluster was lost ({_words(error)})"
            raise Unavailable(f"{what}; run the same command again to resume") from None

    def give(self, order: Order) -> None:
        """The order of all shards that are started from now on."""
        self._order = self._ray.put(order)

    def start(self, shard: Shard, home: str, avoid: Collection[str], careful: bool) -> None:
        """Start a shard: on the node that has its calls where there is room, and never on those to avoid."""
        options: dict[str, Any] = {"max_retries": 0, **self._wants}
        if home and home in self.nodes() and home not in avoid:
            strategies = sys.modules["ray.util.scheduling_strategies"]
            options["scheduling_strategy"] = strategies.NodeAffinitySchedulingStrategy(home, soft=True)
        elif avoid:
            options["label_selector"] = {_NODE: f"!in({','.join(sorted(avoid))})"}
        self._running[self._task.options(**options).remote(self._order, shard, self._board, careful)] = shard

    def wait(self, seconds: float) -> Iterable[Ended]:
        """How shards ended, of those that have within this time."""
        ready, _ = self._ray.wait([*self._running], num_returns=1, timeout=seconds)
        if ready:  # and whatever else has ended meanwhile
            ready, _ = self._ray.wait([*self._running], num_returns=len(self._running), timeout=0)
        return [self._ended(reference) for reference in ready]

    def _ended(self, reference: Any) -> Ended:
        shard = self._running.pop(reference)
        try:
            found: Ended = self._ray.get(reference)
        except (
            self._ray.exceptions.RayTaskError
        ) as error:  # before the shard's own code ran, as where Solon is not installed
            return Ended(shard, False, reason=f"the node cannot run it: {_words(error)}", refused=True)
        except self._ray.exceptions.RayError as error:
            return Ended(shard, False, reason=f"{type(error).__name__}: {_words(error)}", lost=True)
        return found

    def seen(self) -> dict[Shard, Seen]:
        """How far the shards are, as far as is known."""
        try:
            found: dict[Shard, Seen] = self._ray.get(self._board.all.remote(), timeout=5)
        except self._ray.exceptions.RayError:
            return {}
        return found

    def nodes(self) -> dict[str, str]:
        """Nodes that can run a shard: id -> name."""
        wants = {"CPU": self._wants["num_cpus"], "GPU": self._wants["num_gpus"], **self._settings.resources}
        return {
            node["NodeID"]: node["NodeManagerHostname"]
            for node in self._ray.nodes()
            if node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in wants.items())
        }


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[-1:] if type(error).__name__.startswith("RayTaskError") else lines[:2])[:400]
