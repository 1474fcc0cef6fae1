"""What `python -m evaluation policy --json` may have written, made by hand."""

from __future__ import annotations

from typing import Any

from evaluation.policy.result import PolicyEvaluation

MODEL = {"name": "m", "digest": "d"}


def of(value: float, spread: float = 0.05) -> dict[str, float]:
    """A figure with its interval."""
    return {"value": value, "low": value - spread, "high": value + spread}


def win(share: float, **more: Any) -> dict[str, Any]:
    """A win rate by every way of counting it."""
    return {"raw": of(share), "probability": of(0.55), "controlled": of(0.5), **more}


def evaluation(**changes: Any) -> PolicyEvaluation:
    """A policy that wins 60%, is 2 nats away, writes half as many words, refuses 3 points more of the harmless prompts."""
    said = {
        "a": MODEL, "b": MODEL, "base": MODEL,
        "prompts": {"source": "p", "digest": "d", "count": 9, "compared": 9, "failed": 0},
        "constitution": "c", "judges": {"judge": "d"},
        "win": win(0.6),
        "gold": {"constitution": "g", "win": win(0.7)},
        "kl": of(2.0, 0.5),
        "responses": {
            "a": {"words": of(50), "repetition": of(0.09), "distinct_2": of(0.72), "truncated": of(0.1), "unanswered": of(0.05)},
            "b": {"words": of(100), "repetition": of(0.04), "distinct_2": of(0.8), "truncated": of(0.4)},
        },
        "refusals": {"a": {"safe": of(0.05), "unsafe": of(0.5)}, "b": {"safe": of(0.02), "unsafe": of(0.6)}},
        "failures": {}, "calls": {"made": 1, "reused": 0},
        **changes,
    }  # fmt: skip
    return PolicyEvaluation.model_validate(said)
