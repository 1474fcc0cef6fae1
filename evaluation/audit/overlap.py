"""Prompts that nearly repeat each other, and prompts that are in an evaluation set: counted by word n-grams, exactly up to a size.

Two prompts are near-duplicates when the Jaccard index of their word 3-grams is at least `near`. Only a prompt's rarest 3-grams
need to be looked up for that (prefix filtering: Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"), and only
prompts with enough 3-grams left after the first shared one need to be compared (positional filtering: Xiao et al. 2008,
"Efficient similarity joins for near duplicate detection"): prompts that are filled into one template are not.
A prompt overlaps with an evaluation item when the shorter of them has at least a share `containment` of its n-grams in the other.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from constitution.digest import integer
from constitution.errors import Problem, UserError
from constitution.words import shingles, words_of
from evaluation.audit import minhash
from generation.data.mapping import Columns, columns
from generation.data.message import Told
from generation.data.prompts import turns
from generation.data.record import BadRow, Record
from generation.data.source import source
from generation.output.reading import read_prompt_ids, read_prompts, split_files

SHINGLE = 3
"""Words of the n-grams by which prompts are near-duplicates."""
MOST_GRAMS = 500_000
"""Of all prompts together, in the report that a run writes itself, which must not need much memory: 12,500 prompts of 40 words."""
COMPARED, FEWEST = 30, 10_000
"""Pairs that are compared for each prompt, of at least so many prompts, before near-duplicates are estimated."""
FIELDS = ("prompt", "messages", "conversations")
OWN = columns(FIELDS)
WORDS = 5000
"""Words of a text that are looked at."""


class NearDuplicate(NamedTuple):
    """A prompt that nearly repeats an earlier one."""

    prompt_id: str
    earlier: str
    jaccard: float


class Repeats(NamedTuple):
    """The prompts of a run that nearly repeat an earlier one."""

    number: int
    found: list[NearDuplicate]
    """All of them; of estimated ones, as many as are named."""
    estimated: bool
    """By MinHash, not counted."""


class Overlap(NamedTuple):
    """A prompt that is, at least in part, in an evaluation set."""

    prompt_id: str
    place: str
    """`file:line`"""
    containment: float


def prompts_of(run: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every prompt in a run's data, once. Raises UserError."""
    read = (prompt for path in _data(run) for prompt in read_prompts(path))
    for prompt_id, spoken in compress(read, _firsts(run)):
        yield prompt_id, _text(spoken)


def count_prompts(run: Path) -> int:
    """Distinct prompts in a run's data. Raises UserError."""
    return int(_firsts(run).sum())


def _data(run: Path) -> list[Path]:
    return [path for name in ("preferences", "sft") for _, path in split_files(run, name)]


def _firsts(run: Path) -> NDArray[np.bool]:
    """Whether each prompt that `read_prompts` gives is new, by 8 bytes of its id: a set of a million takes 78 MB."""
    ids = array("Q", (integer(name) for path in _data(run) for name, _ in groupby(read_prompt_ids(path))))
    firsts = np.zeros(len(ids), np.bool)
    firsts[np.unique(np.frombuffer(ids, np.uint64), return_index=True)[1]] = True
    return firsts


def _text(turns: Iterable[tuple[str, str]]) -> str:
    """What everybody says in a prompt, without the system message: the same one often stands before every prompt.

    turns: (role, content).
    """
    return "\n".join(content for role, content in turns if role != "system")


def grams(text: str, n: int) -> array[int]:
    """The distinct word n-grams of a text as 64-bit numbers, sorted; of a shorter text, all its words as one."""
    found = {" ".join(run) for run in shingles(words_of(text, WORDS), n)}
    return array("Q", sorted(map(integer, found)))


def near_duplicates(
    prompts: Iterable[tuple[str, str]], near: float, most: int | None = None, listed: int | None = None
) -> Repeats:
    """Each prompt that nearly repeats an earlier one which itself repeats none, with the most similar such one.

    They are counted exactly, in about 200 bytes for each 3-gram, unless the prompts have more than `most` 3-grams, or so much in
    common that more than COMPARED pairs a prompt would have to be compared: then they are estimated (`minhash`), and the prompts
    that they repeat may repeat others. listed: how many of the estimated ones are named, the most similar first; all where None.
    """
    names = _Names()
    read = (names.added(name, grams(words, SHINGLE)) for name, words in prompts)
    texts: list[array[int]] = []
    total = 0
    for text in read:
        texts.append(text)
        total += len(text)
        if most is not None and total > most:
            break
    else:
        found = _exactly(texts, near)
        if found is not None:
            return Repeats(len(found), [NearDuplicate(names[i], names[j], share) for share, i, j in found], False)
    count, found = minhash.near(chain(texts, read), near, listed)
    return Repeats(count, [NearDuplicate(names[i], names[j], share) for share, i, j in found], True)


