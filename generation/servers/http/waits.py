"""Waiting for a server: as long as it asks for, by Retry-After and the many forms in which limits say when they begin anew; and
between tries where it asks for nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from generation.engines.base import TransientError
from generation.servers.settings import EndpointSettings

_PARTS = re.compile(r"(?<!\d)(\d++(?:\.\d++)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESET = re.compile(r"ratelimit.{0,100}reset", re.IGNORECASE)
_EPOCH = 1e9
"""A number of seconds as large as this is a point in time."""


def named_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers of an answer ask to wait; None where they name none (RFC 9110, 10.2.3, and vendors' own).

    Of several limits, one counts of which nothing remains, else the longest.
    """
    if (milliseconds := seconds(headers.get("retry-after-ms"), unit=0.001)) is not None:
        return milliseconds
    if (wait := seconds(headers.get("Retry-After"))) is not None:
        return wait
    resets = {name: wait for name in headers if _RESET.search(name) and (wait := seconds(headers[name])) is not None}
    spent = [wait for name, wait in resets.items() if _remaining(headers, name) == "0"]
    return max(spent or resets.values(), default=None)


def _remaining(headers: Mapping[str, str], reset: str) -> str:
    return headers.get(re.sub("reset", "remaining", reset, flags=re.IGNORECASE), "").strip()


def seconds(text: str | None, unit: float = 1.0) -> float | None:
    """A wait as a number, a duration such as `6m0s`, or a point in time; None for anything else, and never below 0."""
    text = (text or "").strip()
    try:
        value = float(text) * unit
    except ValueError:
        value = _duration(text)
    if value > _EPOCH:
        value = (value / 1000 if value > 100 * _EPOCH else value) - time.time()
    return max(0.0, value) if value == value else None


def _duration(text: str) -> float:
    """NaN for what is none."""
    if text and not _PARTS.sub("", text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, OSError, IndexError):
            continue
    return float("nan")


def tries(settings: EndpointSettings) -> AsyncRetrying:
    """Calls a function again while it raises TransientError: `attempts` times, after waits that double, with full jitter."""
    return AsyncRetrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(settings.attempts),
        wait=wait_random_exponential(multiplier=settings.backoff_seconds, max=settings.max_wait_seconds),
        reraise=True,
    )
