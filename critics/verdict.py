"""Free text -> which of two responses a judge chose.

A verdict is a whole statement ("Output (a) is better", "[[B]]", "The answer is: A", a line that is a label and nothing else), never
a label in passing. The last statement wins, since judges think first and decide at the end. There is no verdict where nothing is
stated, where the deciding sentence names both responses or a tie, and where the text opens with one verdict and closes with another
without saying that it thought again.

The text is read in two steps: mentions of a response, however written, become one character each; then statements are looked for
around those characters. Every repetition in the patterns is bounded or possessive: a hostile text costs time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Side = Literal["first", "second"]
Stated = Literal["first", "second", "tie"]
Outcome = frozenset[str]
"""Of a sentence: empty where it decides nothing, one of first, second and tie, or both sides."""

MAX_CHARACTERS = 100_000
"""Longer texts are read from their end: the verdict stands there."""

LOOK_BACK = 200
"""Characters before a statement in which words that take it back are looked for."""

_FIRST, _SECOND, _BOTH = "\ue000", "\ue001", "\ue002"
_ANY = f"[{_FIRST}{_SECOND}]"
_SIDES: dict[str, Side] = {_FIRST: "first", _SECOND: "second"}
_SPECIAL = re.compile(r"</s>|<\|[a-z_]{1,20}\|>", re.IGNORECASE)
"""Tokens that end a text and that some servers leave in it."""
_STRIPPED = str.maketrans({**dict.fromkeys('*`"“”#' + _FIRST + _SECOND + _BOTH, ""), "_": " "})

_NOUN = r"(?:output|response|reply|answer|assistant|option|candidate|model|completion|summary|choice|text|version)"
_CALLED = (
    r"(?:\b(?:verdict|decision|winner|choice|preference|judge?ment|conclusion|answer)"
    rf"|\bfinal(?=\s?:)|\b(?:better|best|superior|preferred)(?:\s(?:one|{_NOUN}))?)(?:\s(?:for|to|in|of)\s[^.:\n]{{1,60}}?)?"
)
_ENDS = r"(?=\s?(?:$|[.,;:!?)\]}>\n]|(?:is|was|wins|would|should|over|and|or|nor|because|since|as)\b))"
"""What may follow a label without brackets; before anything else "A" is an article."""

_MENTIONS = [
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"\[result\]\s?\(?(?P<result>[ab12])\b|\[\[\s?(?P<label>[ab12])\s?(?:>{1,2}\s?[ab]\s?)?\]\]|\\boxed\{(?:\\text\{)?\s?\(?(?P<boxed>[ab12])\)?\s?\}{1,2}",
        rf"{_CALLED}\s?(?:\b(?:is|was)\s?)?[:=>]\s?(?:{_NOUN}\s)?[(\[]?(?P<label>[ab12])(?=[^\w\n]{{0,4}}(?:<|$))",
        rf"\b{_NOUN}\s?[(\[{{<]\s?(?P<label>[ab12])\s?[)\]}}>]",
        rf"\b{_NOUN}\s(?:number\s|#)?(?P<label>[12]|(?-i:[AB])|[ab]{_ENDS}|one|two)\b(?!['’][a-rt-z])",
        rf"\b(?:the\s)?(?P<label>first|second)\s(?:{_NOUN}|one)\b",
        rf"\bthe\s(?P<label>first|second){_ENDS}",
        r"(?<![\w\])])[(\[{]\s?(?P<label>[ab])\s?[)\]}](?!\w)",
        rf"(?<![\w'’.-])(?P<label>(?-i:[AB])){_ENDS}",
    )
]
_MARKED, _CUED = _MENTIONS[:2]
_OWNED = re.compile(rf"({_ANY})['’]s\s{_NOUN}\b", re.IGNORECASE)
_PAIRED = re.compile(rf"{_ANY},?\s?(?:and|or|nor|/|vs\.?|versus)\s?(?:the\s)?{_ANY}", re.IGNORECASE)

_ADVERB = r"the|a|an|my|our|one|that|much|far|by|overall|still|also|thus|just|even|indeed|in fact|\w{2,20}ly"
_GAP = rf"(?:[\s,]{{1,2}}(?:{_ADVERB}))*+[\s,]{{1,2}}"
_IS = r"(?:is|was|would be|should be|can be considered|to be|as|remains|seems|appears|stands out as)(?: to be)?"
_BEST = r"(?:better|best|superior|prefer(?:red|able)|winner|stronger|(?:correct|right) (?:choice|answer|one))\b"
_STATEMENTS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<response>{_ANY}){_GAP}{_IS}{_GAP}{_BEST}",
        rf"(?P<response>{_ANY}){_GAP}(?:wins|beats|outperforms|(?:does|provides|gives|offers) (?:a|the) better)\b",
        rf"(?P<response>{_ANY}){_GAP}follows\b[^.,\n]{{0,60}}?\bbetter\b",
        rf"(?P<response>{_ANY})\s?>{{1,2}}\s?{_ANY}",
        rf"{_CALLED}\s?(?:\b(?:is|was|would be|goes to)\b\s?:?|[:=>-])\s?(?:that |the )?(?P<response>{_ANY})",
        rf"\b(?:prefer|choose|chose|select|pick|favou?r|recommend|go with|vote for|opt for)\s(?:the\s)?(?P<response>{_ANY})",
        rf"^(?:so|therefore|thus|hence|overall|ultimately|finally|in conclusion)[,:]?\s(?P<response>{_ANY})\W{{0,4}}$",
    )
]
_LABEL_LINE = re.compile(
    rf"[\W_]{{0,4}}?(?:\w+, ?)?(?P<response>{_ANY})[^\w:]{{0,4}}(?:\([^()]{{0,300}}+\)\W{{0,2}})?", re.IGNORECASE
)
_TIE = re.compile(
    r"\[\[\s?(?:c|tie|a ?= ?b)\s?\]\]|\bneither\b[^.]{0,60}\bbetter\b|\ban? (?:exact )?tie\b|\bno clear winner\b"
    rf"|{_CALLED}\s?(?:\b(?:is|was)\b|[:=>-])\s?(?:an? )?(?:tie|draw)\b|^\W{{0,4}}(?:an? )?(?:tie|draw)\W{{0,4}}$"
    r"|\bequally (?:good|bad|well|valid|correct|helpful)\b(?! (?:in|at|when|with|regarding)\b)",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    rf"\b(?:neither|nor|not(?! only)|\w+n['’]t|cannot|whether|if|which (?:is|of|one|{_NOUN})|would have been|no(?! doubt)"
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


def verdict(text: str) -> Side | None:
    """The response the text declares better, or None.

    `first` is the one listed first to the judge: "A", "(a)" or "1"; `second` is "B", "(b)" or "2".
    """
    found = stated(text)
    return None if found == "tie" else found


def stated(text: str) -> Stated | None:
    """As `verdict`, and `tie` where the last statement is that neither is better."""
    text = _SPECIAL.sub(" ", text[-MAX_CHARACTERS:])
    if label := re.fullmatch(r"\W{0,4}([12ab])\W{0,4}", text[:10], re.IGNORECASE):
        return "first" if label[1] in "1aA" else "second"
    plain = _with_mentions(text)
    outcomes = list(_outcomes([line for line in plain.splitlines() if line.strip()]))
    last = next((outcome for outcome in reversed(outcomes) if outcome), frozenset())
    changed = len(outcomes[0]) == 1 and outcomes[0] != last if outcomes else False
    if len(last) != 1 or (changed and not _THOUGHT_AGAIN.search(plain)):
        return None
    return "first" if "first" in last else "second" if "second" in last else "tie"


def _with_mentions(text: str) -> str:
    """The text without emphasis, each mention of a response one character; two joined by "and" or "or" are one for neither."""
    plain = re.sub(r"[^\S\n]+", " ", text.translate(_STRIPPED))
    plain = re.sub(r"(?<!\w)['‘’]|['‘’](?!\w)", "", plain)
    for pattern in _MENTIONS:
        plain = pattern.sub(_character, plain)
    return _PAIRED.sub(_BOTH, _OWNED.sub(r"\1", plain))


def _character(found: re.Match[str]) -> str:
    groups = found.groupdict()
    label = (groups.get("label") or groups.get("boxed") or groups.get("result") or "").lower()
    character = _FIRST if label in ("a", "1", "one", "first") else _SECOND
    return f" verdict: {character} " if found.re in (_MARKED, _CUED) else character


def _outcomes(lines: list[str]) -> Iterator[Outcome]:
    """What each sentence decides. Labels alone on lines above the last are headings where both responses have one."""
    labels = [_LABEL_LINE.fullmatch(line) for line in lines]
    headings = len({label["response"] for label in labels[:-1] if label}) > 1
    for number, (line, label) in enumerate(zip(lines, labels, strict=True), 1):
        if label:
            yield frozenset() if headings and number < len(lines) else frozenset((_SIDES[label["response"]],))
        else:
            yield from map(_outcome, _SENTENCE.split(line.strip()))


def _outcome(sentence: str) -> Outcome:
    found = [match for pattern in _STATEMENTS for match in pattern.finditer(sentence) if _stands(sentence, match)]
    if len({match["response"] for match in found}) > 1:
        found = [match for match in found if _OVERALL.search(_before(sentence, match))] or found
    if found:
        return frozenset(_SIDES[match["response"]] for match in found)
    return frozenset(("tie",)) if _TIE.search(sentence) else frozenset()


def _stands(sentence: str, statement: re.Match[str]) -> bool:
    """False for a question, a first impression, what somebody else says, and where the clause takes the statement back."""
    before = _before(sentence, statement)
    clause = _CLAUSE.split(before)[-1] + statement.group()
    return not (sentence.endswith("?") or _AT_FIRST.search(before) or _TAKEN_BACK.search(clause))


def _before(sentence: str, statement: re.Match[str]) -> str:
    return sentence[max(0, statement.start() - LOOK_BACK) : statement.start()]
