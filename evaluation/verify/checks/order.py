"""Whether the place in a pair decides its label."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.verify.finding import Finding, above
from evaluation.verify.scan import Scan

ALWAYS = 0.9
"""Share of one place from which it decides the label."""
OFTEN = 0.75
"""Share from which one place is favoured more than judges or people usually do."""


def find(scan: Scan) -> Iterator[Finding]:
    """always_first: of pairs whose order is known, in the dataset or in what the judge was asked."""
    for name, where in (("listed", "as the dataset lists them"), ("asked", "as the judge saw them")):
        places = scan.numbers.of(name)
        known = places >= 0
        first, n = int((places == 1).sum()), int(known.sum())
        if not n:
            continue
        for word, hits in (("first", first), ("second", n - first)):
            if above(hits, n, OFTEN):
                decides = above(hits, n, ALWAYS)
                yield Finding(
                    f"always_{word}", "error" if decides else "warning", hits, n,
                    f"the chosen response is the {word} of its pair, {where}, in {hits / n:.1%} of the pairs: "
                    + ("the place decides, whatever was judged" if decides else "far more than a fair judge would say"),
                    "look at how the winner is turned into chosen and rejected, and ask the judge in both orders",
                    scan.places(places == (1 if word == "first" else 0)),
                )  # fmt: skip
                break
