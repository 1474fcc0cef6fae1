"""Every page, by the client and in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from starlette.testclient import TestClient

PAGES = (
    "/overview",
    "/pairs",
    "/pairs/0",
    "/failures",
    "/prompt?id={prompt}",
    "/calls?prompt={prompt}",
    "/live",
    "/compare",
    "/nothing",
)


@pytest.fixture(scope="module")
def prompt(client: TestClient) -> str:
    """A prompt's id."""
    return client.get("/pairs/0").text.partition('href="/prompt?id=')[2].partition('"')[0]


def test_no_text_of_a_run_is_markup(client: TestClient, prompt: str) -> None:
    for path in PAGES:
        if path == "/compare":
            continue  # there is no second run
        found = client.get(path.format(prompt=prompt))
        assert found.status_code == (404 if path == "/nothing" else 200), path
        assert "<script>document" not in found.text
        assert "<img" not in found.text
        assert "\u202e" not in found.text


@pytest.mark.model
def test_every_page_can_be_used_by_all(finished: Path, serve: Callable[..., str], tab: Page, prompt: str) -> None:
    tab.goto(serve(finished, finished))
    origin = tab.url.rpartition("/")[0]
    axe = Axe()
    for path in PAGES[:-1]:
        tab.goto(origin + path.format(prompt=prompt))
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            found = axe.run(tab)
            assert found.violations_count == 0, f"{path} {scheme}: {found.generate_report()}"
        for width in (360, 2560):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} at {width}"
        assert tab.title() != "ran"
