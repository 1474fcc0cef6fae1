"""Reading by the client: what pages say; and whole flows in a browser, by keys alone."""

import re
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from evaluation.diff import runs
from generation.output.run import open_run
from studio.data import difference
from studio.serving import open_studio
from studio.settings import StudioSettings
from tests.studio.conftest import bars, client_of, make_run

EDITED = """
name: hhh
version: 2
objectives: {harmlessness: 1.0}
principles:
  - {id: no-harmful-advice, objective: harmlessness, text: Be as brief as you can.}
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by another constitution over the same prompts."""
    folder = tmp_path_factory.mktemp("edited")
    (folder / "edited.yaml").write_text(EDITED)
    return make_run(folder, "edited", str(folder / "edited.yaml"))


def test_each_bar_leads_to_as_many_pairs_as_it_says(client: TestClient) -> None:
    text = client.get("/overview").text
    for title in ("p of the chosen response", "Pairs that a principle voted on", "Tag of the prompt", "Origin"):
        found = bars(text, title)
        assert found
        for said, href in found.items():
            count = said.rpartition(": ")[2]
            assert f'role="status">{count} of ' in client.get(href).text, (title, said)
    p = bars(text, "p of the chosen response")
    assert sum(int(said.rpartition(": ")[2]) for said in p) == 12


def test_a_pair_is_shown_down_to_what_the_judge_read(client: TestClient, finished: Path) -> None:
    pair = next(open_run(finished).pairs())
    text = client.get("/pairs/0").text
    for vote in pair.votes:
        assert vote.principle in text
        assert f"{vote.value:+.2f}" in text
        assert vote.method == "violation" or f"{vote.bias:+.2f}" in text
    link = unescape(next(found for found in re.findall(r'href="([^"]*)"', text) if found.startswith("/calls")))
    calls = client.get(link).text
    assert calls.count("<summary>compare") == 2 * len(pair.votes)  # in both orders
    assert unescape(calls).count(f"Question {pair.prompt[0].content.split()[1][:-1]}?") >= 2 * len(pair.votes)


def test_two_runs_are_read_once_before_they_are_shown(
    finished: Path, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(difference, "_found", {})
    monkeypatch.setattr(difference, "read_pairs", lambda run: read.append(run) or runs.read_pairs(run))
    opened = open_studio(StudioSettings(subject=finished, against=edited))
    assert opened.against is not None
    assert read == [finished, edited]
    both = client_of(finished, edited)
    for query in ("", "?kind=appeared", "?page=2"):
        assert both.get(f"/compare{query}").status_code == 200
    assert read == [finished, edited]


def test_what_flipped_and_why(finished: Path, edited: Path) -> None:
    text = client_of(finished, edited).get("/compare?kind=flipped").text
    flipped = int(re.findall(r"([\d,]+) flipped", text)[0])
    assert flipped == text.count('<section aria-label="Pair ')
    kept = int(re.findall(r"([\d,]+) kept", text)[0])
    assert kept + flipped <= 12
    assert flipped > 0  # the replay engine answers another question anew
    assert "voter that changed sides" in text
    both = client_of(finished, edited)
    links = re.findall(r'href="(/compare\?kind=flipped&amp;voter=[^"]*)" aria-label="(\d+) flipped', text)
    assert links
    for link, count in links:
        found = both.get(unescape(link)).text
        assert found.count('<section aria-label="Pair ') == int(count), "all are on one page"
        assert found.count("Moved most: ") == int(count)
    for kind in ("appeared", "disappeared"):
        assert client_of(finished, edited).get(f"/compare?kind={kind}").status_code == 200
    assert client_of(finished, edited).get("/compare?kind=x").status_code == 400
