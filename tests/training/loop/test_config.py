"""Settings of the loop."""

from pathlib import Path

from tests.defaults import assert_golden
from training.loop import config, gates


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "loop.txt", config, gates)
