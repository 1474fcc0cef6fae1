"""`datasets.load_dataset` takes what any run wrote, however small."""

import json
from pathlib import Path

import datasets
import pytest
import yaml

import generate_feedback
from generation.output import manifest
from generation.output.dataset import DATASETS
from generation.output.reading import split_files

CONSTITUTION = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
"""


@pytest.mark.parametrize("prompts", [1, 2, 5, 50])
def test_datasets_load_every_config_that_the_card_lists(
    prompts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "laws.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": f"Question {i}?", "responses": [f"Yes, {i}.", f"No, {i}, never."]} for i in range(prompts)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "run"
    files = ("--constitution", tmp_path / "laws.yaml", "--prompts", tmp_path / "prompts.jsonl", "--out", run)
    assert generate_feedback.main([*map(str, files), "--engine", "replay", "--set", "test_fraction=0.2"]) == 0
    counts = manifest.read(run).counts  # type: ignore[union-attr]
    card = yaml.safe_load((run / "README.md").read_text().split("---\n")[1])
    listed = {config["config_name"]: [file["split"] for file in config["data_files"]] for config in card["configs"]}
    assert listed == {
        name: [split for split, _ in split_files(run, name)] for name in DATASETS if split_files(run, name)
    }
    found = {name: datasets.load_dataset(str(run), name, cache_dir=str(tmp_path / "cache")) for name in listed}
    assert {name: [*splits] for name, splits in found.items()} == listed
    assert sum(split.num_rows for split in found["preferences"].values()) == counts.pairs == prompts
    assert found["preferences"]["train"][0]["chosen"][0]["role"] == "assistant"
    told = [line for line in capsys.readouterr().out.splitlines() if "load_dataset" in line]
    assert len(told) == len(listed)
    assert all(f"'{name}')" in line for name, line in zip(listed, told, strict=True))
    default = datasets.load_dataset(str(run), cache_dir=str(tmp_path / "cache"))
    assert default["train"].column_names == found["preferences"]["train"].column_names


def test_a_run_of_the_same_name_is_not_taken_for_one_that_datasets_has_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "laws.yaml").write_text(CONSTITUTION)
    for word in ("one", "two"):
        row = {"prompt": f"Is it {word}?", "responses": [f"Yes, {word}.", f"No, not {word}."]}
        (tmp_path / f"{word}.jsonl").write_text(json.dumps(row) + "\n")
        run = tmp_path / word / "run"
        files = ("--constitution", tmp_path / "laws.yaml", "--prompts", tmp_path / f"{word}.jsonl", "--out", run)
        assert generate_feedback.main([*map(str, files), "--engine", "replay"]) == 0
        for config in DATASETS:
            found = datasets.load_dataset(str(run), config, cache_dir=str(tmp_path / "cache"))
            assert found["train"][0]["prompt"][0]["content"] == f"Is it {word}?"
