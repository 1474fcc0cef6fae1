"""Builds the index of a run, in one pass over its files: memory does not grow with them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from constitution.records import VIOLATION
from critics.transcript import message_text
from generation.calls.reading import StoredCalls
from generation.output.reading import read_message, split_files, tables
from generation.pipeline.session import CALLS
from studio.data.schema import CREATE, FINISH, transaction

PIECE = 1024
"""Pairs of a piece; what is kept of one is written before the next."""
SHOWN = 160
"""Characters of a text that a list shows."""
COLUMNS = (
    "prompt", "chosen", "rejected", "p_chosen", "log_odds", "label_source", "prompt_id", "chosen_id", "rejected_id",
    "chosen_origin", "rejected_origin", "objectives", "votes", "tags",
)  # fmt: skip
OTHERS = ("responses.parquet", "critiques.parquet", "votes.parquet")
"""Files whose rows follow each other prompt by prompt, and in which a prompt's place is kept."""
NUMBERS = ("p", "margin", "against", "flips", "longer")
"""What pairs are filtered and sorted by: p_chosen; its log-odds; the share of votes for the rejected response; the share of votes
that name the same place in both orders; how many characters the chosen response is longer."""
LARGE = 50_000
"""Pairs from which on frequent words are kept apart."""
FREQUENT, MOST_FREQUENT = 0.1, 200
"""Share of the pairs that a frequent word is in, and most such words."""

Progress = Callable[[int], None]


def build(path: Path, run: Path, progress: Progress = lambda pairs: None) -> None:
    """Write the index of a finished run to a new file. progress: told the pairs so far."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(CREATE)
        facets = Facets(connection)
        first = 0
        for split, file in split_files(run, "preferences"):
            row = 0
            for table in tables(file, COLUMNS, PIECE):
                with transaction(connection):
                    _add_pairs(connection, facets, table, split, first, row)
                first, row = first + len(table), row + len(table)
                progress(first)
        with transaction(connection):
            _add_failures(connection, run)
            _add_places(connection, run)
            _add_calls(connection, run)
        connection.executescript(FINISH)
        with transaction(connection):
            _join(connection, facets)
            facets.close()
            _add_orders(connection)
            _add_frequent(connection, first)
    finally:
        connection.close()


class Facets:
    """Which pairs have which value of what pairs are filtered by."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, facet: str, values: pa.Array, rows: NDArray[np.int32]) -> None:
        """Note the value of each row; rows ascend. A null is none."""
        encoded = pc.dictionary_encode(pc.drop_null(values))
        kept = rows[np.asarray(pc.is_valid(values))]
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(encoded.dictionary)))
        for value, part in zip(encoded.dictionary.to_pylist(), np.split(kept[order], ends[:-1]), strict=False):
            self.put(facet, value, np.unique(part))

    def put(self, facet: str, value: str, rows: NDArray[np.int32]) -> None:
        """Note rows that have one value."""
        if len(rows):
            body = rows.astype(np.int32).tobytes()
            self._connection.execute("INSERT INTO postings VALUES (?, ?, ?)", (facet, value, body))
            self._counts[facet, value] += len(rows)

    def close(self) -> None:
        """Write how many pairs have each."""
        rows = [(facet, value, pairs) for (facet, value), pairs in self._counts.items()]
        self._connection.executemany("INSERT INTO facets VALUES (?, ?, ?)", rows)


