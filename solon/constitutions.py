"""Constitutions by the name they are shipped under, or by path."""

from __future__ import annotations

from pathlib import Path

import constitution
from constitution import loading
from constitution.principles import Constitution

SHIPPED = Path(constitution.__file__).parents[1] / "principles"


def load_constitution(name_or_path: str | Path) -> Constitution:
    """A shipped constitution by its name, as `hhh`, or one from a YAML file.

    Raises UserError with every problem in the file, each with its line, the value there, what is allowed and the fix.

    >>> hhh = solon.load_constitution("hhh")
    >>> hhh.name, "harmlessness" in hhh.objectives
    ('hhh', True)
    >>> hhh.by_id("no-harmful-advice").veto
    True
    """
    shipped = SHIPPED / f"{name_or_path}.yaml"
    return loading.load(shipped if shipped.is_file() else name_or_path)
