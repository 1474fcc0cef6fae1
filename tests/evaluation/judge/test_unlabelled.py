"""`solon evaluate judge` without labels, where judges share a bias."""

import json
from pathlib import Path

import numpy as np
import pytest

from critics.ranking.weights import read_weights
from tests.evaluation.judge.command_line import run


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Two judges who share the truth, four who share a bias, each asked in two ways; without labels."""
    rng = np.random.default_rng(0)
    truth, bias = rng.choice([-1.0, 1.0], (2, 120))
    rows = []
    for k in range(6):
        side = truth if k < 2 else bias
        leans = side + rng.normal(0, 0.8, 120)
        for method in ("plain", "cot"):
            for i, score in enumerate(leans + rng.normal(0, 0.2, 120)):
                for swapped in (False, True):
                    line = {"pair": f"p{i}", "judge": f"judge {k}", "method": method, "swapped": swapped}
                    rows.append(line | {"winner": 1 if score > 0 else 2})
    path = tmp_path / "bare.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_agreement_warns_where_judges_share_a_bias(bare: Path, tmp_path: Path) -> None:
    figures = tmp_path / "f.json"
    code, printed = run("--votes", bare, "--method", "agreement", "--json", figures)
    assert code == 0
    assert "warning: weights by agreement may be wrong: votes of one judge correlate" in printed
    assert "warning: weights by agreement may be wrong: judge" in printed
    assert len(json.loads(figures.read_text())["warnings"]) == 2


def test_agreement_by_judge_is_refused_where_judges_share_a_bias(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = tmp_path / "w.json"
    assert run("--votes", bare, "--method", "agreement_by_judge", "--fit", fit)[0] == 2
    said = capsys.readouterr().err
    assert (
        "judges share more than one thing, and agreement cannot tell which of them is the truth; label some pairs"
        in said
    )
    assert not fit.exists()
    code, printed = run("--votes", bare, "--method", "agreement_by_judge", "--fit", fit, "--without", "judge [01]")
    assert code == 0
    assert "fitted (agreement_by_judge)" in printed
    assert "warning" not in printed
    assert read_weights(fit).method == "agreement_by_judge"
