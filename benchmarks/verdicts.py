"""How often the parser of written verdicts reads what a file of recorded ones says: `python -m benchmarks.verdicts FILE...`.

A file has lines of `text`, `swapped`, `winner` (1 or 2 in the file's order, null for none) and `judge`, as `solon evaluate judge
--votes` takes them. For each file: the share of its texts with a winner that are read as recorded (recall), read otherwise (wrong)
and not read; and the share of its texts without a winner for which a verdict is read all the same. Then the same by format, told by
patterns that are wider than the parser's own and independent of them. Texts that compare, or are of none of the formats, state no
verdict outright in what was kept of them: where a file holds the end of each text only, it may have stood at the beginning.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import show
from critics.verdict import stated

FORMATS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "marked, as [[A>>B]]": r"\[\[[^\[\]]{1,20}\]\][^\n]*\Z|\[result\]",
        "boxed": r"\\boxed",
        "a number alone, at the end": r"(?:\A|\n)\W{0,4}\d\W{0,4}\Z",
        "a label alone, at the end": r"(?:\A|\n)\W{0,4}(?:\w{1,12}\s)?\(?[ab12]\)?\W{0,4}\Z",
        "a field, as Output: 2": r"\w[\"'*]*\s?[:=]\s?\W{0,6}(?:\w{1,12}\W{1,3})?[ab123]\W{0,6}\Z",
        "chosen, as I choose 2": r"\b(?:choose|chose|choosing|select|pick|recommend|prefer|choice|decision"
        r"|answer is|is chosen)\b[^.\n]{0,80}\b[ab123]\b",
        "rated, as I rate B higher": r"\b(?:rate|rank|consider|deem)\b[^.\n]{0,80}\b(?:better|best|superior|higher|more)\b",
        "stated, as (a) is better": r"\b(?:better|best|superior|preferred|worse)\b",
        "compared, as B is more accurate": r"\bmore\s\w+|\w+er\sthan\b|\bas\s\w+[^.\n]{0,60}\bas\b",
    }.items()
}
COMPARED = [*FORMATS][-1]
NONE = "none of these"
OUTRIGHT = "verdict stated outright"
TARGETS = {"llmbar_votes": ">= 99.3", "judgebench_votes": ">= 99.3", "prd_votes": ">= 97"}


def format_of(text: str) -> str:
    """The format of a text's end, the strictest first; the last two are looked for in its last two sentences."""
    text = text.strip()
    for name, pattern in FORMATS.items():
        near = " ".join(re.split(r"(?<=[.!?])\s", text)[-2:])
        if pattern.search(text if "\\Z" in pattern.pattern else near):
            return name
    return NONE


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The file's lines that have a text."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from (row for line in file if (row := json.loads(line)).get("text") and row["method"] != "reward_model")


def main() -> None:
    """Print recall and wrong share by file and format."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--judges", action="store_true", help="also by judge")
    options = parser.parse_args()
    for path in options.files:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in rows(path):
            found = stated(row["text"])
            side = (
                None
                if row["winner"] is None
                else "second"
                if (str(row["winner"]) == "1") == row["swapped"]
                else "first"
            )
            read = found in ("first", "second")
            kind = (
                ("read " if read else "left ")
                if side is None
                else ("right" if found == side else "wrong" if read else "unread")
            )
            groups = ["all", format_of(row["text"]), *([row["judge"]] if options.judges else [])]
            for group in groups:
                counts[group][kind] += 1
            if groups[1] not in (COMPARED, NONE):
                counts[OUTRIGHT][kind] += 1
        name = path.name.partition(".")[0]
        for group in ("all", OUTRIGHT, *sorted(counts.keys() - {"all", OUTRIGHT})):
            _row(f"{name}: {group}", counts[group], TARGETS.get(name, "-") if group == OUTRIGHT else "-")


def _row(figure: str, count: Counter[str], target: str) -> None:
    texts, without = sum(count[kind] for kind in ("right", "wrong", "unread")), count["read "] + count["left "]
    show(figure, texts, "", "-", "texts with a winner")
    if texts:
        show(figure, 100 * count["right"] / texts, "%", target, "read as recorded")
        show(figure, 100 * count["wrong"] / texts, "%", "-", "read otherwise")
    show(figure, without, "", "-", "texts without")
    if without:
        show(figure, 100 * count["read "] / without, "%", "-", "read all the same")


if __name__ == "__main__":
    main()
