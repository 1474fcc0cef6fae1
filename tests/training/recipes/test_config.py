"""The settings of recipes on rows."""

from pathlib import Path

from tests.defaults import assert_golden
from training.data import labels
from training.recipes import config


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parents[1] / "golden" / "recipes.txt", config, labels)
