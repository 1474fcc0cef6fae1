"""What is known of a run's models before any is loaded."""

from pathlib import Path

import pytest

from generation.config import RunConfig
from generation.engines.checkpoint import ModelFiles
from generation.engines.transformers import TransformersSettings
from generation.models.factory import ModelSpec
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
