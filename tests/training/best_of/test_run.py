"""`python -m training best_of` on the replay engine and a tiny random model: what is imitated is the best of what was written."""

import asyncio
import json
import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from constitution.errors import UserError
from constitution.loading import load as load_laws
from constitution.records import Message, Prompt, Response
from critics.rules.check import violates
from generation.engines.checkpoint import load_tokenizer
from generation.engines.replay import Replay
from generation.models.encoder import Encoder
from generation.models.factory import chat_model, model_registry
from generation.models.files import resolve
from generation.pipeline.feedback import sample
from generation.settings import load
from tests.training.ppo_small import small_inputs, small_model
from training.__main__ import main
from training.best_of import rows as best_of_rows
from training.best_of.config import BestOf
from training.best_of.responses import outcomes
from training.data.encode import encode_targets
from training.run.sealed import seal

SHORT = {"id": "short", "objective": "form", "text": "Be short.", "check": {"max_words": 16}}
PLAIN = {"id": "plain", "objective": "form", "text": "Say plain.", "check": {"must_match": "(?i)plain"}}
SAMPLES = 4

Best = Callable[..., int]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """Twenty prompts, a tiny model, two rules that the replay engine's texts of 3 to 30 words keep or break."""
    made = small_inputs(tmp_path, SHORT, PLAIN)
    kept = {name: made[name] for name in ("model", "data", "reward", "precision", "report_to")}
    return {
        **kept,
        "samples": SAMPLES,
        "sampler": {"engine": "replay", "max_tokens": 128},
        "max_length": 256,
        "batch_size": 4,
        "micro_batch_size": 2,
        "steps": 2,
        "test_fraction": 0.3,
        "watch": {"min_entropy": None},
    }


@pytest.fixture
def best(tmp_path: Path, inputs: dict[str, Any]) -> Best:
    """Runs the command; returns its exit code."""

    def run(out: Path = tmp_path / "out", **changes: Any) -> int:
        config = tmp_path / "best.yaml"
        config.write_text(yaml.safe_dump({**inputs, **changes}), encoding="utf-8")
        return main(["best_of", "--config", str(config), "--out", str(out)])

    return run


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "best.jsonl").read_text().splitlines()]


def calls_of(out: Path) -> int:
    with sqlite3.connect(out / "calls.sqlite") as connection:
        return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])


