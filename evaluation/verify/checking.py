"""All checks of a dataset."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.verify.checks import leaks, order, repeats, responses, scores, texts, verdicts
from evaluation.verify.finding import Finding
from evaluation.verify.scan import Scan


def find(scan: Scan) -> Iterator[Finding]:
    """What each check finds."""
    for check in (order.find, verdicts.find, scores.find, responses.find, texts.find, repeats.find, leaks.find):
        yield from check(scan)
