"""The rules on responses labelled by reading: what is stated of them."""

from evaluation.probes.detectors import detectors, labelled


def test_what_is_stated_of_the_rules() -> None:
    """Measured once the labels were there; lower, a rule has become worse."""
    known, found = labelled(), {name: estimate.value for name, estimate in detectors().items()}
    assert (len(known.refusals), len(known.others), len(known.praise), len(known.rubric)) == (40, 40, 10, 20)
    assert found["refusal_recall"] >= 0.75
    assert found["refusal_precision"] >= 0.93
    assert min(found[name] for name in ("warmth", "says_what", "offers", "lectures")) >= 0.9
