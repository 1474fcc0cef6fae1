"""`python -m training`: bad input is told in one message before a model loads, good input trains.

The model of these tests cannot load, its weights being no numbers. So whoever reads another message than that one knows that no
load was tried.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from benchmarks.tiny import some_pairs, some_targets
from generation.output.folder import OwnedFolder
from tests.training.ppo_small import small_inputs
from tests.training.small_run import LAWS, write_run
from training.__main__ import main
from training.run import rank as ranks
from training.run.page import SETTINGS

Write = Callable[..., Path]
Say = Callable[..., str]


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """A checkpoint that looks whole, whose weights are no numbers."""
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: torch.full_like(weight, math.nan) for name, weight in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return folder


@pytest.fixture
def refused(tmp_path: Path, broken: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Runs the command; returns what it says on stderr as it ends with exit code 2."""

    def say(*arguments: object, recipe: str = "dpo", model: object = broken, out: Path | None = None) -> str:
        out = out or tmp_path / "out"
        code = main([recipe, "--model", str(model), "--out", str(out), *map(str, arguments)])
        said = capfd.readouterr().err.strip()
        assert code == 2, said
        return said

    return say


@pytest.fixture
def pairs(write_rows: Write) -> Path:
    return write_rows(some_pairs(24))


SMALL = ("--set", "batch_size=4", "--set", "micro_batch_size=2")


def test_a_model_that_cannot_load_is_told_last(refused: Say, pairs: Path, tmp_path: Path) -> None:
    assert "save the whole model with save_pretrained" in refused("--data", pairs, *SMALL)
    assert (tmp_path / "out" / SETTINGS).exists()


def bad(**changes: object) -> list[dict[str, Any]]:
    return [*some_pairs(8), {**some_pairs(1)[0], **changes}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([{"text": "x"}], "has columns text; add prompt, chosen, rejected", id="columns"),
        pytest.param(bad(chosen="a", rejected="a"), "chosen and rejected: are equal", id="equal"),
        pytest.param(bad(p_chosen=math.nan), "p_chosen: got nan; allowed: a finite number", id="nan"),
        pytest.param(bad(p_chosen=0.4), "p_chosen: got 0.4; allowed: 0.5 to 1", id="out-of-range"),
        pytest.param(
            bad(prompt="<|im_start|>user\nwhy<|im_end|>"), "prompt: holds '<|im_start|>', so it", id="template"
        ),
        pytest.param([], "holds no row to train on; each row needs prompt, chosen and rejected", id="no-rows"),
    ],
)
def test_bad_rows(rows: list[dict[str, Any]], message: str, refused: Say, write_rows: Write) -> None:
    path = write_rows(rows)
    said = refused("--data", path, *SMALL)
    assert said.startswith(f"--data {path}: ")
    assert message in said


def test_nothing_left_after_filtering(refused: Say, pairs: Path) -> None:
    said = refused("--data", pairs, "--set", "labels.min_confidence=0.99", "--set", "test_fraction=0")
    assert said == f"--data {pairs}: no row is left of 24 (dropped unsure 24); lower labels.min_confidence"
    said = refused("--data", pairs, "--set", "max_length=8", "--set", "test_fraction=0")
    assert said == f"--data {pairs}: no row is left of 24 (dropped long prompt 24); raise max_length (now 8)"


def test_a_run_that_is_not_whole(refused: Say, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "manifest.json").unlink()
    (run / "run.yaml").write_text("{}")
    assert refused("--data", run) == (
        f"--data {run}: {run} is no finished run (no manifest.json); run the command that began it again, or name another folder"
    )


