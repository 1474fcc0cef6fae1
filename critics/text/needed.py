"""What a text must hold for a pattern to match: a text without it need not be searched, and most have none of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_ALIKE = (("İ", "i"), ("ı", "i"), ("ſ", "s"))
"""Letters that match another in patterns without case, and have no lower case of their own that is equal."""


_SPACES = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")


def squeezed(text: str) -> str:
    """A text with each run of white space as one space or line break."""
    return _BREAKS.sub("\n", _SPACES.sub(" ", text))


def folded(text: str) -> str:
    """A text in the form in which it holds what a pattern without case needs."""
    if not text.isascii():
        for letter, other in _ALIKE:
            text = text.replace(letter, other)
    return text.lower()


def needed(pattern: str, flags: int = 0) -> frozenset[str]:
    """Literals, at least one of which every text that matches holds once it is `folded`; empty where none are known."""
    return _of_sequence(_parser.parse(pattern, flags))


def _of_sequence(items: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    """Of what stands in a row each is needed: the choice whose shortest literal is longest tells most."""
    found, run = [], ""
    for kind, value in items:
        if str(kind) == "LITERAL" and value < 128:
            run += chr(value).lower()
        else:
            found += [frozenset({run}), _inside(str(kind), value)]
            run = ""
    found.append(frozenset({run}))
    return max(
        (each for each in found if all(each)),
        key=lambda each: (min(map(len, each), default=0), -len(each)),
        default=frozenset(),
    )


def _inside(kind: str, value: Any) -> frozenset[str]:
    match kind:
        case "SUBPATTERN":
            return _of_sequence(value[3])
        case "BRANCH":
            parts = [_of_sequence(branch) for branch in value[1]]
            return frozenset().union(*parts) if all(parts) else frozenset()
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT" if value[0] > 0:
            return _of_sequence(value[2])
    return frozenset()


class Phrase:
    """A pattern without case that is searched where a text holds what it needs."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        """flags: as of `re`, to which IGNORECASE is added."""
        self._pattern, self._flags = pattern, flags | re.IGNORECASE

    @cached_property
    def needs(self) -> frozenset[str]:
        """Its literals, as of `needed`."""
        return needed(self._pattern, self._flags)

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern itself, compiled for the first text that holds what it needs."""
        return re.compile(self._pattern, self._flags)

    def matches(self, text: str, fold: str) -> bool:
        """Whether it is found in a text. fold: the text, folded."""
        for literal in self.needs:
            if literal in fold:
                return bool(self.compiled.search(text))
        return not self.needs and bool(self.compiled.search(text))


class Phrases:
    """Patterns without case, called with a text: whether one of them is in it, squeezed, which keeps the searches linear."""

    def __init__(self, *patterns: str) -> None:
        """patterns: verbose, and with lines of their own."""
        self.all = tuple(Phrase(pattern, re.MULTILINE | re.VERBOSE) for pattern in patterns)

    def __call__(self, text: str) -> bool:
        """Search it for each that it may have."""
        text, fold = _forms(text)
        return any(phrase.matches(text, fold) for phrase in self.all)


@lru_cache(8)
def _forms(text: str) -> tuple[str, str]:
    """(squeezed, and folded too), once for a text that is searched for several sets of phrases."""
    text = squeezed(text)
    return text, folded(text)
