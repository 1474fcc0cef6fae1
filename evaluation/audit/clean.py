"""A run without the prompts that an audit found to repeat others or to be in an evaluation set: a run folder of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from constitution.loading import load
from generation.output.card import recorded, write_card
from generation.output.dataset import DATA, DATASETS
from generation.output.files import file_sha256, write_atomically
from generation.output.folder import CONSTITUTION, SETTINGS, WEIGHTS
from generation.output.manifest import NAME, Counts, Manifest, Outcomes, Source
from generation.output.reading import rows_in, schema_of, split_files, tables

NOTE = "left-out.json"
"""Which prompts were left out, and why."""
COPIED = (SETTINGS, CONSTITUTION, WEIGHTS)
ROWS = 1000
"""Rows of one piece."""


def write_clean(run: Path, folder: Path, left_out: Mapping[str, str], manifest: Manifest) -> Manifest:
    """Write all of a finished run but its calls, without the rows of the prompts in `left_out` (id -> why); it lacks a report.

    Its manifest, not written yet, names the run that it is from. The run itself is not touched. Raises UserError.
    """
    place, own = Path(os.path.realpath(folder)), Path(os.path.realpath(run))
    if place == own or own in place.parents:
        raise UserError(Problem(f"--clean {folder}", got="is in the run itself", allowed="a new folder elsewhere"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(Problem(f"--clean {folder}", got="is there already", allowed="a new or empty folder"))
    ids = pa.array(sorted(left_out), pa.string())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            if (run / name).is_file():
                shutil.copy2(run / name, folder / name)
        files = dict(_copies(run, folder, ids, [name for name in manifest.files if name.endswith(".parquet")]))
        cleaned = manifest.model_copy(
            update={**_counted(folder, manifest, _outcomes(run, ids)), "files": files, "source": _source(run, left_out)}
        )
        note = {"from": run.name, "prompts": dict(sorted(left_out.items()))}
        write_atomically(folder / NOTE, json.dumps(note, indent=2, ensure_ascii=False) + "\n")
        write_card(folder, cleaned, load(folder / CONSTITUTION), recorded(folder))
    except OSError as error:
        got = f"cannot be written ({error.strerror})"
        raise UserError(Problem(f"--clean {folder}", got=got, fix="choose another folder")) from None
    return cleaned


def _source(run: Path, left_out: Mapping[str, str]) -> Source:
    return Source(run=run.resolve().name, manifest=file_sha256(run / NAME), prompts_left_out=len(left_out))


def _copies(run: Path, folder: Path, ids: pa.Array, names: list[str]) -> Iterator[tuple[str, str]]:
    """(file, sha256) of each that is written. A split all of whose rows are left out is no file."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        with pq.ParquetWriter(target, schema_of(run / name), compression="zstd") as writer:
            for table in tables(run / name, size=ROWS):
                kept = table.filter(pc.invert(pc.is_in(table["prompt_id"], ids)))
                rows += kept.num_rows
                writer.write_table(kept)
        if rows or not name.startswith(f"{DATA}/"):
            yield name, file_sha256(target)
        else:
            target.unlink()


def _outcomes(run: Path, ids: pa.Array) -> Counter[str]:
    """What became of the prompts that are left out, and how many of their comparisons are in the votes."""
    found: Counter[str] = Counter()
    paired = {name for _, path in split_files(run, DATASETS[0]) for name in _of(path, ids, "prompt_id")["prompt_id"]}
    failures = _of(run / "failures.parquet", ids, "prompt_id", "kind")
    failed = {name for name, kind in zip(*failures.values(), strict=True) if kind == "failed"} - paired
    found.update(pairs=len(paired), failed=len(failed), dropped=len(ids) - len(paired | failed), prompts=len(ids))
    votes = _of(run / "votes.parquet", ids, "prompt_id", "a", "b")
    found["comparisons"] = len({*zip(*votes.values(), strict=True)})
    return found


def _of(path: Path, ids: pa.Array, *columns: str) -> dict[str, list[str]]:
    """Columns of the rows that are about these prompts."""
    found: dict[str, list[str]] = {name: [] for name in columns}
    for table in tables(path, columns):
        rows = table.filter(pc.is_in(table["prompt_id"], ids))
        for name in columns:
            found[name] += rows[name].to_pylist()
    return found


def _counted(folder: Path, manifest: Manifest, gone: Counter[str]) -> dict[str, object]:
    """What the manifest says that rows are counted in. gone: as `_outcomes` gives it."""
    counts: Counter[str] = Counter()
    for name in ("responses", "critiques", "votes"):
        counts[name] = rows_in(folder / f"{name}.parquet")
    for table in tables(folder / "responses.parquet", ("origin",)):
        counts["revisions"] += pc.sum(pc.equal(table["origin"], "revised")).as_py() or 0
    for table in tables(folder / "votes.parquet", ("censored",)):
        counts["censored_votes"] += pc.sum(table["censored"]).as_py() or 0
    for name, dataset in {"pairs": "preferences", "targets": "sft"}.items():
        counts[name] = sum(rows_in(path) for _, path in split_files(folder, dataset))
    for name in ("prompts", "comparisons"):
        counts[name] = getattr(manifest.counts, name) - gone[name]
    reasons: dict[str, Counter[str]] = {"failed": Counter(), "dropped": Counter()}
    for table in tables(folder / "failures.parquet", ("kind", "stage", "reason")):
        for row in table.to_pylist():
            reasons[row["kind"]][f"{row['stage']}: {row['reason']}"] += 1
    outcomes = {name: getattr(manifest.outcomes, name) - gone[name] for name in Outcomes.model_fields}
    return {
        "counts": Counts(**{name: counts[name] for name in Counts.model_fields}),
        "outcomes": Outcomes(**outcomes),
        **{kind: dict(sorted(found.items())) for kind, found in reasons.items()},
    }
