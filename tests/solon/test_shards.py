"""Runs over parts of the prompts, and the run that is merged from them: the files of one run over all."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from generation.output.manifest import whole
from solon.__main__ import main

LAWS = "name: laws\nversion: 1\nobjectives: {good: 1.0}\nprinciples:\n  - {id: kind, objective: good, text: Be kind.}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "laws.yaml").write_text(LAWS)
    rows = [{"id": f"p{i}", "prompt": f"Say something about {i}."} for i in range(11)] + [{"id": "bad", "prompt": 7}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def feedback(folder: Path, out: str, *more: str) -> int:
    given = ["--constitution", str(folder / "laws.yaml"), "--prompts", str(folder / "prompts.jsonl")]
    plan = ["--set", "plan.rounds=0", "--set", "plan.controls=4", "--engine", "replay"]
    return main(["feedback", *given, *plan, "--out", str(folder / out), *more])


def runs(folder: Path, names: Sequence[str]) -> list[str]:
    return [part for name in names for part in ("--merge", str(folder / name))]


@pytest.mark.model
def test_merged_shards_are_the_run_over_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback(folder, "one") == 0
    for index in range(3):
        assert feedback(folder, f"part-{index}", "--shard", f"{index}/3") == 0
    parts = [whole(folder / f"part-{index}") for index in range(3)]
    assert sum(part.counts.prompts for part in parts) == 12
    assert all(part.counts.prompts < 12 for part in parts)
    assert [part.controls.asked for part in parts] == [4, 0, 0], "the controls are paid once"
    assert feedback(folder, "all", *runs(folder, ["part-2", "part-0", "part-1"])) == 0
    one, merged = whole(folder / "one"), whole(folder / "all")
    data = [name for name in one.files if name.endswith(".parquet")]
    assert {name: merged.files[name] for name in data} == {name: one.files[name] for name in data}
    assert merged.digests == one.digests
    assert merged.counts == one.counts
    assert merged.controls == one.controls
    assert (merged.calls, merged.tokens, merged.merged) == (one.calls, one.tokens, 3), "the shards' together"
    assert feedback(folder, "all", *runs(folder, ["part-2", "part-0", "part-1"])) == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.model
def test_a_folder_of_shards_is_merged_and_is_no_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(2):
        assert feedback(folder, f"parts/{index}", "--shard", f"{index}/2") == 0
    parts = str(folder / "parts")
    for command in (
        ["evaluate", "audit", parts],
        ["train", "sft", "--data", parts, "--out", str(folder / "trained")],
    ):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "has 2 finished runs, as 0, and is none itself" in told
        assert f"with --merge {parts} in place of --shard" in told
    assert feedback(folder, "all", "--merge", parts) == 0
    assert whole(folder / "all").merged == 2


@pytest.mark.model
def test_what_is_not_all_shards_of_one_run_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(2):
        assert feedback(folder, f"part-{index}", "--shard", f"{index}/2") == 0
    assert feedback(folder, "third", "--shard", "0/3") == 0
    assert feedback(folder, "whole") == 0
    for names, words in (
        (["part-0"], "lacks shard 1/2"),
        (["part-0", "part-0"], "is of shard 0/2, as"),
        (["part-0", "part-1", "third"], "has shards of 2 and of 3"),
        (["part-0", "whole"], "is the run of no shard"),
    ):
        assert feedback(folder, "all", *runs(folder, names)) == 2
        assert words in capsys.readouterr().err
    assert not (folder / "all").exists()
    assert feedback(folder, "all", "--set", "plan.samples=3", *runs(folder, ["part-0", "part-1"])) == 2
    assert "has other settings than this command" in capsys.readouterr().err


@pytest.mark.model
def test_the_array_job_leaves_each_finished_shard_where_it_belongs(folder: Path) -> None:
    script = Path(__file__).parents[2] / "configs" / "slurm" / "feedback.sbatch"
    binary = folder / "bin"
    binary.mkdir()
    (binary / "solon").write_text(f'#!/bin/sh\nexec {sys.executable} -m solon "$@"\n')
    (binary / "solon").chmod(0o755)
    given = [
        "--constitution",
        "laws.yaml",
        "--prompts",
        "prompts.jsonl",
        "--engine",
        "replay",
        "--set",
        "plan.controls=0",
    ]
    for index in ("0", "0"):  # the second time there is nothing to do
        environment = {
            **os.environ,
            "PATH": f"{binary}:{os.environ['PATH']}",
            "PYTHONPATH": str(script.parents[2]),
            "RUNS": "shared",
            "SCRATCH": str(folder / "scratch"),
            "SLURM_ARRAY_TASK_ID": index,
            "SLURM_ARRAY_TASK_COUNT": "2",
        }
        subprocess.run(["bash", script, *given], cwd=folder, env=environment, check=True, capture_output=True)
        assert whole(folder / "shared" / "part-0").digests.shard == "0/2"
        shutil.rmtree(folder / "scratch", ignore_errors=True)
    assert not (folder / "scratch").exists()


def test_the_indexed_job_gives_every_shard_its_own_index() -> None:
    job = yaml.safe_load((Path(__file__).parents[2] / "configs" / "k8s" / "feedback.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert container["env"] == [{"name": "N", "value": str(job["completions"])}]
    subprocess.run(["bash", "-n", "-c", container["args"][0]], check=True)
    assert '--shard "$JOB_COMPLETION_INDEX/$N"' in container["args"][0]


def test_a_server_for_each_gpu_is_started_and_named(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "configs" / "slurm" / "servers.sh"
    for name, body in (("vllm", 'echo "$CUDA_VISIBLE_DEVICES $*" >&2; exec sleep 1'), ("curl", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MODEL": "judge",
        "GPUS": "2",
        "HOST": "node-1",
    }
    ended = subprocess.run(["bash", script, "--dtype", "auto"], env=environment, capture_output=True, text=True)
    assert (ended.returncode, "a server has ended" in ended.stderr) == (1, True)
    assert "1 serve judge --port 8001 --dtype auto" in ended.stderr
    assert yaml.safe_load(ended.stdout) == {
        "endpoints": [
            {"url": "http://node-1:8000", "model": "judge", "token_ids": True},
            {"url": "http://node-1:8001", "model": "judge", "token_ids": True},
        ]
    }


def test_the_launcher_of_spot_machines_is_a_task_whose_script_parses() -> None:
    task = yaml.safe_load((Path(__file__).parents[2] / "configs" / "skypilot" / "feedback.yaml").read_text())
    subprocess.run(["bash", "-n", "-c", task["run"]], check=True)
    assert "solon feedback" in task["run"]


def test_a_part_is_not_merged_from_parts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback(folder, "all", "--shard", "0/2", *runs(folder, ["part-0"])) == 2
    assert "got both --shard and --merge" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["3/3", "1", "-1/2", "a/b", "0/0", "1/2/3"])
def test_what_is_no_shard_is_refused(folder: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback(folder, "part", f"--shard={given}") == 2
    assert "I/N with I from 0 to N - 1" in capsys.readouterr().err
