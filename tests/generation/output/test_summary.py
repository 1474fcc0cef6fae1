"""What a run prints when it is done."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from constitution.principles import Constitution, Principle
from constitution.records import Message, PreferencePair, Prompt, Response, Vote
from generation.output.dataset import DatasetWriter
from generation.output.manifest import Calls, Controls, Cost, Digests, Manifest, Seconds, Tally, Tokens
from generation.output.records import Feedback
from generation.output.summary import CLIP, show
from generation.reasons import told

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0},
    principles=(Principle(id="kind", objective="good", text="Be kind."),),
)
LOG_ODDS = {"a": 0.5, "b": 2.0, "c": 1.0, "d": 3.0}


def pair(prompt: Prompt, log_odds: float, best: str) -> PreferencePair:
    good, bad = (
        Response(f"{prompt.id}/{text[:9]}", prompt.id, Message(role="assistant", content=text), "sampled", text)
        for text in (best, "no [b]idea[/b]")
    )
    votes = (Vote(prompt.id, good.id, bad.id, "kind", log_odds, -log_odds),)
    return PreferencePair(prompt.id, good, bad, log_odds, {"good": log_odds}, votes)


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    """Four prompts; that of `d` has two pairs, the less decided one last."""
    writer, tally = DatasetWriter(tmp_path, LAWS, "judge", 0.0, False), Tally()
    for name, log_odds in LOG_ODDS.items():
        asked = Prompt(id=name, messages=(Message(role="user", content=f"why {name}?"),))
        pairs = [pair(asked, log_odds, f"because {name} " + "x" * (CLIP if name == "c" else 0))]
        if name == "d":
            pairs.append(pair(asked, 2.9, "another answer"))
        outcome = Feedback(asked, tuple(r for p in pairs for r in (p.chosen, p.rejected)), pairs=tuple(pairs))
        writer.write(outcome)
        tally.add(outcome)
    digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
    return tally.manifest(
        Calls(made=1234, reused=5), Tokens(prompt=9, cached=2, completion=7), Seconds(wall=61.26, engine=0), writer.close(), digests
    )  # fmt: skip


def shown(manifest: Manifest, folder: Path) -> str:
    console = Console(file=io.StringIO(), width=120, record=True)
    show(manifest, folder, console)
    return console.export_text()


def cells(text: str) -> dict[str, str]:
    """Of the table of counts."""
    rows = (line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│"))
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def test_counts_calls_and_tokens_are_told(made: Manifest, tmp_path: Path) -> None:
    table = cells(shown(made, tmp_path))
    assert (table["prompts"], table["pairs"]) == ("4", "5")
    assert table["calls made / reused"] == "1,234 / 5"
    assert table["tokens prompt (cached) / completion"] == "9 (2) / 7"
    assert table["seconds"] == "61.3"
    assert not [name for name in table if name.startswith(("control", "cost", "dropped", "failed", "of the"))]


def test_what_only_some_runs_have_is_told_where_they_do(made: Manifest, tmp_path: Path) -> None:
    cost = Cost(amount=1234.5, currency="USD", models={"m": 1234.5}, unpriced=["other"], batched=0.25)
    more = {
        "controls": Controls(asked=8, right=7), "cost": cost, "dropped": {"tie": 3, "not_judged": 1}, "failed": {"empty": 2},
        "counts": made.counts.model_copy(update={"censored_votes": 2}),
        "calls": made.calls.model_copy(update={"unkept": 4}), "tokens": made.tokens.model_copy(update={"estimated": 6}),
    }  # fmt: skip
    table = cells(shown(made.model_copy(update=more), tmp_path))
    assert table["control pairs right (95% interval)"] == "7 of 8 (53% to 98%)"
    assert table["of the votes, bounds (a server's list did not hold both labels)"] == "2"
    assert table["cost of the calls made"] == "1,234.5000 USD"
    assert table["of it, by the batch API"] == "0.2500 USD"
    assert table["without a price: other"] == "not counted"
    assert [table[f"dropped: {told(reason)}"] for reason in ("tie", "not_judged")] == ["3", "1"]
    assert table[f"failed: {told('empty')}"] == "2"
    assert [name for name in table if name.startswith("paid calls") and table[name] == "4"]
    assert [name for name in table if name.startswith("of the tokens, estimated") and table[name] == "6"]


def test_the_most_decided_pair_of_each_of_three_prompts_is_shown(made: Manifest, tmp_path: Path) -> None:
    text = shown(made, tmp_path)
    titles = [line.split("─ ")[1].split(" ─")[0] for line in text.splitlines() if "example" in line]
    assert titles == [
        "example 1: p_chosen 0.953, sampled over sampled",  # 1 / (1 + exp(-3))
        "example 2: p_chosen 0.881, sampled over sampled",
        "example 3: p_chosen 0.731, sampled over sampled",
    ]
    for words in ("prompt   why d?", "chosen   because d", "rejected no [b]idea[/b]", "votes    kind"):
        assert words in text
    assert "another answer" not in text
    assert "because a" not in text


def test_a_long_response_is_cut_where_it_is_shown(made: Manifest, tmp_path: Path) -> None:
    text = shown(made, tmp_path)
    assert text.count("x" * 20) > 1
    assert "…" in text
    assert sum(line.count("x") for line in text.splitlines() if "xxxxx" in line) == CLIP - len("because c ")


def test_where_everything_lies_is_told(made: Manifest, tmp_path: Path) -> None:
    text = shown(made, tmp_path)
    assert f"datasets.load_dataset('{tmp_path}', 'preferences')" in text
    assert f"Report:  {tmp_path}/report.html" in text
