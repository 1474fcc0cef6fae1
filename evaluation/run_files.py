"""The files of a finished run, read in pieces: memory does not grow with the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from generation.output.dataset import SPLITS

ROWS = 1000
"""Rows of one piece that holds texts."""
AGAIN = "run generate_feedback.py again to write it"


def split_files(run: Path, name: str) -> list[tuple[str, Path]]:
    """(split, file) of `preferences` or `sft`."""
    return [(split, run / "data" / name / f"{split}.parquet") for split in SPLITS]


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file. Raises UserError."""
    for table in tables(path, columns, ROWS):
        yield from table.to_pylist()


def tables(path: Path, columns: Sequence[str] | None = None, size: int = 1 << 16) -> Iterator[pa.Table]:
    """A parquet file in tables of `size` rows. Raises UserError, also where a column is missing."""
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if missing:
                raise UserError(Problem(str(path), got=f"has no column {', '.join(missing)}", fix=AGAIN))
            for batch in file.iter_batches(batch_size=size, columns=columns):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def schema_of(path: Path) -> pa.Schema:
    """A parquet file's columns. Raises UserError."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> UserError:
    """Why a file of a run cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return UserError(Problem(str(path), got=f"cannot be read ({reason})", fix=AGAIN))