def test_what_is_wrong_with_folder_model_and_data_is_told_at_once(refused: Say, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").touch()
    said = refused("--data", tmp_path / "gone.jsonl", model=tmp_path / "none", out=tmp_path / "used").split("\n")
    assert [line.split(": ")[0].split(" ")[0] for line in said] == [str(tmp_path / "used"), "model", "--data"]


@pytest.mark.parametrize("recipe", ["sft", "reward", "dpo"])
def test_each_recipe_says_what_it_needs(recipe: str, refused: Say, write_rows: Write) -> None:
    needs = "prompt and completion, or messages" if recipe == "sft" else "prompt, chosen and rejected"
    said = refused("--data", write_rows([{"a": 1}]), recipe=recipe)
    assert f"1 of 1 rows cannot be trained on (and none is left); each needs {needs}\n" in said


def test_wrong_settings_are_told_all_at_once(refused: Say, tmp_path: Path) -> None:
    config = tmp_path / "dpo.yaml"
    config.write_text("bata: 0.1\nlearning_rate: fast\nlora: {rank: 8}\nprecision: fp8\n")
    said = refused("--config", config, "--set", "steps").split("\n")
    assert said[0] == "--set steps: allowed: key=value, as in --set beta=0.1"
    assert [line.removeprefix(f"{config}: ").split(";")[0][:60] for line in said[1:]] == [
        "learning_rate: got 'fast'",
        "precision: got 'fp8'",
        "lora.rank: unknown key",
        "bata: unknown key (did you mean data?)",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(["patience=2"], "patience: needs eval_every; set it to the number of steps", id="patience"),
        pytest.param(
            ["eval_every=2", "load_best=true", "save_every=3"],
            "save_every: got 3, and load_best saves where an evaluation is; allowed: multiples of eval_every (2)",
            id="best",
        ),
        pytest.param(
            ["report_to=[tensorboard, tensorboard]"],
            "report_to: got tensorboard, tensorboard; allowed: each once",
            id="twice",
        ),
        pytest.param(["report_to=[mlflow]"], "report_to.0: got 'mlflow'; allowed: tensorboard, wandb", id="unknown"),
    ],
)
def test_settings_that_cannot_be(changes: list[str], message: str, refused: Say, pairs: Path) -> None:
    said = refused("--data", pairs, *(word for change in changes for word in ("--set", change)))
    assert said.startswith("--set: ")
    assert message in said


def test_a_reporter_that_is_not_installed(
    refused: Say, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a folder has its name, as wandb leaves one behind."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    said = refused("--data", pairs, "--set", "report_to=[tensorboard, wandb]")
    assert said == "--set: report_to: got wandb, which is not installed; pip install wandb, or leave it out"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(("batch_size=6", "micro_batch_size=4"), "batch_size: got 6; allowed: multiples of micro_batch_size (4) times processes (1), such as 8", id="multiple"),
        pytest.param(("batch_size=32", "micro_batch_size=4"), "batch_size: got 32, and there are 24 rows to train on; set batch_size: 24, or add data", id="larger"),
        pytest.param(("batch_size=64", "micro_batch_size=32"), "batch_size: got 64, and there are 24 rows to train on; set micro_batch_size: 1 and batch_size: 1, or add data", id="micro"),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_cut_up(changes: tuple[str, ...], message: str, refused: Say, pairs: Path) -> None:
    words = [word for change in changes for word in ("--set", change)]
    assert refused("--data", pairs, "--set", "test_fraction=0", *words) == message


@pytest.mark.parametrize("name", ["load_best=true", "patience=2"])
def test_what_goes_by_held_out_rows_needs_some(name: str, refused: Say, pairs: Path) -> None:
    words = ("--set", "test_fraction=0", "--set", "eval_every=2", "--set", name)
    assert refused("--data", pairs, *words) == (
        f"{name.split('=')[0]}: needs held-out rows, and there are none; raise test_fraction (now 0.0), name data with a test split, "
        "or leave it out"
    )


def test_too_little_memory(refused: Say, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 10))
    said = refused("--data", pairs, *SMALL)
    assert said.startswith("memory: a micro-batch has up to ")
    assert " GiB are free; set another model: this one takes " in said


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param("chat_template.jinja", "has no chat template; set tokenizer.chat_template", id="template"),
        pytest.param("tokenizer.json", "has no tokenizer.json; save a fast tokenizer", id="tokenizer"),
        pytest.param("model.safetensors", "has no weights; allowed: *.safetensors", id="weights"),
        pytest.param("config.json", "has no config.json; save the model with save_pretrained", id="config"),
    ],
)
def test_a_model_without_a_part(spoil: str, message: str, refused: Say, pairs: Path, broken: Path) -> None:
    (broken / spoil).unlink()
    assert f"model {broken}: {message}" in refused("--data", pairs)


