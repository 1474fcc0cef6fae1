"""`python -m evaluation audit`: the page, the numbers, the gate, the clean copy."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from constitution.loading import to_yaml
from evaluation.__main__ import main
from evaluation.audit.command import write_report
from evaluation.audit.measures import WORDS
from generation.config import RunConfig
from generation.output.files import write_sealed
from generation.output.folder import run_folder
from generation.output.manifest import Manifest
from generation.output.records import ControlOutcome, Feedback
from tests.evaluation.conftest import LAWS

Write = Callable[..., Manifest]
Make = Callable[..., Feedback]
HOSTILE = (
    "<script>alert(1)</script></style></div>{{7*7}}{% raw %}&#60;b\u202e\u200b\x1b[31m<img src=x onerror=alert(2)>"
)
SHOWN = (
    "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/style&gt;&lt;/div&gt;{{7*7}}{% raw %}&amp;#60;b[U+202E][U+200B][U+001B][31m"
    "&lt;img src=x onerror=alert(2)&gt;"
)


def audit(*arguments: str | Path) -> int:
    return main(["audit", *map(str, arguments)])


@pytest.fixture
def busy(tmp_path: Path, write_run: Write, outcome: Make, failed: Feedback) -> Path:
    """A run in which every section of the page has something to say."""
    outcomes = [
        outcome(
            i,
            f"Yes, response {i} clearly is so." if i % 3 else "I can't help with that.",
            f"Perhaps {i}.",
            revised=f"Response {i} is so." if i % 2 else None,
            tags=(("red-team",), ("safe",), ())[i % 3],
            text=f"Which of the {i} ways is the best way to do this?" if i < 12 else "",
            kind=(1.0 + i / 10, -0.5),
        )
        for i in range(24)
    ]
    outcomes[5] = outcome(
        5, HOSTILE, HOSTILE, revised=HOSTILE + " now", critique=HOSTILE, text=HOSTILE, quiet=(9.0, 8.0)
    )
    controls = [ControlOutcome("arithmetic", outcome(90 + i).votes, (), i > 0) for i in range(4)]
    write_run(tmp_path / "run", [*outcomes, failed], controls)
    return tmp_path / "run"


def test_the_page_has_every_section(busy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(busy) == 0
    page = (busy / "report.html").read_text()
    assert re.findall(r"<h2 id=\"([^\"]*)\"", page) == [
        "measures", "position", "judge-biases", "refusals", "how-sure-the-labels-are",
        "agreement-and-conflict", "objectives", "what-revision-changed", "manipulation-indicators", "control-pairs", "dropped-and-failed",
        "prompts", "pairs-to-read",
    ]  # fmt: skip
    assert page.count('<img src="data:image/svg+xml;base64,') == page.count("<figure>") == 15
    assert "25 prompts: 24 with pairs, 0 dropped, 1 failed." in " ".join(page.split())
    out = capsys.readouterr().out
    assert (
        "position_inconsistent: 50.0%, at most 30.0% wanted (votes in which the judge chose the same position in both orders, of 48)."
        in out
    )
    assert f"measures, 3 over their limits. {busy / 'report.html'}" in out
    assert page.count("<li><b>") == 3


def test_a_models_text_is_only_ever_text(busy: Path) -> None:
    write_report(busy, Manifest.model_validate_json((busy / "manifest.json").read_text()))
    page = (busy / "report.html").read_text()
    assert page.count(SHOWN) == 4  # prompt, chosen, rejected, critique; the diff has it in pieces
    assert (
        re.findall(r"<(?:script|iframe|object|embed|link|base|form|meta)\b[^>]*>", page)[0] == '<meta charset="utf-8">'
    )
    assert not re.search(r"<script|<iframe|<form|\son\w+=[\"']|javascript:", page)
    assert page.count("</style>") == 1
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b-\x1f]", page)
    assert "<del>&gt;</del><ins>&gt; now</ins>" in page


@pytest.mark.model
def test_a_huge_reply_makes_no_huge_page(tmp_path: Path, write_run: Write, outcome: Make) -> None:
    huge = "<b>word</b> " * 100_000
    write_run(tmp_path, [outcome(0, huge, "no", revised=huge + "!", critique=huge, text=huge)])
    assert audit(tmp_path) == 0
    assert len((tmp_path / "report.html").read_text()) < 1_500_000


@pytest.mark.model
def test_equal_runs_have_equal_pages(busy: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / busy.name
    shutil.copytree(busy, copy)
    assert audit(busy) == audit(copy) == 0
    assert (busy / "report.html").read_bytes() == (copy / "report.html").read_bytes()


def test_two_reports_are_told_apart(busy: Path) -> None:
    write_sealed(
        busy / "run.yaml",
        "constitution: {name: laws, digest: 0123456789abcdef}\nprompts: {source: p.jsonl, limit: 7}\npolicy: small <b>\njudge: ''\n"
        "plan: {samples: 3, rounds: 1, methods: [compare, score]}\npanel: [{name: second, model: large}]\ndate: '2026-01-02'\n",
    )
    assert audit(busy) == 0
    page = (busy / "report.html").read_text()
    os.utime(busy / "run.yaml", (0, 0))
    assert audit(busy) == 0
    assert (busy / "report.html").read_text() == page, "a run that was killed writes its settings again"
    assert "<title>run: audit</title>" in page
    assert "<h1>Audit of run</h1>" in page
    assert re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page) == [
        ("policy", "small &lt;b&gt;"),
        ("judge", "small &lt;b&gt;, large"),
        ("constitution", "laws (0123456789ab)"),
        ("prompts", "p.jsonl, the first 7"),
        ("methods", "compare, score"),
        ("settings", "samples 3, rounds 1"),
        ("begun", "2026-01-02"),
    ]


def test_failed_rows_are_listed_with_their_reasons(busy: Path) -> None:
    assert audit(busy) == 0
    page = " ".join((busy / "report.html").read_text().split())
    row = "<tr><td>failed</td><td>gone</td><td>sample: empty</td>"
    assert row in page
    assert "<td>dropped</td><td>gone</td><td>revise: unchanged</td>" in page


def test_hardly_any_values_are_not_drawn(tmp_path: Path, write_run: Write, outcome: Make) -> None:
    drawn = {}
    for size in (3, 10):
        write_run(tmp_path / str(size), [outcome(i, revised=f"Response {i}") for i in range(size)])
        assert audit(tmp_path / str(size)) == 0
        drawn[size] = set(
            re.findall("<figcaption>(.*?)</figcaption>", (tmp_path / str(size) / "report.html").read_text())
        )
    assert drawn[10] - drawn[3] == {
        "p_chosen of the pairs", "Log-odds of the pairs", "Length after over length before", "Words in common",
        "Agreement between voters", "The chosen response is the one that ...", "Whom each voter prefers",
    }  # fmt: skip
    assert "Responses that refuse" not in drawn[10], "nobody refuses anything"


def test_a_run_without_anything_has_a_page(tmp_path: Path, write_run: Write) -> None:
    write_run(tmp_path, [])
    assert audit(tmp_path, "--gate") == 0
    assert "No measure crosses its limit." in (tmp_path / "report.html").read_text()


def test_a_page_is_named_as_it_is_called(busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "[bold]my page.html"
    assert audit(busy, "--out", page) == 0
    assert page.is_file()
    assert "[bold]my page.html" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.model
def test_the_gate(busy: Path) -> None:
    assert audit(busy, "--gate") == 1
    loose = [f"--set={name}=1" for name in ("position_inconsistent", "length_bias", "confidence_bias", "duplicates")]
    assert audit(busy, "--gate", *loose, "--set=controls=0.8") == 0, "so few control pairs prove nothing"
    assert audit(busy, "--gate", *loose, "--set=controls=1") == 1


def test_the_numbers(busy: Path, tmp_path: Path) -> None:
    assert audit(busy, "--json", tmp_path / "n.json", "--out", tmp_path / "page.html") == 0
    assert not (busy / "report.html").exists()
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert list(numbers) == ["measures", "voters", "refusals", "objectives", "near_duplicates", "overlaps"]
    assert set(numbers["measures"]) < set(WORDS)
    position_inconsistent = numbers["measures"]["position_inconsistent"]
    assert (
        position_inconsistent["value"],
        position_inconsistent["of"],
        position_inconsistent["limit"],
        position_inconsistent["crossed"],
    ) == (0.5, 48, 0.3, True)
    assert position_inconsistent["low"] < 0.5 < position_inconsistent["high"]
    assert numbers["voters"]["short"]["position_inconsistent"] is None
    assert numbers["voters"]["kind"]["votes"] == 24
    assert {"objectives": ["calm", "good"], "of": 24, "one_wins_one_loses": 24} in numbers["objectives"]


@pytest.mark.model
def test_overlap_is_counted_and_cleaned_away(busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    against = tmp_path / "eval.jsonl"
    against.write_text('{"prompt": "question 15"}\n')
    (busy / "constitution.yaml").write_text(to_yaml(LAWS))
    run_folder(busy).claim(RunConfig().results())
    assert (
        audit(busy, "--against", against, "--json", tmp_path / "n.json", "--clean", tmp_path / "clean", "--gate") == 1
    )
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["overlaps"] == [{"prompt_id": "p15", "place": f"{against}:1", "containment": 1.0}]
    assert numbers["measures"]["overlap"]["of"] == 24
    out = capsys.readouterr().out
    assert "overlap: 4.2%, at most 0.0% wanted (prompts that are in an evaluation set, of 24)." in out
    assert audit(tmp_path / "clean", "--against", against, "--gate", "--set=overlap=0") == 1  # for its judge's biases
    assert "overlap: " not in capsys.readouterr().out
    note = json.loads((tmp_path / "clean" / "left-out.json").read_text())
    assert note["prompts"]["p15"] == f"is in {against}:1 (1.00)"
    assert f"p15</td><td>{against}:1</td>" in (busy / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN/none"], "none: is no folder; run the command that began it again"),
        (
            ["RUN", "--set", "position_inconsistnt=1"],
            "--set: position_inconsistnt: unknown key (did you mean position_inconsistent?); allowed: agreement_bias, ",
        ),
        (["RUN", "--against", "RUN/none"], "none: no such file or folder"),
        (["RUN", "--clean", "RUN/clean"], "is in the run itself; allowed: a new folder elsewhere"),
        (["RUN", "--out", "RUN/manifest.json/x"], "x: cannot be written (File exists); choose another file"),
    ],
)
def test_bad_input_is_said(busy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert audit(*(part.replace("RUN", str(busy)) for part in arguments)) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_run_is_said(busy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (busy / "responses.parquet").unlink()
    assert audit(busy) == 2
    assert "responses.parquet: is missing; run the `solon feedback` command" in capsys.readouterr().err
    (busy / "manifest.json").write_text("{}")
    assert audit(busy) == 2
    assert "was written by another version; run the `solon feedback` command" in capsys.readouterr().err


@pytest.mark.model
def test_a_runs_own_report_bounds_its_memory(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.audit.command.MOST_GRAMS", 20)
    monkeypatch.setattr("evaluation.audit.command.SAMPLE", 12)
    write_report(busy, Manifest.model_validate_json((busy / "manifest.json").read_text()))
    page = " ".join((busy / "report.html").read_text().split())
    assert re.search(
        r"<li>The run has \d+ prompts: this page counts .* about 12, .*<li>Near-duplicates are estimated.*<nav>", page
    )
    assert re.search(
        r"Of 24 prompts in the data, \d+ nearly repeat an earlier one. Near-duplicates are estimated", page
    )
    assert audit(busy) == 0
    page = " ".join((busy / "report.html").read_text().split())
    assert re.search(r"Of 24 prompts in the data, \d+ nearly repeat an earlier one. At most", page)


@pytest.mark.model
def test_links_that_go_in_circles_harm_nothing(busy: Path, tmp_path: Path) -> None:
    (busy / "report.html").unlink(missing_ok=True)
    (busy / "report.html").symlink_to(busy / "report.html")
    assert audit(busy, "--out", tmp_path / "page.html") == 0
    assert "<html" in (tmp_path / "page.html").read_text()
    assert audit(busy) == 0
    assert not (busy / "report.html").is_symlink()
