"""What each view of the studio says of a run of the replay engine."""

from itertools import pairwise
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from generation.output.run import open_run
from tests.shown import assert_shown, words_of_page
from tests.studio.conftest import client_of, make_run

GOLDEN = Path(__file__).parent / "golden"
VIEWS = {
    "overview": "/overview",
    "pairs": "/pairs",
    "pairs_filtered": "/pairs?principle=quiet&tag=safe&sort=-against&longer_from=-50&size=20",
    "pairs_searched": "/pairs?q=kindly&sort=p&p_below=0.9",
    "pair": "/pairs/0",
    "another_pair": "/pairs/3",
    "failures": "/failures",
    "edit": "/edit",
    "review": "/review",
    "calls": "/calls?prompt={prompt}&voter=judge/compare/quiet",
    "prompt": "/prompt?id={prompt}",
}
LAWS = """
name: laws
version: 1
objectives: {good: 1.0, calm: 0.5}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: quiet, objective: calm, text: Be quiet., compare: Which reply is quieter?}
  - {id: short, objective: calm, text: Be short., check: {max_words: 8}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    (folder / "laws.yaml").write_text(LAWS)
    return make_run(folder, "run", str(folder / "laws.yaml"), "--set", "plan.principles=3")


@pytest.fixture(scope="module")
def client(run: Path, cache_of_all: Path) -> TestClient:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLON_CACHE", str(cache_of_all))
        return client_of(run)


@pytest.mark.parametrize("name", VIEWS)
def test_what_a_view_says(name: str, client: TestClient, run: Path) -> None:
    answer = client.get(VIEWS[name].format(prompt=next(iter(open_run(run).pairs())).prompt_id))
    assert answer.status_code == 200
    lines = words_of_page(answer.text)
    timeless = [line for before, line in pairwise(["", *lines]) if before != "seconds"]
    assert_shown(GOLDEN / f"{name}.txt", timeless, run.parent)


def test_what_two_runs_beside_each_other_say(run: Path, tmp_path: Path) -> None:
    (tmp_path / "laws.yaml").write_text(LAWS.replace("calm: 0.5", "calm: 4.0").replace("max_words: 8", "max_words: 3"))
    other = make_run(tmp_path, "other", str(tmp_path / "laws.yaml"), "--set", "plan.principles=3")
    answer = client_of(run, other).get("/compare")
    assert_shown(GOLDEN / "compare.txt", words_of_page(answer.text), run.parent)
