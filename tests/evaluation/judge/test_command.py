"""`python -m evaluation judge` on recorded votes: its table, its JSON, its page, its weights, and what it refuses."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from constitution.digest import file_digest
from critics.ranking.weights import read_weights
from evaluation.__main__ import main
from tests.evaluation.judge.command_line import run

PAIRS = 40
SKILL = {"good/plain": 0.9, "good/cot": 0.85, "wrong/plain": 0.15, "noise/plain": 0.5}


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four voters on forty pairs, in both orders; one line with a winner that we read otherwise."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(PAIRS):
        label = 1 + i % 2
        for voter, skill in SKILL.items():
            right = rng.random() < skill
            side = label if right else 3 - label
            for swapped in (False, True):
                place = side if not swapped else 3 - side
                name, method = voter.split("/")
                line = {"pair": f"pair {i}", "judge": name, "method": method, "swapped": swapped, "label": label}
                subset = "easy" if i < 20 else "hard"
                lines.append(
                    {**line, "subset": subset, "text": f"Output ({'ab'[place - 1]}) is better", "winner": side}
                )
    lines[0]["text"] = "<script>alert(1)</script> I [bold]cannot[/bold] say."
    path = tmp_path_factory.mktemp("judge") / "votes.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def written(votes: Path) -> tuple[dict[str, Any], str, str]:
    """The JSON, the page and the table of one evaluation, which also fits weights."""
    folder = votes.parent
    code, printed = run(
        "--votes", votes, "--json", folder / "out.json", "--page", folder / "deep" / "page.html", "--fit", folder / "w.json"
    )  # fmt: skip
    assert code == 0
    return json.loads((folder / "out.json").read_text()), (folder / "deep" / "page.html").read_text(), printed


@pytest.mark.model
def test_the_json_has_every_figure(written: tuple[dict[str, Any], str, str]) -> None:
    found = written[0]
    assert found["panel"] == "fitted (logistic), 10-fold cross-validated"
    assert found["accuracy"].keys() == {"value", "low", "high"}
    assert found["accuracy"]["low"] < found["accuracy"]["value"] < found["accuracy"]["high"]
    assert found["by_subset"].keys() == {"easy", "hard"}
    assert found["by_order"].keys() == {"better_first", "better_second"}
    assert found["baselines"].keys() == {"always_first", "majority_of_voters", "best_single_voter"}
    assert found["comparisons"].keys() == found["baselines"].keys()
    assert found["baselines"]["always_first"]["accuracy"]["value"] == 0.5
    pairs = {name: baseline["pairs"] for name, baseline in found["baselines"].items()}
    assert pairs == {"always_first": PAIRS, "majority_of_voters": PAIRS, "best_single_voter": PAIRS - 1}, (
        "one is unread"
    )
    assert 0 < found["calibration"]["expected"] < found["calibration"]["high"]
    assert len(found["pairs"]) == PAIRS
    assert {voter["name"] for voter in found["voters"]} == SKILL.keys()
    assert found["position_inconsistent"] == 0.0
    assert found["mean_bias"] == 0.0
    assert 0 < found["sequential"]["queried_share"] <= 1
    assert found["coverage"][-1] == [1.0, found["accuracy"]["value"]]
    assert sum(n for _, _, n in found["reliability"]) == PAIRS


def test_the_figures_agree_with_each_other(written: tuple[dict[str, Any], str, str]) -> None:
    found = written[0]
    right = sum((logit > 0) + 0.5 * (logit == 0) for logit in found["pairs"].values())
    assert found["accuracy"]["value"] == pytest.approx(right / PAIRS)
    parts = [found["by_subset"][name]["value"] for name in ("easy", "hard")]
    assert sum(parts) / 2 == pytest.approx(found["accuracy"]["value"]), "subsets of equal size"
    accuracy = {voter["name"]: voter["accuracy"]["value"] for voter in found["voters"]}
    best = found["baselines"]["best_single_voter"]
    assert best["accuracy"]["value"] == accuracy[best["voter"]] == max(accuracy.values())
    weight = {voter["name"]: voter["weight"] for voter in found["voters"]}
    assert weight["wrong/plain"] < 0 < weight["good/plain"]


def test_texts_read_otherwise_are_listed(written: tuple[dict[str, Any], str, str]) -> None:
    found, page, printed = written
    texts = 2 * PAIRS * len(SKILL)
    parsing = found["parsing"]
    assert (parsing["texts"], parsing["unread"], parsing["recorded"], parsing["agreed"]) == (texts, 1, texts, texts - 1)
    (differing,) = parsing["differing"]
    assert (differing["line"], differing["ours"]) == (1, "none")
    assert "of 320 with a recorded winner 319 are read alike (99.69%), 1 otherwise" in printed
    assert "line 1: none, recorded" in printed
    assert "I [bold]cannot[/bold] say." in printed, "a text is printed, not obeyed"
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_table_shows_the_panel_and_the_baselines(written: tuple[dict[str, Any], str, str]) -> None:
    printed = written[2]
    assert "40 pairs, 4 voters: fitted (logistic), 10-fold cross-validated" in printed
    for name in ("accuracy", "always first", "majority of voters", "best single voter", "subset easy", "good/plain"):
        assert name in printed
    assert "of a perfectly calibrated panel" in printed
    assert "calibration slope" in printed


def test_the_page_has_its_plots_and_needs_nothing(written: tuple[dict[str, Any], str, str]) -> None:
    page = written[1]
    for title in ("Reliability", "Accuracy against coverage", "Voters&#39; accuracy", "Accuracy by subset"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert page.count("data:image/svg+xml;base64,") == 7
    assert "<h3>Accuracy of voters by subset</h3>" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_fitted_weights_are_written_and_used(written: tuple[dict[str, Any], str, str], votes: Path) -> None:
    path = votes.parent / "w.json"
    weights = read_weights(path)
    assert weights.method == "logistic"
    assert weights.fitted_on.pairs == PAIRS
    assert weights.quality is not None
    assert weights.quality.accuracy.value == written[0]["accuracy"]["value"]
    assert weights.stopping is not None
    assert set(weights.stopping.order) == weights.voters.keys() == SKILL.keys()
    code, printed = run("--votes", votes, "--weights", path, "--json", votes.parent / "with.json")
    assert code == 0
    assert "weights of w.json (logistic), fitted on these same pairs: the figures are optimistic" in printed
    found = json.loads((votes.parent / "with.json").read_text())
    good, wrong = (weights.share(name, 1.0) for name in ("good/plain", "wrong/plain"))
    assert {v["name"]: v["weight"] for v in found["voters"]}["good/plain"] == pytest.approx(good)
    assert wrong < 0


@pytest.mark.parametrize("method", ["temperature", "agreement"])
def test_other_methods(votes: Path, method: str) -> None:
    path = votes.parent / f"{method}.json"
    code, printed = run("--votes", votes, "--method", method, "--fit", path, "--folds", 4)
    assert code == 0
    assert f"fitted ({method}), 4-fold cross-validated" in printed
    weights = read_weights(path)
    assert weights.method == method
    if method == "temperature":
        assert set(weights.voters.values()) == {0.25}


def test_voters_can_be_left_out(votes: Path) -> None:
    path = votes.parent / "without.json"
    assert run("--votes", votes, "--without", "^(wrong|noise)/", "--method", "temperature", "--json", path)[0] == 0
    assert {voter["name"] for voter in json.loads(path.read_text())["voters"]} == {"good/plain", "good/cot"}


def test_an_evaluation_is_tested_against_another(written: tuple[dict[str, Any], str, str], votes: Path) -> None:
    other = votes.parent / "noise.json"
    assert run("--votes", votes, "--without", "good|wrong", "--method", "temperature", "--json", other)[0] == 0
    path = votes.parent / "versus.json"
    code, printed = run("--votes", votes, "--versus", other, "--json", path, "--method", "temperature")
    assert code == 0
    assert "versus noise.json" in printed
    test = json.loads(path.read_text())["comparisons"]["versus noise.json"]
    logits = [json.loads(file.read_text())["pairs"] for file in (path, other)]
    decided = [name for name in logits[0] if logits[0][name] and logits[1][name]]
    assert test["pairs"] == len(decided)
    assert test["only_panel"] == sum(logits[0][name] > 0 > logits[1][name] for name in decided)


def test_what_the_pairs_file_knows_is_reported(votes: Path) -> None:
    labelled = votes.parent / "labelled.jsonl"
    rows = [
        {"id": f"pair {i}", "subset": f"s{i % 3}", "prompt": f"Q{i}", "chosen": "yes it is", "rejected": "no"}
        for i in range(PAIRS)
    ]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = votes.parent / "subsets.json"
    code, _ = run("--votes", votes, "--subsets", labelled, "--method", "temperature", "--json", path)
    assert code == 0
    found = json.loads(path.read_text())
    assert found["by_subset"].keys() == {"s0", "s1", "s2"}
    assert found["baselines"]["longer_reply"]["accuracy"]["value"] == 1.0


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(*arguments)[0] == 2
    return capsys.readouterr().err


def test_every_wrong_option_is_named(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(
        capsys, "--votes", votes, "--folds", 1, "--early-stop-error", 0.7, "--min-log-odds", -1, "--without", "(", "--weights", "w", "--fit", "f"
    )  # fmt: skip
    assert "--folds: got '1'; allowed: at least 2" in said
    assert "--early-stop-error: got '0.7'; allowed: less than 0.5" in said
    assert "--min-log-odds: got '-1'; allowed: at least 0" in said
    assert "--without: got '(', which is not a regular expression" in said
    assert "--fit: writes new weights, --weights evaluates given ones; give one of the two" in said


@pytest.mark.usefixtures("written")
def test_too_few_pairs_to_fit_on(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = votes.parent / "few.jsonl"
    few.write_text("".join(votes.read_text().splitlines(keepends=True)[: 9 * 8]))
    said = refused(capsys, "--votes", few)
    assert "9 different prompts are too few to fit weights on; allowed: 10 or more; add labelled pairs, or" in said
    assert run("--votes", few, "--weights", votes.parent / "w.json")[0] == 0, "given weights need no fit"


@pytest.mark.usefixtures("written")
def test_other_refusals(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--without '.': leaves no voter to evaluate; voters: good/cot, " in refused(
        capsys, "--votes", votes, "--without", "."
    )
    assert "--subsets: describes the pairs of --votes" in refused(capsys, "--data", votes, "--subsets", votes)
    assert "is not an evaluation" in refused(capsys, "--votes", votes, "--method", "temperature", "--versus", votes)
    assert "cannot be written" in refused(
        capsys, "--votes", votes, "--method", "temperature", "--json", votes / "out.json"
    )
    others = votes.parent / "others.json"
    panel = json.loads((votes.parent / "w.json").read_text())
    others.write_text(json.dumps(panel | {"voters": {"nobody": 1.0}}))
    said = refused(capsys, "--votes", votes, "--weights", others)
    assert "others.json: has weights for nobody, ..., and for none of the voters here: good/cot, " in said
    empty = votes.parent / "empty.json"
    empty.write_text(json.dumps({"data": [file_digest(votes)], "pairs": {"another pair": 1.0}}))
    assert "shares no decided pair with" in refused(
        capsys, "--votes", votes, "--method", "temperature", "--versus", empty
    )


def rows_of(path: Path, count: int = 10_000, **changes: object) -> list[dict[str, Any]]:
    """The first lines of a file of votes, changed."""
    return [json.loads(line) | changes for line in path.read_text().splitlines()[:count]]


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_agreement_needs_no_labels(votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = save(tmp_path / "bare.jsonl", [{k: v for k, v in row.items() if k != "label"} for row in rows_of(votes)])
    fit, figures = tmp_path / "w.json", tmp_path / "f.json"
    code, printed = run("--votes", bare, "--method", "agreement", "--fit", fit, "--json", figures)
    assert code == 0
    assert "40 pairs without labels, 4 voters: fitted (agreement)" in printed
    assert "accuracy" not in printed
    found = json.loads(figures.read_text())
    assert found["failures"] == {}
    assert "accuracy" not in found
    voters = {voter["name"]: voter for voter in found["voters"]}
    assert voters["wrong/plain"]["weight"] < 0 < voters["good/plain"]["weight"]
    assert voters["wrong/plain"]["agreement"]["value"] < 0.5 < voters["good/plain"]["agreement"]["value"]
    assert "quality" not in json.loads(fit.read_text())
    with_labels = tmp_path / "labelled.json"
    assert run("--votes", votes, "--method", "agreement", "--fit", with_labels)[0] == 0
    assert read_weights(fit).voters == pytest.approx(read_weights(with_labels).voters), "labels change nothing in it"
    assert (
        "bare.jsonl:1: label: is missing; allowed: 1 or 2, or none in the whole file with a --method of agreement"
        in (refused(capsys, "--votes", bare))
    )
    mixed = save(tmp_path / "mixed.jsonl", rows_of(votes, 80) + rows_of(bare)[80:])
    assert "mixed.jsonl:81: label: is missing" in refused(capsys, "--votes", mixed, "--method", "agreement")


def test_voters_with_one_order_are_left_out_and_counted(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = [row for row in rows_of(votes) if row["judge"] != "good" or not row["swapped"]]
    figures = tmp_path / "f.json"
    code, printed = run("--votes", save(tmp_path / "one.jsonl", one), "--method", "temperature", "--json", figures)
    assert code == 0
    assert "missing: voters asked in one order only 2" in printed
    assert {voter["name"] for voter in json.loads(figures.read_text())["voters"]} == {"wrong/plain", "noise/plain"}
    all_one = save(tmp_path / "all.jsonl", [row for row in rows_of(votes) if not row["swapped"]])
    assert "all.jsonl: swapped: no voter has a verdict on a pair in both orders; allowed: true and false" in refused(
        capsys, "--votes", all_one
    )


@pytest.mark.usefixtures("written")
def test_another_evaluation_is_of_the_same_data(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save(tmp_path / "other.jsonl", rows_of(votes, subset="same names, other pairs"))
    said = refused(
        capsys, "--votes", other, "--method", "temperature", "--versus", votes.parent / "out.json"
    )  # fmt: skip
    assert f"out.json: data: is of other files ({file_digest(votes)[:12]}) than this evaluation" in said
    assert "allowed: one of the same --data, --votes or --subsets; evaluate one file twice" in said


def test_recorded_votes_take_no_option_of_a_live_panel(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(
        capsys, "--votes", votes, "--judge", "x", "--set", "prompts_in_flight=1", "--reuse", "run", "--limit", 3
    )
    assert (
        "--votes: recorded votes are read as they are; only a panel that is asked about --data takes --judge, --set, --reuse, --limit"
        in said
    )
    assert "--limit: got '0'; allowed: at least 1" in refused(capsys, "--data", votes, "--limit", 0)


@pytest.mark.model
def test_winners_in_listed_order_are_told_and_read(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(votes)[1:]
    for line in rows:
        line["winner"] = 3 - line["winner"] if line["swapped"] else line["winner"]
    path, figures, page = save(tmp_path / "v.jsonl", rows), tmp_path / "f.json", tmp_path / "p.html"
    arguments = ("--votes", path, "--method", "temperature", "--json", figures, "--page", page)
    _, printed = run(*arguments)
    said = "`winner` goes with 100.0% of the texts when it means the place as listed to the judge"
    assert f"warning: {said}" in printed
    assert json.loads(figures.read_text())["warnings"][0].startswith(said)
    assert said in page.read_text()
    _, printed = run(*arguments, "--winner", "listed")
    assert "warning" not in printed
    assert "319 are read alike (100.00%), 0 otherwise" in printed
    assert "--winner: got 'listed', which is read only where --votes is given; leave it out" in refused(
        capsys, "--data", path, "--constitution", "hhh", "--winner", "listed"
    )


def test_something_must_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--votes: is missing; give --data, labelled pairs to ask a panel about, or --votes" in refused(capsys)


def labelled_pairs(path: Path) -> Path:
    rows = [{"prompt": f"Q{i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(12)]
    return save(path, rows)


def test_a_judge_that_stays_unavailable_gives_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = "endpoints=[{url: 'http://127.0.0.1:9', attempts: 1}]"
    code, _ = run(
        "--data", labelled_pairs(tmp_path / "l.jsonl"), "--constitution", "principles/hhh.yaml", "--engine", "endpoint",
        "--set", server, "--fit", tmp_path / "w.json", "--out", tmp_path / "calls",
    )  # fmt: skip
    assert code == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'calls'}: incomplete, a model is unavailable: endpoint http://127.0.0.1:9" in said
    assert not (tmp_path / "w.json").exists()


def test_names_and_texts_move_no_cursor(votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(votes)
    evil = "\x1b[2J\u202egood\n\x9b"
    for row in rows:
        row["judge"] = evil if row["judge"] == "good" else row["judge"]
        row["subset"] = evil + row["subset"]
    rows[0]["text"] = evil
    _, printed = run("--votes", save(tmp_path / "v.jsonl", rows), "--method", "temperature")
    assert "�[2J�good �/plain" in printed
    assert "subset �[2J�good �easy" in printed
    assert not {"\x1b", "\u202e", "\x9b"} & set(printed)
    said = refused(capsys, "--votes", save(tmp_path / "v.jsonl", [rows[1] | {"\x1b[2Jkey": 1}]))
    assert "v.jsonl: columns not read: �[2Jkey" in said


def test_voters_are_read_at_eighty_columns(votes: Path) -> None:
    console = Console(width=80, file=io.StringIO(), soft_wrap=True)
    assert main(["judge", "--votes", str(votes), "--method", "temperature"], console=console) == 0
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    place = lines.index("  good/plain")
    assert len(lines[place + 1].split()) == 7
    assert max(map(len, lines[place : place + 2])) <= 80
    assert any("early stopping: share of voters queried" in line for line in lines)