def _add_pairs(
    connection: sqlite3.Connection, facets: Facets, table: pa.Table, split: str, first: int, row: int
) -> None:
    columns = {name: table[name].combine_chunks() for name in COLUMNS}
    numbers = np.arange(first, first + len(table), dtype=np.int32)
    texts = [_joined(columns[name]) for name in ("prompt", "chosen", "rejected")]
    shares = _votes(facets, columns["votes"], numbers)
    lengths = [pc.utf8_length(text).to_numpy(zero_copy_only=False) for text in texts[1:]]
    values = {
        "p": columns["p_chosen"].to_numpy(),
        "margin": columns["log_odds"].to_numpy(),
        **shares,
        "longer": lengths[0] - lengths[1],
    }
    for name in NUMBERS:
        body = values[name].astype(np.float32).tobytes()
        connection.execute("INSERT INTO numbers VALUES (?, ?)", (name, body))
    ids = [columns[name].to_pylist() for name in ("prompt_id", "chosen_id", "rejected_id")]
    heads = [pc.utf8_slice_codeunits(text, 0, SHOWN).to_pylist() for text in texts]
    figures = [values[name].tolist() for name in NUMBERS[:4]]
    rows = zip(
        numbers.tolist(), [split] * len(table), range(row, row + len(table)), *ids, *figures, *heads, strict=True
    )
    connection.executemany(f"INSERT INTO pairs VALUES ({', '.join('?' * 13)})", rows)
    whole = pc.binary_join_element_wise(*texts, "\n").to_pylist()
    connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", zip(numbers.tolist(), whole, strict=True))
    facets.add("split", pa.array([split] * len(table)), numbers)
    facets.add("source", columns["label_source"], numbers)
    origins = pc.binary_join_element_wise(columns["chosen_origin"], columns["rejected_origin"], " over ")
    facets.add("origin", origins, numbers)
    _add_list(facets, "tag", columns["tags"], numbers)
    _add_objectives(facets, columns["objectives"], numbers)


def _joined(messages: pa.ListArray) -> pa.Array:
    """What each row's messages say, one under the other, with the calls of tools in them."""
    flat = messages.flatten()
    texts = pc.fill_null(flat.field("content"), "")
    if flat.type.get_field_index("tool_calls") >= 0:
        called = pc.fill_null(pc.greater(flat.field("tool_calls").value_lengths(), 0), False)
        whole = [message_text(read_message(row)) for row in flat.filter(called).to_pylist()]
        texts = pc.replace_with_mask(texts, called, pa.array(whole, texts.type))
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(_offsets(messages)), texts), "\n")


