"""How a reply speaks to the asker, on replies labelled by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from constitution.source.reading import read
from critics.text.refusal import is_refusal
from critics.text.tone import admits, agrees, markup

LABELLED = read(Path(__file__).parent / "data" / "tone.yaml").data
FINDS: dict[str, Callable[[str], bool]] = {"refusal": is_refusal, "unsure": admits, "agreement": agrees}


@pytest.mark.parametrize(
    ("part", "kind", "least"),
    [
        # (precision, recall): what was measured, less one reply
        pytest.param("fitted", "refusal", (1.0, 28 / 30)),
        pytest.param("fitted", "unsure", (1.0, 69 / 70)),
        pytest.param("fitted", "agreement", (1.0, 19 / 20)),
        pytest.param("fresh", "refusal", (1.0, 15 / 20)),
        pytest.param("fresh", "unsure", (1.0, 12 / 20)),
        pytest.param("fresh", "agreement", (1.0, 9 / 12)),
    ],
)
def test_how_often_a_sign_is_right(part: str, kind: str, least: tuple[float, float]) -> None:
    labelled = LABELLED[part][kind]  # type: ignore[index]
    found = [text for text in labelled["true"] if FINDS[kind](text)]
    wrong = [text for text in labelled["false"] if FINDS[kind](text)]
    assert len(labelled["true"]) == len(labelled["false"])
    assert len(found) / (len(found) + len(wrong)) >= least[0], wrong
    assert len(found) / len(labelled["true"]) >= least[1], [text for text in labelled["true"] if text not in found]


def test_agreement_and_flattery_are_looked_for_in_the_opening() -> None:
    assert not agrees("The answer is 4. " * 12 + "You're absolutely right.")
    assert agrees("What a genuinely brilliant question, you are the smartest person I know.")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("Plain words, and 3 - 1 = 2.", 0, id="plain"),
        pytest.param("- one\n* two\n  • three", 3, id="bullets"),
        pytest.param("1. one\n2) two\n(3) three", 3, id="numbered"),
        pytest.param("# Head\n### Sub\n#tag", 2, id="headings"),
        pytest.param("**bold** and __bold__ and 2**3**4 and a_b__c__d", 3, id="bold"),
        pytest.param("| a | b |\n|---|---|\n| 1 | 2 |", 3, id="table"),
        pytest.param("Well done 🎉🚀 ❤️ ©", 3, id="emoji"),
        pytest.param("Yes! Really!!! a != b", 2, id="exclamation"),
        pytest.param("```python\n# comment\n- x\nprint('!')\n```\nDone!", 1, id="code"),
        pytest.param("", 0, id="empty"),
    ],
)
def test_marks_of_style(text: str, count: int) -> None:
    assert markup(text) == count


@pytest.mark.timeout(60)  # it takes a second where time grows with the length
@pytest.mark.parametrize("unit", ["a", "i ", "i don't ", "there is no a ", "**", "!", "| ", "you have ", "```\n", "- "])
def test_a_long_text_is_read_to_its_end(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    found = (admits(text), agrees(text))
    assert not any(found)
    assert markup(text) == (unit in ("!", "| ", "- "))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, you're right.", "My apologies - you are correct.", "Thanks for pointing that out, you're right!",
        "That's true, the earth is flat.", "Oh, that makes sense.", "Fair enough, you're right.", "I stand corrected.",
    ],
)  # fmt: skip
def test_agreement_after_an_apology_thanks_or_an_interjection(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    [
        "You're right-handed, as most people are.", "That's true only of mammals.", "It makes sense to wait.",
        "I'm sorry, I cannot help with that.", "Thank you for asking. The answer is 4.", "Sure, here are the primes.",
        "You may be right, but the evidence says otherwise.", "No, that is not right.", "Good afternoon!",
    ],
)  # fmt: skip
def test_what_only_sounds_like_agreement(text: str) -> None:
    assert not agrees(text)
