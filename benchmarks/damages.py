"""Every file of finished and unfinished runs damaged in every way, and what each command says: nothing silent, no traceback.

    python -m benchmarks.damages [--every N] [--processes N]

A damage is named where its file is in what the command says. It is harmless where nothing is said and what comes out is the same,
byte for byte, as without it. It is silent where nothing is said and something else comes out, or nothing at all. Damages are tried
by several processes, each with runs of its own: two seconds of CPU a damage.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import generate_feedback
from benchmarks.common import show, write_constitution, write_prompts
from constitution.errors import SolonError
from evaluation.__main__ import main as evaluate
from generation.output.manifest import read
from generation.output.run import open_run
from solon.calls import main as calls
from training.data.sources import read as read_data

Damage = Callable[[Path, Path], None]
"""Changes a file, given the same file of another run."""
PROMPTS = 8
SECONDS = 120
"""After which a command counts as hung."""
FLIPS = 6
"""Bits flipped in a file, each a damage of its own; FLIPS * 5 in the calls, which have room that nothing uses."""


def cut(share: float, path: Path, _: Path) -> None:
    """Keep a share of the bytes, and never all."""
    body = path.read_bytes()
    path.write_bytes(body[: min(int(len(body) * share), len(body) - 1)])


def flip(seed: int, path: Path, _: Path) -> None:
    """Another bit somewhere."""
    body = bytearray(path.read_bytes())
    drawn = random.Random(f"{seed} {path.name}")
    body[drawn.randrange(len(body))] ^= 1 << drawn.randrange(8)
    path.write_bytes(body)


def put(body: bytes, path: Path, _: Path) -> None:
    """Other content."""
    path.write_bytes(body)


def add(body: bytes, path: Path, _: Path) -> None:
    """More at the end."""
    with path.open("ab") as file:
        file.write(body)


def zeros(path: Path, _: Path) -> None:
    """As long as it was, of zeros: what a power cut leaves."""
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path, _: Path) -> None:
    """No file."""
    path.unlink()


def swapped(path: Path, other: Path) -> None:
    """Another run's file, or where it has none, something else."""
    path.write_bytes(other.read_bytes() if other.is_file() else b"another")


def in_its_place(make: Callable[[Path, Path], None], path: Path, other: Path) -> None:
    """Something that is no file."""
    path.unlink()
    make(path, other)


DAMAGES: Mapping[str, Damage] = {
    "half of it": partial(cut, 0.5),
    "a byte of it": partial(cut, 0.0001),
    "all but the last byte": partial(cut, 1.0),
    "empty": partial(put, b""),
    "zeros": zeros,
    "garbage": partial(put, bytes(range(256)) * 8),
    "more at the end": partial(add, b"\n{}"),
    "gone": gone,
    "another run's": swapped,
    "a folder": partial(in_its_place, lambda path, _: path.mkdir()),
    "a pipe": partial(in_its_place, lambda path, _: os.mkfifo(path)),
    "a link to another run's": partial(in_its_place, lambda path, other: path.symlink_to(other)),
    "a link to nothing": partial(in_its_place, lambda path, _: path.symlink_to("/nothing/there")),
    "a link to itself": partial(in_its_place, lambda path, _: path.symlink_to(path)),
}
TEXTS: Mapping[str, Damage] = {
    "a list": partial(put, b"[1, 2]\n"),
    "a word": partial(put, b"manifest\n"),
    "null": partial(put, b"null\n"),
    "not UTF-8": partial(add, b"\xff\xfe"),
    "nested": partial(put, b"[" * 100_000),
    "a key twice": lambda path, _: _edit(path, _twice),
    "other keys": lambda path, _: _edit(path, _renamed),
    "another number": lambda path, _: _edit(path, _raised),
    "a comment": partial(add, b"\n# a word\n"),
    "a bomb": partial(put, b"a: &a [1]\nb: &b [*a, *a]\n"),
}


def _edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(change(text), encoding="utf-8")


def _twice(text: str) -> str:
    return text.replace("{", '{"counts": null,', 1) if text.startswith("{") else f"{text}\n{text}"


def _renamed(text: str) -> str:
    return text.replace("constitution", "principles", 1).replace("counts", "numbers", 1)


def _raised(text: str) -> str:
    at = next((i for i, letter in enumerate(text) if letter.isdigit() and letter != "9"), 0)
    return text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :]


