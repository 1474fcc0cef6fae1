"""The experiment on harmlessness, whole, on the replay engine and a tiny random model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest

from benchmarks import loop_harmless
from benchmarks.harmless_data import write_rows
from tests.benchmarks.commands import in_process, nothing
from tests.benchmarks.rows import some_rows
from tests.training.ppo_small import small_model


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    write_rows(tmp_path / "rows.jsonl", some_rows(240))
    small = {"batch_size": 4, "micro_batch_size": 4, "epochs": 0.1, "precision": "fp32", "max_length": 256}
    sizes = {"data": tmp_path / "rows.jsonl", "out": tmp_path / "out", "engine": "replay", "seeds": 1}
    sizes |= {"model": small_model(tmp_path / "model"), "pairs": 24, "fit": 20, "prompts": 24, "held-out": 12}
    given = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    for stage in ("gold", "dpo"):
        given += [word for name, value in small.items() for word in (f"--{stage}", f"{name}={value}")]
    return [*given, "--max-tokens", "64"]


@pytest.mark.model
def test_it_runs_and_goes_on_from_what_is_there(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop_harmless.main(flags, in_process)
    said = capsys.readouterr().out
    for told in (
        "rows: gold 24",
        "policy shuffled-0: ",
        "gold prefers the longer response: ",
        "| **judged** (labels of",
    ):
        assert told in said
    table = said[said.index("| policy | seed |") :]
    assert [line.split(" | ")[0] for line in table.splitlines() if " | 0 | " in line] == [
        "| judged",
        "| shuffled",
        "| longer",
    ]
    assert "| judged less | raw, points | length-controlled, points |" in table
    (tmp_path / "out" / "labels" / "longer.json").unlink()
    loop_harmless.main(flags, in_process)
    again = capsys.readouterr().out
    assert again.count("done before") == 5 + 2 * 3
    assert again[again.index("| policy") : again.index("time of")] == table[: table.index("time of")]
    loop_harmless.main(flags, nothing)


def test_another_size_needs_another_folder(flags: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out" / "split"
    write_rows(out / "parts.json", [{"asked": "other"}])
    with pytest.raises(
        SystemExit, match="was begun with other --data, sizes, --shares or --tags; choose another --out"
    ):
        loop_harmless.main(flags, nothing)


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        (["--model", "other"], "gold"),
        (["--constitution", "other.yaml"], "weights"),
        (["--judge", "plan.methods=[score]"], "weights"),
        (["--gold", "seed=7"], "gold"),
    ],
    ids=["model", "constitution", "judge", "gold"],
)
def test_what_was_done_with_other_settings_is_not_taken_for_these(
    changed: list[str], stage: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first two stages are done, the third fails."""
    done = {
        "training": tmp_path / "out" / "gold" / "training.json",
        "evaluation": tmp_path / "out" / "weights" / "weights.json",
    }

    def two(command: Sequence[str], log: TextIO) -> int:
        marker = done.pop(command[2], None)
        if marker is None:
            return 2
        marker.parent.mkdir()
        marker.write_text("{}")
        return 0

    with pytest.raises(SystemExit, match="gold on people's labels: exit code 2"):
        loop_harmless.main(flags, two)
    with pytest.raises(SystemExit) as error:
        loop_harmless.main([*flags, *changed], nothing)
    assert str(error.value).startswith(f"{stage}: was done by another command; choose another --out\nwas: -m ")
    with pytest.raises(SystemExit, match="gold on people's labels: exit code 2"):
        loop_harmless.main(flags, two)
    assert capsys.readouterr().out.count("done before") == 2 + (stage == "weights")


def test_a_stage_that_fails_is_told_with_its_output(flags: list[str], tmp_path: Path) -> None:
    def fails(command: Sequence[str], log: TextIO) -> int:
        log.write("no such model\n")
        log.flush()
        return 2

    with pytest.raises(SystemExit, match=r"(?s)gold: exit code 2\n.* -m training reward .*no such model\nall of it: "):
        loop_harmless.main(flags, fails)
