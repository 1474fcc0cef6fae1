"""Mentions of one of two responses in what a judge wrote, each made one character, so that statements are looked for around it.

"Output (a)", "the first answer", "Assistant A's reasoning", "[[A]]", "\\boxed{A}" and "I choose 1" all hold a mention. Digits and
letters of other scripts count as ours. Every repetition in the patterns is bounded.
"""

from __future__ import annotations

import re
import unicodedata

FIRST, SECOND, BOTH, NEITHER = "\ue000", "\ue001", "\ue002", "\ue003"
"""For the response listed first, the one listed second, two joined by "and" or "or", and a tie chosen by its number, 3."""
ANY = f"[{FIRST}{SECOND}]"

_SPECIAL = re.compile(r"</s>|<\|[a-z_]{1,20}\|>", re.IGNORECASE)
"""Tokens that end a text and that some servers leave in it."""
_DIGIT = re.compile(r"(?![0-9])\d")
_STRIPPED = str.maketrans({**dict.fromkeys('*`"“”#' + FIRST + SECOND + BOTH + NEITHER, ""), "_": " "})

NOUN = r"(?:output|response|reply|answer|assistant|option|candidate|model|completion|summary|choice|text|version)"
CALLED = (
    r"(?:\b(?:verdict|decision|winner|choice|preference|judge?ment|conclusion|answer|selection|vote)"
    rf"|\bfinal(?=\s?:)|\b(?:better|best|superior|preferred)(?:\s(?:one|{NOUN}))?)(?:\s(?:for|to|in|of)\s[^.:\n]{{1,60}}?)?"
)
"""How a judge calls what follows."""
_ENDS = r"(?=\s?(?:$|[.,;:!?)\]}>\n]|(?:is|was|wins|would|should|over|and|or|nor|because|since|as)\b))"
"""What may follow a label without brackets; before anything else "A" is an article."""
_CHOOSING = (
    r"\b(?:choos(?:e|ing)|chose|select|pick|prefer|recommend|go with|vote for|opt for"
    r"|(?:choice|answer|verdict|decision|preference|vote|selection)\s(?:is|was|would be))"
)

_MARKED, _CUED, _NAMED, _NTH, _ALONE, _NUMBER = (
    [re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns]
    for patterns in (
        (
            r"\[result\]\s?\(?(?P<label>[ab12])\b"
            r"|\[\[\s?(?P<marked>[ab12])\s?(?:>{1,3}\s?(?!(?P=marked)\b)[ab12]\s?)?\]\]"
            r"|\[\[\s?[ab12]\s?<{1,3}\s?(?P<over>[ab12])\s?\]\]"
            r"|\\boxed\{(?:\\text\{)?\s?\(?(?P<boxed>[ab12])\)?\s?\}{1,2}",
        ),
        (rf"{CALLED}\s?(?:\b(?:is|was)\s?)?[:=>]\s?(?:{NOUN}\s)?[(\[]?(?P<label>[ab12])(?=[^\w\n]{{0,4}}(?:<|$))",),
        (
            rf"\b{NOUN}\s?[(\[{{<]\s?(?P<label>[ab12])\s?[)\]}}>]",
            rf"\b{NOUN}\s(?:number\s|#)?(?P<label>[12]|(?-i:[AB])|[ab]{_ENDS}|one|two)\b(?!['’][a-rt-z])",
        ),
        (
            rf"\b(?:the\s)?(?P<label>first|second)\s(?:{NOUN}|one)\b",
            rf"\bthe\s(?P<label>first|second){_ENDS}",
        ),
        (
            r"(?<![\w\])])[(\[{]\s?(?P<label>[ab])\s?[)\]}](?!\w)",
            rf"(?<![\w'’.-])(?P<label>(?-i:[AB])){_ENDS}",
        ),
        (rf"(?P<before>{_CHOOSING}\s?:?\s(?:(?:number|option|answer)\s)?)(?P<label>[123])(?=\W{{0,3}}$|[.!](?!\d)|\s?(?:,|as\b|because\b|since\b|over\b|for\b))",),
    )
)  # fmt: skip
_LETTERED = re.compile(rf"\b{NOUN}\s?[(\[{{<]?\s?(?:(?-i:[AB])\b|[ab][)\]}}>])", re.IGNORECASE)
"""A text that calls the responses by letters: numbers in it are something else."""
_PRODUCT = (
    rf"(?:{NOUN}|submission|script|code|solution|explanation|implementation|approach|analysis|reasoning|essay|email|letter|story"
    r"|poem|program|work|review|proposal|translation|description|argument)s?"
)
_OWNED = re.compile(rf"({ANY})['’]s(?:\s(?!{ANY})[\w-]{{1,20}}){{0,2}}?\s{_PRODUCT}\b", re.IGNORECASE)
_BY = re.compile(
    rf"\b(?:the\s)?{NOUN}\s(?:of|from|(?:(?:provided|given|written|generated)\s)?by)\s({ANY})", re.IGNORECASE
)
_PAIRED = re.compile(rf"{ANY},?\s?(?:and|or|nor|/|vs\.?|versus)\s?(?:the\s)?{ANY}", re.IGNORECASE)


def plain(text: str) -> str:
    """The text without emphasis and special tokens, its white space single, its digits ours."""
    text = unicodedata.normalize("NFKC", _SPECIAL.sub(" ", text)).translate(_STRIPPED)
    text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r"(?<!\w)['‘’]|['‘’](?!\w)", "", text)


def by_letters(text: str) -> bool:
    """True for a plain text that calls the responses by letters."""
    return bool(_LETTERED.search(text))


def with_mentions(text: str) -> str:
    """A plain text whose mentions are one character each; two joined by "and" or "or" are one for neither."""
    numbers = [] if by_letters(text) else _NUMBER
    for pattern in (*_MARKED, *_CUED, *_NAMED, *_NTH, *_ALONE, *numbers):
        text = pattern.sub(_character, text)
    return _PAIRED.sub(BOTH, _BY.sub(r"\1", _OWNED.sub(r"\1", text)))


def _character(found: re.Match[str]) -> str:
    groups = found.groupdict()
    label = next(groups[name] for name in ("label", "marked", "over", "boxed") if groups.get(name)).lower()
    character = FIRST if label in ("a", "1", "one", "first") else NEITHER if label == "3" else SECOND
    cued = found.re in (*_MARKED, *_CUED)
    return f" verdict: {character} " if cued else (groups.get("before") or "") + character
