"""When a server may be asked once more: how many calls at once, how many a minute, and how long it is left alone.

Calls at once follow additive increase and multiplicative decrease (Chiu and Jain 1989), as TCP's window does: halved, once for all
calls that were under way, where the server answers 429 or 503 or is silent; grown by about 5% for each of its own number that
succeeds. A server that fails in turn and answers nothing between is left alone, longer each time, and then tried with one call.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from generation.servers.settings import EndpointSettings

_GROWTH = 0.05
_PATIENCE = 2
"""Failures in turn beyond `attempts`: where they come by chance, that many seldom do, and whatever waits is given up then."""


class Outcome(Enum):
    """What a call says of its server."""

    ANSWERED = "answered"
    """It answers, and be it with a refusal."""
    LIMITED = "limited"
    """It asks for fewer calls."""
    CONGESTED = "congested"
    """It was silent, or overloaded."""
    BROKEN = "broken"
    """It answered that it cannot."""
    DEAD = "dead"
    """Nobody is there."""
    UNKNOWN = "unknown"
    """The call was given up before anything was known."""


class Ticket(NamedTuple):
    """One call under way."""

    began: float
    tokens: float
    """Counted against the tokens a minute."""


@dataclass(slots=True)
class _Bucket:
    """A limit a minute: what flows in a second may be taken at once, and what is taken beyond that is waited for after it."""

    rate: float
    level: float = 0.0
    filled: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until something may be taken."""
        room = max(1.0, self.rate)
        self.level = min(room, self.level + (now - self.filled) * self.rate) if self.filled else room
        self.filled = now
        least = min(1.0, room)
        return 0.0 if self.level >= least else (least - self.level) / self.rate


class Gate:
    """The state of one server, and of its limits. Times are seconds of a monotonic clock."""

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._requests = _Bucket((settings.requests_per_minute or 0) / 60)
        self._tokens = _Bucket((settings.tokens_per_minute or 0) / 60)
        self._paused_until = 0.0
        self._cut_at = 0.0
        self._trouble_at = 0.0
        self._cooling = False
        self._limited = 0
        self.limit = float(settings.concurrency)
        """Calls that may be under way."""
        self.active = 0
        """Calls that are."""
        self.rounds = 0
        """Failures in turn without an answer between, where calls that were under way together count once."""
        self.answered = 0
        """Calls that it answered."""
        self.seconds = 0.0
        """What a call took of late, as a moving average."""

    @property
    def down(self) -> bool:
        """True once the server has failed more often in turn than one request is tried."""
        return self.rounds >= self._settings.attempts + _PATIENCE

    def opens_in(self, now: float) -> float | None:
        """Seconds until a call may begin, 0 for at once; None where one must end before."""
        if self.active >= (1 if self._cooling else int(self.limit)):
            return None
        wait = max(0.0, self._paused_until - now)
        if self._requests.rate:
            wait = max(wait, self._requests.wait(now))
        if self._tokens.rate:
            wait = max(wait, self._tokens.wait(now))
        return wait

    def begin(self, tokens: float = 0.0) -> Ticket:
        """Count a call as under way. tokens: the most that it may use."""
        self.active += 1
        self._requests.level -= 1
        self._tokens.level -= tokens
        return Ticket(time.monotonic(), tokens)

    def end(self, ticket: Ticket, outcome: Outcome, used: float | None = None, wait: float | None = None) -> None:
        """Note how a call ended. used: the tokens that it used, where known. wait: seconds that the server asked for."""
        now = time.monotonic()
        self.active -= 1
        self._tokens.level += ticket.tokens - (ticket.tokens if used is None else used)
        if outcome is Outcome.UNKNOWN:
            return
        if outcome is Outcome.ANSWERED:
            self._succeeded(now - ticket.began)
            return
        fresh = ticket.began >= self._trouble_at
        if outcome in (Outcome.LIMITED, Outcome.CONGESTED) and ticket.began >= self._cut_at:
            self.limit = max(1.0, min(self.limit, self.active + 1) / 2)
            self._cut_at = now
        if fresh:
            self._trouble_at = now
        if outcome is Outcome.LIMITED:
            self._limited += fresh
            self._pause(now, self._backoff(self._limited) if wait is None else wait)
            return
        self.rounds += fresh
        if wait is not None:
            self._pause(now, wait)
        if outcome is Outcome.DEAD or self.rounds > 1:
            self._cooling = True
            if fresh:
                self._pause(now, self._backoff(self.rounds))

    def _succeeded(self, seconds: float) -> None:
        self.answered += 1
        self.rounds = self._limited = 0
        self._cooling = False
        self.seconds += (seconds - self.seconds) * (0.1 if self.seconds else 1.0)
        grown = self.limit + max(1.0, self.limit * _GROWTH) / self.limit
        self.limit = min(float(self._settings.concurrency), grown)

    def _pause(self, now: float, wait: float) -> None:
        self._paused_until = max(self._paused_until, now + min(wait, self._settings.max_wait_seconds))

    def _backoff(self, times: int) -> float:
        """Full jitter over the upper half, so that several clients do not come back together."""
        s = self._settings
        return min(s.max_wait_seconds, s.backoff_seconds * 2.0 ** min(times - 1, 20)) * random.uniform(0.5, 1.0)
