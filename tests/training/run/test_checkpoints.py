"""What training saves is an ordinary checkpoint, with the numbers that training saw."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from rich.console import Console
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.tiny import some_pairs, some_targets
from generation.engines.base import Completion, Request, Sampling
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.reward import REWARD, head_rewards
from generation.engines.reward import Reward as RewardEngine
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLM
from generation.models.encoder import Encoder
from generation.models.files import resolve
from training.config import Lora, Training
from training.data.batches import Example, collate
from training.model.attention import NAME
from training.model.loading import load_policy
from training.model.modules import TrainableModel
from training.model.saving import save
from training.recipes.config import DPO, SFT, Reward
from training.run import fit, job

ROWS = [Example((1, 8, 9, 10), ((11, 12, 13, 2), (14, 2))), Example((1, 9), ((15, 16, 9, 9, 9, 2),))]
WHOLE = [[*row.prompt, *response] for row in ROWS for response in row.responses]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trained(tiny: Path, tmp_path: Path, write_rows: Callable[..., Path]) -> Callable[..., tuple[Path, Any]]:
    """Trains and saves the tiny model; returns the folder and what the module answered to ROWS before it was saved."""

    def run(kind: type[Training], **settings: Any) -> tuple[Path, Any]:
        rows = some_targets(24) if kind is SFT else some_pairs(24)
        plain = {"precision": "fp32", "batch_size": 8, "steps": 3, "report_to": (), "learning_rate": 1e-2, "warmup": 0}
        data = {str(write_rows(rows)): 1.0}
        chosen = kind.model_validate({"model": str(tiny), "data": data, **plain, **settings})
        prepared = job.prepare(chosen, tmp_path / "out")
        module = fit.load(prepared)
        fit.build(prepared, module).train()
        answer = answers(module)
        save(module, prepared.tokenizer, tmp_path / "out", chosen.lora is not None and chosen.lora.merge)
        return tmp_path / "out", answer

    return run


@torch.no_grad()
def answers(module: TrainableModel) -> Any:
    """Log-probabilities of tokens, or rewards."""
    found = module.eval()(collate(ROWS, module.layout))
    return found.logprobs if hasattr(found, "logprobs") else found


@torch.no_grad()
def by_transformers(model: Any) -> Any:
    """Log-probabilities of ROWS' tokens by a causal model of transformers'."""
    found = []
    for row in ROWS:
        for response in row.responses:
            logits = model(torch.tensor([[*row.prompt, *response]])).logits[0, len(row.prompt) - 1 : -1].float()
            found.append(logits.log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0])
    return torch.cat(found)


def padded(pad: int) -> dict[str, Any]:
    longest = max(map(len, WHOLE))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in WHOLE])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in WHOLE])
    return {"input_ids": ids, "attention_mask": mask}


POLICIES: dict[str, tuple[type[Training], dict[str, Any]]] = {
    "sft": (SFT, {}),
    "dpo": (DPO, {}),
    "dpo, padded": (DPO, {"layout": "padded"}),
    "dpo, adapter merged": (DPO, {"lora": Lora(r=4)}),
}


@pytest.mark.model
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_loads_in_transformers_with_the_same_numbers(
    trained: Callable[..., Any], tiny: Path, name: str
) -> None:
    kind, settings = POLICIES[name]
    folder, answer = trained(kind, **settings)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(by_transformers(model), answer, rtol=0, atol=1e-5)
    before = by_transformers(AutoModelForCausalLM.from_pretrained(tiny).eval())
    assert (answer - before).abs().max() > 0.01
    assert model.config._attn_implementation == "sdpa"
    assert NAME not in (folder / "config.json").read_text()  # a name that only training knows
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "model.embed_tokens.weight" in names
    assert not [n for n in names if "lm_head" in n or "lora" in n or "base" in n]
    assert not (folder / "adapter_config.json").exists()
    files = resolve(str(folder))
    assert load_tokenizer(files).chat_template == load_tokenizer(resolve(str(tiny))).chat_template
    torch.testing.assert_close(answers(load_policy(files, SFT())), answer, rtol=0, atol=1e-5)


def test_a_checkpoint_keeps_its_type(tiny: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(half)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(half)
    files = resolve(str(half))
    module = load_policy(files, SFT())
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    save(module, load_tokenizer(files), tmp_path / "out", False)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


@pytest.mark.model
def test_an_adapter_that_is_not_merged_loads_with_peft(trained: Callable[..., Any], tiny: Path) -> None:
    folder, answer = trained(DPO, lora=Lora(r=4, merge=False))
    assert (folder / "adapter_model.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    config = folder / "adapter_config.json"
    assert str(tiny.parent) not in config.read_text()
    said = json.loads(config.read_text())
    assert said["base_model_name_or_path"] == tiny.name
    config.write_text(json.dumps({**said, "base_model_name_or_path": str(tiny)}))  # as the card says
    model = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(by_transformers(model), answer, rtol=0, atol=1e-5)
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert all("lora_" in name for name in file.keys())  # noqa: SIM118


@pytest.mark.model
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("lora", [None, Lora(r=4)], ids=["whole", "adapter merged"])
def test_a_reward_model_loads_in_transformers_and_in_the_engine(
    trained: Callable[..., Any], heads: int, lora: Lora | None
) -> None:
    folder, answer = trained(Reward, heads=heads, lora=lora)
    assert answer.abs().max() > 1e-3
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pad = AutoTokenizer.from_pretrained(folder).pad_token_id
    assert pad == model.config.pad_token_id != 2
    with torch.no_grad():
        torch.testing.assert_close(model(**padded(pad)).logits, answer, rtol=0, atol=1e-5)
    found = asyncio.run(asked(resolve(str(folder))))
    for completion, row in zip(found, answer.tolist(), strict=True):
        assert head_rewards(completion.logprobs) == pytest.approx(row, abs=1e-5)
        assert completion.logprobs[REWARD] == pytest.approx(sum(row) / heads, abs=1e-5)


async def asked(files: ModelFiles) -> list[Completion]:
    """The rewards of ROWS by the engine that judges with reward models."""
    engine = RewardEngine(files, TransformersSettings(dtype="float32", batch_size=4))
    try:
        requests = [Request("m", "compare", tuple(row), Sampling(1), (("reward", -1),)) for row in WHOLE]
        return list(await asyncio.gather(*(engine.generate(request) for request in requests)))
    finally:
        await engine.close()


@pytest.mark.model
def test_a_reward_adapter_keeps_its_head(trained: Callable[..., Any], tiny: Path) -> None:
    folder, answer = trained(Reward, lora=Lora(r=4, merge=False))
    base = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
    model = PeftModel.from_pretrained(base, folder).eval()
    base.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
    with torch.no_grad():
        torch.testing.assert_close(model(**padded(base.config.pad_token_id)).logits, answer, rtol=0, atol=1e-5)


TALK = [
    ("Why is the sky blue?", "Because air scatters blue light more than red light.", "No idea."),
    ("How do I boil an egg?", "Put it in boiling water for eight minutes.", "Eggs are illegal, so I will not say."),
    ("What is two plus two?", "Two plus two is four.", "It depends on the day of the week."),
    ("Name a river in Egypt.", "The Nile.", "I would rather talk about trains."),
]


@pytest.mark.model
def test_a_trained_embedded_model_loads_in_vllm_with_the_same_numbers(
    embedded: ModelFiles, encoder: Encoder, vllm: VLLM, run: Callable[[Coroutine[Any, Any, Any]], Any],
    ask: Callable[..., list[Completion]], tmp_path: Path, write_rows: Callable[..., Path],
) -> None:  # fmt: skip
    pairs = [
        {"prompt": [{"role": "user", "content": q}], "chosen": [{"role": "assistant", "content": a}],
         "rejected": [{"role": "assistant", "content": b}], "p_chosen": 0.9, "prompt_id": q}
        for q, a, b in TALK
    ]  # fmt: skip
    chosen = DPO(
        model=str(embedded.path), data={str(write_rows(pairs)): 1.0}, test_fraction=0, batch_size=4, micro_batch_size=4, steps=3, warmup=0,
        learning_rate=1e-4, schedule="constant", lora=Lora(r=8), report_to=(), sft_weight=1.0,
    )  # fmt: skip
    fit.run(job.prepare(chosen, tmp_path / "out"), Console(quiet=True))
    files = resolve(str(tmp_path / "out"))
    talks = [
        encoder.response([{"role": "user", "content": q}], response) for q, *responses in TALK for response in responses
    ]
    examples = [Example(prompt, [[*response, encoder.end_of_turn]]) for prompt, response in talks]
    after = answered(load_policy(files, SFT()), examples)
    requests = [
        Request("m", "compare", (*e.prompt, *e.responses[0]), Sampling(1), scored=len(e.responses[0])) for e in examples
    ]

    def scores() -> Any:
        return torch.tensor([value for completion in ask(*requests) for value in completion.scores])

    before = scores()
    run(vllm.reload(files.path))
    try:
        theirs = scores()
    finally:
        run(vllm.reload(embedded.path))
    assert (theirs - after).abs().mean() < 0.08  # bfloat16 against float32
    assert (theirs - before).abs().mean() > 2 * (theirs - after).abs().mean()
    # and the session's engine is as it was: in bfloat16 the same scores differ by 0.02 where calls share other batches, and by 0.28
    # with the trained weights
    assert (scores() - before).abs().mean() < 0.05


@torch.no_grad()
def answered(module: Any, examples: list[Example]) -> Any:
    return module.eval()(collate(examples, module.layout)).logprobs