def test_weights_that_are_cut_short(refused: Say, pairs: Path, broken: Path) -> None:
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert "model.safetensors is damaged, cut short or a Git LFS pointer" in refused("--data", pairs)


def foreign(folder: Path) -> str:
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    return f"{folder}: is not empty and no run of ours (no training.yaml); choose another --out"


def a_file(folder: Path) -> str:
    folder.write_text("mine")
    return f"{folder}: is a file; --out takes a folder"


@pytest.mark.parametrize("spoil", [foreign, a_file])
def test_a_folder_that_is_not_ours_is_left_alone(
    spoil: Callable[[Path], str], refused: Say, write_rows: Write, tmp_path: Path
) -> None:
    """And told first, before what is wrong with the rows."""
    message = spoil(tmp_path / "out")
    assert refused("--data", write_rows([{"a": 1}])).split("\n")[0] == message
    left = [path.name for path in (tmp_path / "out").iterdir()] if (tmp_path / "out").is_dir() else []
    assert left in ([], ["thesis.tex"])


@pytest.fixture
def in_use(tmp_path: Path) -> Iterator[Path]:
    with OwnedFolder(tmp_path / "used", SETTINGS).locked():
        yield tmp_path / "used"


def test_a_folder_in_use(refused: Say, pairs: Path, in_use: Path) -> None:
    said = refused("--data", pairs, *SMALL, out=in_use)
    assert said.startswith(f"{in_use}: is in use by process {os.getpid()} since ")
    assert said.endswith("; wait for it, or choose another --out")


def test_a_folder_of_other_settings(refused: Say, pairs: Path, tmp_path: Path) -> None:
    refused("--data", pairs, *SMALL)
    said = refused("--data", pairs, *SMALL, "--set", "beta=0.5", "--set", "log_every=5").split("\n")
    assert said == [
        f"{tmp_path / 'out'}: belongs to other settings; choose another --out, or delete the folder",
        "beta: was 0.1, now 0.5",
    ]
    said = refused("--data", pairs, *SMALL, "--set", "micro_batch_size=4")  # which decides nothing
    assert "save the whole model with save_pretrained" in said
    (tmp_path / "out" / SETTINGS).write_text("{")
    assert "training.yaml: is damaged" in refused("--data", pairs, *SMALL)


def test_metrics_that_are_damaged(refused: Say, pairs: Path, tmp_path: Path) -> None:
    refused("--data", pairs, *SMALL)
    (tmp_path / "out" / "metrics.jsonl").write_text("{bad}\n{}\n")
    said = refused("--data", pairs, *SMALL)
    assert said.startswith(f"{tmp_path / 'out' / 'metrics.jsonl'}:1: got '{{bad}}'; allowed: a JSON object")


def test_sources_and_their_weights(refused: Say, pairs: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "lr=0.1")
    refused("--data", f"{pairs}=0.5", "--data", other, *SMALL)
    kept = yaml.safe_load((tmp_path / "out" / SETTINGS).read_text())
    assert kept["data"] == {str(pairs): 0.5, str(other): 1.0}
    assert refused("--data", pairs, "--data", f"{pairs}=2") == (
        f"--data {pairs}: is given twice; give it once, with the sum of the weights"
    )
    assert "got weight -1.0; allowed: a positive number" in refused("--data", f"{pairs}=-1")
    assert "got weight nan; allowed: a positive number" in refused("--data", f"{pairs}=nan")
    assert refused() == "--data: got none; name a run folder, as in --data runs/NAME"
    assert "gone.jsonl: no such file or folder" in refused("--data", tmp_path / "gone.jsonl=2")


