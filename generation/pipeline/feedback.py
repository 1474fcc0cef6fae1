"""What one prompt became: everything the dataset is written from."""

from __future__ import annotations

from dataclasses import dataclass

from constitution.records import Critique, Dropped, Failure, PreferencePair, Prompt, Response, Vote


@dataclass(frozen=True, slots=True)
class Feedback:
    """The whole outcome of one prompt. A prompt has pairs, or was dropped, or failed: `outcome` says which."""

    prompt: Prompt
    candidates: tuple[Response, ...] = ()
    """Every candidate, in a fixed order: samples or given replies, then revisions."""
    critiques: tuple[Critique, ...] = ()
    comparisons: int = 0
    """Pairs of candidates that were judged."""
    votes: tuple[Vote, ...] = ()
    pairs: tuple[PreferencePair, ...] = ()
    target: Response | None = None
    """The reply to imitate in supervised training: the last accepted revision, where there is one."""
    failures: tuple[Failure, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def outcome(self) -> str:
        """`pairs`, `dropped` or `failed`."""
        if self.pairs:
            return "pairs"
        return "failed" if self.failures else "dropped"
