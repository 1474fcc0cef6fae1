"""Ray itself: where it is not installed, and a run on a cluster of this machine whose workers, command and node are killed."""

import sys
from pathlib import Path

import pytest

from benchmarks import ray_chaos
from constitution.errors import UserError
from generation.cluster.nodes import Cluster
from generation.placement import ClusterSettings


def test_without_ray_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--ray: needs Ray.*pip install 'solon-cai\[ray\]'"):
        Cluster("local", ClusterSettings(), local_models=False)


@pytest.mark.model
@pytest.mark.timeout(900)
def test_a_run_whose_workers_command_and_node_are_killed_is_that_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = iter(["worker", "command", "storage", "node"])
    monkeypatch.setattr(ray_chaos, "chosen", lambda _: next(planned, "worker"))
    done = ray_chaos.chaos(tmp_path, kills=4, prompts=60, shards=4, pause=1.5, workers=(1, 1, 1))
    assert {"worker", "command", "node", "storage"} <= set(done)
