"""Texts that nearly repeat others, by MinHash."""

from __future__ import annotations

from array import array

from evaluation.audit.minhash import Near, near


def text(*grams: int) -> array[int]:
    return array("Q", [gram * 0x9E3779B97F4A7C15 % (1 << 64) for gram in grams])


SAME, OTHER = text(*range(1, 40)), text(*range(100, 140))


def test_a_text_that_is_another_is_found_at_the_strictest_limit() -> None:
    assert near([SAME, OTHER, SAME], 1.0, None) == (1, [Near(1.0, 2, 0)])
    assert near([SAME, OTHER], 0.5, None) == (0, [])


def test_empty_texts_repeat_nothing() -> None:
    assert near([array("Q"), array("Q"), SAME], 0.5, None) == (0, [])


def test_the_most_similar_are_listed() -> None:
    close = text(*range(1, 39), 77)
    count, found = near([SAME, close, SAME, close], 0.5, 2)
    assert count == 3
    assert [(one.jaccard, one.place, one.earlier) for one in found] == [(1.0, 3, 1), (1.0, 2, 0)]
