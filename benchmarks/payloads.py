"""Payloads of hostile authors, by what they come in, given to the code that reads it: tried, and survived.

    python -m benchmarks.payloads [--only CLASS]

A payload is survived where the reader ends within SECONDS of CPU in a result or in words of ours (UserError), runs nothing, asks
nothing of the network, and writes nothing beside its own folder. Checkpoints have a program of their own:
`benchmarks.checkpoints`.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

from benchmarks.common import show
from benchmarks.inputs import READERS, tried
from benchmarks.payloads_made import PAGES, PATHS, REUSED, SCHEMAS, TEMPLATES, YAML, spoilt
from constitution.errors import SolonError
from constitution.loading import load
from critics.rules.schemas import misfit
from evaluation.audit.page import TEMPLATE, limit, measured
from evaluation.pages.section import Section, Table
from generation.calls.reading import StoredCalls
from generation.calls.store import CallStore
from generation.config import RunConfig
from generation.engines.base import Completion, Request, Sampling, Usage
from generation.models.template import ChatTemplate
from generation.output.files import write_atomically
from generation.output.folder import run_folder
from generation.output.pages import render_html
from generation.settings import load as load_settings

SECONDS = 20
ATTEMPTS: list[str] = []
"""What was tried that nobody may: connections, processes."""
LOADED = ("src", "href", "data", "srcdoc", "action", "formaction", "poster", "background")
KEY = b"k" * 16


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        ATTEMPTS.append(f"{event} {arguments}"[:200])


def of_yaml(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Constitutions, and the same as settings."""
    for number, text in enumerate(YAML):
        path = folder / f"{number}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        yield f"constitution {text[:60]!r}", partial(load, path)
        yield f"settings {text[:60]!r}", partial(load_settings, RunConfig, path, ())


def of_schemas(_: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Schemas with a value each."""
    for schema, value in SCHEMAS:
        yield str(schema)[:80], partial(misfit, schema, value)


def of_templates(_: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Chat templates."""
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    for source in TEMPLATES:

        def rendered(source: str = source) -> None:
            tokenizer = SimpleNamespace(chat_template=source, special_tokens_map={"eos_token": "</s>"})
            try:
                text = ChatTemplate(tokenizer, datetime.date(2024, 7, 26), {}).render(chat, None, True)
            except ValueError:  # the chat does not fit, in words
                return
            assert not any(inside in text for inside in ("class '", "function ", "built-in")), text[:200]
            assert chat == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]

        yield source[:80], rendered


class _Page(HTMLParser):
    """What a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Scripts, handlers and addresses that are not within the page."""
        if tag in ("script", "iframe", "object", "embed", "base", "form"):
            self.active.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (
                name in LOADED and not (value or "").startswith(("#", "data:image/", "data:,"))
            ):
                self.active.append(f"{tag} {name}={value}")


def of_pages(_: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Texts in every place of a report."""
    counts = dict.fromkeys(("prompts", "responses", "revisions", "votes", "censored_votes", "pairs"), 1)
    manifest = {"counts": counts, "outcomes": {"pairs": 1, "dropped": 0, "failed": 0}}
    for text in PAGES:

        def page(text: str = text) -> None:
            section = Section(text, text, [Table(text, (text, text), [(text, text)])])
            made = render_html(
                TEMPLATE, heading={"run": text, "facts": [(text, text)]}, manifest=manifest, notes=[text], crossed=[],
                measured=measured, limit=limit, sections=[section], examples=[],
            )  # fmt: skip
            found = _Page()
            found.feed(made)
            assert found.active == [], found.active[:3]
            assert "Content-Security-Policy" in made

        yield text, page


def of_paths(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Names of folders and files."""
    inside = folder / "inside"
    inside.mkdir()
    outside = set(folder.rglob("*"))

    def named(name: str) -> None:
        with suppress(OSError, ValueError):  # a name that the system does not take
            run_folder(inside / name).check()
            if (inside / name).resolve().parent == inside.resolve():
                write_atomically(inside / name, "x")
        assert {path for path in folder.rglob("*") if inside not in path.parents} == outside

    for name in PATHS:
        yield ascii(name)[:80], partial(named, name)


def of_reused(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Files of calls that somebody else made."""
    sound = folder / "sound.sqlite"
    store = CallStore(sound)
    store.put(KEY, Request("m", "sample", (1,), Sampling(8)), Completion("x", "stop", {"A": -1.0}, Usage(1, 0, 1)))
    store.close()

    def read(path: Path) -> None:
        calls = StoredCalls([path])
        try:
            calls.totals(path)
            calls.means()
            calls.outcome("p", b"s")
            if found := calls.find(KEY):
                calls.asked(*found)
                found[1].completion()
        finally:
            calls.close()

    for number, spoil in enumerate(REUSED):
        place = folder / str(number)
        place.mkdir()
        yield f"number {number}", partial(read, spoilt(place, sound, spoil))


def of_prompts(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Files of rows, as `benchmarks.inputs` has them."""

    def condition(number: int, kind: str, place: int) -> None:
        cases, read = READERS[kind]
        (folder / str(number)).mkdir()
        found = tried(cases[place], read, folder / str(number))
        assert found.outcome in ("right", "refused"), found

    places = [(kind, place) for kind, (cases, _) in READERS.items() for place in range(len(cases))]
    for number, (kind, place) in enumerate(places):
        yield f"{kind}: {READERS[kind][0][place].name}", partial(condition, number, kind, place)


CLASSES = {
    "YAML": (of_yaml, 80), "schema": (of_schemas, 40), "template": (of_templates, 80), "page": (of_pages, 150),
    "path": (of_paths, 60), "reuse": (of_reused, 60), "prompts": (of_prompts, 100),
}  # fmt: skip


def died(attempt: Callable[[], object]) -> str:
    """Why a payload is not survived; empty where it is."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    ATTEMPTS.clear()
    signal.signal(signal.SIGALRM, late)
    signal.alarm(6 * SECONDS)
    begin = time.process_time()
    try:
        attempt()
    except SolonError:
        pass
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    if time.process_time() - begin > SECONDS:
        return f"took {time.process_time() - begin:.0f} s"
    return "; ".join(ATTEMPTS)


def main() -> int:
    """Try all; returns 1 where one is not survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CLASSES, help="one class")
    only = parser.parse_args().only
    sys.addaudithook(_watch)
    lost = 0
    for name, (payloads, wanted) in CLASSES.items():
        if only not in (None, name):
            continue
        tried_here = survived = 0
        with tempfile.TemporaryDirectory() as folder:
            for what, attempt in payloads(Path(folder)):
                tried_here += 1
                if why := died(attempt):
                    print(f"{name}: {what!a}: {why}", flush=True)
                else:
                    survived += 1
        show(f"{name}: payloads tried", tried_here, "payloads", f">= {wanted}")
        show(f"{name}: survived", survived, "payloads", str(tried_here))
        lost += tried_here - survived
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
