"""Labelled rows for the benchmarks' tests."""

from typing import Any


def some_rows(n: int) -> list[dict[str, Any]]:
    """Every third conversation goes on with a second question."""
    return [
        {
            "id": f"r{i}",
            "prompt": [
                {"role": "user", "content": f"Is {i // 2} a number?"},
                *([{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"Why {i}?"}] * (i % 3 == 0)),
            ],
            "chosen": [{"role": "assistant", "content": "Yes, it is." + " Quite so." * (i % 4)}],
            "rejected": [{"role": "assistant", "content": "No." + " Not at all." * (i % 3)}],
        }
        for i in range(n)
    ]