def _offsets(lists: pa.ListArray) -> NDArray[np.int32]:
    lengths = pc.fill_null(lists.value_lengths(), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _owners(lists: pa.ListArray, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number of the pair that each item of the lists is of."""
    return np.repeat(numbers, np.diff(_offsets(lists)))


def _add_list(facets: Facets, facet: str, lists: pa.ListArray, numbers: NDArray[np.int32]) -> None:
    facets.add(facet, lists.flatten(), _owners(lists, numbers))


def _add_objectives(facets: Facets, scores: pa.StructArray, numbers: NDArray[np.int32]) -> None:
    for i, field in enumerate(scores.type):
        values = scores.field(i).to_numpy(zero_copy_only=False).astype(float)
        facets.put("objective", field.name, numbers[np.isfinite(values)])
        facets.put("objective_against", field.name, numbers[values < 0])


def _votes(facets: Facets, votes: pa.ListArray, numbers: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """Shares of each pair's votes; notes the principles that voted, that voted for the rejected, and that flipped."""
    flat, owners = votes.flatten(), _owners(votes, numbers)
    z_ab, z_ba = (flat.field(name).to_numpy(zero_copy_only=False) for name in ("logit_ab", "logit_ba"))
    against = z_ab < z_ba
    flips = (z_ab * z_ba > 0) & ~np.asarray(pc.equal(flat.field("method"), VIOLATION))
    principles = flat.field("principle")
    facets.add("principle", principles, owners)
    for facet, mask in (("against", against), ("flips", flips)):
        facets.add(facet, principles.filter(pa.array(mask)), owners[mask])
    total = np.maximum(np.diff(_offsets(votes)), 1)
    masks = {"against": against, "flips": flips}
    return {
        name: np.bincount(owners[mask] - numbers[0], minlength=len(numbers)) / total for name, mask in masks.items()
    }


def _add_failures(connection: sqlite3.Connection, run: Path) -> None:
    columns = ("kind", "prompt_id", "stage", "reason", "subject", "detail")
    numbers = count()
    for table in tables(run / "failures.parquet", columns, PIECE):
        rows = zip(*(pc.fill_null(table[name], "").to_pylist() for name in columns), strict=True)
        connection.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)", ((next(numbers), *r) for r in rows))
    for table in tables(run / "responses.parquet", ("id", "prompt_id", "indicators"), PIECE):
        lists = table["indicators"].combine_chunks()
        of = _owners(lists, np.arange(len(table), dtype=np.int32))
        names = [table[name].take(pa.array(of)).to_pylist() for name in ("prompt_id", "id")]
        marks = zip(*names, lists.flatten().to_pylist(), strict=True)
        connection.executemany("INSERT INTO marks VALUES (?, ?, ?)", marks)


def _add_places(connection: sqlite3.Connection, run: Path) -> None:
    for name in OTHERS:
        for prompt, row in _firsts(run / name):
            connection.execute("INSERT INTO places VALUES (?, ?, ?)", (prompt, name, row))


def _add_calls(connection: sqlite3.Connection, run: Path) -> None:
    if not (run / CALLS).is_file():
        return
    with closing(StoredCalls([run / CALLS])) as calls:
        rows = ((crc32(prompt.encode("utf-8", "replace")), row) for prompt, row in calls.places())
        connection.executemany("INSERT INTO calls VALUES (?, ?)", rows)


def _firsts(path: Path) -> Iterator[tuple[str, int]]:
    """Each prompt and the row where its rows begin."""
    first, before = 0, None
    for table in tables(path, ("prompt_id",)):
        ids = table["prompt_id"].to_pylist()
        for i, name in enumerate(ids):
            if name != before:
                yield name, first + i
                before = name
        first += len(ids)


def _add_orders(connection: sqlite3.Connection) -> None:
    """Sort the pairs once by each number, since that takes longer than to answer."""
    for name in NUMBERS:
        pieces = connection.execute("SELECT body FROM numbers WHERE name = ? ORDER BY rowid", (name,))
        values = np.frombuffer(b"".join(row[0] for row in pieces), dtype=np.float32)
        body = np.argsort(values, kind="stable").astype(np.int32).tobytes()
        connection.execute("INSERT INTO orders VALUES (?, ?)", (name, body))


def _add_frequent(connection: sqlite3.Connection, pairs: int) -> None:
    """Keep a bit a pair for the words of many pairs: to walk through their lists takes longer than to answer."""
    if pairs < LARGE:
        return
    connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, row)")
    sql = "SELECT term FROM temp.vocabulary WHERE doc > ? ORDER BY doc DESC LIMIT ?"
    for (word,) in connection.execute(sql, (pairs * FREQUENT, MOST_FREQUENT)).fetchall():
        match = f'"{word}"'
        (text,) = connection.execute("SELECT group_concat(rowid) FROM words WHERE words MATCH ?", (match,)).fetchone()
        bits = np.zeros(pairs, dtype=np.bool_)
        bits[np.fromstring(text, dtype=np.int32, sep=",")] = True
        connection.execute("INSERT INTO frequent VALUES (?, ?)", (word, np.packbits(bits).tobytes()))


def _join(connection: sqlite3.Connection, facets: Facets) -> None:
    """Note what is known of pairs by other files: indicators of their responses, and what failed of their prompts."""
    marked = """
        SELECT DISTINCT indicator, number FROM marks JOIN pairs USING (prompt_id) WHERE response_id IN (chosen_id, rejected_id)
        ORDER BY indicator, number
    """
    failed = """
        SELECT DISTINCT stage || ': ' || reason AS why, pairs.number FROM failures JOIN pairs USING (prompt_id)
        ORDER BY why, pairs.number
    """
    for facet, sql in (("indicator", marked), ("failure", failed)):
        cursor = connection.execute(sql)
        while rows := cursor.fetchmany(1 << 16):
            _put_runs(facets, facet, rows)


def _put_runs(facets: Facets, facet: str, rows: Sequence[tuple[str, int]]) -> None:
    values, numbers = pa.array([value for value, _ in rows]), np.array([number for _, number in rows], dtype=np.int32)
    facets.add(facet, values, numbers)
