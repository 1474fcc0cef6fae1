"""How far a share that was counted may be from the true one."""

from __future__ import annotations

import math

Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


def wilson(hits: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's interval (1927) of hits / n, of 95% by the normal quantile; all that is possible where n is 0."""
    if not n:
        return 0.0, 1.0
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # at the ends of the scale the bound is the end itself, which rounding misses
    low, high = middle - half if hits > 0 else 0.0, middle + half if hits < n else 1.0
    return max(0.0, low), min(1.0, high)
