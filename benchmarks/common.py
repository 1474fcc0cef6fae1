"""What the benchmarks share: prompts, constitutions, runs on the replay engine, and how a figure is printed and kept."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil
import yaml
from pydantic import BaseModel, ConfigDict

from generation.output.manifest import Manifest
from generation.output.manifest import read as read_manifest

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def write_prompts(path: Path, rows: int) -> Path:
    """Prompts that all differ."""
    lines = (json.dumps({"prompt": f"In one sentence, what is special about the number {i}?"}) for i in range(rows))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_constitution(path: Path, principles: int, edits: Mapping[str, object] | None = None) -> Path:
    """`principles` judged principles with requests of their own; `edits` sets fields of the first."""
    items: list[dict[str, object]] = [
        {
            "id": f"principle-{i}",
            "objective": "good",
            "text": f"Keep rule number {i} of the house.",
            "critique": f"Does the reply keep rule number {i} of the house?",
            "revise": f"Rewrite the reply so that it keeps rule number {i} of the house.",
            "compare": f"Which reply keeps rule number {i} of the house better?",
        }
        for i in range(principles)
    ]
    items[0].update(edits or {})
    constitution = {"name": "bench", "version": 1, "objectives": {"good": 1.0}, "principles": items}
    path.write_text(yaml.safe_dump(constitution, sort_keys=False), encoding="utf-8")
    return path


def command(constitution: Path, prompts: Path, out: Path, *more: str) -> list[str]:
    """The command line of a run."""
    script = str(ROOT / "generate_feedback.py")
    return [
        sys.executable,
        script,
        "--constitution",
        str(constitution),
        "--prompts",
        str(prompts),
        "--out",
        str(out),
        *more,
    ]


def replay(constitution: Path, prompts: Path, out: Path, *more: str) -> Manifest:
    """A run on the replay engine, to its end."""
    subprocess.run(command(constitution, prompts, out, "--engine", "replay", *more), check=True, capture_output=True)
    manifest = read_manifest(out)
    assert manifest is not None, f"{out} has no manifest"
    return manifest


def settings(pairs: Mapping[str, object]) -> Iterable[str]:
    """`--set key=value` for each."""
    for key, value in pairs.items():
        yield from ("--set", f"{key}={json.dumps(value)}")


class Figure(BaseModel):
    """One measured value: a line of `results/NAME.jsonl`, where the newest of a figure and column counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    figure: str
    """What was measured; a row of the tables in `docs/measured`."""
    value: float | None
    unit: str = ""
    target: str = ""
    """What it should be, as `>= 0.95`; empty where there is no aim."""
    column: str = "measured"
    """Column of its table, where a row has several values."""
    interval: tuple[float, float] | None = None
    """95% confidence interval, in the value's unit."""
    note: str = ""
    """What a reader must know to judge the value."""
    command: str
    """What measures it again."""
    commit: str
    """Of the code that was measured."""
    seeded: bool = False
    """Recorded before this format: taken from the page that told it, no output of a run is kept; `commit` is then the page's."""
    machine: str


def show(
    name: str,
    value: float,
    unit: str,
    target: str,
    column: str = "measured",
    interval: tuple[float, float] | None = None,
    note: str = "",
) -> None:
    """One figure on one line, with what it should be. With RECORD=1 in the environment it is kept under `results` too."""
    print(f"{name:62} {value:12,.3f} {unit:14} (target {target})", flush=True)
    if os.environ.get("RECORD") == "1":
        module, command = _running()
        figure = Figure(
            figure=name, value=value, unit=unit, target="" if target in ("none", "-", "report") else target, column=column,
            interval=interval, note=note, command=command, commit=_commit(), machine=machine(),
        )  # fmt: skip
        record(module, figure)


def record(name: str, figure: Figure, folder: Path = RESULTS) -> None:
    """Append a figure to a benchmark's results."""
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(figure.model_dump_json(exclude_defaults=True) + "\n")


def read_figures(name: str, folder: Path = RESULTS) -> list[Figure]:
    """A benchmark's figures, the newest of each figure and column, in the order in which they first came."""
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    figures = (Figure.model_validate_json(line) for line in lines)
    return list({(figure.figure, figure.column): figure for figure in figures}.values())


def machine() -> str:
    """This machine in a few words: cores, memory, accelerator, Python."""
    import torch  # which the memory of a run is not to hold

    gib = psutil.virtual_memory().total / 2**30
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    python = ".".join(platform.python_version_tuple()[:2])
    return f"{os.cpu_count()} {platform.machine()} cores, {gib:.0f} GiB, {card}, Python {python}"


def _running() -> tuple[str, str]:
    """Name of the benchmark that runs, and its command."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name if spec else Path(sys.argv[0]).stem
    # where a file lies on this machine tells nobody anything
    words = (Path(word).name if os.sep in word and Path(word).exists() else word for word in sys.argv[1:])
    return module.rpartition(".")[2], shlex.join(["python", "-m", module, *words])


def _commit() -> str:
    """The commit that is measured; `+` after it where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"], check=True, capture_output=True, text=True
    )
    return head + ("+" if changed.stdout.strip() else "")
