"""Chats whose answers are learnt, as the template itself writes them, and which of their tokens the assistant writes.

A chat is rendered whole and encoded whole, so its ids are the template's own. The assistant writes what follows the generation
prompt, up to the end of its turn as the template writes it: a channel, closed thoughts or a space that the generation prompt does
not hold are the assistant's to write. Where the generation prompt is not the beginning of the answered chat, as where it opens
thoughts that an answered chat leaves out, the chat is the template's own all the same, and the answer begins where its turn does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from re import Pattern
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from generation.models.shape import CLOSED_THOUGHTS, OPEN_THOUGHTS

Rendered = Callable[[Sequence[Mapping[str, Any]], bool], str]
"""Messages, whether to open the next answer -> the template's text with marks. Raises ValueError for a chat that does not fit."""


class Side(NamedTuple):
    """What follows a prompt, as token ids."""

    tokens: list[int]
    trained: list[bool]
    """True of what the assistant writes, the end of its turn included; False of headers, tool outputs and the user's turns."""


class Written(NamedTuple):
    """One prompt and what may follow it."""

    before: list[int]
    """What all sides begin with, and none of them writes."""
    sides: list[Side]


class Turns(NamedTuple):
    """A chat as text."""

    text: str
    """Up to the end of its last answer."""
    spans: list[tuple[int, int]]
    """First character of each answer and the one after its end, in order."""


class TokenSpans(NamedTuple):
    """A text as token ids."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """The characters that each stands for."""


class Layout:
    """Finds answers in the template's text of whole chats."""

    def __init__(self, control: Pattern[str], ends: frozenset[str], secret: str) -> None:
        """control: matches control tokens. ends: those that end an answer. secret: stands in no text."""
        self._control = control
        self._ends = ends
        self._secret = secret

    def turns(self, chat: Sequence[Mapping[str, Any]], first: int, render: Rendered, cut: bool = False) -> Turns:
        """A chat that ends with an answer. first: the message with which the side begins. cut: the last answer has no end.

        Raises ValueError for a chat that does not fit, or whose answers the template does not end.
        """
        whole = render(chat, False)
        answers = [i for i in range(first, len(chat)) if chat[i]["role"] == "assistant"]
        begins = [self._begin(whole, chat, i, render) for i in answers]
        spans = []
        for at, (i, begin) in enumerate(zip(answers, begins, strict=True)):
            bound = len(whole) if i + 1 == len(chat) else self._content(whole, chat, i + 1, render)
            if at + 1 < len(answers):
                bound = min(bound, begins[at + 1])
            spans.append((begin, self._end(whole, begin, bound)))
        if cut:
            spans[-1] = spans[-1][0], self._cut(whole, chat, spans[-1], render)
        return Turns(whole[: spans[-1][1]], spans)

    def content(self, chat: Sequence[Mapping[str, Any]], place: int, render: Rendered) -> int:
        """Where the content of a message begins in the template's text."""
        return self._content(render(chat, False), chat, place, render)

    def _begin(self, whole: str, chat: Sequence[Mapping[str, Any]], place: int, render: Rendered) -> int:
        """The first character that the assistant writes."""
        opening = render(chat[:place], True)
        if whole.startswith(opening):
            return len(opening)
        stem = _stem(opening)
        if whole.startswith(stem):
            return len(stem)
        # the template writes the chat before the answer otherwise once it is answered
        before = whole[: self._content(whole, chat, place, render)]
        unopened = render(chat[:place], False)
        prompt = opening[_common(opening, unopened) :]
        for header in (prompt, _stem(prompt)):
            if header and (found := before.rfind(header)) >= 0:
                return found + len(header)
        return len(before)

    def _end(self, whole: str, begin: int, bound: int) -> int:
        """The end of an answer, behind the last control token that can be one."""
        ends = [match.end() for match in self._control.finditer(whole, begin, bound) if match.group() in self._ends]
        if not ends:
            raise ValueError("the model's chat template does not end this answer as it ends others")
        return ends[-1]

    def _cut(self, whole: str, chat: Sequence[Mapping[str, Any]], span: tuple[int, int], render: Rendered) -> int:
        """The end of what the last answer says, without what the template writes after it."""
        last = chat[-1]
        if last.get("tool_calls"):  # which stand behind the content
            return [match.start() for match in self._control.finditer(whole, *span) if match.group() in self._ends][-1]
        marked = render([*chat[:-1], {**last, "content": f"{last.get('content') or ''}{self._secret}"}], False)
        tail = marked.rpartition(self._secret)[2]
        if self._secret in marked and whole.endswith(tail) and len(whole) - len(tail) >= span[0]:
            return len(whole) - len(tail)
        return [match.start() for match in self._control.finditer(whole, *span)][-1]

    def _content(self, whole: str, chat: Sequence[Mapping[str, Any]], place: int, render: Rendered) -> int:
        """Where the content of a message begins in the whole."""
        other = [*chat[:place], {**chat[place], "content": self._secret}, *chat[place + 1 :]]
        return _common(whole, render(other, False).partition(self._secret)[0])


