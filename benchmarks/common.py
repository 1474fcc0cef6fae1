"""What the benchmarks share: prompts, constitutions, runs on the replay engine, and how a figure is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from generation.output.manifest import Manifest
from generation.output.manifest import read as read_manifest

ROOT = Path(__file__).parents[1]


def write_prompts(path: Path, rows: int) -> Path:
    """Prompts that all differ."""
    lines = (json.dumps({"prompt": f"In one sentence, what is special about the number {i}?"}) for i in range(rows))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_constitution(path: Path, principles: int, edits: dict[str, str] | None = None) -> Path:
    """`principles` judged principles with requests of their own; `edits` sets fields of the first."""
    items = [
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
    items[0] |= edits or {}
    laws = {"name": "bench", "version": 1, "objectives": {"good": 1.0}, "principles": items}
    path.write_text(yaml.safe_dump(laws, sort_keys=False), encoding="utf-8")
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


def settings(pairs: dict[str, object]) -> Iterable[str]:
    """`--set key=value` for each."""
    for key, value in pairs.items():
        yield from ("--set", f"{key}={json.dumps(value)}")


def show(name: str, value: float, unit: str, target: str) -> None:
    """One figure on one line, with what it should be."""
    print(f"{name:62} {value:12,.3f} {unit:14} (target {target})", flush=True)
