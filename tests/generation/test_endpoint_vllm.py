"""The endpoint engine against a real vLLM server on loopback."""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import generate_feedback
from critics.compare import LABELS
from generation.chat import Encoder
from generation.endpoint_engine import Endpoint, EndpointSettings
from generation.engine import Completion, Request, Sampling
from generation.manifest import read as read_manifest
from generation.models import load_tokenizer, resolve

pytestmark = [pytest.mark.model, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
CONTEXT = 1024


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the embedded model, stopped by its own process id."""
    pytest.importorskip("vllm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    arguments = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(resolve("embedded").path), "--served-model-name", "judge",
        "--host", "127.0.0.1", "--port", str(port), "--enable-scale-out", "--enable-prompt-tokens-details", "--enforce-eager",
        "--max-model-len", str(CONTEXT), "--max-num-batched-tokens", "4096", "--no-enable-chunked-prefill", "--block-size", "32",
    ]  # fmt: skip
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=out, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                if httpx.get(f"{address}/health", timeout=2, trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(url: str, *requests: Request) -> list[Completion]:
    async def together() -> list[Completion]:
        endpoint = Endpoint(EndpointSettings(url=url, model="judge", token_ids=True))
        try:
            return [await endpoint.generate(request) for request in requests]
        finally:
            await endpoint.close()

    return asyncio.run(together())


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(load_tokenizer(resolve("embedded")))


def prompt(encoder: Encoder, text: str) -> tuple[int, ...]:
    return tuple(encoder.encode([{"role": "user", "content": text}]))


def test_text_usage_and_seeds(url: str, encoder: Encoder) -> None:
    tokens = prompt(encoder, "Name a colour.")
    one, same, other = (Request("m", "sample", tokens, Sampling(8, 1.0, 1.0, seed)) for seed in (1, 1, 2))
    first, again, different = ask(url, one, same, other)
    assert first.text == again.text
    assert first.text != different.text
    assert first.usage.prompt == len(tokens)
    assert 1 <= first.usage.completion <= 8
    assert first.finish in ("stop", "length")


def test_label_log_probabilities_are_exact(url: str, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    tokens = prompt(encoder, "Which is a vowel? A: a. B: z. Answer with one letter: A or B.")
    (answer,) = ask(url, Request("m", "compare", tokens, Sampling(1), labels))
    assert set(answer.logprobs) == set(LABELS)
    assert all(math.isfinite(value) for value in answer.logprobs.values())
    assert 0 < sum(map(math.exp, answer.logprobs.values())) <= 1 + 1e-6


def test_a_score_is_the_log_probability_of_the_token_as_a_label(url: str, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    tokens = prompt(encoder, "Which is a vowel? A: a. B: z. Answer with one letter: A or B.")
    scored = [Request("m", "compare", (*tokens, token), Sampling(1), scored=2) for _, token in labels]
    verdict, *scores = ask(url, Request("m", "compare", tokens, Sampling(1), labels), *scored)
    assert [s.scores[1] for s in scores] == pytest.approx([*verdict.logprobs.values()], abs=0.1)
    assert scores[0].scores[0] == pytest.approx(scores[1].scores[0], abs=0.1)
    assert [(s.text, s.usage.completion) for s in scores] == [("", 0)] * 2


def test_a_repeated_prefix_is_counted_as_cached(url: str, encoder: Encoder) -> None:
    tokens = prompt(encoder, "Count the words of this sentence. " * 30)
    first, second = ask(url, *(Request("m", "sample", tokens, Sampling(1, 1.0, 1.0, seed)) for seed in (1, 2)))
    assert first.usage.cached == 0
    assert second.usage.cached >= len(tokens) - 64


def test_a_prompt_that_is_too_long_is_a_terminal_error(url: str, encoder: Encoder) -> None:
    tokens = prompt(encoder, "word " * (CONTEXT + 100))
    (answer,) = ask(url, Request("m", "sample", tokens, Sampling(8)))
    assert answer.finish == "error"
    assert answer.error.startswith("prompt_too_long: ")


def test_a_whole_run_over_the_server(url: str, tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text(
        "".join(
            json.dumps({"prompt": f"Say {word}.", "responses": [f"{word}!", f"I say {word}."]}) + "\n"
            for word in ("red", "blue")
        )
    )
    server = json.dumps([{"url": url, "model": "judge", "token_ids": True}])
    files = [
        "--constitution",
        str(ROOT / "principles" / "concise.yaml"),
        "--prompts",
        str(prompts),
        "--out",
        str(tmp_path / "run"),
    ]
    overrides = [f"endpoints={server}", "plan.rounds=0", "plan.canaries=0"]
    assert (
        generate_feedback.main([*files, "--engine", "endpoint", *(part for o in overrides for part in ("--set", o))])
        == 0
    )
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert manifest.counts.comparisons == 2
    assert manifest.calls.made == 2 * 2 * 3  # two pairs, two orders, the three judged principles of concise.yaml
    assert not manifest.failed