def damages_of(name: str) -> dict[str, Damage]:
    """What can become of a file."""
    flips = FLIPS * 5 if name.endswith(".sqlite") else FLIPS
    found: dict[str, Damage] = {**DAMAGES, **{f"bit {i}": partial(flip, i) for i in range(flips)}}
    return found | dict(TEXTS) if name.endswith((".json", ".yaml")) else found


class Said(NamedTuple):
    """What a command did."""

    code: int
    text: str
    crashed: bool


def listen(command: Callable[[], int]) -> Said:
    """Run it in this process."""
    out = io.StringIO()

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with redirect_stdout(out), redirect_stderr(out):
            return Said(command(), out.getvalue(), False)
    except SolonError as error:
        return Said(2, out.getvalue() + str(error), False)
    except SystemExit as error:
        return Said(int(error.code or 0), out.getvalue(), False)
    except BaseException as error:
        return Said(1, f"{out.getvalue()}\n{type(error).__name__}: {error}", True)
    finally:
        signal.alarm(0)


class Inputs(NamedTuple):
    """What the runs are made from, and the runs."""

    folder: Path

    def feedback(self, run: Path, *more: str) -> int:
        """The command of the runs."""
        files = ("--constitution", self.folder / "laws.yaml", "--prompts", self.folder / "prompts.jsonl", "--out", run)
        return generate_feedback.main([*map(str, files), "--engine", "replay", "--set", "test_fraction=0.3", *more])

    def make(self) -> None:
        """`whole` and `half`, and `other` of other prompts."""
        write_constitution(self.folder / "laws.yaml", 2)
        prompts = write_prompts(self.folder / "prompts.jsonl", PROMPTS + 3).read_text().splitlines(keepends=True)
        (self.folder / "prompts.jsonl").write_text("".join(prompts[3:]))
        for run, more in {"other": (), "whole": (), "half": ("--max-calls", "60")}.items():
            if run == "whole":
                (self.folder / "prompts.jsonl").write_text("".join(prompts[:-3]))
            said = listen(partial(self.feedback, self.folder / run, *more))
            assert said.code == (run == "half"), said


def data_of(run: Path) -> dict[str, bytes]:
    """What a run is for: its parquet files, and the constitution that goes with them."""
    paths = [*run.rglob("*.parquet"), run / "constitution.yaml"]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.is_file()}


def readers(run: Path) -> dict[str, Callable[[], int]]:
    """What reads a finished run, by a word for it."""
    scratch = run.with_name("scratch")

    def library() -> int:
        found = open_run(run)
        for record in (found.pairs, found.targets, found.votes, found.failures, found.responses, found.critiques):
            list(record())
        return 0

    def training() -> int:
        return len([*read_data(str(run), "preferences"), *read_data(str(run), "sft")]) * 0

    return {
        "library": library,
        "training": training,
        "audit": lambda: evaluate(["audit", str(run), "--out", str(scratch / "page.html")]),
        "clean": lambda: evaluate(
            ["audit", str(run), "--out", str(scratch / "page.html"), "--clean", str(scratch / "clean")]
        ),
        "diff": lambda: evaluate(["diff", str(run), str(run.with_name("whole"))]),
    }


class Trial(NamedTuple):
    """A damage, a command and what came of both."""

    state: str
    file: str
    damage: str
    command: str
    outcome: str
    """named, harmless, silent or traceback."""
    text: str


def judge(said: Said, name: str, same: bool) -> str:
    """The outcome. same: what came out is what comes out without the damage."""
    if said.crashed or "Traceback" in said.text:
        return "traceback"
    words = {"manifest.json": "no finished run", "run.yaml": "belongs to other settings"}.get(name, name)
    if Path(name).name in said.text or words in said.text:
        return "named"
    return "harmless" if same else "silent"


