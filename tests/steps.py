"""How many steps a regular expression takes on a text, counted, not timed: a backtracking matcher of the standard library's syntax.

It tries what Python's engine tries, in its order, without its shortcuts; a step is one look at a character or at a choice.
"""

import re
import sys
from collections.abc import Callable, Sequence
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

BOUND = 6
"""Bounded repetitions are no longer than that: how steps grow with the text does not depend on it."""

Next = Callable[[int], bool]
Node = Callable[[int, Next], bool]
CATEGORIES = {
    c.CATEGORY_DIGIT: str.isdigit,
    c.CATEGORY_SPACE: str.isspace,
    c.CATEGORY_WORD: lambda ch: ch.isalnum() or ch == "_",
    c.CATEGORY_NOT_DIGIT: lambda ch: not ch.isdigit(),
    c.CATEGORY_NOT_SPACE: lambda ch: not ch.isspace(),
    c.CATEGORY_NOT_WORD: lambda ch: not (ch.isalnum() or ch == "_"),
}


_CHARACTERS = " \nabAB1.,-_*#`\"'<>[]({:|é中\t"


class TooManyError(Exception):
    """More steps than are allowed."""


class Steps:
    """A pattern, and the steps that it has taken."""

    def __init__(self, pattern: str, flags: int) -> None:
        parsed = parser.parse(pattern, flags)
        self.flags = parsed.state.flags
        self.text, self.steps, self.most = "", 0, sys.maxsize
        self._groups: dict[int, tuple[int, int]] = {}
        self._node = self._sequence(parsed, self.flags)

    def count(self, text: str, starts: Sequence[int], most: int) -> int:
        """Steps of a search from these places until it matches. Raises TooManyError."""
        self.text, self.steps, self.most, self._groups = text, 0, most, {}
        for start in starts:
            if self._node(start, lambda _: True):
                break
        return self.steps

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.most:
            raise TooManyError(self.steps)

    def _sequence(self, items: Any, flags: int) -> Node:
        nodes = [self._one(op, value, flags) for op, value in items]

        def match(i: int, then: Next) -> bool:
            def at(k: int) -> Next:
                return then if k == len(nodes) else lambda j: nodes[k](j, at(k + 1))

            return at(0)(i)

        return match

    def _one(self, op: Any, value: Any, flags: int) -> Node:
        single = self._character(op, value, flags)
        if single:
            test = single

            def match(i: int, then: Next) -> bool:
                self._step()
                return i < len(self.text) and test(self.text[i]) and then(i + 1)

            return match
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            return self._repeat(op, *value, flags)
        if op is c.SUBPATTERN:
            group, added, removed, body = value
            return self._group(group, self._sequence(body, (flags | added) & ~removed))
        if op is c.ATOMIC_GROUP:
            return self._atomic(self._sequence(value, flags))
        if op is c.BRANCH:
            branches = [self._sequence(branch, flags) for branch in value[1]]
            return lambda i, then: any(branch(i, then) for branch in branches)
        if op in (c.ASSERT, c.ASSERT_NOT):
            return self._look(value[0], self._sequence(value[1], flags), value[1].getwidth()[0], op is c.ASSERT)
        if op is c.AT:
            return self._at(value, flags)
        if op is c.GROUPREF:
            return self._reference(value)
        raise ValueError(f"unknown operation {op}")

    def _character(self, op: Any, value: Any, flags: int) -> Callable[[str], bool] | None:
        fold = bool(flags & re.IGNORECASE)
        if op is c.ANY:
            return (lambda _: True) if flags & re.DOTALL else lambda ch: ch != "\n"
        if op in (c.LITERAL, c.NOT_LITERAL, c.IN):
            items = value if op is c.IN else [(c.LITERAL, value)]
            known: dict[str, bool] = {}

            def holds(ch: str) -> bool:
                if ch not in known:
                    forms = {ch, ch.lower()[:1], ch.upper()[:1]} if fold else {ch}
                    known[ch] = any(_in(form, items) for form in forms) != (op is c.NOT_LITERAL)
                return known[ch]

            return holds
        return None

    def _repeat(self, op: Any, low: int, high: Any, body: Any, flags: int) -> Node:
        most = sys.maxsize if high is c.MAXREPEAT else max(low, min(int(high), BOUND))
        test = self._character(*body[0], flags) if len(body) == 1 else None
        if test and op is not c.MIN_REPEAT:
            return self._run(test, low, most, op is c.POSSESSIVE_REPEAT)
        node = self._sequence(body, flags)

        def match(i: int, then: Next, n: int = 0) -> bool:
            self._step()
            again = lambda j: (j > i or n < low) and match(j, then, n + 1)  # noqa: E731
            if op is c.MIN_REPEAT:
                return (n >= low and then(i)) or (n < most and node(i, again))
            return (n < most and node(i, again)) or (n >= low and then(i))

        return self._atomic(match) if op is c.POSSESSIVE_REPEAT else match

    def _run(self, test: Callable[[str], bool], low: int, most: int, possessive: bool) -> Node:
        def match(i: int, then: Next) -> bool:
            j = i
            while j < len(self.text) and j - i < most and test(self.text[j]):
                self._step()
                j += 1
            self._step()
            if possessive:
                return j - i >= low and then(j)
            for end in range(j, i + low - 1, -1):
                self._step()
                if then(end):
                    return True
            return False

        return match

    def _group(self, group: int | None, node: Node) -> Node:
        if group is None:
            return node

        def match(i: int, then: Next) -> bool:
            def ended(j: int) -> bool:
                before = self._groups.get(group)
                self._groups[group] = (i, j)
                if then(j):
                    return True
                if before:
                    self._groups[group] = before
                return False

            return node(i, ended)

        return match

    def _atomic(self, node: Node) -> Node:
        def match(i: int, then: Next) -> bool:
            ends: list[int] = []
            return node(i, lambda j: ends.append(j) is None) and then(ends[0])

        return match

    def _look(self, direction: int, node: Node, width: int, wanted: bool) -> Node:
        def match(i: int, then: Next) -> bool:
            start = i if direction > 0 else i - width
            found = start >= 0 and node(start, lambda j: direction > 0 or j == i)
            return found == wanted and then(i)

        return match

    def _at(self, where: Any, flags: int) -> Node:
        word = CATEGORIES[c.CATEGORY_WORD]

        def holds(i: int) -> bool:
            text = self.text
            before, after = i > 0 and word(text[i - 1]), i < len(text) and word(text[i])
            if where in (c.AT_BOUNDARY, c.AT_NON_BOUNDARY):
                return (before != after) == (where is c.AT_BOUNDARY)
            if where in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
                line = flags & re.MULTILINE and where is c.AT_BEGINNING
                return i == 0 or bool(line and text[i - 1] == "\n")
            last = i == len(text) or (where is c.AT_END and i == len(text) - 1 and text[i] == "\n")
            return last or bool(flags & re.MULTILINE and where is c.AT_END and text[i] == "\n")

        def match(i: int, then: Next) -> bool:
            self._step()
            return holds(i) and then(i)

        return match

    def _reference(self, group: int) -> Node:
        def match(i: int, then: Next) -> bool:
            begin, end = self._groups.get(group, (0, -1))
            size = end - begin
            self.steps += max(size, 0)
            self._step()
            return size >= 0 and self.text[i : i + size] == self.text[begin:end] and then(i + size)

        return match


