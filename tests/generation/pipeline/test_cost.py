"""What a run costs: beforehand, while it works, where a limit stops it, and in its manifest and card."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import generate_feedback
from generation.output.manifest import Cost
from generation.output.manifest import read as read_manifest
from tests.chat_server import Answer, agreeable, completion, served

LAWS = "{name: laws, version: 1, objectives: {good: 1.0}, principles: [{id: kind, objective: good, text: Be kind.}]}"
PRICES = 'prices={"m": {prompt: 100, completion: 1000}}'
QUICK = ["--set", "plan.rounds=0", "--set", "plan.controls=0", "--set", "plan.sample.max_tokens=20"]
# of agreeable: a response reads 10 and writes 7, a verdict reads 30 and writes 1; two of each for a prompt
ONE_PROMPT = (2 * 10 + 2 * 30, 2 * 7 + 2 * 1)
# a probe asks for a text and for a verdict
PROBE, PROBE_CALLS = (10 + 30, 7 + 1), 2


def run(folder: Path, url: str, *more: str, out: str = "run", rows: int = 4, attempts: int = 1) -> int:
    (folder / "c.yaml").write_text(LAWS)
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "question {i}"}}\n' for i in range(rows)))
    files = ["--constitution", str(folder / "c.yaml"), "--prompts", str(folder / "p.jsonl"), "--out", str(folder / out)]
    server = f"endpoints=[{{url: '{url}', attempts: {attempts}, backoff_seconds: 0.01}}]"
    return generate_feedback.main([*files, "--engine", "endpoint", "--policy", "m", *QUICK, "--set", server, *more])


def test_the_manifest_and_the_card_tell_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(agreeable) as (url, _):
        assert run(tmp_path, url, "--set", PRICES, "--set", "currency=€") == 0
    found = read_manifest(tmp_path / "run")
    assert found is not None
    read, written = (4 * of_prompt + of_probe for of_prompt, of_probe in zip(ONE_PROMPT, PROBE, strict=True))
    amount = round((read * 100 + written * 1000) / 1e6, 6)
    assert (found.calls.made, found.calls.unkept, found.tokens.prompt) == (16, PROBE_CALLS, read)
    assert found.cost == Cost(amount=amount, currency="€", models={"m": amount}, unpriced=[])
    assert f"cost {found.cost.amount} €." in (tmp_path / "run" / "README.md").read_text()
    captured = capsys.readouterr()
    assert f"{amount:.4f} €" in captured.out
    assert f"{amount:.4f} €" in captured.err  # the last line of progress


def test_a_run_that_takes_another_ones_calls_costs_nothing_again(tmp_path: Path) -> None:
    with served(agreeable) as (url, seen):
        assert run(tmp_path, url) == 0
        made = len(seen)
        assert run(tmp_path, url, "--set", PRICES, "--reuse", str(tmp_path / "run"), out="again") == 0
        assert len(seen) == made
    found = read_manifest(tmp_path / "again")
    assert found is not None
    assert found.cost == Cost(amount=0, currency="USD", models={}, unpriced=[])
    first = read_manifest(tmp_path / "run")
    assert first is not None
    assert first.cost is None


@pytest.mark.model
@pytest.mark.parametrize(
    ("limit", "value", "most"),
    [("--max-calls", "9", 7), ("--max-tokens", "500", None), ("--max-cost", "0.27", None)],
)
def test_a_limit_stops_the_run_and_a_higher_one_resumes_it(
    limit: str, value: str, most: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(agreeable) as (url, seen):
        assert run(tmp_path, url, "--set", PRICES, limit, value, out="stopped", rows=12) == 1
        err = capsys.readouterr().err
        assert f"stopped by {limit} {value}: spent {len(seen) + PROBE_CALLS} calls, " in err
        assert "run the same command with a higher limit to resume" in err
        assert "never awaited" not in err
        assert "Traceback" not in err
        stopped_at = len(seen)
        assert 0 < stopped_at < 48
        assert most in (None, stopped_at)
        assert run(tmp_path, url, "--set", PRICES, limit, value, out="stopped", rows=12) == 1
        # the calls of all starts count
        assert f"stopped by {limit} {value}: spent {len(seen) + PROBE_CALLS} calls, " in capsys.readouterr().err
        assert run(tmp_path, url, "--set", PRICES, limit, "1000000", out="stopped", rows=12) == 0
        assert len(seen) == 48
        assert run(tmp_path, url, "--set", PRICES, out="whole", rows=12) == 0
    stopped, whole = read_manifest(tmp_path / "stopped"), read_manifest(tmp_path / "whole")
    assert stopped is not None
    assert whole is not None
    assert (stopped.cost, stopped.tokens, stopped.counts) == (whole.cost, whole.tokens, whole.counts)
    assert {n: d for n, d in stopped.files.items() if n.endswith(".parquet")} == {
        n: d for n, d in whole.files.items() if n.endswith(".parquet")
    }


def test_the_plan_tells_tokens_and_money_from_assumptions_and_then_from_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with served(agreeable) as (url, _):
        assert run(tmp_path, url, "--set", PRICES, "--plan") == 0
        fresh = capsys.readouterr().out
        assert "USD expected" in fresh
        # each of 8 samples may write 20 tokens and is taken to write half of them; "question 0" is 3 + 8 tokens
        row = next(line for line in fresh.splitlines() if "sample" in line).split("│")
        assert [cell.strip() for cell in row[5:7]] == [f"{8 * (11 + 10):,}", f"{8 * (11 + 20):,}"]
        assert [cell.strip() for cell in row[7:9]] == [f"{8 * (11 * 100 + w * 1000) / 1e6:.4f}" for w in (10, 20)]
        assert "Spent so far" not in fresh
        assert run(tmp_path, url, "--set", PRICES, "--max-calls", "14") == 1
        capsys.readouterr()
        assert run(tmp_path, url, "--set", PRICES, "--plan") == 0
        later = capsys.readouterr().out
        assert "Spent so far: 14 calls, " in later
        row = next(line for line in later.splitlines() if "compare" in line).split("│")
        assert [cell.strip() for cell in row[2:6]] == ["4", "4", "4", f"{4 * 31}"]


def test_prices_of_no_model_and_limits_without_prices_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = "http://127.0.0.1:9"
    assert run(tmp_path, nobody, "--set", 'prices={"gpt": {prompt: 1, completion: 1}}') == 2
    assert "prices.gpt: no model of the run is called so; allowed: m" in capsys.readouterr().err
    assert run(tmp_path, nobody, "--max-cost", "5") == 2
    assert "max_cost: m has no price; add prices.m, or leave max_cost out" in capsys.readouterr().err
    assert run(tmp_path, nobody, "--set", "currency='<b>'") == 2
    assert "currency: got '<b>'" in capsys.readouterr().err


def test_tokens_that_nobody_reports_are_estimated_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def mute(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, said = agreeable(body)
        return status, {**said, "usage": None}

    with served(mute) as (url, _):
        assert run(tmp_path, url, "--max-tokens", "100000") == 0
        found = read_manifest(tmp_path / "run")
        assert found is not None
        tokens = found.tokens
        assert tokens.estimated == tokens.prompt + tokens.completion > 1000
        assert f" {tokens.estimated:,} │" in capsys.readouterr().out
        assert f"{tokens.estimated} of these tokens are estimated" in (tmp_path / "run" / "README.md").read_text()
        assert run(tmp_path, url, "--max-tokens", str(tokens.estimated // 2), out="limited") == 1
        assert "estimated, as nobody reported them" in capsys.readouterr().err


def billing(
    every: int, spoiled: Callable[[dict[str, Any]], dict[str, Any] | bytes]
) -> tuple[Answer, list[dict[str, int]]]:
    """Answers of which each so many-th is spoiled, and the server's bill."""
    bill: list[dict[str, int]] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        status, said = agreeable(body)
        assert isinstance(said, dict)
        bill.append(said["usage"])
        return status, spoiled(said) if len(bill) % every == 0 else said

    return answer, bill


