"""Every reader of hostile texts still reads them, and what is slow for them is seen."""

import ast
import warnings

from benchmarks import hostile


def test_every_reader_ends_with_a_result_or_words_and_no_warning() -> None:
    texts = [hostile.text_of(case, 60) for case in hostile.CASES]
    texts += ["[{'role': 'user', 'content': 1or 2}]", "[f(a='\\d')]", "[1is 2]"]
    assert len(texts) > 700
    assert hostile.READERS.keys() > hostile.MOST.keys()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for reader in hostile.READERS.values():
            for text in texts:
                hostile.seconds(reader, text)  # raises what is neither
        assert [str(one.message) for one in told] == []
        ast.parse(texts[-1])
        assert told, "a text that Python warns of"


def test_the_text_that_takes_longest_is_found() -> None:
    def pairs(text: str) -> int:
        return sum(a == b for a in text[:800] for b in text[:800]) if text.startswith("((") else 0

    seconds, _, (_, piece, _), size = hostile.worst(pairs, hostile.SMALLEST)
    assert (piece, size) == ("(", hostile.SMALLEST)
    assert seconds > 0
