"""Families whose layers do more than Llama's: what is trained on agrees with the model's own logits."""

from pathlib import Path

import pytest

from benchmarks.architectures import SAMPLE, outcome

PADDED = {"gemma2", "nemotron", "gpt_oss", "doge"}
"""Families whose layers cannot be packed."""


@pytest.mark.parametrize("name", SAMPLE)
def test_log_probabilities_are_the_models_own(name: str, tmp_path: Path) -> None:
    found = outcome(name, tmp_path / "model")
    assert found == {"padded": "right"} if name in PADDED else {"packed": "right", "padded": "right"}
