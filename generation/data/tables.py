"""Rows of parquet, Arrow and saved datasets, in pieces of bounded size: a small file may ask for gigabytes."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from generation.data.json_rows import too_large
from generation.data.record import MAX_ROW, BadRow, Record, reading, words

BATCH = 1024
"""Most rows of a piece."""
HELD = 64 << 20
"""Most bytes of a piece in memory, but for a single row."""
MAX_GROUP = 1 << 30
"""Bytes that a row group may hold, unless the file is of a size to match."""
MAX_RATIO = 200
"""How many times as large as its file a row group over MAX_GROUP may be."""


def parquet(file: io.BufferedReader, name: str, wanted: Collection[str]) -> Iterator[Record]:
    """Each row of a parquet file. wanted: columns whose cells may not be left out where they are too large."""
    with reading(name), file:
        try:
            found = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            got = f"is not parquet ({words(error)})"
            raise UserError(Problem(name, "", got, "", "write it again")) from None
        texts = _leaves(found, name)
        found.close(force=False)
        source = pq.ParquetFile(file, read_dictionary=texts, buffer_size=1 << 20)
        number = 1
        for group in range(source.metadata.num_row_groups):
            for batch in source.iter_batches(batch_size=_rows(source, group, name), row_groups=[group]):
                yield from rows(batch, name, number, wanted)
                number += batch.num_rows


def arrow(file: io.BufferedReader, name: str, wanted: Collection[str]) -> Iterator[Record]:
    """Each row of an Arrow file or stream, a record batch at a time."""
    with reading(name), file:
        number = 1
        for batch in _batches(file):
            for start in range(0, batch.num_rows, BATCH):
                piece = _piece(batch, start, min(start + BATCH, batch.num_rows))
                yield from rows(piece, name, number, wanted)
                number += piece.num_rows


def rows(batch: pa.RecordBatch, name: str, first: int, wanted: Collection[str]) -> Iterator[Record]:
    """Rows of a piece, of which the first has this number. What is too large, or cannot be shown in Python, is found by halves."""
    try:
        values = _plain(batch).to_pylist() if _size(batch) <= (HELD if batch.num_rows > 1 else MAX_ROW) else None
    except Exception as error:  # a value that Python has no type for raises many kinds
        if batch.num_rows == 1:
            bad = BadRow("bad_cell", f"has a value that cannot be read ({words(error)})")
            yield Record(f"{name}:{first}", bad, True)
            return
        values = None
    if values is not None:
        for i, row in enumerate(values):
            yield Record(f"{name}:{first + i}", row, True)
    elif batch.num_rows == 1:
        yield Record(f"{name}:{first}", _without_large(batch, wanted), True)
    else:
        half = batch.num_rows // 2
        yield from rows(_piece(batch, 0, half), name, first, wanted)
        yield from rows(_piece(batch, half, batch.num_rows), name, first + half, wanted)


def _without_large(row: pa.RecordBatch, wanted: Collection[str]) -> dict[str, Any] | BadRow:
    """A single row without cells that are too large, where nobody reads them."""
    small = [name for name in row.schema.names if _array_size(row[name]) <= MAX_ROW]
    if set(row.schema.names).difference(small) & set(wanted):
        return too_large()
    try:
        values: list[dict[str, Any]] = _plain(row.select(small)).to_pylist()
    except Exception as error:  # as above
        return BadRow("bad_cell", f"has a value that cannot be read ({words(error)})")
    return values[0]


def _piece(batch: pa.RecordBatch, start: int, end: int) -> pa.RecordBatch:
    """Some of the rows, copied: to cast a slice of a list is to cast the whole list."""
    return batch if (start, end) == (0, batch.num_rows) else batch.take(pa.array(range(start, end)))


def _size(batch: pa.RecordBatch) -> int:
    return sum(map(_array_size, batch.columns))


def _array_size(array: pa.Array) -> int:
    """Bytes of the values when each is held by itself."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if _has_length(kind.value_type):
            return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0) + 8 * len(array)
        return 8 * len(array)
    if pa.types.is_struct(kind):
        return sum(map(_array_size, array.flatten())) + 8 * len(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _array_size(array.flatten()) + 8 * len(array)
    if pa.types.is_map(kind):
        return _array_size(array.keys) + _array_size(array.items)
    return int(array.nbytes)


def _has_length(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Without dictionaries, which are slow to go through."""
    schema = pa.schema([field.with_type(_plain_type(field.type)) for field in batch.schema])
    return batch if schema.equals(batch.schema) else batch.cast(schema)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind


def _leaves(file: pq.ParquetFile, name: str) -> list[str]:
    """Paths of the texts of a file, which are read as indices into the different ones. Raises UserError for one that is none."""
    names = file.schema_arrow.names
    if len(set(names)) < len(names):
        raise UserError(
            Problem(name, "", f"has a column name twice ({', '.join(names)})", "each name once", "rename one")
        )
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    maps = {field.name for field in file.schema_arrow if "map<" in str(field.type)}
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY" and column.path.partition(".")[0] not in maps
    ]


def _rows(file: pq.ParquetFile, group: int, name: str) -> int:
    """Rows of a row group to take at once. Raises UserError where its rows are out of all proportion."""
    found = file.metadata.row_group(group)
    columns = [found.column(i) for i in range(found.num_columns)]
    values = sum(8 * column.num_values for column in columns)
    stored = sum(column.total_uncompressed_size for column in columns)
    packed = sum(column.total_compressed_size for column in columns)
    if max(values, stored) > max(MAX_GROUP, MAX_RATIO * packed):
        got = f"holds {max(values, stored):,} bytes in {packed:,}, in one row group of {found.num_rows:,} rows"
        raise UserError(Problem(name, "", got, "row groups of a size that fits their rows", "write it again"))
    mean = int(max(values, stored) // max(found.num_rows, 1))
    return max(1, min(BATCH, HELD // max(mean, 1)))


def _batches(file: io.BufferedReader) -> Iterator[pa.RecordBatch]:
    """Record batches of either form of Arrow's files."""
    source = pa.PythonFile(file, "r")
    try:
        opened = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        yield from pa.ipc.open_stream(source)
        return
    for i in range(opened.num_record_batches):
        yield opened.get_batch(i)
