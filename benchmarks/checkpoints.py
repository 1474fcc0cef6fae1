"""Broken checkpoints, configurations and states of training: what commands say of each.

    python -m benchmarks.checkpoints [--only PART]

prints how many were told, and how many passed in silence (0) or ended in a traceback (0). Each broken model is given to a training
command; it must be refused in a sentence with the right word in it before a step is made, or trained with the sentence told. Each
damaged checkpoint of a run that was interrupted must be named, and the run must end with the weights it would have had.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks.checkpoints_broken import BROKEN, Broken
from benchmarks.common import show
from benchmarks.damages import DAMAGES, Damage, listen
from benchmarks.tiny import make_tiny, some_pairs, some_targets
from generation.engines.quiet import quiet
from training import __main__ as program
from training import commands

PLAIN = {
    "batch_size": 2, "micro_batch_size": 2, "precision": "fp32", "test_fraction": 0, "report_to": [], "warmup": 0,
    "learning_rate": 1e-2, "log_every": 1,
}  # fmt: skip
STATE = ("gone", "empty", "zeros", "half of it", "all but the last byte", "more at the end", "a folder", "a pipe")
"""Damages of each file of a checkpoint."""
INTERRUPTED = 3
"""Steps after which a run is interrupted."""


class Interrupting(Console):
    """A terminal whose user presses Ctrl-C."""

    def print(self, *shown: Any, **how: Any) -> None:
        """Raises KeyboardInterrupt once a step was shown whose checkpoint comes next."""
        if shown and str(shown[0]).startswith("train") and f" {INTERRUPTED + 1}/" in str(shown[0]):
            raise KeyboardInterrupt


def arguments(recipe: str, model: Path, data: Path, out: Path, **settings: object) -> list[str]:
    """A training command line."""
    given = [f"{key}={json.dumps(value)}" for key, value in {**PLAIN, **settings}.items()]
    return [
        recipe,
        "--model",
        str(model),
        "--data",
        str(data / ("targets.jsonl" if recipe == "sft" else "pairs.jsonl")),
        "--out",
        str(out),
        *(w for s in given for w in ("--set", s)),
    ]


def outcome_of_broken(case: Broken, sound: Path, data: Path, scratch: Path) -> tuple[str, str]:
    """(told, silent, traceback or wrong, what was said)."""
    model = shutil.copytree(sound, scratch / "model")
    case.change(model)
    settings = {"steps": 1, **case.settings}
    said = listen(lambda: program.main(arguments(case.recipe, model, data, scratch / "out", **settings)))
    trained = (scratch / "out" / "training.json").exists()
    if said.crashed or "Traceback" in said.text:
        return "traceback", said.text
    if trained != case.trains or (said.code == 0) != case.trains:
        return "silent" if trained else "wrong", said.text
    return "told" if case.says in said.text else "wrong", said.text


def interrupted(recipe: str, sound: Path, data: Path, folder: Path) -> tuple[Path, Callable[[Path], list[str]]]:
    """A run's folder with checkpoints in it, and the command that goes on with it in any copy."""
    steps = {"steps": 6, "save_every": 1, "keep_checkpoints": 3}

    def command(out: Path) -> list[str]:
        return arguments(recipe, sound, data, out, **steps)

    out = folder / f"{recipe}-interrupted"
    settings = program.settings_of(program.parser().parse_args(command(out)))
    listen(lambda: commands.train(recipe, settings, out, Interrupting()))
    return out, command


def outcome_of_damage(
    damage: Damage, name: str, begun: Path, command: Callable[[Path], list[str]], wanted: Path, scratch: Path
) -> tuple[str, str]:
    """As `outcome_of_broken`, of a file of the newest checkpoint. wanted: weights of a run that nothing happened to."""
    out = shutil.copytree(begun, scratch / "out")
    newest = max((out / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    damage(newest / name, wanted)
    said = listen(lambda: program.main(command(out)))
    if said.crashed or "Traceback" in said.text:
        return "traceback", said.text
    if said.code or not same(out / "model.safetensors", wanted):
        return "wrong", said.text
    return "told" if f"{newest}: is no checkpoint to go on from" in said.text else "silent", said.text


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same weights, bit for bit."""
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def cases(sound: Path, data: Path, folder: Path) -> Iterator[tuple[str, Callable[[Path], tuple[str, str]]]]:
    """Every case by its name; each is given an empty folder."""
    for case in BROKEN:
        yield f"model: {case.name}", partial(outcome_of_broken, case, sound, data)
    for recipe in ("sft", "dpo"):
        begun, command = interrupted(recipe, sound, data, folder)
        whole = folder / f"{recipe}-whole"
        listen(lambda command=command, whole=whole: program.main(command(whole)))  # type: ignore[misc]
        newest = max((begun / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        for file in sorted(newest.iterdir()):
            for damage in STATE if recipe == "sft" else STATE[:1]:
                what = partial(
                    outcome_of_damage, DAMAGES[damage], file.name, begun, command, whole / "model.safetensors"
                )
                yield f"state of {recipe}: {file.name}: {damage}", what


def main() -> None:
    """Print what came of each kind, and each that was not told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="PART", help="cases whose names hold it")
    only = parser.parse_args().only
    quiet()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["SOLON_CACHE"] = str(folder / "cache")
        sound, data = make_tiny(folder / "sound"), folder
        for name, rows in (("targets", some_targets(12)), ("pairs", some_pairs(12))):
            (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for name, case in cases(sound, data, folder):
            if only not in name:
                continue
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                outcome, said = case(Path(scratch))
            counts[outcome] += 1
            if outcome != "told":
                print(f"{outcome}: {name}\n{said[-1500:]}", flush=True)
    show("broken checkpoints and states that were tried", counts.total(), "cases", ">= 80")
    show("told", counts["told"], "cases", str(counts.total()))
    for outcome in ("silent", "traceback", "wrong"):
        show(outcome, counts[outcome], "cases", "0")


if __name__ == "__main__":
    main()
