"""Build the wheel, install it in an empty environment outside the repository, and use it there.

    .venv/bin/python scripts/check_wheel.py

The folder it is used in has a training.py and an evaluation.py of its own, as a user's may: the command must not take them for
ours. Libraries are borrowed from the environment that runs this script; of the project itself the new environment has the
wheel alone. Exit code 0 all well, 1 a step failed (what it printed is shown).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("tests", "benchmarks", "scripts", "docs")
"""Folders of the repository that no wheel holds."""
PROMPTS = ("How do magnets work?", "Name a good book.", "Is the earth flat?", "Write a haiku about rain.")


class CheckError(Exception):
    """A step failed; the message holds its command and what that printed."""


def run(command: list[str], folder: Path) -> str:
    """What a command prints; it sees neither this project nor the settings of this shell."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CheckError(f"exit code {done.returncode} of {' '.join(command)}:\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from a copy: a build leaves files beside its source, and takes up those that an earlier one left."""
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "node_modules")
    shutil.copytree(ROOT, source, ignore=ignored)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source)], folder)
    return next(folder.glob("*.whl"))


def environment(folder: Path, wheel: Path) -> Path:
    """The `bin` folder of an environment that holds the wheel and sees this interpreter's libraries."""
    place = folder / "environment"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)], folder)
    # A folder named in a .pth is searched; the .pth files in it, an editable install's among them, are not read.
    site = next(place.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def contents(wheel: Path) -> None:
    """Raise CheckError where the wheel lacks data, or holds what users have no use for."""
    names = zipfile.ZipFile(wheel).namelist()
    needed = ("principles/hhh.yaml", "principles/prompts/demo.jsonl", "solon/py.typed")
    if missing := [name for name in needed if name not in names]:
        raise CheckError(f"{wheel.name} lacks {', '.join(missing)}")
    if unwanted := [name for name in names if name.split("/")[0] in LEFT_OUT]:
        raise CheckError(f"{wheel.name} holds {', '.join(unwanted[:5])}")


def use(bin_: Path, folder: Path) -> None:
    """Run the commands of a first afternoon in a folder with modules named as ours are."""
    home = folder / "home"
    home.mkdir()
    for name in ("training", "evaluation", "generation", "critics", "constitution"):
        (home / f"{name}.py").write_text("raise SystemExit('a module of the user was taken for one of the project')\n")
    rows = [json.dumps({"prompt": prompt}) for prompt in PROMPTS]
    (home / "prompts.jsonl").write_text("\n".join(rows) + "\n")
    solon = str(bin_ / "solon")
    shipped = next(bin_.parent.glob("lib/python*/site-packages/principles/hhh.yaml"))
    asked = ["--constitution", str(shipped), "--prompts", "prompts.jsonl", "--engine", "replay"]
    for command in (
        [solon, "--version"],
        [solon, "constitution", "lint", str(shipped)],
        [solon, "feedback", *asked, "--out", "run"],
        [solon, "evaluate", "audit", "run"],
        [solon, "train", "dpo", "--help"],
    ):
        run(command, home)
    counts = json.loads((home / "run" / "manifest.json").read_text())["counts"]
    print(f"solon feedback: {counts}")
    where = run([str(bin_ / "python"), "-P", "-c", "import solon; print(solon.__file__)"], home).strip()
    if not Path(where).is_relative_to(bin_.parent):
        raise CheckError(f"solon was imported from {where}, not from the wheel")


def main() -> int:
    """Check; returns the exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        try:
            wheel = build(folder)
            print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
            contents(wheel)
            use(environment(folder, wheel), folder)
        except CheckError as error:
            print(error, file=sys.stderr)
            return 1
    print("the wheel works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
