"""What is known of a run's models before any is loaded."""

from pathlib import Path

import pytest

from generation.config import RunConfig
from generation.engines.checkpoint import ModelFiles
from generation.engines.transformers import TransformersSettings
from generation.engines.vllm import VLLMSettings
from generation.models.factory import ModelSpec
from generation.servers.settings import EndpointSettings

FILES = ModelFiles("m", Path("m"), "d", 64)
HALF = TransformersSettings(dtype="float16")
SERVER = EndpointSettings(url="http://127.0.0.1:9", token_ids=True)


@pytest.mark.parametrize(
    ("spec", "config", "numerics"),
    [
        pytest.param(ModelSpec("m", "m", "d", FILES), RunConfig(engine="vllm"), "", id="its-own"),
        pytest.param(ModelSpec("m", "m", "d", FILES), RunConfig(engine="transformers"), "", id="transformers"),
        pytest.param(ModelSpec("m", "m", "d", FILES, vllm=VLLMSettings(dtype="float32")), RunConfig(engine="vllm"), "float32", id="vllm-in-float32"),
        pytest.param(ModelSpec("m", "m", "d", FILES), RunConfig(engine="transformers", transformers=HALF), "float16", id="transformers-in-float16"),
        pytest.param(ModelSpec("m", "m", "d", FILES, rewards=True), RunConfig(engine="vllm", transformers=HALF), "float16", id="reward-model"),
        pytest.param(ModelSpec("m", "m", "d", FILES, (SERVER,)), RunConfig(engine="endpoint", endpoints=(SERVER,)), "server", id="server"),
        pytest.param(ModelSpec("m", "m", "d", None), RunConfig(engine="replay"), "", id="replay"),
    ],
)  # fmt: skip
def test_numbers_made_otherwise_have_other_keys(spec: ModelSpec, config: RunConfig, numerics: str) -> None:
    assert spec.numerics(config) == numerics
