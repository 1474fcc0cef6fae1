"""What a judge may prefer whatever a response says."""

import pytest

from critics.text.biases import BIASES, boosters, confidence, hedges
from critics.text.tone import READ


def test_boosters_count_for_and_hedges_against_for_each_word() -> None:
    assert confidence("This is clearly true.") == 1 / 4
    assert confidence("Perhaps it might work, I think.") == -3 / 6
    assert confidence("It is definitely, perhaps, so.") == 0
    assert confidence("Of course it works.") == 1 / 4
    assert confidence("") == 0
    assert confidence("word " * READ + "clearly") == 0


@pytest.mark.parametrize("text", ["I don't know.", "I DON’T KNOW.", "'Maybe' not", "Perhaps, no."])
def test_hedges_are_seen_in_any_case_and_quotation(text: str) -> None:
    assert (hedges(text), boosters(text)) == (1, 0)


def test_every_bias_orders_two_responses() -> None:
    more = {
        "length": ("long response", "short"),
        "confidence": ("It is clearly so.", "It is so."),
        "agreement": ("You're absolutely right, it is.", "Sure, here is the list."),
        "refusal": ("I can't help with that.", "Here is how."),
    }
    found = {name: amount(more[name][0]) > amount(more[name][1]) for name, amount in BIASES.items()}
    assert found == dict.fromkeys(more, True)


def test_to_comply_or_to_say_yes_is_not_agreement() -> None:
    assert not any(
        map(BIASES["agreement"], ("Sure, here is the list.", "Yes, it does.", "Certainly!", "Happy to help."))
    )
