"""What is known of a run's models before any is loaded."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.families import FAMILIES, tokenizer_of
from benchmarks.styles import STYLES
from constitution.records import Function, Message, ToolCall
from critics.text import thoughts
from generation.config import RunConfig
from generation.engines.base import Completion, Engine, Request, Sampling
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.transformers import TransformersSettings
from generation.models.chat_model import ChatModel
from generation.models.encoder import Encoder
from generation.models.factory import ModelSpec, chat_models, model_registry
from generation.models.files import resolve
from generation.servers.settings import EndpointSettings

FILES = ModelFiles("m", Path("m"), "d", 64)
HALF = TransformersSettings(dtype="float16")
SERVER = EndpointSettings(url="http://127.0.0.1:9", token_ids=True)


@pytest.mark.parametrize(
    ("files", "settings", "numerics"),
    [
        pytest.param(FILES, {"engine": "vllm"}, "", id="its-own"),
        pytest.param(FILES, {"engine": "transformers"}, "", id="transformers"),
        pytest.param(FILES, {"engine": "vllm", "vllm": {"dtype": "float32"}}, "float32", id="vllm-in-float32"),
        pytest.param(FILES, {"engine": "transformers", "transformers": HALF}, "float16", id="transformers-in-float16"),
        pytest.param(FILES, {"engine": "endpoint", "endpoints": (SERVER,)}, "server", id="server"),
        pytest.param(None, {"engine": "replay"}, "", id="replay"),
    ],
)  # fmt: skip
def test_numbers_made_otherwise_have_other_keys(
    files: ModelFiles | None, settings: dict[str, object], numerics: str
) -> None:
    config = RunConfig.model_validate(settings)
    assert ModelSpec("m", config.roles()["policy"], "d", files).numerics(config) == numerics


def test_a_reward_model_has_the_numbers_of_transformers_whatever_runs_the_others() -> None:
    scorer = {"name": "scorer", "model": "m", "methods": ["reward"]}
    config = RunConfig.model_validate({"engine": "vllm", "transformers": HALF, "panel": [scorer]})
    assert ModelSpec("m", config.roles()["scorer"], "d", FILES).numerics(config) == "float16"


DATED = (
    "{{ strftime_now('%d %b %Y') }}{% for m in messages if m['role'] != 'system' %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{{ '<think>\n' if enable_thinking is not defined or enable_thinking else '' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a tokenizer that works, whose template thinks, prints the day and leaves out system messages."""
    path = tmp_path_factory.mktemp("models") / "dated"
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template = DATED
    tokenizer.save_pretrained(path)
    save_file({"w": np.zeros(4, dtype=np.float32)}, path / "model.safetensors")
    settings = {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": len(tokenizer)}
    (path / "config.json").write_text(json.dumps(settings))
    return path


def opened(folder: Path, answers: Engine, **settings: Any) -> ChatModel:
    config = RunConfig.model_validate({"engine": "transformers", "policy": str(folder), **settings})
    ((policy, *_),), _ = chat_models(config, model_registry(config), lambda _: answers)
    return policy


class Echo:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def generate(self, request: Request) -> Completion:
        self.asked.append(request)
        return Completion("Some thoughts.", "length")

    async def close(self) -> None:
        pass


def prompt(model: ChatModel, folder: Path) -> str:
    assert model.encoder
    return str(load_tokenizer(resolve(str(folder))).decode(model.encoder.encode([ASKED])))


ASKED = Message(role="user", content="Which?")


def test_a_template_is_told_the_day_and_what_the_settings_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day, other = (opened(folder, Echo(), date=date) for date in ("2024-07-26", "2024-07-27"))
    assert prompt(day, folder).startswith("26 Jul 2024<|im_start|>user")
    assert prompt(other, folder).startswith("27 Jul 2024")
    assert prompt(day, folder).endswith("assistant\n<think>\n")
    quiet = opened(folder, Echo(), chat_template_kwargs={"enable_thinking": False})
    assert prompt(quiet, folder).endswith("assistant\n")
    assert day.digest == other.digest != quiet.digest
    assert len({one.encoder.digest for one in (day, other, quiet) if one.encoder}) == 3
    assert (day.capabilities.thinks, quiet.capabilities.thinks) == (True, True)
    note = "dated: its chat template leaves out: system; prompts with such messages fail"
    assert note in capsys.readouterr().err.splitlines()


def test_thoughts_that_the_prompt_opened_are_marked_and_a_judge_has_none(folder: Path) -> None:
    engine = Echo()
    model = opened(folder, engine)
    sampled = asyncio.run(model.ask([ASKED], stage="sample", sampling=Sampling(max_tokens=8)))
    assert thoughts.split(sampled.text, model.capabilities.thinks) == ("", "Some thoughts.")
    judged = asyncio.run(model.ask([ASKED], stage="compare", sampling=Sampling(max_tokens=1), labels=("A", "B")))
    assert judged.text == "Some thoughts."
    tokenizer = load_tokenizer(resolve(str(folder)))
    ends = [str(tokenizer.decode(request.tokens)).rpartition("assistant")[2] for request in engine.asked]
    assert ends == ["\n<think>\n", "\n"]
    asyncio.run(model.likelihood([ASKED], "Yes"))
    assert str(tokenizer.decode(engine.asked[-1].tokens)).endswith("assistant\nYes")


def test_the_likelihood_of_a_call_is_that_of_what_the_template_writes() -> None:
    engine, tokenizer = Echo(), STYLES["chatml"]()
    model = ChatModel("judge", "0", engine, Encoder(tokenizer), 0)
    call = ToolCall(function=Function(name="look", arguments={"at": "sky"}))
    said = Message(role="assistant", content="Let me look.", tool_calls=(call,))
    for ended in (False, True):
        asyncio.run(model.likelihood([ASKED], said, ended=ended))
    scored = [str(tokenizer.decode(request.tokens[-request.scored :])) for request in engine.asked]
    written = 'Let me look.<tool_call>{"name": "look", "arguments": {"at": "sky"}}</tool_call>'
    assert scored == [written, f"{written}<|im_end|>"]


def test_the_likelihood_of_what_was_sampled_with_thoughts_is_that_after_the_prompt_that_opens_them() -> None:
    engine, tokenizer = Echo(), tokenizer_of(FAMILIES["deepseek r1"])
    model = ChatModel("policy", "0", engine, Encoder(tokenizer), 0)
    asyncio.run(model.likelihood([ASKED], "<think>\nHm.\n</think>\n\nThis one.", ended=True))
    (asked,) = engine.asked
    assert tokenizer.decode(asked.tokens[: -asked.scored]).endswith("<｜Assistant｜><think>\n")
    assert tokenizer.decode(asked.tokens[-asked.scored :]) == "Hm.\n</think>\n\nThis one.<｜end▁of▁sentence｜>"


@pytest.mark.parametrize(
    ("named", "further"),
    [
        pytest.param({"generation_config.json": {"eos_token_id": [0, 1]}}, (), id="named"),
        pytest.param({"generation_config.json": {"eos_token_id": 0}}, (1,), id="another-is-named"),
        pytest.param({"generation_config.json": {}}, (1,), id="none-is-named"),
        pytest.param({"config.json": {"eos_token_id": 1}}, (), id="in-config.json"),
        pytest.param({"config.json": {"text_config": {"eos_token_id": 1}}}, (), id="in-a-part-of-it"),
        pytest.param({"tokenizer": {"eos_token": "<|im_end|>"}}, (), id="by-the-tokenizer"),
        pytest.param({}, (1,), id="nowhere"),
    ],
)  # fmt: skip
def test_an_answer_ends_where_the_template_ends_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], named: dict[str, Any], further: tuple[int, ...]
) -> None:
    path = shutil.copytree(folder, tmp_path / "model")
    tokenizer = STYLES["chatml"]()
    tokenizer.chat_template, tokenizer.eos_token = DATED, "<|im_start|>"
    for key, value in named.get("tokenizer", {}).items():
        setattr(tokenizer, key, value)
    tokenizer.save_pretrained(path)
    for name, more in named.items():
        if name != "tokenizer":
            before = json.loads((path / name).read_text()) if (path / name).exists() else {}
            (path / name).write_text(json.dumps(before | more))
    engine = Echo()
    model = opened(path, engine)
    asyncio.run(model.ask([ASKED], stage="sample", sampling=Sampling(max_tokens=8)))
    asyncio.run(model.ask([ASKED], stage="compare", sampling=Sampling(max_tokens=1), labels=("A", "B")))
    assert [request.sampling.ends for request in engine.asked] == [further, ()]
    told = "model: answers also end at <|im_end|>, as in its chat template; its files do not say so"
    assert (told in capsys.readouterr().err.splitlines()) == bool(further)


def test_a_row_with_what_the_template_leaves_out_fails_in_words(folder: Path) -> None:
    asked = [Message(role="system", content="Be brief."), ASKED]
    found = asyncio.run(opened(folder, Echo()).ask(asked, stage="sample", sampling=Sampling(max_tokens=8)))
    assert str(found.error) == "bad_chat: the model's chat template leaves out: system"
