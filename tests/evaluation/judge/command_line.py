"""`solon evaluate judge` as a command line runs it."""

import io

from rich.console import Console

from evaluation.__main__ import main


def run(*arguments: object) -> tuple[int, str]:
    """(exit code, what was printed)."""
    console = Console(width=160, file=io.StringIO(), soft_wrap=True)
    code = main(["judge", *map(str, arguments)], console=console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()
