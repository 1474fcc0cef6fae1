"""Options of the critics' tests."""

import os

import pytest


@pytest.fixture
def update_golden() -> bool:
    """Set SOLON_UPDATE_GOLDEN=1 to rewrite the golden prompts, then read the change."""
    return os.environ.get("SOLON_UPDATE_GOLDEN") == "1"
