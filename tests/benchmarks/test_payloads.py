"""Payloads of hostile authors that are read in a moment; `python -m benchmarks.payloads` tries all."""

from pathlib import Path

import pytest

from benchmarks.payloads import CLASSES, died
from benchmarks.payloads_made import PAGES, PATHS, REUSED, SCHEMAS, TEMPLATES, YAML


def test_there_are_as_many_as_are_wanted() -> None:
    made = {"YAML": YAML, "schema": SCHEMAS, "template": TEMPLATES, "page": PAGES, "path": PATHS, "reuse": REUSED}
    assert {name for name, payloads in made.items() if len(payloads) < CLASSES[name][1]} == set()


@pytest.mark.model
@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", ["path", "reuse"])
def test_all_are_survived(name: str, tmp_path: Path) -> None:
    assert {what: why for what, attempt in CLASSES[name][0](tmp_path) if (why := died(attempt))} == {}
