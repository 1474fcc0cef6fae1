"""Settings of `solon studio`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from constitution.options import Option, Options


class StudioSettings(Options):
    """What to open, and where to listen."""

    subject: Annotated[Path, Option("RUN|CONSTITUTION", positional=True)]
    """Folder of a run, finished or not, of a training or a loop; a constitution's YAML file; or what `evaluate policy --json`
    wrote."""
    against: Annotated[Path | None, Option("RUN")] = None
    """A second finished run, to be shown beside the first."""
    tested: Annotated[Path | None, Option("FILE")] = None
    """What `solon constitution test --json` wrote, to be shown beside the principles in the editor."""
    host: Annotated[str, Option("HOST")] = "127.0.0.1"
    """Address to listen on; one that other machines reach needs --token-file."""
    port: Annotated[int, Option("PORT")] = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    token_file: Annotated[Path | None, Option("FILE")] = None
    """File whose text is the token, of at least 32 characters, instead of a new one at each start."""
