"""A run of many pairs in the studio: how long a filter, a sort, a page and a search take, and how much memory it holds.

    python -m benchmarks.studio [--pairs 1000000] [--folder FOLDER] [--two]

writes a run of made pairs to the folder (once), opens it by `solon studio`, and asks for pages as a browser does. A time is that of
the whole answer, page and all, to a question that was not asked before. Of more than 10,000 pairs, those after are copies of the
first with ids of their own. With --two it is opened beside a run of the same responses in which the votes on every twentieth pair
are others, and what differs is asked for.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from benchmarks.common import show
from constitution.principles import Constitution, Principle
from constitution.records import Message, PreferencePair, Prompt, Response, Vote
from generation.output.dataset import ROWS, DatasetWriter
from generation.output.files import file_sha256
from generation.output.folder import CONSTITUTION, SETTINGS
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from generation.output.records import Feedback

MADE = 10_000
"""Pairs that are made one by one; what is more are their copies."""
WORDS = 20_000
"""Different words of the texts, of which the frequent ones are as frequent as in a language (Zipf)."""
LENGTHS = (20, 60, 60)
"""Words of a prompt, a chosen and a rejected response."""
VOTERS = 8
QUESTIONS = {
    "first page": {},
    "filter: principle": {"against": "p3"},
    "filter: tag, objective": {"tag": "t1", "objective": "o1"},
    "filter: p and margin": {"p_from": "0.55", "p_below": "0.7", "margin_from": "0.3"},
    "filter: disagreement": {"against_from": "0.4"},
    "sort: p": {"sort": "-p"},
    "sort: disagreement": {"sort": "-against"},
    "sort and filter": {"sort": "margin", "flips": "p2", "p_from": "0.6"},
    "page: the 15,000th": {"page": "15000"},
    "page: the 10,000th by p": {"sort": "-p", "page": "10000"},
    "search: a rare word": {"q": "w19000"},
    "search: a word of half the texts": {"q": "w30"},
    "search: the word of all texts": {"q": "w0"},
    "search: a beginning": {"q": "w12*"},
    "search, filter and sort": {"q": "w7 w20", "principle": "p1", "sort": "-p"},
}
"""What is asked."""
DIFFERENCES = {
    "two runs: what flipped": {},
    "two runs: the 100th page": {"page": "100"},
    "two runs: what a voter turned": {"voter": "judge/compare/p3"},
    "two runs: what appeared": {"kind": "appeared"},
}
"""What is asked of two runs."""
TURNED = 20
"""Of so many pairs one has other votes in the second run."""


def main() -> None:
    """Write the run, where there is none, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=int, default=1_000_000, metavar="N", help="pairs of the run (default: %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="where the run and its index are kept; a temporary one by default"
    )
    parser.add_argument("--two", action="store_true", help="beside a second run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        runs = [folder / f"pairs-{options.pairs}", *([folder / f"turned-{options.pairs}"] if options.two else [])]
        for run, turned in zip(runs, (0, TURNED), strict=False):
            if not (run / "manifest.json").exists():
                write_run(run, options.pairs, turned)
        path, questions = ("/compare", DIFFERENCES) if options.two else ("/pairs", QUESTIONS)
        began = time.perf_counter()
        with studio(runs, folder / "cache") as (process, address):
            first = time.perf_counter() - began
            show(
                f"{options.pairs:,} pairs: from the command to the address, index built or opened", first, "s", "report"
            )
            show("memory until then, at most", peak(process), "MB", "< 500")
            for name, found, took in answers(address, path, questions):
                show(f"{name} ({found} pairs)", took, "ms", "<= 300")
            show("memory after all pages", process.memory_info().rss / 1e6, "MB", "< 500")
            show("memory, at most", peak(process), "MB", "< 500")


@contextmanager
def studio(runs: Sequence[Path], cache: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A studio of its own process on a run, or on one beside another, and its address."""
    command = [sys.executable, "-m", "solon", "studio", str(runs[0])]
    command += ["--against", str(runs[1])] if runs[1:] else []
    environment = {**os.environ, "SOLON_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield psutil.Process(process.pid), process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.send_signal(signal.SIGINT)


def peak(process: psutil.Process) -> float:
    """The most memory that a process had, in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def answers(address: str, path: str, questions: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, float]]:
    """(question, pairs found, milliseconds of the answer) of each question; none was asked before."""
    host, _, start = address.removeprefix("http://").partition("/")
    connection = HTTPConnection(host)
    connection.request("GET", f"/{start}")
    answer = connection.getresponse()
    answer.read()
    cookie = {"Cookie": (answer.headers["set-cookie"] or "").partition(";")[0]}
    for name, question in {"": {"size": "20"}, **questions}.items():
        began = time.perf_counter()
        asked = path if name else "/pairs"  # the very first answer compiles the templates
        connection.request("GET", f"{asked}?{urlencode(question)}", headers=cookie)
        answer = connection.getresponse()
        text = answer.read().decode()
        took = 1000 * (time.perf_counter() - began)
        assert answer.status == 200, text
        if name:
            yield name, counted(text), took


def counted(text: str) -> str:
    """How many pairs a page says there are: of a filter, or of one kind of difference."""
    found = re.search(r'(?:role="status"|aria-current="true")>([\d,]+) ', text)
    assert found is not None, text
    return found[1]


def write_run(folder: Path, pairs: int, turned: int = 0) -> None:
    """A finished run of made texts and votes, by the run's own writer. turned: of so many pairs one has other votes; 0: none."""
    folder.mkdir(parents=True)
    principles = tuple(Principle(id=f"p{i}", objective=f"o{i % 3}", text=f"Be {i}.") for i in range(VOTERS))
    constitution = Constitution(
        name="made", version=1, objectives={f"o{i}": 1.0 for i in range(3)}, principles=principles
    )
    writer, tally = DatasetWriter(folder, constitution, "judge", 0.05, False), Tally()
    for feedback in _made(min(pairs, MADE), turned):
        writer.write(feedback)
        tally.add(feedback)
    (folder / SETTINGS).write_text("{}\n", encoding="utf-8")
    body = constitution.model_dump(mode="json", exclude_defaults=True)
    (folder / CONSTITUTION).write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    spent = Calls(made=1, reused=0), Tokens(prompt=1, cached=0, completion=1), Seconds(wall=1, engine=1)
    digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
    files = writer.close()
    for name in files:
        _multiply(folder / name, max(1, pairs // MADE))
    manifest = tally.manifest(*spent, {name: file_sha256(folder / name) for name in files}, digests)
    manifest.write(folder)


def _multiply(path: Path, times: int) -> None:
    """Write the rows so many times; the copies' ids begin with their number."""
    table = pq.read_table(path)
    ids = [
        name
        for name in table.schema.names
        if name in ("id", "prompt_id", "a", "b", "chosen_id", "rejected_id", "parent")
    ]
    with pq.ParquetWriter(path, table.schema) as file:
        for copy in range(times):
            new = table
            for name in ids if copy else ():
                values = pc.binary_join_element_wise(str(copy), table[name], "-")
                new = new.set_column(new.schema.get_field_index(name), table.schema.field(name), values)
            file.write_table(new, row_group_size=ROWS)


def _made(pairs: int, turned: int) -> Iterator[Feedback]:
    random, other = np.random.default_rng(0), np.random.default_rng(1)
    chances = 1 / (np.arange(WORDS) + 2.0)
    chances /= chances.sum()
    words = np.array([f"w{i}" for i in range(WORDS)])
    for start in range(0, pairs, 1000):
        count = min(1000, pairs - start)
        said = words[random.choice(WORDS, size=(count, sum(LENGTHS)), p=chances)]
        votes = random.normal(0.6, 1.0, (count, VOTERS, 2))
        if turned:
            votes[::turned] = other.normal(-0.6, 1.0, votes[::turned].shape)
        for i in range(count):
            yield _feedback(start + i, said[i], votes[i])


def _feedback(number: int, said: NDArray[np.str_], logits: NDArray[np.float64]) -> Feedback:
    name = f"prompt-{number}"
    first, second, third = (part.tolist() for part in np.split(said, np.cumsum(LENGTHS)[:2]))
    prompt = Prompt(
        id=name, messages=(Message(role="user", content=f"{number} " + " ".join(first)),), tags=(f"t{number % 7}",)
    )

    def response(place: str, text: list[str]) -> Response:
        words = " ".join(text)
        return Response(f"{name}/{place}", name, Message(role="assistant", content=words), "sampled", words)

    one, other = response("s0", second), response("s1", third)
    votes = tuple(Vote(name, one.id, other.id, f"p{i}", float(ab), float(-ba)) for i, (ab, ba) in enumerate(logits))
    odds = sum(vote.value for vote in votes) / len(votes)
    if odds < 0:
        one, other, odds, votes = other, one, -odds, tuple(vote.swapped() for vote in votes)
    scores = {f"o{i}": float(np.mean([vote.value for vote in votes[i::3]])) for i in range(3)}
    pair = PreferencePair(name, one, other, odds, scores, votes)
    return Feedback(prompt, (one, other), (), 1, votes, (pair,))


if __name__ == "__main__":
    main()