def of_bill(bill: list[dict[str, int]]) -> tuple[int, int]:
    """Tokens read and written."""
    return sum(one["prompt_tokens"] for one in bill), sum(one["completion_tokens"] for one in bill)


AGAIN = ("--set", "plan.samples=3")


def test_answers_that_are_none_and_say_what_they_took_are_counted_to_the_token(tmp_path: Path) -> None:
    answer, bill = billing(3, lambda said: {**said, "choices": [{**said["choices"][0], "finish_reason": None}]})
    with served(answer) as (url, _):
        assert run(tmp_path, url, "--set", PRICES, *AGAIN, attempts=9) == 0
    found = read_manifest(tmp_path / "run")
    assert found is not None
    assert found.calls.unkept == len(bill) // 3 + PROBE_CALLS
    assert found.calls.made + found.calls.unkept == len(bill)
    read, written = of_bill(bill)
    assert (found.tokens.prompt, found.tokens.completion, found.tokens.estimated) == (read, written, 0)
    assert found.cost is not None
    assert found.cost.amount == pytest.approx((read * 100 + written * 1000) / 1e6)
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"{found.calls.unkept} more calls were paid" in card


def test_answers_that_break_off_count_as_the_most_that_they_can_have_taken(tmp_path: Path) -> None:
    answer, bill = billing(3, lambda said: json.dumps(said).encode()[:40])
    with served(answer) as (url, _):
        assert run(tmp_path, url, "--set", PRICES, *AGAIN, attempts=9) == 0
    found = read_manifest(tmp_path / "run")
    assert found is not None
    assert found.calls.made + found.calls.unkept == len(bill)
    read, written = of_bill(bill)
    assert found.tokens.estimated > 0
    assert found.tokens.prompt >= read
    assert found.tokens.completion >= written


