"""Two runs side by side."""

import asyncio
import math
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from constitution.errors import UserError
from constitution.principles import Constitution, Principle
from constitution.records import Message, PreferencePair, Prompt, Response, Vote
from evaluation.__main__ import main
from evaluation.diff.command import show
from evaluation.diff.runs import PairKey, PairSide, compare_runs, read_pairs
from generation.output.dataset import DatasetWriter
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from generation.output.records import Feedback
from generation.pipeline.job import prepare, produce
from generation.request import FeedbackSettings


def side(chosen: str, p: float, **votes: float) -> PairSide:
    return PairSide("p", chosen, f"{chosen}-id", "other-id", p, votes)


KEYS = [PairKey("p", frozenset(("x", str(i)))) for i in range(4)]


def test_pairs_flip_appear_and_go() -> None:
    a = {KEYS[0]: side("x", 0.7, kind=1.0, brief=0.5), KEYS[1]: side("x", 0.6, kind=0.2), KEYS[2]: side("x", 0.9)}
    b = {
        KEYS[0]: side("0", 0.8, kind=1.5, brief=-0.5),
        KEYS[1]: side("x", 0.6, kind=0.3, new=1.0),
        KEYS[3]: side("x", 0.6),
    }
    diff = compare_runs(a.items(), b.items())
    assert (diff.kept, len(diff.flipped), len(diff.appeared), len(diff.disappeared)) == (1, 1, 1, 1)
    kind, brief, new = (diff.voters[name] for name in ("kind", "brief", "new"))
    # kind: 1.0 for x became 1.5 for the other, so -1.5 for x; 0.2 became 0.3
    assert (kind.both, kind.turned, kind.flips) == (2, 1, 1)
    assert kind.mean_move == pytest.approx((2.5 + 0.1) / 2)
    # brief was 0.5 for x and is still 0.5 for x: it did not turn, though the pair did
    assert (brief.both, brief.turned, brief.flips, brief.moved) == (1, 0, 0, 0.0)
    assert (new.only_b, new.only_a, new.both) == (1, 0, 0)


def test_the_order_of_a_run_says_nothing() -> None:
    a = [(key, side("x", 0.7, kind=float(i + 1))) for i, key in enumerate(KEYS)]
    b = [(key, side("x" if i % 2 else str(i), 0.7, kind=1.0)) for i, key in enumerate(KEYS[:3])]
    found = compare_runs(a, b)
    assert [len(found.flipped), found.kept, len(found.disappeared), len(found.appeared)] == [2, 1, 1, 0]
    for one, other in ((a, b[::-1]), (a[::-1], b)):
        turned = compare_runs(one, other)
        assert turned.voters == found.voters
        assert sorted(turned.flipped, key=str) == sorted(found.flipped, key=str)
        assert (turned.kept, turned.disappeared) == (found.kept, found.disappeared)


def test_a_folder_that_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"is no finished run \(no manifest.json\); run the command that began it again"
    ):
        read_pairs(tmp_path)


def run(folder: Path, name: str, compare: str) -> Path:
    laws = {
        "name": "laws", "version": 1, "objectives": {"good": 1.0},
        "principles": [{"id": "kind", "objective": "good", "text": "Be kind.", "compare": compare}],
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(laws))
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "Question {i}?"}}\n' for i in range(30)))
    settings = FeedbackSettings(
        constitution=folder / f"{name}.yaml",
        prompts=str(folder / "p.jsonl"),
        out=folder / name,
        engine="replay",
        overrides=("plan.rounds=0",),
        reuse=(folder / "a",) if name != "a" else (),
    )
    job = prepare(settings)
    assert asyncio.run(produce(job)) is not None
    return folder / name


def test_the_command_shows_what_an_edit_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run(tmp_path, "a", "Which is kinder?"), run(tmp_path, "b", "Which response is the kinder one?")
    assert main(["diff", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    diff = compare_runs(read_pairs(a), read_pairs(b))
    assert diff.kept + len(diff.flipped) == 30
    assert diff.flipped
    assert f"{diff.kept} pairs kept, {len(diff.flipped)} flipped, 0 appeared, 0 disappeared" in out
    assert "kind" in out


def test_the_same_run_has_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = run(tmp_path, "a", "Which is kinder?")
    assert main(["diff", str(a), str(a)]) == 0
    assert "30 pairs kept, 0 flipped" in capsys.readouterr().out
    assert main(["diff", str(a), str(tmp_path / "none")]) == 2


def test_names_of_a_run_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = side("x\x1b[2J", 0.7, **{"k\x1b[2J[bold]": 1.0}), side("y", 0.7, **{"k\x1b[2J[bold]": -1.0})
    show(compare_runs([(KEYS[0], old), (KEYS[1], old)], [(KEYS[0], new)]), 9, Console(width=160))
    said = capsys.readouterr().out
    assert "x�[2J-id > other-id" in said
    assert "k�[2J[bold]" in said
    assert "\x1b" not in said


def test_a_run_that_asks_for_tools_has_the_same_pairs_as_one_that_does_not(tmp_path: Path) -> None:
    """Its files have more columns of messages."""
    plain, tools = (write_run(tmp_path / name, with_tools) for name, with_tools in (("plain", False), ("tools", True)))
    (a,), (b,) = read_pairs(plain), read_pairs(tools)
    assert a == b
    assert (a[1].chosen_id, a[1].rejected_id, a[1].p_chosen) == ("p/s0", "p/s1", 1 / (1 + math.exp(-0.7)))
    assert a[1].votes == {"judge/compare/kind": 0.75}


def write_run(folder: Path, tools: bool) -> Path:
    kind = Principle(id="kind", objective="good", text="Be kind.")
    laws = Constitution(name="laws", version=1, objectives={"good": 1.0}, principles=(kind,))
    writer = DatasetWriter(folder, laws, "judge", 0.0, tools)
    prompt = Prompt(id="p", messages=(Message(role="user", content="Why?"),))
    a, b = (Response(f"p/s{i}", "p", Message(role="assistant", content=f"{i}"), "sampled", "") for i in range(2))
    votes = (Vote("p", a.id, b.id, "kind", 1.0, -0.5),)
    writer.write(Feedback(prompt, (a, b), votes=votes, pairs=(PreferencePair("p", a, b, 0.7, {"good": 0.7}, votes),)))
    spent = Calls(made=0, reused=0), Tokens(prompt=0, cached=0, completion=0), Seconds(wall=0, engine=0)
    digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
    Tally().manifest(*spent, writer.close(), digests).write(folder)
    return folder
