"""`solon evaluate judge --max-error`: what is written and shown, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from constitution.digest import digest
from critics.ranking.accept import read_acceptance
from critics.ranking.weights import read_weights
from tests.evaluation.judge.command_line import run

PAIRS = 40


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voter that is always right and a random one on forty pairs, in both orders."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(PAIRS):
        label = 1 + i % 2
        for judge, skill in {"good": 1.0, "noise": 0.5}.items():
            side = label if rng.random() < skill else 3 - label
            for swapped in (False, True):
                named = "A" if (side == 1) != swapped else "B"
                subset = "easy" if i < PAIRS / 2 else "hard"
                line = {"pair": f"pair {i}", "judge": judge, "swapped": swapped, "label": label, "subset": subset}
                lines.append({**line, "text": f"Output ({named.lower()}) is better"})
    path = tmp_path_factory.mktemp("judge") / "votes.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.model
def test_an_error_is_stated_with_what_it_rests_on(votes: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("accept.json", "page.html", "out.json", "weights.json")]
    accept, page, out, weights = paths
    code, printed = run(
        "--votes", votes, "--max-error", 0.1, "--confidence", 0.8, "--accept", accept, "--page", page, "--json", out,
        "--fit", weights,
    )  # fmt: skip
    assert code == 0
    kept = read_acceptance(accept)
    assert (kept.max_error, kept.confidence, kept.test) == (0.1, 0.8, "mid-p")
    assert kept.weights == digest(read_weights(weights).model_dump_json())
    assert kept.labels == kept.prompts == PAIRS
    assert kept.steps[0].accepted >= 0.5 * PAIRS
    assert 0.3 < kept.kinds["subset easy"].all < 0.7
    assert json.loads(out.read_text())["acceptance"] == json.loads(accept.read_text())
    for text in (printed, page.read_text()):
        assert "With about 80% confidence" in text
        assert "what acceptance selects" in text.lower()
    exact = tmp_path / "exact.json"
    assert run("--votes", votes, "--max-error", 0.1, "--confidence", 0.8, "--exact", "--accept", exact)[0] == 0
    assert read_acceptance(exact).test == "exact"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--confidence", 0.9], "is read only where --max-error is given"),
        (["--accept", "a.json"], "is read only where --max-error is given"),
        (["--max-error", 0.1, "--exact"], "is read only where --confidence is given"),
        (["--max-error", 0.7], "max-error"),
    ],
)
def test_what_states_no_error_is_refused(
    votes: Path, arguments: list[object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--votes", votes, *arguments)[0] == 2
    assert words in capsys.readouterr().err


@pytest.mark.model
def test_an_error_needs_labels_and_a_run_needs_the_weights(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in votes.read_text().splitlines()]
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "label"}) + "\n" for line in lines))
    assert run("--votes", bare, "--method", "agreement", "--max-error", 0.1)[0] == 2
    assert "without labels no error can be stated" in capsys.readouterr().err
    assert run("--data", votes, "--max-error", 0.1, "--accept", tmp_path / "a.json")[0] == 2
    assert "add --fit FILE" in capsys.readouterr().err
    weights = tmp_path / "w.json"
    assert run("--votes", votes, "--fit", weights)[0] == 0
    assert run("--votes", votes, "--weights", weights, "--max-error", 0.1)[0] == 2
    assert "was fitted on these same pairs" in capsys.readouterr().err
