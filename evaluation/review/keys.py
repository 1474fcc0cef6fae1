"""One key of the keyboard, without Enter where the input is a terminal."""

from __future__ import annotations

import sys
import termios
import tty

ENDS = ("\x03", "\x04", "")
"""Ctrl-C, Ctrl-D, and the end of the input."""


def read_key() -> str:
    """The key; `q` at the end of the input. Of an input that is no terminal, the first character of the next line."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line[:1].replace("\n", " ") if line else "q"
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle)
        pressed = sys.stdin.read(1)
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
    return "q" if pressed in ENDS else pressed
