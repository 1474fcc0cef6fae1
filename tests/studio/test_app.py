"""Every page, by the client."""

import pytest
from starlette.testclient import TestClient

PAGES = (
    "/overview",
    "/pairs",
    "/failures",
    "/live",
    "/compare",
    "/pairs/0",
    "/prompt?id={prompt}",
    "/calls?prompt={prompt}",
)
"""Of a finished run, with a second one beside it."""


@pytest.fixture(scope="module")
def prompt(client: TestClient) -> str:
    """A prompt's id."""
    return client.get("/pairs/0").text.partition('href="/prompt?id=')[2].partition('"')[0]


def test_no_text_of_a_run_is_markup(client: TestClient, prompt: str) -> None:
    for path in (*PAGES, "/nothing"):
        if path == "/compare":
            continue  # there is no second run
        found = client.get(path.format(prompt=prompt))
        assert found.status_code == (404 if path == "/nothing" else 200), path
        assert "<script>document" not in found.text
        assert "<img" not in found.text
        assert "\u202e" not in found.text
