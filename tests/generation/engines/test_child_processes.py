"""What vLLM's processes leave among the temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os
from generation.engines.child_processes import gather_sockets
gather_sockets()
where = os.environ.get("VLLM_RPC_BASE_PATH", "")
print(where, os.path.isdir(where))
"""


def told(tmp: Path, **environment: str) -> list[str]:
    """Where a process that uses temporary files in `tmp` says that sockets go, and whether that is a folder."""
    plain = {name: value for name, value in os.environ.items() if name != "VLLM_RPC_BASE_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=plain | {"TMPDIR": str(tmp)} | environment, check=True, capture_output=True, text=True
    )  # fmt: skip
    return done.stdout.split()


def short(tmp_path: Path) -> Path:
    """A folder of a short path that leads to a test's own."""
    link = Path(f"/tmp/solon-test-{os.getpid()}")
    link.symlink_to(tmp_path)
    return link


def test_sockets_go_to_a_folder_that_is_gone_with_the_process(tmp_path: Path) -> None:
    link = short(tmp_path)
    try:
        where, there = told(link)
        assert Path(where).parent == link
        assert there == "True"
        assert [*tmp_path.iterdir()] == []
    finally:
        link.unlink()


def test_a_long_path_of_temporary_files_is_not_made_longer(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    assert told(deep) == ["False"]
    assert [*deep.iterdir()] == []


def test_the_environment_decides_where_it_says_something(tmp_path: Path) -> None:
    assert told(tmp_path, VLLM_RPC_BASE_PATH=str(tmp_path)) == [str(tmp_path), "True"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.model
def test_an_engine_meets_its_processes_there(vllm: object) -> None:
    folder = Path(os.environ["VLLM_RPC_BASE_PATH"])
    assert folder.name.startswith("solon-vllm-")
    assert [file for file in folder.iterdir() if file.is_socket()]
