"""Labelled pairs: a prompt, the response people chose and the one they rejected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from constitution.digest import digest
from constitution.errors import Problem, UserError
from constitution.records import Message, Prompt, Response
from evaluation.probes.persuasion import PERSUASION, persuasion, persuasion_digest
from generation.data.pairs import PairReader, PairRow
from generation.data.source import source_digest
from generation.output.files import parts_of
from generation.output.manifest import NAME, whole
from generation.output.reading import split_files

MOST_PROBLEMS = 20
"""Problems of rows that are told where no row is a pair."""
TOLD = 3
"""Of them, the ones that are told where others are pairs."""


class LabelledPair(NamedTuple):
    """A pair as the panel is asked about it."""

    id: str
    """Unique in its file; also the prompt's id, and so prompt_id of the votes on it."""
    prompt: Prompt
    better: Response
    worse: Response
    subset: str = ""

    @property
    def group(self) -> str:
        """The same for pairs of one prompt: they are never on both sides of a cross-validation's cut."""
        return digest("\n".join(f"{m.role}: {m.content.strip()}" for m in self.prompt.messages))


def read_labelled(
    spec: str | Path,
    limit: int | None = None,
    columns: Iterable[str] = (),
    tell: Callable[[str], object] | None = None,
    rules: Collection[str] = (),
) -> tuple[list[LabelledPair], tuple[Problem, ...]]:
    """(pairs, what is wrong with the rows that are none). Raises UserError when there is no pair at all.

    Of a run's folder the pairs are read that people labelled; a judge's label says nothing about judges.
    columns: `FIELD=COLUMN` of columns with other names. tell: is given what a user should know of the rows, a line at a time.
    rules: columns that rules of a constitution read. The name `persuasion`, where no file has it, stands for pairs of our own.
    """
    if _built_in(spec):
        known = persuasion()
        return [made_pair(p.id, (p.question,), p.right, p.wrong, p.subset) for p in islice(known, limit)], ()
    readers = [PairReader(name, columns, rules) for name in _files(spec)]
    pairs: dict[str, LabelledPair] = {}
    problems: list[Problem] = []
    for reader in readers:
        with closing(reader.rows()) as rows:
            for row in rows:
                if limit is not None and len(pairs) == limit:
                    break
                if isinstance(row, Problem):
                    problems.append(row)
                    continue
                name = _unique(row, pairs)
                pairs[name] = made_pair(
                    name, row.before, row.chosen, row.rejected, row.subset, row.tags, row.tools, row.metadata
                )
    if not pairs:
        first = Problem(str(spec), got="holds no labelled pair", fix="each row needs prompt, chosen and rejected")
        raise UserError((first, *problems[:MOST_PROBLEMS]))
    if tell:
        for line in (*_told(str(spec), problems), *chain.from_iterable(reader.notes() for reader in readers)):
            tell(line)
    return list(pairs.values()), tuple(problems)


def labelled_digest(spec: str) -> str:
    """Hex digest of what `read_labelled` reads. Raises UserError."""
    if _built_in(spec):
        return persuasion_digest()
    found = [source_digest(name) for name in _files(spec)]
    return found[0] if len(found) == 1 else digest("\n".join(found))


def _built_in(spec: str | Path) -> bool:
    return str(spec) == PERSUASION and not Path(spec).exists()


def _files(spec: str | Path) -> list[str]:
    """The files of a finished run's pairs; the source itself where it is none. Raises UserError for a damaged run."""
    folder = Path(spec)
    if not (folder / NAME).is_file():
        return [str(spec)]
    whole(folder)
    files = [part for _, path in split_files(folder, "preferences") for part in parts_of(path)]
    return [str(path) for path in files] or [str(spec)]


def _told(spec: str, problems: Sequence[Problem]) -> Iterator[str]:
    if problems:
        yield f"{spec}: {len(problems):,} rows are no labelled pairs, as:"
        yield from (f"  {problem}" for problem in problems[:TOLD])


def _unique(row: PairRow, pairs: Collection[str]) -> str:
    """The pair's own name; with the row's number where it has none, or another has it."""
    number = row.place.rpartition(":")[2]
    name = f"row-{number}" if row.id is None else row.id
    while name in pairs:
        name += f"-{number}"
    return name


def made_pair(
    name: str,
    conversation: tuple[Message, ...],
    better: Message,
    worse: Message,
    subset: str = "",
    tags: tuple[str, ...] = (),
    tools: tuple[dict[str, Any], ...] = (),
    metadata: str = "",
) -> LabelledPair:
    """A pair from its messages."""
    prompt = Prompt(id=name, messages=conversation, tags=tags, tools=tools, metadata=metadata)
    first, second = (
        Response(f"{name}/{side}", name, message, "given", message.content)
        for side, message in (("better", better), ("worse", worse))
    )
    return LabelledPair(name, prompt, first, second, subset)
