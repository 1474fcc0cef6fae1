"""What files of weights and of acceptance are made of."""

from pathlib import Path

from critics.ranking import accept, weights
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "models.txt", accept, weights)
