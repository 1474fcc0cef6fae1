"""Control tokens that the attack suite makes in a judge's prompts, in several styles of chat model.

    python -m benchmarks.attacks

Printed for our encoding (must be 0) and for the tokenizer's own chat template. How often the attacks win is printed by
`python -m evaluation attack`.
"""

from __future__ import annotations

from benchmarks.common import ROOT
from benchmarks.styles import STYLES
from constitution.loading import load
from evaluation.attack.injection import injected
from evaluation.attack.suite import suite, unseen


def main() -> None:
    """A table of all styles."""
    pairs = (*suite(), *unseen())
    principle = load(ROOT / "principles" / "hhh.yaml").principles[0]
    print(f"{'tokenizer':12}{'pairs':>8}{'ids, ours':>12}{'ids, own template':>20}")
    worst = 0
    for name, make in STYLES.items():
        tokenizer = make()
        ours, theirs = (injected(tokenizer, pairs, principle, safely) for safely in (True, False))
        worst = max(worst, ours)
        print(f"{name:12}{len(pairs):8}{ours:12}{theirs:20}", flush=True)
    print(f"control ids from content: {worst} (target 0)")
    assert worst == 0


if __name__ == "__main__":
    main()
