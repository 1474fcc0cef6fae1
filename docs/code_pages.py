"""Directives whose pages say what the code says.

``{settings} generation.config.RunConfig`` is a table of a settings model: each setting, its default, the string under the field.
``{settings} evaluation.diff.settings.DiffSettings`` is the same for the options of a command.
``{help} feedback`` is what `solon feedback --help` prints.
``{modules} critics`` lists a package's modules with the first line of each docstring.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from constitution.listing import model_named, settings_in


class Settings(SphinxDirective):
    """The directive; its argument is the dotted name of a pydantic model."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table with a row for each setting."""
        model = model_named(self.arguments[0])
        table, group = nodes.table(classes=["settings"]), nodes.tgroup(cols=3)
        table += group
        for width in (24, 22, 54):
            group += nodes.colspec(colwidth=width)
        head, body = nodes.thead(), nodes.tbody()
        group += [head, body]
        head += row(["setting", "default", "meaning"], nodes.strong)
        for one in settings_in(model):
            line = row([one.key, textwrap.shorten(one.default, 60, placeholder=" ..."), ""], nodes.literal)
            meaning = nodes.entry()
            for text in one.meaning.split("\n\n"):
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
