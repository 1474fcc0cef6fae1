"""Ray itself: where it is not installed, and a run on a cluster of this machine whose node and command are killed."""

import random
import sys
import time
from pathlib import Path

import pytest

from benchmarks import ray_chaos
from constitution.errors import UserError
from generation.cluster.nodes import Cluster
from generation.placement import ClusterSettings

CONSTITUTION = """
name: held
version: 1
objectives: {good: 1.0}
principles:
  - {id: held, objective: good, text: Wait while the gate is shut., check: {own: held}}
  - {id: kind, objective: good, text: Be kind.}
"""
RULES = """
import os, tempfile, time
from pathlib import Path

GATE = Path(%r)

def held(prompt, response):
    \"\"\"Half of the prompts wait until the gate is open, and say on which node's disk.\"\"\"
    while not (GATE / "open").exists() and int(prompt.messages[-1].content.rstrip("?").split()[-1]) %% 2:
        (GATE / f"{Path(tempfile.gettempdir()).name}.{os.getpid()}").touch()
        time.sleep(0.05)
    return len(response.content) < 100
"""


def test_without_ray_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--ray: needs Ray.*pip install 'solon-cai\[ray\]'"):
        Cluster("local", ClusterSettings(), local_models=False)


@pytest.mark.model
@pytest.mark.timeout(900)
def test_a_run_whose_node_and_command_are_killed_is_that_of_one_process(tmp_path: Path) -> None:
    gate, constitution, rules = tmp_path / "gate", tmp_path / "c.yaml", tmp_path / "rules.py"
    constitution.write_text(CONSTITUTION, encoding="utf-8")
    rules.write_text(RULES % str(gate), encoding="utf-8")
    gate.mkdir()
    (gate / "open").touch()

    def plan(run: ray_chaos.Chaos) -> None:
        """The run waits at the gate, which opens once both strikes were made."""
        for what, waiting in (("node", "disk-1.*"), ("command", "disk-*")):
            for seen in gate.iterdir():
                seen.unlink()
            while not any(gate.glob(waiting)):
                assert not run.ended()
                time.sleep(0.1)
            run.strike(what, random.Random(0))
        (gate / "open").touch()
        while not run.ended():
            time.sleep(0.1)

    more = ("--rules", str(rules))
    done = ray_chaos.chaos(tmp_path, constitution, plan, prompts=24, shards=3, workers=(1, 1), latency=0.01, more=more)
    assert done == {"node": 1, "command": 1}
