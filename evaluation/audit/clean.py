"""A run's data without the prompts that an audit found to repeat others or to be in an evaluation set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from generation.output.reading import schema_of, split_files, tables

NOTE = "left-out.json"
"""Written last: its presence means the copy is whole."""


def write_clean(run: Path, folder: Path, left_out: Mapping[str, str]) -> dict[str, int]:
    """Copy data/preferences and data/sft without the rows of the prompts in `left_out` (id -> why), and a note of them.

    The run itself is not touched. Returns how many rows of each file were left out. Raises UserError.
    """
    if folder.resolve() == run.resolve() or run.resolve() in folder.resolve().parents:
        raise UserError(Problem(f"--clean {folder}", got="is in the run itself", allowed="a new folder elsewhere"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(Problem(f"--clean {folder}", got="is there already", allowed="a new or empty folder"))
    ids = pa.array(sorted(left_out), pa.string())
    rows: Counter[str] = Counter()
    try:
        for name in ("preferences", "sft"):
            for _, path in split_files(run, name):
                target = folder / path.relative_to(run)
                target.parent.mkdir(parents=True, exist_ok=True)
                with pq.ParquetWriter(target, schema_of(path), compression="zstd") as writer:
                    for table in tables(path, size=1000):
                        kept = table.filter(pc.invert(pc.is_in(table["prompt_id"], ids)))
                        rows[str(path.relative_to(run))] += table.num_rows - kept.num_rows
                        writer.write_table(kept)
        note = {"from": str(run), "rows_left_out": dict(rows), "prompts": dict(sorted(left_out.items()))}
        (folder / NOTE).write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        got = f"cannot be written ({error.strerror})"
        raise UserError(Problem(f"--clean {folder}", got=got, fix="choose another folder")) from None
    return dict(rows)
