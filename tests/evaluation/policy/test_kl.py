"""The KL of real models, against the log-probabilities that transformers itself gives."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.tiny import make_tiny
from evaluation.policy.figures import divergence
from evaluation.policy.job import Job, prepare
from evaluation.policy.responses import Evidence, Ratio, SampledResponse, gather
from generation.engines.checkpoint import load_tokenizer
from generation.models.encoder import Encoder
from generation.models.files import resolve
from tests.evaluation.policies import options

ENGINE = (
    "--engine",
    "transformers",
    "--set",
    "transformers.dtype=float32",
    "--set",
    "plan.sample={max_tokens: 6, temperature: 1.0}",
)
RULE = "name: rule\nversion: 1\nobjectives: {short: 1.0}\nprinciples:\n  - {id: short, objective: short, text: Short., check: {max_words: 3}}\n"
ASKED = ("why is the sky blue ?", "what is a good day ?", "is it ?", "nobody knows .", "the sky is bad .", "a day")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def moved(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, its weights pushed about."""
    folder = make_tiny(tmp_path_factory.mktemp("moved"))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def evidence(folder: Path, a: Path, b: Path) -> tuple[Job, Evidence]:
    rows = [{"prompt": f"{text} {more}"} for text in ASKED for more in ("", "why", "light", "good")]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = prepare(options(folder, "--b", b, "--judge", b, *ENGINE, a=str(a), laws=RULE))
    return job, gather(job)


def log_probability(model: torch.nn.Module, tokens: list[int], scored: int) -> float:
    """Of the last `scored` tokens, from transformers' logits of one row alone."""
    with torch.inference_mode():
        table = model(torch.tensor([tokens])).logits[0].float().log_softmax(-1)
    return float(sum(table[i - 1, tokens[i]].item() for i in range(len(tokens) - scored, len(tokens))))


def test_a_moved_model_has_the_kl_that_transformers_gives(base: Path, moved: Path, tmp_path: Path) -> None:
    _, found = evidence(tmp_path, moved, base)
    files = resolve(str(base))
    encoder = Encoder(load_tokenizer(files))
    models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval() for path in (moved, base)]
    checked, ended = [], 0
    for pair in found.pairs:
        if not isinstance(pair.a, SampledResponse):
            continue
        assert isinstance(pair.ratio, Ratio)
        prompt, response = encoder.response(pair.prompt.messages, pair.a.response.raw)
        response = response if pair.a.truncated else [*response, encoder.end_of_turn]
        ended += not pair.a.truncated
        by_hand = [log_probability(model, [*prompt, *response], len(response)) for model in models]
        assert pair.ratio.tokens == len(response)
        assert pair.ratio.nats == pytest.approx(by_hand[0] - by_hand[1], abs=1e-3)
        checked.append(by_hand[0] - by_hand[1])
    assert len(checked) > 15
    assert 0 < ended < len(checked), "responses that ended and responses that were cut were both scored"
    kl, per_token, missing = divergence(found.pairs, "", 0)
    assert kl is not None
    assert per_token is not None
    assert kl.value == pytest.approx(sum(checked) / len(checked), abs=1e-3)
    assert 0.05 < kl.low < kl.value < kl.high, "the models do differ"
    assert 0 < per_token.value < kl.value
    assert missing == ""


def test_an_equal_model_has_none(base: Path, tmp_path: Path) -> None:
    _, found = evidence(tmp_path, base, base)
    kl, _, _ = divergence(found.pairs, "", 0)
    assert kl is not None
    assert (kl.value, kl.low, kl.high) == (0.0, 0.0, 0.0)
