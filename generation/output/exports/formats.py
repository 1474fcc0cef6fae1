"""The forms that a run can be had in, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from constitution.errors import Problem, UserError
from generation.output.exports.annotated_pairs import annotated_pairs
from generation.output.exports.annotation import argilla_records, label_studio_tasks
from generation.output.exports.kto import kto_rows
from generation.output.exports.rankings import ranking_rows, rating_rows
from generation.output.files import create
from generation.output.run import Run

Text = Callable[[Run], Iterator[str]]
"""A run -> the file's text in pieces."""
Rows = Callable[[Run], Iterator[dict[str, Any]]]


class Form(NamedTuple):
    """One form."""

    text: Text
    purpose: str
    """In a line, for people."""


def lines(rows: Rows) -> Text:
    """A line of JSON for each row."""
    return lambda run: (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(run))


def array(rows: Rows) -> Text:
    """One JSON array, a line for each row."""

    def pieces(run: Run) -> Iterator[str]:
        before = "[\n"
        for row in rows(run):
            yield before + json.dumps(row, ensure_ascii=False)
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"

    return pieces


FORMS: Mapping[str, Form] = {
    "annotated_pairs": Form(annotated_pairs, "JSON of Inverse Constitutional AI and Feedback Forensics, format 2.0"),
    "argilla": Form(array(argilla_records), "JSON records of Argilla"),
    "label_studio": Form(array(label_studio_tasks), "JSON tasks of Label Studio, for a Pairwise tag"),
    "kto": Form(lines(kto_rows), "JSONL for TRL's KTOTrainer: prompt, completion, label"),
    "ratings": Form(lines(rating_rows), "JSONL: each response that was compared, with its strength"),
    "rankings": Form(lines(ranking_rows), "JSONL: each prompt with all its responses, the strongest first"),
}


def write(run: Run, form: str, path: Path) -> None:
    """Write a run in a form to a new file, whole or not at all. Raises UserError."""
    if os.path.lexists(path):
        raise UserError(Problem(f"--out {path}", got="is there already", fix="choose another file, or delete it"))
    temporary = path.with_name(path.name + ".tmp")
    try:
        with create(temporary) as file:
            file.writelines(FORMS[form].text(run))
        os.replace(temporary, path)
    except OSError as error:
        got = f"cannot be written ({error.strerror})"
        raise UserError(Problem(f"--out {path}", got=got, fix="choose another file")) from None
    finally:
        temporary.unlink(missing_ok=True)
