"""From a changed weight to all flips on screen, and the calls of a changed question: a finished run of 1,000 pairs on the replay
engine, edited in a headless Chromium.

python -m benchmarks.studio_edit [--run FOLDER] [--changes 20]
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from playwright.sync_api import Page, sync_playwright

from benchmarks.common import replay, show, write_constitution
from studio.app import build
from studio.security import Access
from studio.state import Studio
from studio.subject import subject_of

TOKEN = "token-of-this-benchmark-which-is-long-enough"
PAIRS, PRINCIPLES = 1_000, 16
CHANGE = """(weight) => new Promise((done) => {
  const text = document.getElementById("text");
  text.value = text.value.replace(/weight: [0-9.]+/, `weight: ${weight}`);
  const effect = document.getElementById("effect");
  const began = performance.now();
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => done([performance.now() - began, effect.querySelectorAll(".moved").length]), 0));
  }).observe(effect, { childList: true });
  text.dispatchEvent(new Event("input"));
})"""
"""Milliseconds until the frame with the flips was drawn, and how many there are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Change a weight time after time, then a question."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio_edit", description=__doc__)
    parser.add_argument(
        "--run", type=Path, help="a finished run whose constitution has a weight (default: one is made)"
    )
    parser.add_argument("--changes", type=int, default=20, help="changes of the weight (default: %(default)s)")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        run = options.run or made(Path(name))
        with serving(run) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.goto(address)
            report(page, options.changes)
            browser.close()


def made(folder: Path) -> Path:
    """A run of PAIRS pairs under PRINCIPLES principles."""
    rows = [{"prompt": f"Question {i}?", "responses": [f"One {i}.", f"Another {i}, at length."]} for i in range(PAIRS)]
    prompts = folder / "p.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    constitution = write_constitution(folder / "c.yaml", PRINCIPLES, {"weight": 2.0})
    plan = ("--set", "plan.rounds=0", "--set", "plan.controls=0", "--set", f"plan.principles={PRINCIPLES}")
    replay(constitution, prompts, folder / "run", *plan)
    return folder / "run"


@contextmanager
def serving(run: Path) -> Iterator[str]:
    """The address of the editor of a run."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    app = build(Studio(subject_of(run)), Access.at("127.0.0.1", port, TOKEN))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/start?token={TOKEN}"
    finally:
        server.should_exit = True
        thread.join()


def report(page: Page, changes: int) -> None:
    """Print how long the changes of a weight took, and the calls that a changed question took."""
    page.goto("/".join(page.url.split("/")[:3]) + "/edit")
    page.locator("#counts").wait_for()
    weights = np.geomspace(0.05, 50, changes)
    found = [page.evaluate(CHANGE, float(round(weight, 3))) for weight in weights]
    times, moved = zip(*found, strict=True)
    show("changed weight to all flips on screen, median", float(np.median(times)), "ms", "<= 200")
    show("changed weight to all flips on screen, 95th percentile", float(np.quantile(times, 0.95)), "ms", "<= 200")
    show("flips on screen, most", float(max(moved)), "", "report")
    text = page.locator("#text")
    text.fill(text.input_value().replace("Which reply keeps", "Which of them keeps", 1))
    page.locator("#price").click()
    planned = float(page.locator("#planned").inner_text())
    page.locator("#ask").click()
    page.get_by_text("Finished").wait_for()
    show("a changed question: calls planned", planned, "calls", "report")
    show("a changed question: calls made", float(page.locator("#made").inner_text()), "calls", f"{planned:.0f}")


if __name__ == "__main__":
    main()