@pytest.mark.parametrize(("option", "limit"), [("--max-tokens", 500), ("--max-calls", 12), ("--max-cost", 0.3)])
def test_a_servers_bill_never_passes_a_limit_whatever_it_answers(option: str, limit: float, tmp_path: Path) -> None:
    answer, bill = billing(2, lambda said: {**said, "choices": []})
    with served(answer) as (url, _):
        assert run(tmp_path, url, "--set", PRICES, option, str(limit), attempts=9, rows=12) == 1
        assert run(tmp_path, url, "--set", PRICES, option, str(limit), attempts=9, rows=12) == 1
    read, written = of_bill(bill)
    taken = {
        "--max-tokens": read + written,
        "--max-calls": len(bill),
        "--max-cost": (read * 100 + written * 1000) / 1e6,
    }
    assert 0 < taken[option] <= limit


def test_a_limit_below_a_probe_asks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer, bill = billing(99, lambda said: said)
    with served(answer) as (url, _):
        assert run(tmp_path, url, "--max-calls", "0") == 1
    assert not bill
    assert "stopped by --max-calls 0: spent 0 calls, 0 tokens" in capsys.readouterr().err


def test_a_server_that_is_wrong_from_the_start_is_asked_no_further(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_key(_: dict[str, object]) -> tuple[int, dict[str, object]]:
        return 401, {"error": {"message": "who are you?"}}

    with served(no_key) as (url, seen):
        assert run(tmp_path, url, rows=300) == 2
        assert len(seen) < 80
    err = capsys.readouterr().err
    assert "who are you?" in err
    assert "never awaited" not in err
    assert "Traceback" not in err


def test_a_key_that_is_taken_back_in_the_middle_ends_the_run_at_once(tmp_path: Path) -> None:
    answered = [0]

    def fickle(body: dict[str, object]) -> tuple[int, dict[str, object]]:
        answered[0] += 1
        return agreeable(body) if answered[0] <= 100 else (401, completion("no"))

    with served(fickle) as (url, seen):
        assert run(tmp_path, url, rows=300) == 2
        assert 100 < len(seen) < 250
