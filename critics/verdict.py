"""Free text -> which of two responses a judge chose.

A verdict is a whole statement ("Output (a) is better", "[[B]]", "The answer is: A", a line that is a label and nothing else), never
a label in passing. The last statement wins, since judges think first and decide at the end. There is no verdict where nothing is
stated, where the deciding sentence names both responses or a tie, and where the text opens with one verdict and closes with another
without saying that it thought again. Where a text states none, a comparison that is its last sentence is one ("Assistant 2's answer
is more detailed than Assistant 1's").

Mentions of a response, however written, become one character each (`critics.mentions`); then statements are looked for around those
characters. Every repetition in the patterns is bounded or possessive: a hostile text costs time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from critics.mentions import ANY, BOTH, CALLED, FIRST, NEITHER, NOUN, SECOND, by_letters, plain, with_mentions

Side = Literal["first", "second"]
Stated = Literal["first", "second", "tie"]
Outcome = frozenset[str]
"""Of a sentence: empty where it decides nothing, one of first, second and tie, or both sides."""

MAX_CHARACTERS = 100_000
"""Longer texts are read from their end: the verdict stands there."""

LOOK_BACK = 200
"""Characters before a statement in which words that take it back are looked for."""

_SIDES: dict[str, Stated] = {FIRST: "first", SECOND: "second", NEITHER: "tie"}
_OTHER = {"first": "second", "second": "first"}
_NUMBERS: dict[str, Stated] = {"1": "first", "2": "second", "3": "tie"}

_ADVERB = (
    r"the|a|an|my|our|one|that|much|far|by|(?:a )?(?:bit|little)|overall|still|also|thus|just|even|indeed|both|in fact"
    r"|\w{2,20}ly"
)
_GAP = rf"(?:[\s,]{{1,2}}(?:{_ADVERB})\b)*+[\s,]{{1,2}}"
_IS = (
    r"(?:is|was|would be|should be|can be|to be|as|remains|seems|appears|stands out as)"
    r"(?: (?:to be|deemed|considered|judged|rated|ranked))?"
)
_BEST = r"(?:better|best|superior|prefer(?:red|able)|winner|stronger|(?:correct|right) (?:choice|answer|one))\b"
_THAN = r"(?:than|to|over|compared (?:to|with))\s(?:that of\s)?(?:the\s)?"
_RATE = r"\b(?:rate|rank|deem|consider|judge|find|choose|chose|select|pick|recommend|see|say|believe|think|conclude)d?\s(?:that\s)?"
_MAKING = r"\bmak(?:es?|ing|ings)\s"
_LISTED = r"(?:\w{2,20}(?:, and |, | and )){0,6}"
_MORE = rf"(?:{_LISTED}(?:more|most|higher|highest|clearer|closer|deeper|broader|greater|{_BEST})\b)"

_STATEMENTS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<response>{ANY}){_GAP}{_IS}{_GAP}{_BEST}",
        rf"(?P<response>{ANY}){_GAP}(?:wins|beats|outperforms|has the edge|(?:does|provides|gives|offers) (?:a|the) better)\b",
        rf"(?P<response>{ANY}){_GAP}follows\b[^.,\n]{{0,60}}?\bbetter\b",
        rf"(?P<response>{ANY})\s?>{{1,3}}\s?(?!(?P=response)){ANY}",
        rf"{ANY}\s?<{{1,3}}\s?(?P<response>{ANY})",
        rf"{CALLED}\s?(?:\b(?:is|was|would be|goes to)\b\s?:?|[:=>-])\s?(?:that |the )?(?P<response>[{FIRST}{SECOND}{NEITHER}])",
        r"\b(?:prefer|choose|chose|select|pick|favou?r"
        r"|recommend(?:\s(?:choosing|using|picking|selecting|that(?: you (?:choose|use|select))?))?"
        rf"|go with|vote for|opt for)\s(?:the\s)?(?P<response>[{FIRST}{SECOND}{NEITHER}])",
        rf"\b(?:give|gives|with|awarding)\s(?P<response>{ANY})\s(?:the|a|an)\s(?:\w{{2,20}}\s)?edge\b",
        rf"\bedge\s(?:goes\s)?to\s(?P<response>{ANY})",
        rf"{_RATE}(?P<response>{ANY}){_GAP}(?:(?:as being|as|is|to be){_GAP})?(?:{_BEST}|higher\b|{_MORE})",
        rf"{_MAKING}(?P<response>{ANY}){_GAP}{_BEST}",
        rf"\b(?:better|superior|preferable)\s(?:(?:overall|{NOUN})\s)?{_THAN}(?P<other>{ANY})",
        rf"\b(?:worse|inferior|weaker)\s(?:(?:overall|{NOUN})\s)?{_THAN}(?P<response>{ANY})",
        rf"^(?:so|therefore|thus|hence|overall|ultimately|finally|in conclusion)[,:]?\s(?P<response>{ANY})\W{{0,4}}$",
    )
]
_NO_MENTION = f"[^.{FIRST}{SECOND}\n]"
_DOES = (
    r"(?:provide[sd]?|g[ia]ves?|offer(?:s|ed)?|demonstrate[sd]?|ha[sd]|show(?:s|ed)?|present(?:s|ed)?|include[sd]?|display(?:s|ed)?"
    r"|contain(?:s|ed)?|deliver(?:s|ed)?|cover(?:s|ed)?|follows)"
)
_FAULT = (
    r"more\s(?:verbose|wordy|complex|complicated|difficult|confusing|repetitive|generic|vague|lengthy|biased)\b"
    r"|more\s(?:errors|mistakes)\b"
)
_COMPARISONS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<response>{ANY}){_NO_MENTION}{{0,60}}?\b(?:{_IS}|{_DOES}){_GAP}(?!{_FAULT}){_MORE}",
        rf"(?P<response>{ANY})\smore\s\w{{2,20}}ly\b",
        rf"\b(?:more|higher|clearer|greater)\s{_NO_MENTION}{{0,100}}?\b{_THAN}(?P<other>{ANY})",
        rf"\bless\s{_NO_MENTION}{{0,100}}?\b{_THAN}(?P<response>{ANY})",
        rf"(?P<response>{ANY}){_NO_MENTION}{{0,200}}?{_MAKING}(?:it|them|this){_GAP}(?:{_MORE}|{_BEST})",
        rf"(?P<response>{ANY}){_GAP}stands out\b",
    )
]
_NOT_AS = re.compile(rf"(?:\bnot|n['’]t)\s{_NO_MENTION}{{0,40}}\bas\s{_NO_MENTION}{{1,80}}\bas\s(?P<response>{ANY})")
_BLAMED = re.compile(
    rf"(?P<other>{ANY}){_NO_MENTION}{{0,60}}?\b(?:incorrect(?:ly)?|wrong(?:ly)?|errors?|mistakes?|flawed|fail(?:s|ed)?|too vague"
    r"|contradict(?:s|ed)|inaccura\w{2,5}|unreliable|unsupported)\b",
    re.IGNORECASE,
)
_CONCEDED = re.compile(r"\bbut\b", re.IGNORECASE)
_OF_BOTH = re.compile(rf"(?:however|but|still|that said|nevertheless),?\s(?:both\b|{BOTH})", re.IGNORECASE)
_LABEL = re.compile(r"\W{0,4}([ab])\W{0,4}", re.IGNORECASE)
_LABEL_LINE = re.compile(
    rf"[\W_]{{0,4}}?(?:\w+, ?)?(?P<response>{ANY})[^\w:]{{0,4}}(?:\([^()]{{0,300}}+\)\W{{0,2}})?", re.IGNORECASE
)
_NUMBER_LINE = re.compile(
    rf"\W{{0,4}}(?:(?:my |the |final )?(?:output|choice|result|{CALLED})\s?(?:is\b)?\s?[:=-]?\s?)?(?P<number>[123])\W{{0,4}}",
    re.IGNORECASE,
)
_SCORES = re.compile(r"\W{0,4}(?P<first>\d{1,3}(?:\.\d{1,2})?)(?: ?, ?| )(?P<second>\d{1,3}(?:\.\d{1,2})?)\W{0,4}")
_TIE = re.compile(
    rf"\[\[\s?(?:c|tie|[ab12{FIRST}] ?[=~≈] ?[ab12{SECOND}])\s?\]\]"
    r"|\bneither\b[^.]{0,60}\bbetter\b|\ban? (?:exact )?tie\b|\bno clear winner\b"
    rf"|{CALLED}\s?(?:\b(?:is|was)\b|[:=>-])\s?(?:an? )?(?:tie|draw)\b|^\W{{0,4}}(?:an? )?(?:tie|draw)\W{{0,4}}$"
    r"|\b(?:assistants|responses|answers|outputs|two|both) are (?:\w{2,20}ly )?(?:equivalent|equal)\b"
    r"|\bequally (?:good|bad|well|valid|correct|helpful)\b(?! (?:in|at|when|with|regarding)\b)"
    rf"|{FIRST}\s?=\s?{SECOND}|{NEITHER}",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    rf"\b(?:neither|nor|not(?! only)|\w+n['’]t|cannot|whether|if|which (?:is|of|one|{NOUN})|would have been|no(?! doubt)"
    r"|while|although|though|argue[sd]|claim(?:s|ed)|believe[sd]|contend(?:s|ed)|assert(?:s|ed)|says|said|thinks|thought"
    r"|finds|they find)\b",
    re.IGNORECASE,
)
_AT_FIRST = re.compile(r"\b(?:at first|initially|at a glance)\b", re.IGNORECASE)
_OVERALL = re.compile(
    r"\b(?:overall|therefore|thus|hence|ultimately|on balance|all in all|in the end)\b", re.IGNORECASE
)
_THOUGHT_AGAIN = re.compile(
    r"\bwait ?[,.!:—-]|\b(?:on (?:reflection|second thoughts?)|correction|changed? my mind|i was wrong)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;:—]|\b(?:and|but|so|therefore|thus|hence|because|since)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s")


_DEGREES = re.compile(r"\[\[\s?(?:[AB1-2]\s?(?P<more>>{1,3})\s?[AB1-2]|[AB1-2]\s?(?P<less><{1,3})\s?[AB1-2])\s?\]\]")


def clearly(text: str) -> bool:
    """Whether the last verdict of the form `[[A>B]]` says that one is much better: `[[A>>B]]`, as in Arena-Hard (2406.11939)."""
    found = [*_DEGREES.finditer(text[-MAX_CHARACTERS:])]
    return bool(found) and len(found[-1]["more"] or found[-1]["less"]) > 1


def verdict(text: str) -> Side | None:
    """The response the text declares better, or None.

    `first` is the one listed first to the judge: "A", "(a)" or "1"; `second` is "B", "(b)" or "2".
    """
    found = stated(text)
    return None if found == "tie" else found


def stated(text: str) -> Stated | None:
    """As `verdict`, and `tie` where the last statement is that neither is better."""
    text = plain(text[-MAX_CHARACTERS:])
    if alone := _LABEL.fullmatch(text):
        return "first" if alone[1] in "aA" else "second"
    lines = [line for line in with_mentions(text).splitlines() if line.strip()]
    outcomes = [*_outcomes(lines, numbers=not by_letters(text))]
    last = next((outcome for outcome in reversed(outcomes) if outcome), None) or _weaker(lines)
    changed = len(outcomes[0]) == 1 and outcomes[0] != last if outcomes else False
    if len(last) != 1 or (changed and not _THOUGHT_AGAIN.search(text)):
        return None
    return "first" if "first" in last else "second" if "second" in last else "tie"


def _outcomes(lines: Sequence[str], numbers: bool) -> Iterator[Outcome]:
    """What each sentence decides. Labels alone on lines above the last are headings where both responses have one.

    numbers: whether a last line that is a number, or holds two scores, is a verdict.
    """
    labels = [_LABEL_LINE.fullmatch(line) for line in lines]
    headings = len({label["response"] for label in labels[:-1] if label}) > 1
    for number, (line, label) in enumerate(zip(lines, labels, strict=True), 1):
        if label:
            yield frozenset() if headings and number < len(lines) else frozenset((_SIDES[label["response"]],))
            continue
        sentences = _SENTENCE.split(line.strip())
        by_number = _by_number(sentences[-1]) if numbers and number == len(lines) else frozenset()
        yield from map(_outcome, sentences[:-1] if by_number else sentences)
        if by_number:
            yield by_number


def _weaker(lines: Sequence[str]) -> Outcome:
    """Of a text that states nothing: a number or two scores that are its first line, the comparison that it ends with, or the
    response that is not said to be wrong there."""
    if not lines:
        return frozenset()
    sentences = _SENTENCE.split(lines[-1].strip())
    if len(sentences) > 1 and _OF_BOTH.match(sentences[-1]):
        sentences.pop()
    return _by_number(lines[0]) or _compared(sentences[-1]) or _blamed(sentences[-2:])


def _by_number(line: str) -> Outcome:
    """The response whose number is the line, a tie for 3; of two scores, the response with the higher."""
    if found := _NUMBER_LINE.fullmatch(line):
        return frozenset((_NUMBERS[found["number"]],))
    scores = _SCORES.fullmatch(line)
    if not scores:
        return frozenset()
    first, second = float(scores["first"]), float(scores["second"])
    return frozenset(("tie" if first == second else "first" if first > second else "second",))


def _outcome(sentence: str) -> Outcome:
    found = [match for pattern in _STATEMENTS for match in pattern.finditer(sentence) if _stands(sentence, match)]
    if len({_side(match) for match in found}) > 1:
        found = [match for match in found if _OVERALL.search(_before(sentence, match))] or found
    if found:
        return frozenset(map(_side, found))
    return frozenset(("tie",)) if _TIE.search(sentence) else frozenset()


def _compared(sentence: str) -> Outcome:
    """What a sentence decides that compares the responses and says no more than that.

    Nothing where it says something for either, or goes on with "but".
    """
    found = [match for pattern in _COMPARISONS for match in pattern.finditer(sentence)] or [*_NOT_AS.finditer(sentence)]
    stands = found and any(match.re is _NOT_AS or _stands(sentence, match) for match in found)
    if not stands or _CONCEDED.search(sentence, max(match.end() for match in found)):
        return frozenset()
    return frozenset(map(_side, found))


def _blamed(sentences: Sequence[str]) -> Outcome:
    """The response that is not said to be wrong, where one is; nothing where the text breaks off, or goes on with "but"."""
    if not sentences[-1].endswith((".", "!", ")")):
        return frozenset()
    found = [match for sentence in sentences for match in _BLAMED.finditer(sentence)]
    if any(_TAKEN_BACK.search(match.group()) or _CONCEDED.search(match.string, match.end()) for match in found):
        return frozenset()
    return frozenset(map(_side, found))


def _side(statement: re.Match[str]) -> str:
    groups = statement.groupdict()
    return _SIDES[groups["response"]] if groups.get("response") else _OTHER[_SIDES[groups["other"]]]


def _stands(sentence: str, statement: re.Match[str]) -> bool:
    """False for a question, a first impression, what somebody else says, and where the clause takes the statement back."""
    before = _before(sentence, statement)
    clause = _CLAUSE.split(before)[-1] + statement.group()
    return not (sentence.endswith("?") or _AT_FIRST.search(before) or _TAKEN_BACK.search(clause))


def _before(sentence: str, statement: re.Match[str]) -> str:
    return sentence[max(0, statement.start() - LOOK_BACK) : statement.start()]
