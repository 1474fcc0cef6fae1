"""Every command and every piece of Python in the README and the documentation is run, page by page, in the order of the page.

Blocks of `bash` run in bash, blocks of `python` in an interpreter, both in a folder of the page's own. To be quick, models are replaced: what
samples or judges runs on the replay engine with few prompts, what trains takes a tiny model and two steps. A comment before a block,
`<!-- not run: reason -->`, says why it is not; then its `solon` commands are read and checked, but nothing is started.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import solon
from tests.forks import python
from tests.training.ppo_small import small_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<kind>bash|python)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
SHIM = f"""#!{sys.executable} -IS
import os, sys
words = sys.argv[1:]
help_only = "--help" in words or "--settings" in words
if words[:1] == ["feedback"] and not help_only and ("--plan" not in words or "--weights" in words):
    words += ["--engine", "replay", "--limit", "16"]
elif words[:2] in (["evaluate", "judge"], ["evaluate", "policy"], ["evaluate", "attack"]) and not help_only and "--votes" not in words:
    words += ["--engine", "replay", "--limit", "16"]
elif words[:2] in (["evaluate", "reasoning"], ["evaluate", "episodes"]) and not help_only:
    words += ["--engine", "replay"]
    words += ["--sums", "4"] if words[1] == "reasoning" else []
elif words[:1] == ["train"] and words[1:2] != ["loop"] and not help_only:
    words += ["--set", "steps=2", "--set", "batch_size=1", "--set", "micro_batch_size=1"]
words = [os.environ["SMALL_MODEL"] if word == "embedded" and os.environ["SMALL_MODEL"] else word for word in words]
os.execvp("python", ["python", "-m", "solon", *words])
"""


class Block(NamedTuple):
    """A block of code on a page."""

    kind: str
    code: str
    line: int
    not_run: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield Block(found["kind"], found["code"], text[: found.start()].count("\n") + 1, found["why"] or "")


def test_pages_have_code() -> None:
    assert sum(len([*blocks(page)]) for page in PAGES) > 15


RUN = [page for page in PAGES if any(True for _ in blocks(page))]
TRAINS = re.compile(r"solon train (?!loop)|evaluate policy")


@pytest.mark.model
@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in RUN])
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    folder = scratch(tmp_path, trains=bool(TRAINS.search(page.read_text(encoding="utf-8"))))
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SMALL_MODEL": str(folder / "small") if (folder / "small").exists() else "",
    }
    for block in blocks(page):
        if block.not_run:
            continue
        command = (
            ["bash", "-euo", "pipefail", "-c", runnable(block.code)]
            if block.kind == "bash"
            else ["python", "-c", block.code]
        )
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, (
            f"{page.name}:{block.line}\n{block.code}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )


def scratch(tmp_path: Path, *, trains: bool) -> Path:
    """A folder with what a clone has, prompts of two kinds, and a `solon` that is quick."""
    folder = tmp_path / "page"
    (folder / "bin").mkdir(parents=True)
    programs = {"solon": SHIM, "make": "#!/bin/sh\nexit 0\n", "python": f'#!/bin/sh\nexec "{python()}" "$@"\n'}
    for name, text in programs.items():
        program = folder / "bin" / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for name in ("principles", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("prompts", "held_out"):
        (folder / f"{name}.jsonl").write_text("".join(f'{{"prompt": "{name} question {i}?"}}\n' for i in range(6)))
    labelled = (f'{{"prompt": "q{i}", "chosen": "yes {i}", "rejected": "no {i}"}}\n' for i in range(12))
    (folder / "labelled.jsonl").write_text("".join(labelled))
    if trains:
        shutil.copytree(small_model(tmp_path / "small"), folder / "small")
    return folder


def runnable(code: str) -> str:
    """The block without what only sets up a shell: the environment is there already."""
    return re.sub(r"^source \S+activate$", "", code, flags=re.MULTILINE)


def test_what_make_is_asked_for_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - targets == set()


def test_links_lead_somewhere() -> None:
    lost = {}
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if gone := sorted(link for link in links if not (page.parent / link).exists()):
            lost[page.name] = gone
    assert lost == {}


def test_files_that_pages_name_are_there() -> None:
    """Paths from the root of the repository, in code quotes: `training/config.py`, `configs/*.yaml`."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"docs", "runs", "models", "schemas"}
    gone = {}
    for page in PAGES:
        paths = re.findall(r"`([\w.-]+/[\w./*-]+\.\w+)`", page.read_text(encoding="utf-8"))
        if lost := sorted({path for path in paths if path.split("/")[0] in folders and not [*ROOT.glob(path)]}):
            gone[page.name] = lost
    assert gone == {}


def test_the_reference_names_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE))
    assert named == set(solon.__all__) - {"__version__"}
