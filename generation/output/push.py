"""Upload a finished dataset to the hub: private unless it is told to be public, and without what only its maker should see."""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from constitution.errors import Problem, UserError
from generation.engines.quiet import quiet
from generation.output.folder import SETTINGS
from generation.output.manifest import NAME, PAGES, REPORT, Manifest, damages, whole
from generation.output.reading import schema_of, tables

KEPT = (SETTINGS, REPORT, "prompts.jsonl", "left-out.json")
"""What stays here beside the calls: addresses of servers, details of failures, prompts of which nothing came."""
FAILURES = "failures.parquet"
DETAIL = "detail"
"""Its column that may have a server's words and a row's text."""


class Upload(NamedTuple):
    """A file as it is uploaded."""

    name: str
    content: Path | bytes


def uploads(folder: Path, manifest: Manifest) -> Iterator[Upload]:
    """What is uploaded of a finished run, by a list of its own files: the dataset, its card, constitution and manifest.

    Never the calls, and of failures their reasons alone.
    """
    failures = _without_details(folder / FAILURES)
    names = [name for name in manifest.files if name not in (*KEPT, *manifest.parts(FAILURES))]
    yield from (Upload(name, folder / name) for name in names)
    yield Upload(FAILURES, failures)
    files = {name: manifest.files[name] for name in names} | {FAILURES: sha256(failures).hexdigest()}
    yield Upload(NAME, manifest.model_copy(update={"files": dict(sorted(files.items()))}).text().encode())


def push(folder: Path, repository: str, public: bool = False) -> None:
    """Upload a finished run; the token comes from the environment or the hub's own login.

    public: the repository is made public, or may be. Raises UserError for a run that is not finished or not whole, for a public
    repository that was not said to be one, and where the upload fails.
    """
    place = f"--push {repository}"
    manifest = whole(folder, place)
    if pages := [problem for problem in damages(folder, manifest) if Path(problem.place).name in PAGES]:
        raise UserError(pages)
    quiet()
    from huggingface_hub import CommitOperationAdd, HfApi

    api: Any = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", exist_ok=True, private=not public)
        seen = public or api.repo_info(repository, repo_type="dataset").private
        if seen:
            files = [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in uploads(folder, manifest)
            ]
            api.create_commit(repository, files, commit_message="Upload the dataset", repo_type="dataset")
    except Exception as error:  # the hub's client raises many kinds, all of which mean the same to the user
        reason = " ".join(str(error).split())[:300]
        fix = f"check the name, the network and HF_TOKEN; the dataset is whole in {folder}, run the same command again to retry"
        raise UserError(Problem(place, got=f"the upload failed ({reason})", fix=fix)) from error
    if not seen:
        raise UserError(Problem(place, got="is a public repository", fix="add --public, or name another"))


def _without_details(path: Path) -> bytes:
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema_of(path), compression="zstd") as writer:
        for table in tables(path):
            nothing = pa.array([""] * table.num_rows, pa.string())
            writer.write_table(table.set_column(table.schema.get_field_index(DETAIL), DETAIL, nothing))
    return out.getvalue()