class Tokens:
    """Texts of one prompt as token ids, the part that they share encoded once."""

    def __init__(self, clone: Tokenizer, control: Pattern[str], named: Callable[[str], str]) -> None:
        """clone: knows control tokens by their secret names. named: a text with those names."""
        self._clone = clone
        self._control = control
        self._named = named
        self._names: set[int] = set()

    def written(self, sides: Sequence[Turns]) -> Written:
        """The prompt that the sides share, and each side."""
        found = [self._side(turns, encoded) for turns, encoded in zip(sides, self._encoded(sides), strict=True)]
        shared = min(begin for begin, _ in found)
        first = found[0][1].tokens
        for _, side in found[1:]:
            shared = next((i for i in range(shared) if side.tokens[i] != first[i]), shared)
        return Written(first[:shared], [Side(side.tokens[shared:], side.trained[shared:]) for _, side in found])

    def _encoded(self, sides: Sequence[Turns]) -> list[TokenSpans]:
        """Each whole text. No token reaches over a control token, so what is before the last one that all share is encoded once."""
        first = sides[0]
        whole = self._spans(first.text)
        if len(sides) == 1:
            return [whole]
        border = min(turns.spans[0][0] for turns in sides)
        cut = max((match.start() for match in self._control.finditer(first.text, 0, border)), default=0)
        head = first.text[:cut]
        at = len(self._named(head))
        count = sum(end <= at for _, end in whole.offsets)
        if not cut or self._spans(first.text[cut:]).ids != whole.ids[count:]:
            return [whole, *(self._spans(turns.text) for turns in sides[1:])]
        made = [whole]
        for turns in sides[1:]:
            if turns.text.startswith(head):
                rest = self._spans(turns.text[cut:])
                shifted = [(begin + at, end + at) for begin, end in rest.offsets]
                made.append(TokenSpans(whole.ids[:count] + rest.ids, whole.offsets[:count] + shifted))
            else:
                made.append(self._spans(turns.text))
        return made

    def _spans(self, text: str) -> TokenSpans:
        encoding = self._clone.encode_batch([self._named(text)], add_special_tokens=False)[0]  # other threads go on
        return TokenSpans(encoding.ids, encoding.offsets)

    def _side(self, turns: Turns, encoded: TokenSpans) -> tuple[int, Side]:
        """(tokens before the first answer, all tokens with what the assistant writes of them).

        A token that reaches over the beginning of an answer is the assistant's, unless it is a control token that swallows the
        white space after it.
        """
        named = [
            (len(self._named(turns.text[:begin])), len(self._named(turns.text[:end]))) for begin, end in turns.spans
        ]
        spans = iter(named)
        begin, end = next(spans)
        first, trained = len(encoded.ids), []
        for i, (token, (start, stop)) in enumerate(zip(encoded.ids, encoded.offsets, strict=True)):
            while start >= end and (following := next(spans, None)):
                begin, end = following
            own = (stop > begin or start >= begin) and start < end
            if own and start < begin and self._is_control(token):
                own = False
            trained.append(own)
            if own:
                first = min(first, i)
        return first, Side(encoded.ids, trained)

    def _is_control(self, token: int) -> bool:
        if not self._names:
            self._names = set(self._clone.get_added_tokens_decoder())
        return token in self._names


def _stem(opening: str) -> str:
    """A generation prompt without the thoughts at its end."""
    return CLOSED_THOUGHTS.sub("", OPEN_THOUGHTS.sub("", opening))


def _common(one: str, other: str) -> int:
    """Length of the beginning of both."""
    if one.startswith(other):
        return len(other)
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
