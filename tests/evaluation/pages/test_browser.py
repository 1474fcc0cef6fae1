"""A run's page in a real browser: no error, every plot seen, and what a model wrote is text."""

import json
from pathlib import Path

import pytest

import generate_feedback
from tests.evaluation import chromium

HOSTILE = "<script>document.title='ran';alert(1)</script></style><img src=x onerror=alert(2)>{{7*7}}&#60;b\u202eevil"
PROGRAM = chromium.find()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose responses are hostile."""
    folder = tmp_path_factory.mktemp("browser")
    rows = [
        {
            "prompt": f"{HOSTILE} {i}?",
            "responses": [f"First {i} {HOSTILE}", f"Second {HOSTILE}"],
            "tags": [["safe"], ["red-team"]][i % 2],
        }
        for i in range(12)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "run"
    arguments = ["--constitution", "principles/hhh.yaml", "--prompts", str(folder / "prompts.jsonl"), "--out", str(out)]
    assert generate_feedback.main([*arguments, "--engine", "replay", "--policy", "x"]) == 0
    return out / "report.html"


@pytest.mark.model
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")
def test_the_page_opens_and_nothing_in_it_runs(report: Path, tmp_path: Path) -> None:
    assert PROGRAM is not None
    with chromium.browser(PROGRAM, tmp_path / "profile") as page:
        page.open(report)
        images = page.evaluate(
            "[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])"
        )
        assert len(images) >= 8
        assert all(complete and natural > 0 and shown > 100 for complete, natural, shown in images)
        assert page.evaluate("document.title") == "run: audit"
        assert page.evaluate("document.scripts.length") == 0
        said = page.evaluate("[...document.querySelectorAll('.said')].map(e => e.textContent)")
        assert any(f"First {i} {HOSTILE}".replace("\u202e", "[U+202E]") in said for i in range(12))
        assert page.evaluate(
            "[...document.querySelectorAll('.said')].every(e => e.getBoundingClientRect().height > 10)"
        )
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.said')).whiteSpace") == "pre-wrap"
        )  # the style applies
        for width in (1200, 390):
            page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 800
            )
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            assert page.evaluate(
                "[...document.images].every(i => i.getBoundingClientRect().right <= window.innerWidth)"
            )
        found = {
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        }
        assert [event for event in page.events if event["method"] in found] == []
        asked = [
            event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
        ]
        assert [url for url in asked if not url.startswith("data:image/svg+xml;base64,")] == [report.as_uri()]


@pytest.mark.model
@pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed")
def test_the_browser_would_have_said_so(report: Path, tmp_path: Path) -> None:
    """The same page with the hostile text let in: its policy stops the script, and the browser says so."""
    assert PROGRAM is not None
    page_file = tmp_path / "report.html"
    page_file.write_text(
        report.read_text().replace("<main>", f"<main>{HOSTILE}<img src='https://example.invalid/x.png'>", 1)
    )
    with chromium.browser(PROGRAM, tmp_path / "profile") as page:
        page.open(page_file)
        assert page.evaluate("document.title") == "run: audit"
        said = [event["params"]["entry"]["text"] for event in page.events if event["method"] == "Log.entryAdded"]
        assert any("Content Security Policy" in text and "inline script" in text for text in said)
        assert any("Content Security Policy" in text and "https://example.invalid/x.png" in text for text in said)
