"""A checkpoint says where the answers end that it learnt to write."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoModelForCausalLM

from generation.engines.checkpoint import end_tokens, named_ends
from generation.models.files import resolve
from tests.training.ppo_small import small_model
from training.recipes.config import SFT
from training.run import fit, job

BASE = 0
"""<|im_start|>, at which the base ends a text; its chat template ends turns with the next id."""


def given_template(folder: Path, **more: Any) -> Path:
    """A base that knows nothing of its chat template's end of turn."""
    path = small_model(folder / "base")
    for name in ("config.json", "generation_config.json"):
        written = json.loads((path / name).read_text()) | {"eos_token_id": BASE}
        (path / name).write_text(json.dumps(written | (more if name.startswith("gen") else {})))
    return path


@pytest.mark.parametrize(
    "more", [{}, {"top_p": 0.5, "do_sample": False}], ids=["own", "that-transformers-does-not-write"]
)
def test_a_policy_names_the_end_that_it_learnt(tmp_path: Path, more: dict[str, Any]) -> None:
    base = given_template(tmp_path, **more)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"Say {i}.", "completion": f"It is {i}."}) + "\n" for i in range(8)))
    settings = SFT.model_validate(
        {
            "model": str(base),
            "data": {str(rows): 1.0},
            "precision": "fp32",
            "report_to": [],
            "test_fraction": 0,
            "batch_size": 4,
        }
    )
    fit.run(job.prepare(settings, tmp_path / "out"), Console(quiet=True))
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert {**written, **more} == written
    assert named_ends(resolve(str(base))) == {BASE}
    assert named_ends(resolve(str(tmp_path / "out"))) == {BASE, BASE + 1}
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert end_tokens(saved.generation_config.eos_token_id) == {BASE, BASE + 1}
