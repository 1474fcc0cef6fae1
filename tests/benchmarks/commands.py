"""Runners of a benchmark's stages: in this process, or none at all."""

from collections.abc import Sequence
from typing import TextIO

import generate_feedback
from evaluation import __main__ as evaluation_main
from training import __main__ as training_main


def in_process(command: Sequence[str], log: TextIO) -> int:
    """Runs a command of the project here."""
    if command[1] == "-m":
        main = {"training": training_main.main, "evaluation": evaluation_main.main}[command[2]]
        return main(list(command[3:]))
    return generate_feedback.main(list(command[2:]))


def nothing(command: Sequence[str], log: TextIO) -> int:
    """For a start in which nothing is left to do."""
    raise AssertionError(command)
