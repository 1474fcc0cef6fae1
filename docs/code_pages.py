"""Directives whose pages say what the code says.

``{settings} generation.config.RunConfig`` is a table of a settings model: each setting, its default, the string under the field.
``{help} feedback`` is what `solon feedback --help` prints.
``{modules} critics`` lists a package's modules with the first line of each docstring.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from docutils import nodes
from docutils.parsers.rst import directives
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Row(NamedTuple):
    """One setting."""

    key: str
    kind: str
    default: str
    text: str


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The settings models that a field's type holds directly, leaving out those in lists and mappings."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return [kind] if issubclass(kind, BaseModel) else []
    if get_origin(kind) in (list, tuple, dict, set, frozenset):
        return []
    return [model for inner in get_args(kind) for model in models_in(inner)]


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[Row]:
    """Every setting of a model and of the groups inside it, with dotted keys."""
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        key = f"{prefix}{name}"
        required = field.is_required()
        default = "required" if required else shown(field.get_default(call_default_factory=True, validated_data={}))
        yield Row(key, readable(field.annotation), "" if inner and not required else default, field.description or "")
        if len(inner) == 1:
            yield from rows(inner[0], f"{key}.")


def readable(kind: Any) -> str:
    """A type as one writes it."""
    text = kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)
    for noise in ("typing.", "collections.abc.", "pathlib."):
        text = text.replace(noise, "")
    return text if len(text) <= 60 else text[:57] + "..."


def shown(value: object) -> str:
    """A default as YAML would have it, short."""
    if value is PydanticUndefined:
        return ""
    text = {None: "none", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    return text or (str(value) if len(str(value)) <= 60 else str(value)[:57] + "...")


class Settings(SphinxDirective):
    """The directive; its argument is the dotted name of a pydantic model."""

    required_arguments = 1
    option_spec = {"prefix": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """A table with a row for each setting."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        table, group = nodes.table(classes=["settings"]), nodes.tgroup(cols=3)
        table += group
        for width in (24, 22, 54):
            group += nodes.colspec(colwidth=width)
        head, body = nodes.thead(), nodes.tbody()
        group += [head, body]
        head += row(["setting", "default", "meaning"], nodes.strong)
        for one in rows(model, self.options.get("prefix", "")):
            line = row([one.key, one.default, ""], nodes.literal)
            meaning = nodes.entry()
            for text in one.text.split("\n\n"):
                parsed, _ = self.state.inline_text(" ".join(text.split()), self.lineno)
                meaning += nodes.paragraph("", "", *parsed)
            line[-1] = meaning
            body += line
        return [table]


class Modules(SphinxDirective):
    """The directive; its argument is a package's folder."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A list of the folders, each with its modules."""
        root = Path(__file__).resolve().parents[1]
        found: list[nodes.Node] = []
        for folder in sorted({path.parent for path in (root / self.arguments[0]).rglob("*.py")}):
            name = folder.relative_to(root).as_posix()
            found.append(
                nodes.paragraph(
                    "", "", nodes.strong(text=f"{name}/"), nodes.Text(" " + first_line(folder / "__init__.py"))
                )
            )
            items = nodes.bullet_list()
            for path in sorted(folder.glob("*.py")):
                if path.name != "__init__.py":
                    text = nodes.paragraph("", "", nodes.literal(text=path.name), nodes.Text(" " + first_line(path)))
                    items += nodes.list_item("", text)
            if len(items):
                found.append(items)
        return found


class Help(SphinxDirective):
    """The directive; its arguments are those of `solon`, without --help."""

    optional_arguments = 3

    def run(self) -> list[nodes.Node]:
        """The command's own help."""
        words = " ".join(self.arguments).split()
        environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        command = [sys.executable, "-m", "solon", *words, "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        title = nodes.paragraph("", "", nodes.strong(text=" ".join(["solon", *words])))
        return [title, nodes.literal_block(done.stdout, done.stdout, language="text")]


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") if path.exists() else ""
    return " ".join(text.split("\n\n")[0].split())


def row(texts: list[str], wrap: type[nodes.Element]) -> nodes.row:
    """A table row of plain cells."""
    line = nodes.row()
    for text in texts:
        cell = nodes.entry()
        if text:
            cell += nodes.paragraph("", "", wrap(text, text))
        line += cell
    return line


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("settings", Settings)
    app.add_directive("modules", Modules)
    app.add_directive("help", Help)
    return {"parallel_read_safe": True}
