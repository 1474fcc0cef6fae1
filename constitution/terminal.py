"""What is printed: nothing in it moves a cursor, sets a color or turns the order of what is read, whoever wrote or printed it.

`guarded` stands between this process and the terminal for as long as a command runs. What libraries, tracebacks and warnings say
goes through it as well; `generation.console.Console` styles its own text and cleans it first.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

_QUIET = threading.RLock()


def printable(text: str) -> str:
    """One line of characters that are seen: white space becomes a space, anything else that is unseen becomes �."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def printable_lines(text: str) -> str:
    """The same of each line; the lines stay."""
    if text.isprintable():
        return text
    return "\n".join(map(printable, text.replace("\r\n", "\n").split("\n")))


def complain(error: object) -> None:
    """Print what is wrong on stderr, line by line."""
    print(printable_lines(str(error)), file=sys.stderr)


class CleanStream:
    """A stream of text through which only characters that are seen go, and ends of lines. It is no terminal to those who ask."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write what can be seen of it, in the stream's encoding."""
        seen = printable_lines(text)
        if encoding := self.stream.encoding:
            seen = seen.encode(encoding, "replace").decode(encoding)
        self.stream.write(seen)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """False, so that nobody sends what only a terminal obeys."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Send whatever this process prints meanwhile through clean streams."""
    with redirect_stdout(_clean(sys.stdout)), redirect_stderr(_clean(sys.stderr)):
        yield


def own_stream(stream: TextIO) -> TextIO:
    """The stream itself, for those who clean what they print."""
    return stream.stream if isinstance(stream, CleanStream) else stream


def _clean(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, CleanStream) else cast(TextIO, CleanStream(stream))


@contextmanager
def quietly() -> Iterator[None]:
    """Python's warnings are not shown, as those of code that parses and yet is odd, which a stranger wrote.

    One thread at a time: what is shown is set for the whole process, and two that set it back in another order would leave it so.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
