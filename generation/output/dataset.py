"""Outcomes -> parquet files, streamed: memory stays flat, and the bytes depend on the rows alone."""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from constitution.digest import fraction
from constitution.principles import Constitution
from constitution.records import Prompt
from critics.ranking.pooling import Pooling
from generation.output import columns
from generation.output.files import file_sha256, part_name, parts_of, remove, replace, sync
from generation.output.records import ControlOutcome, Feedback

ROWS = 1000
"""Rows that become Arrow's at a time; fixed, so that row groups do not depend on timing."""
GROUP_BYTES = 4 << 20
"""Bytes at which a row group is written. Until its file is closed the metadata of each column chunk stays in memory, 860 bytes."""
FILE_BYTES = 256 << 20
"""A file that has more is ended, and the next row group begins another one."""
SCRATCH = ".writing"
DATA = "data"
REVIEW = "review_queue.parquet"
"""Pairs whose label is not sure enough for the stated error."""
DATASETS = ("preferences", "sft")
SPLITS = TRAIN, TEST = ("train", "test")


class DatasetWriter:
    """Writes a run's parquet files into a scratch folder; `close` moves them into place."""

    def __init__(
        self,
        folder: Path,
        constitution: Constitution,
        judge: str,
        test_fraction: float,
        tools: bool,
        review: bool = False,
    ) -> None:
        """review: True where pairs whose label is not accepted are kept for a person."""
        self._folder = folder
        self._digest = constitution.digest
        self._judge = judge
        self._test_fraction = test_fraction
        self._tools = tools
        self._objectives = sorted(constitution.objectives)
        self._scratch = folder / SCRATCH
        remove(self._scratch)
        schemas = {split_path("preferences", split): columns.preferences(tools, self._objectives) for split in SPLITS}
        schemas |= {split_path("sft", split): columns.sft(tools) for split in SPLITS}
        schemas |= {
            "responses.parquet": columns.RESPONSES,
            "critiques.parquet": columns.CRITIQUES,
            "votes.parquet": columns.VOTES,
            "controls.parquet": columns.CONTROLS,
            "failures.parquet": columns.FAILURES,
        }
        self._review = review
        schemas |= {REVIEW: columns.review(tools, self._objectives)} if review else {}
        self._files = {name: _File(self._scratch / name, schema) for name, schema in schemas.items()}
        self._voters = {split_path("preferences", split): array("d") for split in SPLITS}
        self._voters |= {REVIEW: array("d")} if review else {}
        """Of each row: Kish's number of the voters whose mean its log-odds are, 0 of others."""

    def write(self, feedback: Feedback) -> None:
        """Add one prompt's outcome. Call in the prompts' order."""
        prompt = feedback.prompt
        split = split_of(prompt, self._test_fraction)
        self._voters[split_path("preferences", split)].extend(pair.voters for pair in feedback.pairs)
        self._files[split_path("preferences", split)].add(
            columns.pair_row(pair, prompt, self._tools, self._objectives, self._digest, self._judge)
            for pair in feedback.pairs
        )
        self._files[split_path("sft", split)].add(
            columns.target_row(target, prompt, self._tools, self._digest) for target in feedback.targets
        )
        if self._review:
            self._voters[REVIEW].extend(one.pair.voters for one in feedback.unaccepted)
            self._files[REVIEW].add(
                columns.review_row(one, prompt, self._tools, self._objectives, self._digest, self._judge)
                for one in feedback.unaccepted
            )
        self._files["responses.parquet"].add(columns.response_row(c, prompt) for c in feedback.candidates)
        self._files["critiques.parquet"].add(map(columns.critique_row, feedback.critiques))
        self._files["votes.parquet"].add(map(columns.vote_row, feedback.votes))
        self._files["failures.parquet"].add(map(columns.failure_row, feedback.failures))
        self._files["failures.parquet"].add(map(columns.failure_row, feedback.dropped))

    def write_controls(self, outcomes: Iterable[ControlOutcome]) -> None:
        """Add what the panel said of the controls."""
        for outcome in outcomes:
            self._files["controls.parquet"].add(columns.control_rows(outcome))
            self._files["failures.parquet"].add(map(columns.failure_row, outcome.failures))

    def close(self, pooling: Pooling | None = None) -> dict[str, str]:
        """Move the finished files into place, durably; returns path -> sha256.

        A file that would be larger than FILE_BYTES is several. pooling: what makes probabilities of the mean votes, which is known
        only when the last prompt is judged.
        A split without rows gets no file, as nothing loads one. Where no prompt fell to train, what fell to test is train.
        """
        trained = any(self._files[split_path(name, TRAIN)].written for name in DATASETS)
        remove(self._folder / DATA)
        digests = {}
        for name, file in self._files.items():
            file.close()
            place = self._folder / (name if trained else name.replace(f"/{TEST}.", f"/{TRAIN}."))
            while old := parts_of(place):  # of an earlier start, which may have had more
                for path in old:
                    path.unlink()
            voters = np.asarray(self._voters.get(name, ()))
            for number, (part, rows) in enumerate(file.parts):
                if pooling and rows and len(voters):
                    _pool(part, voters[:rows], pooling)
                    voters = voters[rows:]
                sync(part)
                if file.written or not name.startswith(f"{DATA}/"):
                    target = place.with_name(part_name(place.name, number, len(file.parts)))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    digest = file_sha256(part)
                    replace(part, target)
                    digests[target.relative_to(self._folder).as_posix()] = digest
        shutil.rmtree(self._scratch)
        return digests

    def abandon(self) -> None:
        """Drop what was written, when the run is incomplete."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def split_path(dataset: str, split: str) -> str:
    """The file of a split, below the run's folder."""
    return f"{DATA}/{dataset}/{split}.parquet"


