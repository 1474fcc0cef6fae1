"""What a constitution, its checks and its records are made of."""

from pathlib import Path

from constitution import principles, records
from constitution.checks import check
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "models.txt", check, principles, records)
