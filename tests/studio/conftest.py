"""A small finished run on the replay engine, a client in the process, and a headless Chromium: each made once for all tests."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.testclient import TestClient

import generate_feedback
from studio.app import build
from studio.security import Access
from studio.state import Studio
from studio.subject import subject_of
from tests.evaluation import chromium

TOKEN = "token-of-this-test-which-is-long-enough"
HOSTILE = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">{{7*7}}\u202e\x1b[31m"
PROMPTS = 12
PROGRAM = chromium.find()


def make_run(folder: Path, name: str = "run", constitution: str = "principles/hhh.yaml", *more: str) -> Path:
    """A finished run whose prompts, responses and tags are in part hostile; every second one has given responses."""
    rows = [
        {
            "prompt": f"Question {i}? {HOSTILE if i % 3 == 0 else ''}",
            "tags": [["safe"], ["red-team", HOSTILE]][i % 2],
            "difficulty": i,
            **({} if i % 4 == 3 else {"responses": [f"First {i}. {HOSTILE}", f"Second {i}, at length and kindly."]}),
        }
        for i in range(PROMPTS)
    ]
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--constitution", constitution, "--prompts", str(prompts), "--out", str(folder / name)]
    assert (
        generate_feedback.main([*arguments, "--engine", "replay", "--policy", "x", "--set", "plan.controls=0", *more])
        == 0
    )
    return folder / name


@pytest.fixture(scope="session")
def cache_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where indices are kept, for these tests alone."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(cache_of_all: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, said to the studio."""
    monkeypatch.setenv("SOLON_CACHE", str(cache_of_all))
    return cache_of_all


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for all tests that only read. Who writes copies it first."""
    return make_run(tmp_path_factory.mktemp("studio"))


def client_of(path: Path, against: Path | None = None, tested: Path | None = None) -> TestClient:
    """A client of a studio on a path, with the cookie of its start."""
    studio = Studio(subject_of(path), subject_of(against) if against else None, tested)
    client = TestClient(build(studio, Access.at("127.0.0.1", 8000, TOKEN)), base_url="http://127.0.0.1:8000")
    assert client.get(f"/start?token={TOKEN}", follow_redirects=False).status_code == 303
    return client


@pytest.fixture(scope="session")
def client(finished: Path) -> TestClient:
    """A client of a studio on the finished run."""
    return client_of(finished)


def post(client: TestClient, path: str, body: object, **headers: str) -> Any:
    """What the studio answers to its own script."""
    return client.post(path, json=body, headers={"origin": "http://127.0.0.1:8000", **headers})


def check_all(tab: Page) -> None:
    """No violation of what axe knows, in light and, of colors, in dark; nothing is wider than a phone or lost on a large screen."""
    axe, size = Axe(), tab.viewport_size
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = axe.run(tab, options=rules)
        assert found.violations_count == 0, f"{tab.url} {scheme}: {found.generate_report()}"
    for width in (360, 2560):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{tab.url} at {width}"
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(size)  # type: ignore[arg-type]
    assert tab.title() != "ran"


def keep(tab: Page, name: str) -> None:
    """A picture of the page, in light and dark, in the folder SOLON_SCREENSHOTS where that is given."""
    if folder := os.environ.get("SOLON_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            tab.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)
        tab.emulate_media(color_scheme="light")


def bars(text: str, title: str) -> dict[str, str]:
    """Of a plot of a page: what each bar says -> where it leads."""
    figure = next(one for one in text.split("<figure>") if f"<figcaption>{title}</figcaption>" in one)
    found = re.findall(r'<a href="([^"]*)" aria-label="([^"]*)"', figure.partition("</figure>")[0])
    return {unescape(said): unescape(href) for href, said in found}


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """serve(path) -> the first address of a studio on it, which listens until the tests end."""
    started: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(path: Path, against: Path | None = None) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # so that it answers from now on
        port = listener.getsockname()[1]
        studio = Studio(subject_of(path), subject_of(against) if against else None)
        app = build(studio, Access.at("127.0.0.1", port, TOKEN))
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{port}/start?token={TOKEN}"

    yield start
    for server, _ in started:
        server.should_exit = True
    for _, thread in started:
        thread.join(20)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A headless browser for a file of tests: while it is there, no other event loop can run in this process."""
    if PROGRAM is None:
        pytest.skip("no Chromium or Chrome is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chrome: Browser) -> Iterator[Page]:
    """A fresh tab. The test fails where its console says anything, or where it asks another address."""
    context = chrome.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    seen = SimpleNamespace(said=[], asked=set())
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda request: seen.asked.add(request.url.split("/")[2]))
    yield page
    context.close()
    assert seen.said == []
    assert {host.partition(":")[0] for host in seen.asked} <= {"127.0.0.1"}
