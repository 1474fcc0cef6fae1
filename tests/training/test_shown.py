"""All that a training and a loop show: printed, on their pages, on the card. Figures differ by machine, and stand as #."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.shown import assert_shown, words_of_page
from tests.training.ppo_small import small_inputs, small_model
from tests.training.scripted_loop import REWARDED, Script, paged
from tests.training.small_loop import DPO
from tests.training.small_run import write_run
from training.__main__ import main

GOLDEN = Path(__file__).parent / "golden" / "shown"
SMALL = (
    "precision=fp32",
    "steps=3",
    "batch_size=4",
    "micro_batch_size=2",
    "max_length=48",
    "report_to=[]",
    "eval_every=2",
    "seed=3",
)


OURS = ("train", "eval", "sft:", "reward:", "dpo:", "ppo:", "┏", "┃", "┡", "│", "└", "checkpoint")
"""How lines begin; others are of libraries, some of which speak once in a process, and warnings of what is measured."""


def without_figures(lines: Iterable[str], folder: Path) -> list[str]:
    """Lines with # for each number, and of the width that they have without."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", "\n".join(lines).replace(str(folder), "FOLDER"))
    text = re.sub(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?%?", "#", text)
    return re.sub(r" {2,}", "  ", re.sub(r"([━─])+", r"\1", text)).splitlines()


def options(**given: Any) -> list[str]:
    return [part for name, value in given.items() for part in ("--set", f"{name}={json.dumps(value)}")]


@pytest.mark.model
@pytest.mark.parametrize("recipe", ["sft", "reward", "dpo", "ppo"])
def test_what_a_training_shows(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    out = tmp_path / "out"
    if recipe == "ppo":
        inputs = small_inputs(tmp_path)
        model, data = inputs.pop("model"), next(iter(inputs.pop("data")))
        more = options(**inputs | {"baseline": "group", "eval_every": 2})
    else:
        model, data = str(small_model(tmp_path / "model")), str(write_run(tmp_path / "run"))
        more = [part for setting in SMALL for part in ("--set", setting)]
    code = main([recipe, "--model", model, "--data", data, "--out", str(out), *more])
    lines = [
        f"exit code {code}",
        *(line for line in capsys.readouterr().out.splitlines() if line.startswith(OURS)),
        "",
        "CARD",
        *(out / "README.md").read_text().splitlines(),
    ]
    lines += ["", "PAGE", *words_of_page((out / "training.html").read_text())]
    assert_shown(GOLDEN / f"{recipe}.txt", without_figures(lines, tmp_path), tmp_path)


def test_what_a_loop_shows(tmp_path: Path) -> None:
    """Of a script: a round is kept, the next is refused twice, and its third attempt is kept."""
    script = Script(wins=[0.6, 0.4, 0.3, 0.7])
    page = paged(tmp_path, script, phases=[DPO | {"rounds": 2}, REWARDED], gates={"win": 0.5}, retry={"times": 2})
    assert_shown(GOLDEN / "loop.txt", words_of_page(page), tmp_path)
