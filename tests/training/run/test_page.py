"""The page of a training run shows all that was logged, as text."""

import math
import re
from pathlib import Path

import pytest

from training.run.metrics import Metrics
from training.run.page import POINTS, thinned, write_page


def page(folder: Path, *warnings: str) -> str:
    write_page(folder, warnings)
    return (folder / "training.html").read_text()


def cells(html: str, first: str) -> list[str]:
    """Of the table row that begins with a text."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>.*</tr>", html)]
    (found,) = [row for row in rows if row and row[0] == first]
    return found


def test_the_page_of_a_run(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.write(0, {"kept": 1200, "dropped: prompt too long": 7}, "data")
    for step, loss in ((1, 0.7), (2, 0.2), (3, math.nan), (4, 0.5)):
        metrics.write(step, {"loss": loss, "logp_chosen": -step, "logp_rejected": -2 * step, "mine.a": 1, "mine.b": 2})
    metrics.write(4, {"loss": 0.6}, "eval")
    metrics.warn(3, "step 3: loss is nan")
    (tmp_path / "training.yaml").write_text("lr: 1.0e-05\nlora: {r: 8, targets: [q, v]}\nnothing:\n")
    html = page(tmp_path, "from outside")
    assert re.findall(r"<li>(.*?)</li>", html) == ["from outside", "Step 3: loss is nan"]
    assert "5 logged rows, up to step 4." in html
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", html) == ["Values", "Loss", "Preference", "Other", "Data", "Settings"]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", html) == [
        "loss",
        "Log-probability of chosen and rejected",
        "mine",
    ]
    alts = re.findall(r'alt="([^"]*)"', html)
    assert alts[0] == "loss: loss (train) from 0.7 to 0.5, loss (eval) from 0.6 to 0.6"
    assert alts[1].endswith("logp_chosen (train) from -1 to -4, logp_rejected (train) from -2 to -8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>.*</tr>", html)]
    assert [row[:2] + row[4:] for row in rows if row and row[0] == "loss"] == [
        ["loss", "train", "0.7", "0.5", "0.2", "2", "1"],
        ["loss", "eval", "0.6", "0.6", "0.6", "4", ""],
    ]
    assert cells(html, "logp_rejected")[4:] == ["-2", "-8", "", "", ""]
    assert cells(html, "kept") == ["kept", "1,200"]
    assert cells(html, "dropped: prompt too long") == ["dropped: prompt too long", "7"]
    assert [cells(html, name)[1] for name in ("lr", "lora.r", "lora.targets", "nothing")] == ["1e-05", "8", "[&#39;q&#39;, &#39;v&#39;]", ""]  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1])
def test_a_page_of_hardly_anything(tmp_path: Path, rows: int) -> None:
    if rows:
        Metrics(tmp_path).write(1, {"loss": math.nan, "lr": 1})
    html = page(tmp_path)
    assert f"{rows} logged rows, up to step {rows}." in html
    assert ("No health check failed." in html) == bool(rows)
    assert html.count("<figure>") == 2 * rows


def test_texts_are_never_markup(tmp_path: Path) -> None:
    bad = "<script>alert(1)<script>"
    folder = tmp_path / bad
    folder.mkdir()
    metrics = Metrics(folder)
    metrics.write(1, {bad: 1}, bad)
    metrics.warn(1, bad)
    (folder / "training.yaml").write_text(f'"{bad}": "{bad}\\u202e"\n')
    html = page(folder, bad)
    assert "<script" not in html
    assert "[U+202E]" in html
    assert html.count("&lt;script&gt;alert(1)&lt;script&gt;") >= 9


def test_long_curves_are_thinned_and_keep_both_ends(tmp_path: Path) -> None:
    points = [(float(i), 0.0) for i in range(POINTS * 3 + 1)]
    kept = thinned(points)
    assert len(kept) == POINTS
    assert len(set(kept)) == POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert thinned(points[:POINTS]) == points[:POINTS]
    metrics, sizes = Metrics(tmp_path), []
    for step in range(1, POINTS * 8 + 1):
        metrics.write(step, {"loss": step % 7})
        if step in (POINTS, POINTS * 8):
            sizes.append(len(page(tmp_path)))
    assert sizes[1] < 1.2 * sizes[0]
