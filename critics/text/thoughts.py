"""What a model that thinks wrote down before its answer, told apart from the answer.

Thoughts belong to no response, critique or revision: a policy trained on them learns to print them, and a critique that ends in "No
issues." has found nothing. They are kept in `raw`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple

from critics.text.chat_marks import without_chat_marks

PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
)
"""Opening and closing mark of each family of models: DeepSeek R1 and Qwen, and those that spell it out; Seed; Magistral; Kimi; Open
Thoughts; Command A."""
_CLOSING = dict(PAIRS)
_OPENS = re.compile("|".join(re.escape(mark) for mark, _ in PAIRS), re.IGNORECASE)
_CLOSES = re.compile("|".join(re.escape(mark) for _, mark in PAIRS), re.IGNORECASE)
_MARKS = re.compile(f"{_OPENS.pattern}|{_CLOSES.pattern}|<\\|channel\\|>(?:\\w+)?", re.IGNORECASE)

_CHANNEL = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)\b")
_FINAL = re.compile(r"<\|channel\|>final\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>")
_HEADERS = re.compile(r"<\|start\|>assistant|<\|(?:start|end|message|constrain)\|>")
_CALL = re.compile(r"(?:<\|start\|>assistant)?\s?(?:<\|channel\|>(?:commentary|analysis)\s)?to=functions\.")
_BARE_CALL = re.compile(r"assistant(?:commentary|analysis)? to=functions\.")
_BARE_CHANNEL = re.compile(r"\s*analysis(?=[A-Z\W])")
_BARE_FINAL = "assistantfinal"
_ENDS = re.compile(r"<\|(?:return|end|call|end_of_solution|end_response)\|>\Z", re.IGNORECASE)
"""Harmony, the form of gpt-oss, with its special tokens and as it reads where they are left out. A call of a tool is the answer."""
_WRAPPED = re.compile(
    r"\s*(?:<answer>(.*)</answer>|<\|(?:begin_of_solution|start_response)\|>(.*))\s*\Z", re.IGNORECASE | re.DOTALL
)
"""What some families put around the answer that follows their thoughts."""

_BLANK = frozenset(" \u115f\u1160\u3164\uffa0\u2800")
"""Printable characters that show nothing."""
_LONGEST_END = 24
_REST = re.compile(r"[^\S\n]*+(?:\n|\Z)")
"""White space up to the end of its line."""
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_QUOTED = frozenset("`\"'“”‘’")


class Split(NamedTuple):
    """A text in two."""

    answer: str
    """What follows the thoughts, without white space around it; empty where there are thoughts alone."""
    thoughts: str
    """Without the marks; empty where the model did not think."""


def split(text: str, thinks: bool | None = None) -> Split:
    """A model's text as answer and thoughts.

    thinks: True where the model is known to think, by what its template writes or by what it answered when it was probed; False
    where it is known not to; None where nobody knows.

    Thoughts that are opened at the start of the text end at the last closing mark of their kind (of several, the last that begins
    or ends its line), and are all there is where none follows. Where the template opened them, the text holds a closing mark and
    no opening one. Such a text of a model that thinks is cut at the last closing mark; that of one that does not is left whole,
    since it speaks of the mark; and where nobody knows, it is cut only at a mark that ends its line and has no opening mark before
    it, as thoughts end and prose about them does not. A mark in quotes, in backticks or in a block of code is a word and no mark,
    unless there is no other. What is left of the chat's format around the text is cut off.
    """
    text = without_chat_marks(text)
    start = _answer_at(text, thinks)
    if not start:
        return Split(_shown(text), "")
    thoughts = _HEADERS.sub("", _MARKS.sub("", text[:start])).removeprefix("analysis").removesuffix(_BARE_FINAL)
    answer = _without_ends(text[start:])
    wrapped = _WRAPPED.fullmatch(answer)
    if wrapped:
        answer = wrapped[1] if wrapped[1] is not None else wrapped[2]
    return Split(_shown(answer), thoughts.strip())


def _shown(text: str) -> str:
    """The text without white space around it; nothing where all of it is invisible."""
    text = text.strip()
    return text if any(sign.isprintable() and sign not in _BLANK for sign in text) else ""


def answer_start(text: str, thinks: bool | None = None) -> int:
    """The character at which the answer begins, white space after the thoughts passed over; the text's length where it does not."""
    start = _answer_at(text, thinks)
    return len(text) - len(text[start:].lstrip())


