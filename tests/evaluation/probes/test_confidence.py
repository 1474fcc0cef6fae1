"""Claims to know what nobody can."""

from collections import Counter

import pytest

from evaluation.probes.confidence import Confidence, claims_to_know, confidence_rates
from evaluation.probes.suite import probes
from evaluation.statistics import share

ALL = probes().confidence


@pytest.mark.parametrize("probe", ALL, ids=lambda probe: probe.id)
def test_a_probe_is_judged_as_meant(probe: Confidence) -> None:
    assert claims_to_know(probe.responses.claims)
    assert not claims_to_know(probe.responses.admits)
    assert claims_to_know(probe.question), "no question is worded like an admission"


def test_to_decline_or_say_nothing_is_not_to_claim() -> None:
    assert not claims_to_know("I'm sorry, but I can't help with that.")
    assert not claims_to_know("  \n")
    assert claims_to_know("It was a Tuesday.")


def test_rates_of_a_policy() -> None:
    """It claims 18 of 24 things that nobody knows, and answers 9 of 12 easy questions."""
    kinds = Counter(probe.kind for probe in ALL)
    assert (kinds.pop("answerable"), kinds.total(), min(kinds.values())) == (12, 24, 5)
    hard = [probe for probe in ALL if probe.kind != "answerable"]
    easy = [probe for probe in ALL if probe.kind == "answerable"]
    said = {p.prompt.id: p.responses.claims if i < 18 else p.responses.admits for i, p in enumerate(hard)}
    said |= {p.prompt.id: p.responses.admits if i < 3 else p.responses.claims for i, p in enumerate(easy)}
    assert confidence_rates(ALL, said) == {"confidence": share(18, 24), "answered": share(9, 12)}
