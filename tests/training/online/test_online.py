"""`dpo --online` on a tiny random policy, with a scripted judge: what is learned from, kept, and never paid for twice."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from constitution.errors import Unavailable, UserError
from generation.engines.base import Completion, ErrorReason, Request, TransientError, failed
from generation.engines.replay import Replay
from generation.settings import load
from tests.training.ppo_small import SHORT, numbers, small_inputs, small_model
from training.__main__ import parser, settings_of
from training.config import Training
from training.data import rows
from training.online.config import OnlineDPO
from training.online.pairs import FILE, go_back
from training.online.trainer import run
from training.run.metrics import Row, read

JUDGED = {"id": "kind", "objective": "form", "text": "Be kind."}
Script = Callable[[Request], Completion]


def prefers_the_first_sample(request: Request) -> Completion:
    """Log-odds of 2 for the response that was sampled first, and a bias of 0.5 for whoever is listed first."""
    a, b = request.subject.responses
    z = (2.0 if a < b else -2.0) + 0.5
    first, second = (name for name, _ in request.labels)
    return Completion(first, logprobs={first: -math.log1p(math.exp(-z)), second: -math.log1p(math.exp(z))})


def online_inputs(folder: Path, *principles: dict[str, Any]) -> dict[str, Any]:
    given = small_inputs(folder, *(principles or (JUDGED,)))
    model = str(small_model(folder / "judge", max_position_embeddings=2048))
    judge = {"constitution": given["reward"]["rules"]["constitution"], "model": model, "engine": "transformers"}
    shared = {name: given[name] for name in ("model", "data", "precision", "report_to", "steps", "watch")}
    online = {"judge": judge, "prompts": 4, "samples": 2, "sampler": given["sampler"]}
    return {**shared, "batch_size": 4, "micro_batch_size": 4, "online": online}


def run_online(
    out: Path, given: dict[str, Any], script: Script = prefers_the_first_sample, **changes: Any
) -> list[Row]:
    settings = load(OnlineDPO, None, [], {**given, **changes})
    run(settings, out, Console(quiet=True), lambda _: Replay(script))
    return read(out / "metrics.jsonl")


def kept(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / FILE).read_text(encoding="utf-8").splitlines()]


@pytest.mark.model
def test_pairs_are_judged_learned_from_and_kept_as_preference_rows(tmp_path: Path) -> None:
    out = tmp_path / "run"
    logged = numbers(run_online(out, online_inputs(tmp_path), learning_rate=1e-2, beta=0.5))
    first, *_, last = logged
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-4)  # policy and reference are one
    assert first["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert first["mismatch_weight"] == pytest.approx(1, abs=1e-3)
    assert last["kl"] != 0
    pairs = kept(out)
    assert len(pairs) == sum(row["judged_pairs"] for row in logged)
    assert {pair["step"] for pair in pairs} == {1, 2, 3}
    for pair in pairs:
        assert pair["p_chosen"] == pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-6)  # without the bias
        assert pair["chosen_id"] == f"{pair['prompt_id']}/s0"
        assert [(vote["logit_ab"], vote["logit_ba"]) for vote in pair["votes"]] == [
            pytest.approx((2.5, -1.5), abs=1e-5)
        ]
        assert pair["chosen_policy"].endswith(f"after {pair['step'] - 1} steps")
    again = rows.pairs(Training(data={str(out / FILE): 1.0}, test_fraction=0.0))
    assert [pair.p for pair in again.train] == [pair["p_chosen"] for pair in pairs]


@pytest.mark.model
def test_pairs_without_a_vote_never_become_labels(tmp_path: Path) -> None:
    lost: set[str] = set()

    def script(request: Request) -> Completion:
        if not lost:
            lost.add(request.subject.prompt)
        if request.subject.prompt in lost:
            return failed(ErrorReason.CONTENT_REFUSED, "no")
        return prefers_the_first_sample(request)

    (row,) = numbers(run_online(tmp_path / "run", online_inputs(tmp_path), script, steps=1))
    assert {pair["prompt_id"] for pair in kept(tmp_path / "run")}.isdisjoint(lost)
    assert row["judged_pairs"] == 4 - len(lost)
    assert row["dropped_not_judged"] == len(lost)
    assert row["votes_missing"] == pytest.approx(len(lost) / 4)


@pytest.mark.model
def test_a_killed_run_goes_on_as_if_nothing_was_and_pays_for_no_call_twice(tmp_path: Path) -> None:
    given, calls = online_inputs(tmp_path) | {"learning_rate": 1e-2, "steps": 4, "save_every": 2}, list[str]()

    def counted(request: Request) -> Completion:
        calls.append(request.subject.prompt)
        return prefers_the_first_sample(request)

    def dies(request: Request) -> Completion:
        if len(calls) >= 28:  # within the last step
            raise TransientError("away")
        return counted(request)

    whole = numbers(run_online(tmp_path / "whole", given, counted))
    asked = len(calls)
    calls.clear()
    with pytest.raises(Unavailable, match="run the same command again"):
        run_online(tmp_path / "cut", given, dies)
    again = numbers(run_online(tmp_path / "cut", given, counted))
    assert again == whole
    assert len(calls) == asked
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")


@pytest.mark.model
def test_rules_alone_teach_and_held_out_responses_beat_the_first_policys(tmp_path: Path) -> None:
    short = {**SHORT, "check": {"max_characters": 12}}
    given = online_inputs(tmp_path, short) | {"steps": 25, "eval_every": 25, "test_fraction": 0.4, "beta": 0.02}
    given["online"]["samples"] = 4

    def never(request: Request) -> Completion:
        raise AssertionError("no model is asked")

    logged = run_online(tmp_path / "run", given, never, learning_rate=1e-2)
    assert numbers(logged, "eval")[-1]["score"] > 0.5
    assert {pair["label_source"] for pair in kept(tmp_path / "run")} == {"rule"}


def test_rows_of_later_steps_and_half_lines_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', encoding="utf-8")
    go_back(tmp_path, 2)
    assert kept(tmp_path) == [{"step": 1}, {"step": 2}]
    go_back(tmp_path, 0)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("online.samples=1", "online.samples: got 1"),
        ("online.sampler.max_tokens=0", "online.sampler.max_tokens: got 0"),
        ("online.judge.methods=[guess]", "online.judge.methods"),
        ("margins=true", "margins"),
        ("load_best=true", "load_best"),
        ("lora={dropout: 0.1}", "lora.dropout"),
    ],
)
def test_settings_that_cannot_be_are_told_by_their_own_names(change: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(OnlineDPO, None, ["online.judge.constitution=laws.yaml", change], {})
    assert message in str(error.value)


def test_a_missing_constitution_is_told_by_its_own_name(tmp_path: Path) -> None:
    given = online_inputs(tmp_path)
    given["online"]["judge"]["constitution"] = str(tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"online\.judge\.constitution"):
        run_online(tmp_path / "run", given)


def test_the_flag_chooses_the_settings() -> None:
    line = ["dpo", "--out", "x", "--set", "online.judge.constitution=laws.yaml"]
    assert isinstance(settings_of(parser().parse_args([*line, "--online"])), OnlineDPO)
    with pytest.raises(UserError, match="online"):
        settings_of(parser().parse_args(line))


@pytest.mark.parametrize(
    ("pairs", "samples", "batch", "expected"),
    [("best_worst", 4, 8, 8 * 4), ("all_pairs", 4, 12, 2 * 4), ("all_pairs", 2, 3, 3 * 2)],
)
def test_a_batch_of_pairs_is_one_of_whole_prompts(pairs: str, samples: int, batch: int, expected: int) -> None:
    online = {"judge": {"constitution": "x"}, "pairs": pairs, "samples": samples}
    settings = OnlineDPO.model_validate({"online": online, "batch_size": batch})
    assert settings.loop().batch_size == expected
    assert settings.loop().micro_batch_size == 2 * settings.micro_batch_size, "a pair is two responses"
