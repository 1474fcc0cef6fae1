"""Token ids of texts that begin alike or end alike, each beginning and each end encoded once.

All principles of a comparison ask about the same conversation and responses, so their prompts share a head, and what differs is a
short question after a blank line, which is put about other responses too. To encode a head and a question apart gives the ids of
the whole where three things hold, and else the whole is encoded:

- no entry of the vocabulary has a line break with a printable character behind it, so no token can reach over the cut;
- what stands before the cut becomes the same tokens whatever character follows, and what follows it as if nothing were before it,
  which is tried for each first character of a question when it is first met (splits look ahead by kinds of characters);
- for each head, the whole of its first text ends with the ids of what follows the head.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable
from threading import Lock

_SPANNING = re.compile(r"[\nĊ][!-~]")
"""A line break, as it is or as byte-level vocabularies write it, and a printable character."""
_HEADS = ("It is so.\n</reply_b 0f3a91c2>\n\n", "</reply>\n\n", "7\n</reply_b e0000007>\n\n")
_TAILS = ("{}hich reply is it?", "{}", "{} b", "{0}{0}", "{}'s 1")
MOST_CHARACTERS = 16_000_000
"""Of all texts whose ids are kept."""


def spans_lines(vocabulary: Iterable[str]) -> bool:
    """True where a token may hold a line break and a printable character behind it."""
    return bool(_SPANNING.search("\0".join(vocabulary)))


class Heads:
    """What was encoded lately, by any thread."""

    def __init__(self, ids: Callable[[str], list[int]], spans: bool) -> None:
        """ids: encodes a text. spans: as `spans_lines` of its vocabulary."""
        self._ids = ids
        self._firsts: dict[str, bool] = {}
        self._spans = spans
        self._kept: dict[str, array[int]] = {}
        self._lock = Lock()
        """Held where what is kept changes; never while a text is encoded."""
        self._characters = 0

    def encode(self, text: str, cut: int = 0) -> list[int]:
        """Ids of a text.

        cut: where a head ends that other texts may have too, with a closing delimiter and a blank line; 0 where none does, and
        the text itself may come again.
        """
        if not cut:
            return self._known(text) or self._keep(text, self._ids(text))
        if not self._is_safe(text[cut : cut + 1]):
            return self._ids(text)
        head = text[:cut]
        if head in self._kept:
            before = self._known(head)
            return before + self.encode(text[cut:]) if before else self._ids(text)
        whole, tail = self._ids(text), self.encode(text[cut:])
        self._keep(head, whole[: -len(tail)] if tail and whole[-len(tail) :] == tail else [])
        return whole

    def _known(self, text: str) -> list[int]:
        """What is kept of a text, which is then the newest; nothing where nothing is, or the text must not be cut off."""
        with self._lock:
            found = self._kept.pop(text, None)
            if found is None:
                return []
            self._kept[text] = found
        return found.tolist()

    def _keep(self, text: str, ids: list[int]) -> list[int]:
        kept = array("I", ids)
        with self._lock:
            self._characters += len(text) if text not in self._kept else 0
            self._kept[text] = kept
            while self._kept and self._characters > MOST_CHARACTERS:
                oldest = next(iter(self._kept))
                del self._kept[oldest]
                self._characters -= len(oldest)
        return ids

    def _is_safe(self, first: str) -> bool:
        """True where a question may be encoded by itself that begins with this character."""
        if first not in self._firsts:
            self._firsts[first] = "!" <= first <= "~" and not self._spans and self._tried(first)
        return self._firsts[first]

    def _tried(self, first: str) -> bool:
        for head in _HEADS:
            before = set()
            for tail in [form.format(one) for one in (first, "W") for form in _TAILS]:
                whole, own = self._ids(head + tail), self._ids(tail)
                if not own or whole[-len(own) :] != own:
                    return False
                before.add((*whole[: -len(own)],))
            if len(before) != 1:
                return False
        return True
