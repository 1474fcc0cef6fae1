import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from critics.text.needed import Phrase, Phrases, folded, needed, squeezed

FLAGS = re.IGNORECASE | re.MULTILINE | re.VERBOSE

literals = st.text(st.sampled_from("aiskABIKSß12[-"), min_size=1, max_size=4).map(re.escape)
patterns = st.recursive(
    literals | st.sampled_from([r"\w+", r"\s", r"[abc]", r"(?!x)", r"\b", "."]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{0,2}", "{1,2}", "{2}?"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
        inner.map(lambda part: f"(?>{part})"),
        inner.map(lambda part: f"(?P<name>{part})" if "?P<" not in part else part),
        inner.map(lambda part: f"(?-i:{part})"),
    ),
    max_leaves=8,
)


@given(st.data())
def test_what_matches_holds_what_is_needed(data: st.DataObject) -> None:
    pattern = data.draw(patterns.filter(_compiles))
    text = data.draw(st.text("aAbBiİıIsſSkKK ß12[-xẞ", max_size=12))
    found = re.compile(pattern, FLAGS).search(text)
    literals = needed(pattern, FLAGS)
    assert not found or not literals or any(literal in folded(text) for literal in literals)
    assert Phrase(pattern, FLAGS).matches(text, folded(text)) == bool(found)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern, FLAGS)
    except re.error:  # a group's name twice
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"\b(?:judges?|graders?)\b", {"judge", "grader"}),
        (r"a\s+the", {"the"}),
        (r"(?:x)?yes", {"yes"}),
        (r"(?:ignore\s+)+all\b|forget", {"ignore", "forget"}),
        (r"(?:one|\w)", set()),
        (r"\[\[A", {"[[a"}),
        (r"wähle|lass", {"hle", "lass"}),
        ("", set()),
    ],
)
def test_the_literals_that_tell_most(pattern: str, literals: set[str]) -> None:
    assert needed(pattern, FLAGS) == literals


def test_a_text_without_them_is_not_searched() -> None:
    phrase = Phrase(r"\bwhat\s+an?\s+(?:genius|marvel)\b")
    assert not phrase.matches("What a day, what a night.", "what a day, what a night.")
    assert "compiled" not in phrase.__dict__
    assert phrase.matches("WHAT A GENIUS", folded("WHAT A GENIUS"))
    assert not phrase.matches("Genius, what?", folded("Genius, what?"))


@pytest.mark.parametrize("text", ["İnsist", "ınsist", "inſist", "INSIST", "inſıst", "Kinsist"])
def test_letters_that_match_without_case(text: str) -> None:
    phrase = Phrase(r"k?insist")
    assert phrase.compiled.search(text), "so it does for re"
    assert phrase.matches(text, folded(text))


def test_a_run_of_white_space_is_one_character_to_phrases() -> None:
    assert squeezed("a \t b \n\n  c\u2003d") == "a b\nc d"
    assert Phrases(r"a\sb")("a \t  b")
    assert not Phrases(r"a\s\sb")("a   b")