def said_of(out: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((out / "training.json").read_text())
    return said


def responses_to(row: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """What the policy writes to a row's prompt, asked anew."""
    config = load(BestOf, None, [], settings).sampler.run(settings["model"], 0, SAMPLES)
    policy = chat_model(config, model_registry(config).policy, lambda _: Replay.pseudo())
    prompt = Prompt(id=row["prompt_id"], messages=tuple(map(Message.model_validate, row["prompt"])))

    async def ask() -> list[str]:
        found = await asyncio.gather(*(sample(policy, prompt, i, config.plan) for i in range(SAMPLES)))
        return [response.text for response in found if isinstance(response, Response)]

    return asyncio.run(ask())


@pytest.mark.model
def test_responses_are_written_under_a_hint_that_no_row_holds(
    best: Best, inputs: dict[str, Any], tmp_path: Path
) -> None:
    hinted = {**inputs, "sampler": {**inputs["sampler"], "system_hint": "Talk like a pirate."}}
    assert best(sampler=hinted["sampler"]) == 0
    rows = rows_of(tmp_path / "out")
    assert rows
    for row in rows:
        (said,) = row["completion"]
        assert said["content"] in responses_to(row, hinted)
        assert said["content"] not in responses_to(row, inputs)
        assert [message["role"] for message in row["prompt"]] == ["user"]


def test_the_best_of_each_prompt_are_learnt(
    best: Best, inputs: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert best() == 0
    rules = [p.check for p in load_laws(Path(inputs["reward"]["rules"]["constitution"])).principles]

    def kept(text: str) -> float:
        message = Message(role="assistant", content=text)
        return sum(violates(rule, Prompt(id="p", messages=()), message) is None for rule in rules if rule) / 2

    rows = rows_of(out)
    for row in rows:
        responses = responses_to(row, inputs)
        scores = [kept(text) for text in responses]
        assert (row["score"], row["mean"]) == (max(scores), pytest.approx(sum(scores) / SAMPLES))
        assert row["sample"] == scores.index(max(scores))
        assert row["completion"] == [{"role": "assistant", "content": responses[row["sample"]]}]
        assert row["responses"] == SAMPLES
    said = said_of(out)
    train, test = said["rows"]["train"], said["rows"]["test"]
    assert train["prompts_read"] + test["prompts_read"] == 20
    for split, counts in said["rows"].items():
        lost = {name: n for name, n in counts.items() if name.startswith("prompts_dropped_")}
        assert counts["prompts_read"] == counts["prompts_kept"] + sum(lost.values())
        assert counts["responses_asked"] == counts["responses_graded"] == SAMPLES * counts["prompts_read"]
        assert counts["prompts_kept"] == counts["read"] == sum(row["split"] == split for row in rows) > 0
        assert counts["read"] == counts["kept"] + sum(n for name, n in counts.items() if name.startswith("dropped_"))
    assert train["prompts_dropped_alike"] > 0
    results = said["results"]
    assert results["best_of/kl_bound"] == pytest.approx(math.log(4) - 0.75, abs=1e-5)
    assert 0 < results["best_of/gain_half"] < results["best_of/gain"]
    assert results["best_of/words"] < 1  # one of the rules is to be short
    assert "eval_loss" in results
    assert said["digests"].keys() == {"model", "train", "test", "reward/rules", "best"}
    told = capfd.readouterr().out
    assert f"best of 80 responses to {len(rows)} prompts  kl bound 0.6363" in told
    assert "dropped alike" in told
    card = (out / "README.md").read_text()
    assert "rejection sampling" in card
    assert said["digests"]["reward/rules"] in card
    assert "| `best_of/gain` | Best reward of a prompt minus the mean of all" in card
    assert "best_of/gain" in (out / "training.html").read_text()


@pytest.mark.model
def test_a_killed_run_resumes_and_makes_no_call_twice(
    best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert best() == 0
    whole, calls = (out / "best.jsonl").read_bytes(), calls_of(out)
    weights = (out / "model.safetensors").read_bytes()
    capfd.readouterr()
    assert best() == 0
    assert "opening" not in capfd.readouterr().err
    # as if killed before the end: everything is written, nothing is trained
    for name in ("training.json", "metrics.jsonl", "model.safetensors", "best.jsonl"):
        (out / name).unlink()
    assert best() == 0
    assert "opening" not in capfd.readouterr().err
    assert ((out / "best.jsonl").read_bytes(), calls_of(out)) == (whole, calls)
    assert (out / "model.safetensors").read_bytes() == weights
    # as if killed while responses were written
    (out / "training.json").unlink()
    with sqlite3.connect(out / "calls.sqlite") as connection:
        connection.execute("DELETE FROM calls WHERE rowid % 3 = 0")
    assert calls_of(out) < calls
    assert best() == 0
    assert "opening" in capfd.readouterr().err
    assert ((out / "best.jsonl").read_bytes(), calls_of(out)) == (whole, calls)


@pytest.mark.model
def test_settings_that_the_rows_forbid_may_change(
    best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """How many rows there are is known once their calls are made."""
    assert best(batch_size=40, keep=3) == 2
    said = capfd.readouterr().err
    assert "batch_size: got 40, and there are " in said
    assert said.strip().splitlines()[-1] == (
        f"{tmp_path / 'out'}: its responses are kept, and nothing is trained yet; fix this and run the command again"
    )
    calls = calls_of(tmp_path / "out")
    assert best(batch_size=4, keep=2) == 0
    assert "opening" not in capfd.readouterr().err
    assert calls_of(tmp_path / "out") == calls
    assert best(batch_size=2, keep=2) == 2
    assert "batch_size: was 4, now 2" in capfd.readouterr().err


@pytest.mark.model
def test_a_folder_that_training_began_in_stays_its_own(
    best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert best(batch_size=4) == 0
    out = tmp_path / "out"
    # as if killed after a checkpoint, and gone on with on a machine whose micro_batch_size does not fit
    (out / "training.json").unlink()
    (out / "checkpoints/checkpoint-1").mkdir(parents=True)
    (out / "checkpoints/checkpoint-1/trainer_state.json").write_text('{"global_step": 1}')
    seal(out / "checkpoints/checkpoint-1")
    assert best(batch_size=4, micro_batch_size=3) == 2
    assert (
        capfd.readouterr()
        .err.strip()
        .splitlines()[-1]
        .startswith("batch_size: got 4; allowed: multiples of micro_batch_size")
    )
    assert best(batch_size=2) == 2
    assert "batch_size: was 4, now 2" in capfd.readouterr().err


@pytest.mark.model
def test_another_folder_takes_what_was_paid_for(best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "out"
    assert best(keep=3) == 0
    assert "opening" in capfd.readouterr().err
    assert best(out=tmp_path / "second", reuse=[str(first)]) == 0
    assert "opening" not in capfd.readouterr().err
    assert calls_of(tmp_path / "second") == calls_of(first)


@pytest.mark.model
def test_a_reward_model_is_asked_once(
    best: Best, inputs: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, model = tmp_path / "out", small_model(tmp_path / "rm", "LlamaForSequenceClassification", num_labels=1)
    reward = {"models": {"paths": [str(model)]}}
    assert best(reward=reward, steps=1) == 0
    assert calls_of(out) == 2 * 20 * SAMPLES
    rows = rows_of(out)
    assert len(rows) == 20  # rewards of a model are never alike
    assert all(row["score"] > row["mean"] for row in rows)
    (out / "training.json").unlink()
    shutil.move(model / "model.safetensors", tmp_path / "gone")
    (model / "model.safetensors").write_bytes((tmp_path / "gone").read_bytes())
    assert best(reward=reward, steps=1) == 0
    assert calls_of(out) == 2 * 20 * SAMPLES
    assert rows_of(out) == rows


def test_a_response_without_a_reward_is_counted_and_never_guessed(
    best: Best, inputs: dict[str, Any], tmp_path: Path
) -> None:
    laws = Path(inputs["reward"]["rules"]["constitution"])
    stated = yaml.safe_load(laws.read_text())
    for principle in stated["principles"]:
        principle["applies_to"] = {"tags": ["form"]}
    laws.write_text(yaml.safe_dump(stated))
    prompts = tmp_path / "tagged.jsonl"
    lines = [
        json.dumps({"prompt": f"Say {i} things.", "tags": ["form"] if i % 2 else ["other"]}) + "\n" for i in range(24)
    ]
    prompts.write_text("".join(lines))
    assert best(data={str(prompts): 1.0}, test_fraction=0.0, steps=1) == 0
    counts = said_of(tmp_path / "out")["rows"]["train"]
    assert counts["responses_failed_no_principle"] == 12 * SAMPLES
    assert counts["responses_graded"] == 12 * SAMPLES
    assert counts["responses_asked"] == 24 * SAMPLES
    assert counts["prompts_dropped_ungraded"] == 12
    assert counts["prompts_kept"] + counts["prompts_dropped_alike"] == 12


def test_responses_that_were_cut_are_left_out_or_rewarded_as_such(inputs: dict[str, Any], tmp_path: Path) -> None:
    """A real model, whose responses of 4 tokens hardly ever end."""
    reward = {"models": {"paths": [str(small_model(tmp_path / "rm", "LlamaForSequenceClassification", num_labels=1))]}}
    sampler = {"engine": "transformers", "max_tokens": 4}
    settings = load(BestOf, None, [], {**inputs, "reward": reward, "sampler": sampler, "samples": 3})
    prompts = [Prompt(id=f"p{i}", messages=(Message(role="user", content=f"Say {i}."),)) for i in range(4)]
    strict = outcomes(settings, prompts, tmp_path)
    lost = [failure.reason for one in strict for failure in one.failures]
    assert lost.count("truncated") >= 6
    assert sum(len(one.responses) for one in strict) == 12 - len(lost)
    sampler |= {"keep_truncated": True}
    kept = outcomes(load(BestOf, None, [], {**settings.model_dump(), "sampler": sampler}), prompts, tmp_path)
    cut = [response for one in kept for response in one.responses if response.response.truncated]
    assert len(cut) == lost.count("truncated")
    best_of_rows.write(tmp_path / "best.jsonl", {"train": kept, "test": []})
    found = best_of_rows.read(tmp_path / "best.jsonl")["train"]
    chosen = [response.response.truncated for one in kept for response in one.choice.kept]
    assert [row.truncated for row in found] == chosen
    assert any(chosen)
    encoder = Encoder(load_tokenizer(resolve(inputs["model"])))
    rows = encode_targets(found, encoder, settings).rows
    assert [row.example.responses[0][-1] == encoder.end_of_turn for row in rows] == [not lost for lost in chosen]


@pytest.mark.model
def test_an_engine_that_stays_away_leaves_the_run_to_be_gone_on_with(
    best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = {"url": "http://127.0.0.1:9", "attempts": 1, "timeout_seconds": 2}
    assert best(sampler={"engine": "endpoint", "endpoints": [server], "max_tokens": 8}) == 1
    said = capfd.readouterr().err
    assert "cannot connect" in said
    assert "nothing was asked of it" in said
    assert "run the same command again to resume" in said
    assert not (tmp_path / "out" / "best.jsonl").exists()
    assert not (tmp_path / "out" / "training.json").exists()
    assert not (tmp_path / "out" / "stopped.txt").exists()  # by which a loop knows that a health check stopped it


def test_prompts_that_teach_nothing_are_told(best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert best(min_gain=5.0) == 2
    said = capfd.readouterr().err.strip().splitlines()[-2:]
    assert said == [
        "no response is left to imitate of 15 prompts to train on (dropped alike 15); raise samples or sampler.temperature, lower "
        "min_gain, or set a reward that tells responses apart",
        f"{tmp_path / 'out'}: its responses are kept, and nothing is trained yet; fix this and run the command again",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 4}, "keep: got 4 of 4 samples, which chooses nothing; lower keep, or raise samples"),
        (
            {"data": {"a.jsonl": 0.5}},
            "data: got a.jsonl=0.5, and best_of samples its own responses, to each prompt alike",
        ),
        ({"sampler": {"engine": "endpoint"}}, "sampler.endpoints: got none, but engine is 'endpoint'"),
        ({"samples": 1}, "samples: got 1; allowed: at least 2"),
        ({"reward": {}}, "reward: no source is configured; set rules, models, judge or compare"),
        (
            {"sampler": {"tokens": 3}},
            "sampler.tokens: unknown key (did you mean max_tokens?); allowed: calls_in_flight, endpoints, engine",
        ),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(UserError) as told:
        load(BestOf, None, [], {**inputs, **changes})
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sampler": {"engine": "replay", "max_tokens": 256}},
            "sampler.max_tokens: got 256, which leaves no room for a prompt in max_length (256); lower it, or raise max_length",
        ),
        (
            {"micro_batch_size": 3},
            "batch_size: got 4; allowed: multiples of micro_batch_size (3) times processes (1), such as 3",
        ),
        ({"batch_size": 64}, "batch_size: got 64, and there are "),
        ({"reuse": ["nowhere"]}, "nowhere/calls.sqlite: "),
        ({"reward": {"rules": {"constitution": "nowhere.yaml"}}}, "nowhere.yaml:1: cannot be read"),
        ({"reward": {"models": {"paths": ["./nowhere"]}}}, "nowhere"),
        ({"data": {"nowhere.jsonl": 1.0}}, "--data nowhere.jsonl: no such file or folder"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    changes: dict[str, Any], message: str, best: Best, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert best(**changes) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
