"""Settings of the engines."""

from pathlib import Path

from generation.engines import transformers, vllm
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "engines.txt", transformers, vllm)
