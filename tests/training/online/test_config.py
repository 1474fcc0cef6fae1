"""Settings of online training."""

from pathlib import Path

from tests.defaults import assert_golden
from training.online import config


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "online.txt", config)
