"""The forms that a run can be had in, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from constitution.errors import Problem, UserError
from generation.output.files import create


class Form(NamedTuple):
    """One form: a function of a run, by name so that help does not wait for what it needs."""

    module: str
    """In this folder."""
    function: str
    """Gives the rows, or with `text` the file's text in pieces."""
    layout: Literal["text", "lines", "array"]
    """A line of JSON for each row, or one JSON array with a line for each."""
    purpose: str
    """In a line, for people."""


FORMS: Mapping[str, Form] = {
    "annotated_pairs": Form(
        "annotated_pairs",
        "annotated_pairs",
        "text",
        "JSON of Inverse Constitutional AI and Feedback Forensics, format 2.0",
    ),
    "argilla": Form("annotation", "argilla_records", "array", "JSON records of Argilla"),
    "label_studio": Form("annotation", "label_studio_tasks", "array", "JSON tasks of Label Studio, for a Pairwise tag"),
    "kto": Form("kto", "kto_rows", "lines", "JSONL for TRL's KTOTrainer: prompt, completion, label"),
    "ratings": Form("rankings", "rating_rows", "lines", "JSONL: each response that was compared, with its strength"),
    "rankings": Form(
        "rankings", "ranking_rows", "lines", "JSONL: each prompt with all its responses, the strongest first"
    ),
}


def write(folder: Path, form: str, path: Path) -> None:
    """Write a finished run in a form to a new file, whole or not at all. Raises UserError."""
    run = import_module("generation.output.run").open_run(folder)
    if os.path.lexists(path):
        raise UserError(Problem(f"--out {path}", got="is there already", fix="choose another file, or delete it"))
    temporary = path.with_name(path.name + ".tmp")
    try:
        with create(temporary) as file:
            file.writelines(_text(run, FORMS[form]))
        os.replace(temporary, path)
    except OSError as error:
        got = f"cannot be written ({error.strerror})"
        raise UserError(Problem(f"--out {path}", got=got, fix="choose another file")) from None
    finally:
        temporary.unlink(missing_ok=True)


def _text(run: Any, form: Form) -> Iterator[str]:
    made = getattr(import_module(f"generation.output.exports.{form.module}"), form.function)(run)
    match form.layout:
        case "text":
            return iter(made)
        case "lines":
            return (json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        case "array":
            return _array(made)


def _array(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
