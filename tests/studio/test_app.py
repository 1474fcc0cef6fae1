"""The first page, by the client and in a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from starlette.testclient import TestClient


def test_pairs_are_listed(client: TestClient) -> None:
    found = client.get("/")
    assert found.status_code == 200
    assert "Question 1?" in found.text
    assert "<script>document" not in found.text


@pytest.mark.model
def test_a_browser_shows_them(finished: Path, serve: Callable[[Path], str], tab: Page) -> None:
    tab.goto(serve(finished))
    assert tab.title().startswith("Pairs")
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
