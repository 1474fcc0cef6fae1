"""Tables, panels and colors on a terminal: the styles are ours, and the texts in them are cleaned of what a terminal would obey."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from constitution.terminal import own_stream, printable_lines


class Console(rich.console.Console):
    """A console of rich that styles texts and prints only what can be seen of them."""

    def __init__(self, *, file: TextIO | None = None, **settings: Any) -> None:
        super().__init__(file=own_stream(file or sys.stdout), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, of clean texts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))