def _in(ch: str, items: Any) -> bool:
    found, negate = False, False
    for op, value in items:
        if op is c.NEGATE:
            negate = True
        elif op is c.LITERAL:
            found |= ord(ch) == value
        elif op is c.RANGE:
            found |= value[0] <= ord(ch) <= value[1]
        elif op is c.CATEGORY:
            found |= CATEGORIES[value](ch)
    return found != negate


class Repetition(NamedTuple):
    """Something that a pattern repeats without a bound."""

    before: str
    """A text that leads up to it."""
    body: str
    """A text that it repeats."""


def repetitions(pattern: str, flags: int) -> tuple[list[Repetition], str]:
    """Those of a pattern, and a text that it matches, but for what it looks for around it."""
    found: list[Repetition] = []

    def walk(items: Any, before: str) -> str:
        text = ""
        for op, value in items:
            if op in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
                text += _witness(op, value)
            elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
                body = walk(value[2], before + text)
                if value[1] is c.MAXREPEAT:
                    found.append(Repetition(before + text, body))
                text += body * min(value[0], BOUND)
            elif op is c.SUBPATTERN:
                text += walk(value[3], before + text)
            elif op is c.ATOMIC_GROUP:
                text += walk(value, before + text)
            elif op is c.BRANCH:
                text += max((walk(branch, before + text) for branch in value[1]), key=len)
            elif op in (c.ASSERT, c.ASSERT_NOT):
                walk(value[1], before + text)
        return text

    whole = walk(parser.parse(pattern, flags), "")
    return found, whole


def _witness(op: Any, value: Any) -> str:
    """A character that is taken."""
    if op is c.ANY:
        return "a"
    items = value if op is c.IN else [(c.LITERAL, value)]
    taken = (ch for ch in _CHARACTERS if _in(ch, items) != (op is c.NOT_LITERAL))
    first = next((chr(v if o is c.LITERAL else v[0]) for o, v in items if o in (c.LITERAL, c.RANGE)), "a")
    return next(taken, first)