def split_of(prompt: Prompt, test_fraction: float) -> str:
    """`train` or `test`, by the words of the prompt: equal prompts are never on both sides."""
    text = json.dumps([(message.role, message.content.strip()) for message in prompt.messages])
    return "test" if fraction(text) < test_fraction else "train"


class _File:
    """One table, written in row groups of GROUP_BYTES, and in files of about FILE_BYTES at most."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._group: list[pa.Table] = []
        self.written = 0
        """Rows in all parts."""
        self.parts: list[tuple[Path, int]] = []
        """Each with its rows."""
        self._open()

    def _open(self) -> None:
        path = self._path.with_name(f"{self._path.name}.{len(self.parts)}")
        self.parts.append((path, 0))
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self._rows.append(row)
            self.written += 1
            if len(self._rows) == ROWS:
                self._pack()

    def close(self) -> None:
        """Finish the last part."""
        self._pack()
        self._flush()
        self._end()

    def _end(self) -> None:
        self._writer.close()
        self._sink.close()

    def _pack(self) -> None:
        if self._rows:
            self._group.append(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []
        if sum(table.nbytes for table in self._group) >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._group:
            if self._sink.tell() > FILE_BYTES:
                self._end()
                self._open()
            table = pa.concat_tables(self._group)
            self._writer.write_table(table)
            path, rows = self.parts[-1]
            self.parts[-1] = (path, rows + table.num_rows)
            self._group = []


def _pool(path: Path, voters: NDArray[np.float64], pooling: Pooling) -> None:
    """Write a file of pairs anew, with the pooled log-odds of those that are a mean vote. voters: [rows]."""
    pooled, row = path.with_suffix(".pooled"), 0
    with pq.ParquetFile(path) as file, pq.ParquetWriter(pooled, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            log_odds, own = table["log_odds"].to_numpy(), voters[row : row + table.num_rows]
            log_odds = np.where(own > 0, pooling.log_odds(log_odds, np.maximum(own, 1.0)), log_odds)
            for name, values in (("log_odds", log_odds), ("p_chosen", 1 / (1 + np.exp(-log_odds)))):
                table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values))
            writer.write_table(table)
            row += table.num_rows
    replace(pooled, path)
