"""The endpoint engine against vLLM's real server on loopback, which serves the session's engine."""

import asyncio
import json
import math
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import generate_feedback
from critics.compare import LABELS
from generation.engines.base import Completion, ErrorReason, Request, Sampling
from generation.engines.checkpoint import ModelFiles
from generation.engines.vllm import VLLM
from generation.models.encoder import Encoder
from generation.output.manifest import read as read_manifest
from generation.servers.endpoint import Endpoint
from generation.servers.settings import EndpointSettings

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[3]
CONTEXT = 1024
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Ask = Callable[..., list[Completion]]


@pytest.fixture(scope="module")
def url(vllm: VLLM, run: Run, embedded: ModelFiles) -> Iterator[str]:
    """The server's address. It lives on the session's loop, so it answers while `run` runs."""
    options = [
        "--model",
        str(embedded.path),
        "--served-model-name",
        "judge",
        "--enable-scale-out",
        "--enable-prompt-tokens-details",
    ]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server, serving = run(serve(vllm, options, listening))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        run(asyncio.wait_for(serving, 60))


async def serve(engine: VLLM, options: list[str], listening: socket.socket) -> tuple[Any, "asyncio.Task[None]"]:
    """Start what `vllm serve` with these options starts, on an engine that is there."""
    import uvicorn
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.entrypoints.launchers.launcher import NoSignalServer
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(options)
    llm = engine._llm
    tasks = await llm.get_supported_tasks()
    app = build_app(arguments, tasks, llm.model_config)
    await init_app_state(llm, app.state, arguments, tasks)
    server = NoSignalServer(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    return server, serving


@pytest.fixture
def ask(url: str, run: Run) -> Ask:
    """Sends requests to the server, one after the other."""

    async def in_turn(requests: tuple[Request, ...]) -> list[Completion]:
        endpoint = Endpoint(EndpointSettings(url=url, model="judge", token_ids=True))
        try:
            return [await endpoint.generate(request) for request in requests]
        finally:
            await endpoint.close()

    return lambda *requests: run(in_turn(requests))


def prompt(encoder: Encoder, text: str) -> tuple[int, ...]:
    return tuple(encoder.encode([{"role": "user", "content": text}]))


def test_text_usage_and_seeds(ask: Ask, encoder: Encoder) -> None:
    tokens = prompt(encoder, "Name a colour.")
    one, same, other = (Request("m", "sample", tokens, Sampling(8, 1.0, 1.0, seed)) for seed in (1, 1, 2))
    first, again, different = ask(one, same, other)
    assert first.text == again.text
    assert first.text != different.text
    assert first.usage.prompt == len(tokens)
    assert 1 <= first.usage.completion <= 8
    assert first.finish in ("stop", "length")


def test_label_log_probabilities_are_exact(ask: Ask, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    tokens = prompt(encoder, "Which is a vowel? A: a. B: z. Answer with one letter: A or B.")
    (answer,) = ask(Request("m", "compare", tokens, Sampling(1), labels))
    assert set(answer.logprobs) == set(LABELS)
    assert all(math.isfinite(value) for value in answer.logprobs.values())
    assert 0 < sum(map(math.exp, answer.logprobs.values())) <= 1 + 1e-6


def test_a_score_is_the_log_probability_of_the_token_as_a_label(ask: Ask, encoder: Encoder) -> None:
    labels = tuple((label, encoder.label_id(label)) for label in LABELS)
    tokens = prompt(encoder, "Which is a vowel? A: a. B: z. Answer with one letter: A or B.")
    scored = [Request("m", "compare", (*tokens, token), Sampling(1), scored=2) for _, token in labels]
    verdict, *scores = ask(Request("m", "compare", tokens, Sampling(1), labels), *scored)
    assert [s.scores[1] for s in scores] == pytest.approx([*verdict.logprobs.values()], abs=0.1)
    assert scores[0].scores[0] == pytest.approx(scores[1].scores[0], abs=0.1)
    assert [(s.text, s.usage.completion) for s in scores] == [("", 0)] * 2


def test_a_repeated_prefix_is_counted_as_cached(ask: Ask, encoder: Encoder) -> None:
    tokens = prompt(encoder, "Count the words of this sentence. " * 30)
    first, second = ask(*(Request("m", "sample", tokens, Sampling(1, 1.0, 1.0, seed)) for seed in (1, 2)))
    assert first.usage.cached == 0
    assert second.usage.cached >= len(tokens) - 64


def test_a_prompt_that_is_too_long_is_a_terminal_error(ask: Ask, encoder: Encoder) -> None:
    tokens = prompt(encoder, "word " * (CONTEXT + 100))
    (answer,) = ask(Request("m", "sample", tokens, Sampling(8)))
    assert answer.error
    assert answer.error.reason == ErrorReason.PROMPT_TOO_LONG


def test_a_whole_run_over_the_server(url: str, run: Run, tmp_path: Path) -> None:
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
    overrides = [f"endpoints={server}", "plan.rounds=0", "plan.controls=0"]
    command = [*files, "--engine", "endpoint", *(part for o in overrides for part in ("--set", o))]
    assert run(asyncio.to_thread(generate_feedback.main, command)) == 0
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert manifest.counts.comparisons == 2
    assert manifest.calls.made == 2 * 2 * 3  # two pairs, two orders, the three judged principles of concise.yaml
    assert not manifest.failed
