"""A whole run by a vendor's batch API: its cost, and what a kill in its middle leaves to the next start."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from generate_feedback import main
from generation.output.manifest import Manifest
from generation.output.manifest import read as read_manifest
from generation.servers.batches import NOTES
from tests import forks
from tests.chat_server import agreeable
from tests.vendor import Vendor

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
ROWS = 6


def spoken(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status, said = agreeable(body)
    assert isinstance(said, dict)
    return status, said


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    server = Vendor()
    server.spoken = spoken
    yield server
    server.shutdown()
    server.server_close()


def command(folder: Path, vendor: Vendor, out: str, *more: str) -> list[str]:
    server = {
        "url": f"http://127.0.0.1:{vendor.server_address[1]}/v1", "batch": True, "batch_idle_seconds": 0.2,
        "batch_poll_seconds": 0.05, "backoff_seconds": 0.01,
    }  # fmt: skip
    settings = {
        "policy": "m",
        "endpoints": [server],
        "prices": {"m": {"prompt": 100, "completion": 1000}},
        "plan": {"rounds": 0, "controls": 0, "sample": {"max_tokens": 20}},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "question {i}"}}\n' for i in range(ROWS)))
    files = ["--config", "run.yaml", "--constitution", "c.yaml", "--prompts", "p.jsonl", "--out", out]
    return [*files, *more]


def finished(folder: Path, vendor: Vendor, out: str, *more: str) -> str:
    words = [forks.python(), "-m", "generate_feedback", *command(folder, vendor, out, *more)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed(folder: Path, vendor: Vendor, out: str, when: str) -> None:
    """Kill the process, and all it started, while the server does what it was asked and has not answered yet."""
    before = vendor.asked.count(when)
    vendor.holds = when
    vendor.let_go.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        process = forks.start(main, command(folder, vendor, out), log=folder / "log")
    try:
        forks.wait_until(lambda: vendor.asked.count(when) > before, process)
    finally:
        forks.kill(process)
        vendor.holds = ""
        vendor.let_go.set()


def manifest(folder: Path, out: str) -> Manifest:
    found = read_manifest(folder / out)
    assert found is not None
    return found


def data(folder: Path, out: str) -> dict[str, str]:
    return {name: digest for name, digest in manifest(folder, out).files.items() if name.endswith(".parquet")}


@pytest.mark.model
def test_a_batched_run_costs_half_beside_its_probe(vendor: Vendor, tmp_path: Path) -> None:
    plan = finished(tmp_path, vendor, "run", "--plan")
    finished(tmp_path, vendor, "run")
    found = manifest(tmp_path, "run")
    read, written = ROWS * (2 * 10 + 2 * 30), ROWS * (2 * 7 + 2 * 1)
    assert found.cost is not None
    assert found.cost.batched == pytest.approx((read * 100 + written * 1000) / 2e6)
    assert found.cost.amount == pytest.approx(found.cost.batched + ((10 + 30) * 100 + (7 + 1) * 1000) / 1e6)
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"of it {found.cost.batched} by the batch API" in card
    (vendor_row,) = (line for line in plan.splitlines() if "sample" in line)
    # each of 12 samples may write 20 tokens and is taken to write half of them; "question 0" is 3 + 8 tokens
    assert [cell.strip() for cell in vendor_row.split("│")[7:9]] == [
        f"{12 * (11 * 100 + w * 1000) / 2e6:.4f}" for w in (10, 20)
    ]


@pytest.mark.model
def test_a_run_killed_in_the_middle_of_its_batches_ends_as_one_that_was_not(vendor: Vendor, tmp_path: Path) -> None:
    finished(tmp_path, vendor, "whole")
    undisturbed = len(vendor.batches)
    vendor.batches.clear()
    vendor.polls = 1 << 30
    for asked in ("POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch-0"):
        killed(tmp_path, vendor, "killed", asked)
    assert 1 <= len(vendor.batches) <= 2
    assert "batch-0" in (tmp_path / "killed" / NOTES).read_text()
    vendor.polls = 1
    finished(tmp_path, vendor, "killed")
    sent = [line for batch in vendor.batches.values() for line in vendor.files[batch["input_file_id"]].splitlines()]
    assert len(sent) == len(set(sent)), "no call is in two batches"
    assert len(vendor.batches) == undisturbed
    assert data(tmp_path, "killed") == data(tmp_path, "whole")
    assert manifest(tmp_path, "killed").cost == manifest(tmp_path, "whole").cost
