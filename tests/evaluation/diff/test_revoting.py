"""An edit counted anew is what a run under it makes of the same calls."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import solon
from evaluation.__main__ import main
from evaluation.diff.ballots import config_of, read_ballots
from evaluation.diff.revoting import Effect, Recount
from evaluation.diff.runs import compare_runs, read_pairs
from generation.output.manifest import Manifest
from generation.output.run import open_run
from tests.calling import call, calling_run, rule

LAWS: dict[str, Any] = {
    "name": "laws",
    "version": 1,
    "objectives": {"good": 1.0, "form": 0.5},
    "principles": [
        {"id": "kind", "objective": "good", "text": "Be kind."},
        {"id": "true", "objective": "good", "text": "Say what is true.", "ask": "Is it true?"},
        {"id": "safe", "objective": "good", "text": "Be safe.", "veto": True},
        {"id": "brief", "objective": "form", "text": "Be brief.", "check": {"max_words": 6}},
    ],
}
PLAN = {
    "samples": 2,
    "rounds": 0,
    "controls": 0,
    "methods": ["compare", "yesno"],
    "pairs": "all_pairs",
    "principles": 9,
}


def edited(**edits: dict[str, Any] | None) -> dict[str, Any]:
    """LAWS with fields of principles set; None takes one out."""
    principles = [
        {**one, **(edits.get(one["id"]) or {})} for one in LAWS["principles"] if edits.get(one["id"], {}) is not None
    ]
    return {**LAWS, "principles": principles}


def made(folder: Path, laws: dict[str, Any], name: str, *reuse: Path, **plan: object) -> Manifest:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(laws))
    prompts = [{"id": f"p{i}", "prompt": f"Say something about {i}."} for i in range(40)]
    making = solon.generate_feedback(
        str(folder / f"{name}.yaml"), prompts, folder / name, engine="replay", policy="model", report=False,
        plan={**PLAN, **plan}, reuse=reuse,
    )  # fmt: skip
    solon.run_sync(making)
    return open_run(folder / name).manifest


@pytest.fixture(scope="module", params=[2, 3])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("revoting")
    more = {"samples": 3, "pairs": "best_worst"} if request.param == 3 else {}
    made(folder, LAWS, "run", **more)
    return folder / "run"


def as_sets(effect: Effect) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {"flipped": set(), "appeared": set(), "gone": set()}
    for one in effect.moved:
        found[one.kind].add((one.first, one.second))
    return found


EDITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "weight": (edited(kind={"weight": 7.5}), {}),
    "objectives": ({**LAWS, "objectives": {"good": 0.1, "form": 3.0}}, {}),
    "no veto": (edited(safe={"veto": False}), {}),
    "rule": (edited(brief={"check": {"max_words": 12}}), {}),
    "answer": (edited(true={"good_answer": "no"}), {}),
    "out": (edited(true=None), {}),
    "threshold": (LAWS, {"min_log_odds": 0.4}),
    "both": (edited(kind={"weight": 0.2}), {"min_log_odds": 0.3}),
}


@pytest.mark.model
@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_changes_is_what_a_run_under_it_changes(run: Path, name: str, tmp_path: Path) -> None:
    laws, plan = EDITS[name]
    recount = Recount(read_ballots(open_run(run)))
    own = config_of(run).plan
    (tmp_path / "edited.yaml").write_text(yaml.safe_dump(laws))
    effect = recount.effect(solon.load_constitution(tmp_path / "edited.yaml"), own.model_copy(update=plan))
    more = {"samples": own.samples, "pairs": own.pairs}
    after = made(tmp_path, laws, "after", run, **more, **plan)
    vetoed = "veto" in name  # its pairs were settled before the others were asked
    assert vetoed or after.calls.made == 0
    if vetoed:
        assert effect.unasked
        return
    diff = compare_runs(read_pairs(run), read_pairs(tmp_path / "after"))
    assert as_sets(effect) == {
        "flipped": {(old.chosen_id, old.rejected_id) for old, _ in diff.flipped},
        "appeared": {(side.chosen_id, side.rejected_id) for side in diff.appeared},
        "gone": {(side.chosen_id, side.rejected_id) for side in diff.disappeared},
    }
    assert effect.kept == diff.kept
    assert effect.moved, "an edit that changes nothing shows nothing"
    assert not effect.unasked


@pytest.mark.model
def test_nothing_changes_without_an_edit_and_a_changed_text_is_unasked(run: Path, tmp_path: Path) -> None:
    ballots = read_ballots(open_run(run))
    recount = Recount(ballots)
    same = recount.effect(ballots.constitution)
    assert (same.moved, same.unasked) == ([], {})
    assert same.kept == open_run(run).manifest.counts.pairs
    (tmp_path / "edited.yaml").write_text(yaml.safe_dump(edited(kind={"text": "Be much kinder."})))
    effect = recount.effect(solon.load_constitution(tmp_path / "edited.yaml"))
    voted = {(v.prompt_id, v.a, v.b) for v in open_run(run).votes() if v.principle == "kind"}
    assert effect.unasked == {"kind": len(voted)}
    assert effect.moved


def test_the_screen_leaves_out_no_pair_that_flips(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recount = Recount(read_ballots(open_run(run)))
    constitution = recount.ballots.constitution
    for weight in (0.01, 0.3, 2.0, 40.0):
        principles = tuple(
            one.model_copy(update={"weight": weight}) if one.id in ("kind", "brief") else one
            for one in constitution.principles
        )
        new = constitution.model_copy(update={"principles": principles})
        new = type(constitution).model_validate(new.model_dump(exclude_defaults=True))
        screened = recount.effect(new)
        with monkeypatch.context() as patch:
            patch.setattr(Recount, "_changed", lambda self, *_: range(len(self.ballots.prompts)))
            assert as_sets(recount.effect(new)) == as_sets(screened)


def test_pairs_that_people_decided_stay(run: Path, tmp_path: Path) -> None:
    laws = tmp_path / "edited.yaml"
    laws.write_text(yaml.safe_dump(edited(kind={"weight": 7.5})))
    constitution = solon.load_constitution(laws)
    before = Recount(read_ballots(open_run(run))).effect(constitution).moved
    flipped = next(one for one in before if one.kind == "flipped")
    shutil.copytree(run, tmp_path / "run")
    line = f'{{"prompt_id": "{flipped.prompt_id}", "a": "{flipped.first}", "b": "{flipped.second}", "label": "a"}}\n'
    (tmp_path / "run" / "review.jsonl").write_text(line)
    after = Recount(read_ballots(open_run(tmp_path / "run"))).effect(constitution).moved
    assert [one for one in before if one != flipped] == after


def test_the_command_says_what_flips_without_a_call(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    laws = tmp_path / "edited.yaml"
    laws.write_text(yaml.safe_dump(edited(kind={"weight": 7.5}, true={"text": "Say only what is true."})))
    assert main(["diff", str(run), str(laws)]) == 0
    out = capsys.readouterr().out
    assert "pairs kept" in out
    assert "flipped" in out
    assert "kind: " in out
    assert "true: not asked about" in out


CALLING = (rule("calls", tool_calls="required"), rule("row", 0.5, of_row="wanted"))


def calling(folder: Path, principles: Sequence[dict[str, Any]], name: str) -> Path:
    """A run on responses of which one only calls a tool, judged by rules on calls and on columns of the row."""
    responses = [{"role": "assistant", "content": "", "tool_calls": [call("sky")]}, "nothing but air", "I see the sky."]
    asked = {"wanted": {"must_match": "sky"}, "other": {"must_match": "nothing"}}
    return calling_run(folder, principles, responses, 6, name, **asked)


@pytest.mark.parametrize(
    ("principle", "check"),
    [("calls", {"tool_calls": "forbidden"}), ("calls", {"max_words": 3}), ("row", {"of_row": "other"})],
)
def test_rules_see_calls_and_rows_when_they_are_counted_anew(
    tmp_path: Path, principle: str, check: dict[str, Any]
) -> None:
    before = calling(tmp_path, CALLING, "run")
    principles = [{**one, "check": check} if one["id"] == principle else one for one in CALLING]
    after = calling(tmp_path, principles, "after")
    recount = Recount(read_ballots(open_run(before)))
    effect = recount.effect(solon.load_constitution(tmp_path / "after.yaml"), config_of(before).plan)
    diff = compare_runs(read_pairs(before), read_pairs(after))
    assert as_sets(effect) == {
        "flipped": {(old.chosen_id, old.rejected_id) for old, _ in diff.flipped},
        "appeared": {(side.chosen_id, side.rejected_id) for side in diff.appeared},
        "gone": {(side.chosen_id, side.rejected_id) for side in diff.disappeared},
    }
    assert len(effect.moved) >= 6