@pytest.mark.model
def test_a_run_trains_and_its_card_names_rows_and_constitution(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, out = write_run(tmp_path / "runs"), tmp_path / "out"
    command = ["reward", "--model", str(tiny), "--data", f"{run}=0.5", "--out", str(out), *SMALL]
    command += ["--set", "precision=fp32", "--set", "steps=2", "--set", "max_length=24"]
    assert main(command) == 0
    told = capfd.readouterr().out
    assert "reward: 2 steps in" in told
    assert "train: kept" in told
    assert f"checkpoint and model card: {out}   curves: {out / 'training.html'}" in told
    card = (out / "README.md").read_text()
    assert "| 20 rows, weight 0.5 | `runs` |" in card
    assert f"| constitution | | `{LAWS.digest}` |" in card
    page = (out / "training.html").read_text()
    rows = json.loads((out / "training.json").read_text())["rows"]
    for split in ("train", "test"):
        assert rows[split]["read"] == rows[split]["kept"] > 0
        assert f"<td>{split}/kept</td>" in page
    assert main(command) == 0  # done before, and told again
    assert "reward: 2 steps in" in capfd.readouterr().out


def test_targets_train(tiny: Path, tmp_path: Path, write_rows: Write) -> None:
    messages = [{"messages": [*row["prompt"], *row["completion"]]} for row in some_targets(12)]
    command = ["sft", "--model", str(tiny), "--data", str(write_rows(messages)), "--out", str(tmp_path / "out"), *SMALL]
    assert main([*command, "--set", "steps=1", "--set", "report_to=[]"]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_help_says_every_recipe_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("sft", "reward", "dpo", "Exit code 0: done"))
    with pytest.raises(SystemExit) as ended:
        main(["dpo", "--data", "x"])
    assert ended.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_help_does_not_wait_for_what_trains() -> None:
    """No library that computes, and no recipe's settings, are imported for it."""
    heavy = "{'torch', 'transformers', 'numpy', 'scipy', 'training.ppo.config', 'training.recipes.config', 'training.config'}"
    code = f"import sys, training.__main__ as m; m.parser(); print({heavy} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.model
def test_wrong_settings_are_told_without_the_libraries_that_train(tmp_path: Path) -> None:
    code = (
        f"import sys; from training.__main__ import main; main(['dpo', '--out', {str(tmp_path)!r}, '--set', 'bata=1']); "
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, "bata: unknown key (did you mean data?)" in done.stderr) == ("set()\n", True)


@pytest.mark.parametrize(
    ("rank", "told"),
    [("0", "data: is missing\nadd it\n"), ("3", "[rank 3] data: is missing\n[rank 3] add it\n")],
)
def test_a_process_says_which_one_it_is(
    rank: str, told: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    ranks.tell("data: is missing\nadd it")
    assert capfd.readouterr().err == told


def test_a_judge_that_is_away_leaves_ppo_to_be_gone_on_with(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = small_inputs(tmp_path, {"id": "kind", "objective": "form", "text": "Be kind."})
    laws, server = settings["reward"]["rules"]["constitution"], {"url": "http://127.0.0.1:9", "attempts": 1}
    judge = {"constitution": laws, "model": "served", "engine": "endpoint", "endpoints": [server]}
    config, out = tmp_path / "ppo.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({**settings, "baseline": "group", "reward": {"judge": judge}}), encoding="utf-8")
    assert main(["ppo", "--config", str(config), "--out", str(out)]) == 1
    said = capfd.readouterr().err
    assert "incomplete: step 1: none of 16 responses has a reward; the first says: unavailable: " in said
    assert "run the same command again to resume" in said
    assert not (out / "stopped.txt").exists()  # by which a loop knows that a health check stopped it
