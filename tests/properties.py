"""How many examples a property is tried on: a few in the suite, many times as many every night."""

import os

from hypothesis import settings

FACTOR = int(os.environ.get("SOLON_EXAMPLES", "1"))
"""How many times as many examples as in the suite; above 1 they are other ones in each run."""


def examples(number: int) -> settings:
    """For a property that is tried on another number of examples than hypothesis' own 100."""
    return settings(max_examples=number * FACTOR)


def load() -> None:
    """Make this number hypothesis' own, without deadlines: a property's time says how busy the machine is."""
    settings.register_profile(
        "solon", deadline=None, derandomize=FACTOR == 1, max_examples=100 * FACTOR, print_blob=True
    )
    settings.load_profile("solon")