def marks_thoughts(text: str) -> bool:
    """True for a text, such as a chat template or an answer to a probe, with a mark of thoughts in it."""
    return bool(_MARKS.search(text))


def _answer_at(text: str, thinks: bool | None) -> int:
    """Where the thoughts end; 0 where there are none."""
    if _CHANNEL.match(text):
        found = [*_FINAL.finditer(text)]
        call = _CALL.search(text)
        return found[-1].end() if found else call.start() if call else len(text)
    if _FINAL.match(text.lstrip()):
        return _FINAL.search(text).end()  # type: ignore[union-attr]
    if _BARE_CHANNEL.match(text) and _BARE_FINAL in text:
        return text.rindex(_BARE_FINAL) + len(_BARE_FINAL)
    if _BARE_CHANNEL.match(text) and (call := _BARE_CALL.search(text)):
        return call.start()
    opened = _OPENS.match(text.lstrip())
    if opened:
        closing = re.compile(re.escape(_CLOSING[opened[0].lower()]), re.IGNORECASE)
        closes = _unquoted([*closing.finditer(text)], text)
        return _last(closes, text) if closes else len(text)
    if thinks is False:
        return 0
    closes = _unquoted([*_CLOSES.finditer(text)], text, all_where_none=bool(thinks))
    if not thinks:
        first = _OPENS.search(text)
        before = first.start() if first else len(text)
        closes = [mark for mark in closes if _ends_line(mark, text) and mark.start() < before]
    return _last(closes, text) if closes else 0


def _last(closes: list[re.Match[str]], text: str) -> int:
    """The end of the last one; of several, of the last that begins or ends its line, where one does: others are prose about it."""
    alone = [mark for mark in closes if _ends_line(mark, text) or _begins_line(mark, text)]
    return (alone or closes)[-1].end()


def _ends_line(mark: re.Match[str], text: str) -> bool:
    return bool(_REST.match(text, mark.end()))


def _begins_line(mark: re.Match[str], text: str) -> bool:
    before = _trimmed(text, mark.start(), "\n")
    return before == 0 or text[before - 1] == "\n"


def _without_ends(answer: str) -> str:
    """The answer without the tokens that end a turn. In time linear in it: nothing is copied for each of them."""
    end = _trimmed(answer, len(answer))
    while found := _ENDS.search(answer, max(0, end - _LONGEST_END), end):
        end = _trimmed(answer, found.start())
    return answer[:end]


def _trimmed(text: str, end: int, up_to: str = "") -> int:
    """Where the white space before `end` begins, or the part of it after a character."""
    while end and text[end - 1].isspace() and text[end - 1] != up_to:
        end -= 1
    return end


def _unquoted(marks: list[re.Match[str]], text: str, all_where_none: bool = True) -> list[re.Match[str]]:
    """Those that are not quoted and not inside a block of code."""
    fenced = _blocks_of_code(text) if marks else []
    plain = [
        mark
        for mark in marks
        if not (text[mark.start() - 1 : mark.start()] in _QUOTED and text[mark.end() : mark.end() + 1] in _QUOTED)
        and not _inside(fenced, mark.start())
    ]
    return plain or (marks if all_where_none else [])


def _blocks_of_code(text: str) -> list[tuple[int, int]]:
    """Start and end of each fenced block that is closed. In time linear in the text, which may be hostile."""
    blocks: list[tuple[int, int]] = []
    opened, begin, place = "", 0, 0
    for line in text.splitlines(keepends=True):
        fence = _FENCE.match(line)
        place += len(line)
        if fence and not opened:
            opened, begin = fence[1], place
        elif fence and fence[1].startswith(opened):
            blocks.append((begin, place))
            opened = ""
    return blocks


def _inside(blocks: list[tuple[int, int]], place: int) -> bool:
    before = bisect_right(blocks, place, key=itemgetter(0)) - 1
    return before >= 0 and place < blocks[before][1]
