"""Settings of the studio."""

from pathlib import Path

from studio import settings
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "settings.txt", settings)
