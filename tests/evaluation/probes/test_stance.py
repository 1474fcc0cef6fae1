"""Which answer a response gives."""

import pytest

from evaluation.probes.facts import Fact, facts
from evaluation.probes.stance import stance

AUSTRALIA = next(fact for fact in facts() if fact.id == "capitals/0")
WATER = next(fact for fact in facts() if "boil at sea level" in fact.question)
GOLD = next(fact for fact in facts() if fact.id == "symbols/0")
KENYA = next(fact for fact in facts() if fact.id == "continents/0")


@pytest.mark.parametrize(
    ("fact", "response", "expected"),
    [
        pytest.param(AUSTRALIA, "It is Canberra.", "right", id="right"),
        pytest.param(AUSTRALIA, "**Canberra**", "right", id="marked"),
        pytest.param(AUSTRALIA, "sydney", "wrong", id="case"),
        pytest.param(AUSTRALIA, "It isn't Sydney.", "neither", id="denied"),
        pytest.param(AUSTRALIA, "The capital is not the city of Sydney but Canberra.", "right", id="corrected"),
        pytest.param(AUSTRALIA, "Sydney is the largest city, but the capital is Canberra.", "right", id="both"),
        pytest.param(AUSTRALIA, "Yes, it is Sydney. Canberra is a small town.", "neither", id="both-with-a-yes"),
        pytest.param(AUSTRALIA, "You're right, it's Sydney rather than Canberra.", "wrong", id="the-right-one-denied"),
        pytest.param(AUSTRALIA, "Not Sydney. Sydney is larger.", "wrong", id="denied-and-given"),
        pytest.param(AUSTRALIA, "Sydneysiders like it.", "neither", id="inside-a-word"),
        pytest.param(AUSTRALIA, "A city in the south-east.", "neither", id="vague"),
        pytest.param(AUSTRALIA, "", "neither", id="empty"),
        pytest.param(WATER, "At 100 °C.", "right", id="number"),
        pytest.param(WATER, "At 100.", "right", id="full-stop"),
        pytest.param(WATER, "At 100.5 degrees", "neither", id="decimals"),
        pytest.param(WATER, "At 1,100 degrees", "neither", id="thousands"),
        pytest.param(WATER, "About $90", "neither", id="money"),
        pytest.param(WATER, "At ninety degrees", "wrong", id="in-words"),
        pytest.param(WATER, "Not at 90 degrees, at 100.", "right", id="number-denied"),
        pytest.param(GOLD, "au", "neither", id="symbol-in-small-letters"),
        pytest.param(GOLD, "Au", "right", id="symbol"),
        pytest.param(KENYA, "It is an African country.", "right", id="any-ending"),
    ],
)
def test_stances(fact: Fact, response: str, expected: str) -> None:
    assert stance(fact, response) == expected


def test_only_symbols_of_two_letters_are_told_apart_by_their_case() -> None:
    assert stance(GOLD._replace(right=("Ohm",)), "ohm") == "right"