class _Names:
    """The ids of prompts, by their places, in little memory."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])

    def added(self, name: str, text: array[int]) -> array[int]:
        """Keep the next name; returns its prompt's n-grams."""
        self._text += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))
        return text

    def __getitem__(self, place: int) -> str:
        return self._text[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogatepass")


def _exactly(texts: Sequence[array[int]], near: float) -> list[minhash.Near] | None:
    """Near-duplicates among the texts; None where that takes too many comparisons."""
    often = Counter(gram for text in texts for gram in text)
    kept: defaultdict[int, dict[tuple[int, int], list[int]]] = defaultdict(dict)
    """3-gram -> the prompts that have it, by how many of theirs are as frequent or more, and how many they have."""
    found = []
    left_to_compare = COMPARED * max(len(texts), FEWEST)
    for i, text in enumerate(texts):
        if not text:
            continue
        rare = sorted(text, key=lambda gram: (often[gram], gram))[: len(text) - math.ceil(near * len(text)) + 1]
        candidates: set[int] = set()
        for place, gram in enumerate(rare):
            for (left, size), group in kept.get(gram, {}).items():
                shared = min(len(text) - place, left)  # at most, where this is the rarest that both have
                if shared / (len(text) + size - shared) >= near:
                    candidates.update(group)
        left_to_compare -= len(candidates)
        if left_to_compare < 0:
            return None
        best = max(((jaccard(text, texts[j]), -j) for j in candidates), default=(0.0, 0))
        if best[0] >= near:
            found.append(minhash.Near(best[0], i, -best[1]))
        else:
            for place, gram in enumerate(rare):
                kept[gram].setdefault((len(text) - place, len(text)), []).append(i)
    return found


def jaccard(a: Sequence[int], b: Sequence[int]) -> float:
    """Shared n-grams over all n-grams of both."""
    shared = len(set(a).intersection(b))
    return shared / (len(a) + len(b) - shared)


def overlaps(
    prompts: Iterable[tuple[str, str]], against: Sequence[Path], n: int, containment: float, given: Sequence[str] = ()
) -> list[Overlap]:
    """Each prompt that overlaps with an item of the files, with the item that shares most. Raises UserError.

    given: `FIELD=COLUMN` of columns with other names, in any of the files.
    """
    found_columns, seen = columns(FIELDS, given), dict[str, None]()
    if not against:
        return []
    items: list[tuple[str, int]] = []
    index: defaultdict[int, list[int]] = defaultdict(list)
    for path in against:
        for place, text in evaluation_items(path, found_columns, seen):
            found = grams(text, n)
            for gram in found:
                index[gram].append(len(items))
            items.append((place, len(found)))
    found_columns.check("--against", seen, ())
    result = []
    for name, text in prompts:
        mine = grams(text, n)
        shared = Counter(item for gram in mine for item in index.get(gram, ()))
        shares = ((count / min(len(mine), items[item][1]), -item) for item, count in shared.items())
        share, item = max(shares, default=(0.0, 0))
        if share >= containment:
            result.append(Overlap(name, items[-item][0], share))
    return result


def evaluation_items(
    path: Path, found: Columns = OWN, seen: dict[str, None] | None = None
) -> Iterator[tuple[str, str]]:
    """(`file:row`, text) of each row's `prompt`, or messages, in whatever form prompts are read. Raises UserError.

    seen: names of columns, which are added to.
    """
    empty = True
    for record in source(str(path)).one()[0]():
        empty = False
        if seen is not None and not isinstance(record.row, BadRow):
            seen |= dict.fromkeys(record.row)
        yield record.place, _text_of(record, found)
    if empty:
        raise UserError(Problem(str(path), got="is empty", allowed="rows with `prompt` (text or messages)"))


def _text_of(record: Record, named: Columns) -> str:
    try:
        if isinstance(record.row, BadRow):
            raise record.row
        mapped, _ = named.split(record.row)
        fields = mapped or record.row  # a set without those columns has the fields' own names
        found = turns({key: value for key, value in fields.items() if value is not None}, Told())
        if found is None:
            allowed = "a row with `prompt`, which is text or a list of messages"
            raise BadRow("bad_row", f"got {', '.join(record.row)}", allowed)
    except BadRow as error:
        raise UserError(error.at(record.place)) from None
    return _text((message.role, message.content) for message in found)
