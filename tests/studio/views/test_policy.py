"""An evaluation of two policies, side by side."""

import json
import re
from pathlib import Path

from tests.studio.conftest import bars, client_of


def policy_file(path: Path, said: str = "") -> Path:
    """An evaluation."""
    one = {"value": 0.625, "low": 0.5, "high": 0.75}
    model = {"name": f"models/<b>a</b>{said}", "digest": "d"}
    example = {
        "why": "win",
        "prompt_id": "p1",
        "prompt": f"Why?{said}",
        "a": f"Because it is.{said}",
        "b": "Because.",
        "logit": 1.5,
        "votes": {f"judge/compare/kind{said}": 1.5},
    }
    outcomes = [{"prompt_id": f"p{i}", "logit": logit, "longer": i} for i, logit in enumerate((0.5, -2.0, 3.0))]
    body = {
        "a": model, "b": model, "base": model, "prompts": {"source": "x", "digest": "y", "count": 3, "compared": 3, "failed": 0}, "constitution": "c",
        "judges": {}, "win": {"raw": one, "probability": one, "principles": {"kind": one}}, "responses": {}, "failures": {}, "pairs": outcomes,
        "examples": [example], "calls": {"made": 1, "reused": 0},
    }  # fmt: skip
    path.write_text(json.dumps(body))
    return path


def test_two_policies_side_by_side(tmp_path: Path) -> None:
    client = client_of(policy_file(tmp_path / "policy.json"))
    text = client.get("/").text
    assert "models/&lt;b&gt;a&lt;/b&gt; (A)" in text
    assert text.count("62.5%") == 3
    assert "<ins>Because it is" in text
    for sort, order in {"win": [2, 0, 1], "loss": [1, 0, 2], "close": [0, 1, 2], "longer": [2, 1, 0]}.items():
        rows = client.get(f"/policy?sort={sort}").text.rpartition("<tbody>")[2]
        assert re.findall(r"<td>p(\d)</td>", rows) == [str(i) for i in order]
    for query in ("sort=x", "from=x", "below=nan", "page=0"):
        assert client.get(f"/policy?{query}").status_code == 400
    assert 'role="status">1 of 3.' in client.get("/policy?q=p2").text
    found = bars(text, "Log-odds for A")
    assert sum(int(said.rpartition(": ")[2]) for said in found) == 3
    for said, href in found.items():
        assert f'role="status">{said.rpartition(": ")[2]} of 3.' in client.get(href).text, said
    assert client.get("/pairs").status_code == 400