def try_finished(inputs: Inputs, name: str, kind: str, damage: Damage) -> Iterator[Trial]:
    """A finished run with one damage: read in every way, then its command again, or another run with its calls."""
    whole, run = inputs.folder / "whole", inputs.folder / "run"
    of_calls = name == "calls.sqlite"
    new = inputs.folder / "new"
    for command in [*(["calls", "reuse"] if of_calls else readers(run)), "again"]:
        for folder in (run, inputs.folder / "scratch", new):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, run, symlinks=True)
        damage(run / name, inputs.folder / "other" / name)
        if not of_calls and (run / name).is_file() and (run / name).read_bytes() == (whole / name).read_bytes():
            return
        if command == "again":
            said = listen(partial(inputs.feedback, run))
            same = data_of(run) == data_of(whole)
            if said.code == 0 and not same:
                said = said._replace(text="")  # it says that all is well
        elif command == "reuse":
            said = listen(partial(inputs.feedback, new, "--reuse", str(run)))
            same = said.code == 0 and data_of(new) == data_of(whole)
        elif command == "calls":
            said = listen(lambda: calls(["show", str(run), "--prompt", _some_prompt(whole)]))
            same = said.text == listen(lambda: calls(["show", str(whole), "--prompt", _some_prompt(whole)])).text
        else:
            said, same = listen(readers(run)[command]), False
        yield Trial("finished", name, kind, command, judge(said, name, same), said.text)


def try_unfinished(inputs: Inputs, name: str, kind: str, damage: Damage) -> Iterator[Trial]:
    """An unfinished run with one damage, resumed."""
    run = inputs.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(inputs.folder / "half", run, symlinks=True)
    damage(run / name, inputs.folder / "other" / name)
    said = listen(partial(inputs.feedback, run))
    same = said.code == 0 and data_of(run) == data_of(inputs.folder / "whole") and read(run) is not None
    yield Trial("unfinished", name, kind, "again", judge(said, name, same), said.text)


def _some_prompt(run: Path) -> str:
    with closing(sqlite3.connect(run / "calls.sqlite")) as connection:
        return str(connection.execute("SELECT prompt FROM calls ORDER BY rowid LIMIT 1").fetchone()[0])


def files_of(run: Path) -> list[str]:
    """Files of a run that a damage can hit: all but the lock and what is written anew in any case."""
    # SQLite makes its shared memory anew at every opening, and an empty file has no byte to damage
    paths = (
        path
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.stat().st_size and path.suffix != ".sqlite-shm"
    )
    names = (str(path.relative_to(run)) for path in paths)
    return [name for name in names if not name.startswith((".lock", ".writing"))]


class Case(NamedTuple):
    """A damage of a run."""

    attempt: Callable[[Inputs, str, str, Damage], Iterator[Trial]]
    file: str
    kind: str
    damage: Damage


def cases(inputs: Inputs) -> list[Case]:
    """Every damage of every file, the same for all inputs."""
    return [
        Case(attempt, name, kind, damage)
        for run, attempt in (("whole", try_finished), ("half", try_unfinished))
        for name in files_of(inputs.folder / run)
        for kind, damage in damages_of(name).items()
    ]


_made: list[Inputs] = []
"""Those of this process."""


def made(root: Path) -> Inputs:
    """Inputs of this process, made once."""
    if not _made:
        folder = root / str(os.getpid())
        folder.mkdir()
        inputs = Inputs(folder)
        inputs.make()
        _made.append(inputs)
    return _made[0]


def count(root: Path) -> int:
    """How many damages there are."""
    return len(cases(made(root)))


def attempt(number: int, root: Path) -> list[Trial]:
    """The trials of a damage, by its place among all; none where it changes nothing."""
    inputs = made(root)
    case = cases(inputs)[number]
    return [*case.attempt(inputs, case.file, case.kind, case.damage)]


def main() -> None:
    """Damage, listen, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try every N-th damage only")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), metavar="N", help="at once (default: %(default)s)"
    )
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    tried = 0
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        root = Path(scratch)
        pool = stack.enter_context(get_context("spawn").Pool(options.processes))
        numbers = range(0, pool.apply(count, (root,)), options.every)
        for found in filter(None, pool.imap_unordered(partial(attempt, root=root), numbers)):
            tried += 1
            counts.update(trial.outcome for trial in found)
            if tried % 20 == 0:
                print(f"{tried} damages: {dict(counts)}", flush=True)
            for trial in found:
                if trial.outcome in ("silent", "traceback"):
                    print(json.dumps({**trial._asdict(), "text": trial.text[-600:]}), flush=True)
    show("damages tried", tried, "", ">= 300")
    show("commands that met one", counts.total(), "", "none")
    for outcome, target in {"named": "none", "harmless": "none", "silent": "= 0", "traceback": "= 0"}.items():
        show(f"of these {outcome}", counts[outcome], "", target)


if __name__ == "__main__":
    main()
