"""Precision and recall of the refusal detector on responses labelled by reading: `python -m benchmarks.refusals FILE...`.

The labels are in `refusals.jsonl`: sample, the first 16 hex digits of the response's sha256, whether it is a refusal, and its
weight. Responses with a word that refusals use in their first 250 characters were taken whole, 80 of the others at random; the
weight undoes that. `hh-last` and `hh-turns` are last responses and earlier turns of hh-rlhf (harmless-base, test) and the HHH
comparisons; `xstest` is one completion of each of 220 prompts of XSTest by five models (GitHub `paul-rottger/exaggerated-safety`,
CC-BY-4.0). FILE: lines of JSON that hold the responses somewhere, or CSV with a column `completion`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import show
from critics.text.refusal import is_refusal

LABELS = Path(__file__).with_name("refusals.jsonl")


def texts(path: Path) -> Iterator[str]:
    """Every text in a file."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from (row["completion"] for row in csv.DictReader(file))
        else:
            for line in file:
                yield from _strings(json.loads(line))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def main() -> None:
    """Print precision and recall by sample."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    found = {_digest(text): text for path in parser.parse_args().files for text in texts(path)}
    samples: defaultdict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["text"] in found:
            samples[row["sample"]].append((bool(row["refusal"]), is_refusal(found[row["text"]]), row["weight"]))
    for name, rows in samples.items():
        true, said = (sum(row[2] for row in rows if row[kind]) for kind in (0, 1))
        both = sum(weight for label, flagged, weight in rows if label and flagged)
        show(name, len(rows), "", "-", "responses")
        show(name, sum(label for label, _, _ in rows), "", "-", "refusals")
        caught = sum(label and flagged for label, flagged, _ in rows)
        show(name, both / true, "", ">= 0.85", "recall")
        show(name, caught / sum(label for label, _, _ in rows), "", "-", "recall, unweighted")
        show(name, both / max(said, 1e-9), "", ">= 0.95", "precision")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
