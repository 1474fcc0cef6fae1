"""Nothing is read, judged, written or encoded on the event loop where its texts are long."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from constitution.checks.check import Check
from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import critique, revise, templating
from critics.text import thoughts
from generation.data import prompts
from generation.engines.base import Completion, Request
from generation.engines.replay import Replay, pseudo_completion
from generation.models import encoder
from generation.output import columns, settled
from generation.output.manifest import Manifest
from generation.pipeline import feedback, rules, voting
from generation.pipeline.job import prepare, produce
from generation.request import FeedbackSettings
from generation.tasks import LONG

LAWS = """
name: laws
version: 1
objectives: {good: 1.0}
principles:
  - {id: kind, objective: good, text: Be kind.}
  - {id: brief, objective: good, text: Be brief., check: {max_sentences: 3}}
  - {id: own, objective: good, text: Say nothing., check: {must_not_match: "(x+x+)+y"}}
"""
TEXT = "A word, and another one. " * (LONG // 20)
Seen = dict[str, list[bool]]
"""Name of a reader -> for each time that it read, whether that was on the event loop."""


def on_the_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Every reader of texts of a run, watched."""
    seen: Seen = defaultdict(list)

    def watch(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def watched(*given: Any, **named: Any) -> Any:
            seen[name].append(on_the_loop())
            return real(*given, **named)

        monkeypatch.setattr(owner, name, watched)

    for owner, name in (
        (prompts, "_made"), (columns, "indicators_of"), (feedback, "indicators_of"), (feedback, "given"),
        (critique, "parse"), (revise, "parse"), (thoughts, "split"), (rules, "violates"), (rules, "rule_vote"),
        (voting, "split"), (settled, "to_json"), (encoder.Encoder, "_ids"),
        (templating.Templates, "render"),
    ):  # fmt: skip
        watch(owner, name)
    return seen


def run(folder: Path, rows: list[dict[str, Any]], *overrides: str, engine: str = "replay") -> Manifest:
    (folder / "laws.yaml").write_text(LAWS, encoding="utf-8")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = ("plan.controls=0", *overrides)
    job = prepare(
        FeedbackSettings(
            constitution=folder / "laws.yaml", prompts=str(folder / "rows.jsonl"), out=str(folder / "run"), engine=engine,
            overrides=plan,
        )
    )  # fmt: skip
    return asyncio.run(produce(job))


def answered(request: Request) -> Completion:
    """A long text where a text is asked for."""
    answer = pseudo_completion(request)
    return answer if request.labels else replace(answer, text=f"{request.index} It says: {TEXT}")


@pytest.mark.parametrize(("manipulative", "more"), [("drop", set()), ("keep", {"rule_vote"})])
def test_the_texts_of_rows_and_of_models_hold_nothing_up(
    manipulative: str, more: set[str], readers: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replay, "pseudo", lambda _: Replay(answered))
    rows: list[dict[str, Any]] = [
        {"prompt": "Why?", "responses": [TEXT, f"{TEXT} And so on."]},
        {"prompt": f"{TEXT} Why?"},
    ]
    manifest = run(
        tmp_path, rows, "plan.samples=2", "plan.rule_critiques=true", f"plan.defences.manipulation={manipulative}"
    )
    assert manifest.counts.prompts == 2
    assert (
        readers.keys() >= {"_made", "indicators_of", "given", "parse", "split", "violates", "to_json", "render"} | more
    )
    assert {name for name, seen in readers.items() if any(seen)} == set()


@pytest.mark.parametrize(
    ("check", "aside"),
    [
        ({"max_words": 3}, False),
        ({"own": "brief"}, True),
        ({"of_row": "rules"}, True),
        ({"tests": "tests"}, True),
        ({"json_schema": {}}, True),
        ({"must_match": "a"}, True),
        ({"must_not_match": "a"}, True),
    ],
)
def test_what_somebody_else_wrote_runs_beside_the_loop_for_any_response(
    check: dict[str, Any], aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "rule_vote", lambda *_: on_the_loop())
    principle = Principle(id="p", objective="o", text="Be.", check=Check.model_validate(check))
    prompt = Prompt(id="q", messages=(Message(role="user", content="Why?"),))
    a, b = (Response(name, "q", Message(role="assistant", content=name), "given", name) for name in "ab")
    assert asyncio.run(rules.vote_by_rule(principle, prompt, a, b, "a vs b")) is not aside


def test_encoding_holds_nothing_up(readers: Seen, tmp_path: Path) -> None:
    rows = [{"prompt": "Why?", "responses": [TEXT * 8, f"{TEXT * 8} And so on."]}]
    manifest = run(tmp_path, rows, "plan.rounds=0", engine="transformers")
    assert set(manifest.failed) == {"compare: prompt_too_long"}
    assert readers["_ids"]
    assert not any(readers["_ids"][-2:]), "the small chats that are encoded first are none of a run"
