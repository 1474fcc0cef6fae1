"""Texts of others, printed: nothing in them moves a cursor, sets a colour or turns the order of what is read."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """One line of characters that are seen: white space becomes a space, anything else that is unseen becomes �."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def complain(error: object) -> None:
    """Print what is wrong on stderr, line by line."""
    print("\n".join(printable(line) for line in str(error).split("\n")), file=sys.stderr)
