"""Public data sets, as their authors publish them, in the form that the benchmarks and commands read.

    python -m benchmarks.public_data hh_rlhf FOLDER --out hh_harmless.jsonl
    python -m benchmarks.public_data llmbar FOLDER --out llmbar.jsonl
    python -m benchmarks.public_data llmbar_votes FOLDER --out llmbar_votes.jsonl

FOLDER is what `benchmarks/README.md` says how to get. Nothing is downloaded here.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def messages(transcript: str) -> list[dict[str, str]]:
    """hh-rlhf's "\\n\\nHuman: ...\\n\\nAssistant: ..." as messages."""
    _, *parts = _TURN.split(transcript)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": text.strip()} for who, text in zip(parts[::2], parts[1::2], strict=True)]


def hh_rlhf(folder: Path) -> Iterator[Row]:
    """harmless-base's test split, without pairs whose conversations differ before the last response or whose response is empty."""
    with gzip.open(folder / "harmless-base" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            chosen, rejected = (messages(json.loads(line)[side]) for side in ("chosen", "rejected"))
            if chosen[:-1] == rejected[:-1] and chosen[-1]["content"] and rejected[-1]["content"]:
                yield {"id": f"hh-{number}", "prompt": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}


def llmbar(folder: Path) -> Iterator[Row]:
    """LLMBar's Natural set and its four Adversarial ones."""
    for subset, path in _subsets(folder):
        for number, item in enumerate(json.loads((path / "dataset.json").read_text(encoding="utf-8"))):
            better, worse = (item["output_1"], item["output_2"])[:: 1 if int(item["label"]) == 1 else -1]
            yield {
                "id": f"llmbar-{subset}-{number}",
                "prompt": [{"role": "user", "content": item["input"]}],
                "chosen": [{"role": "assistant", "content": better}],
                "rejected": [{"role": "assistant", "content": worse}],
                "subset": subset,
            }


def llmbar_votes(folder: Path) -> Iterator[Row]:
    """What judges wrote of those pairs, in both orders; ratings of one response at a time are left out."""
    for subset, path in _subsets(folder):
        for found in sorted(path.glob("evaluators/*/*/result.json")):
            judge, method = found.parts[-3:-1]
            if method.startswith("Rating"):
                continue
            for number, item in enumerate(json.loads(found.read_text(encoding="utf-8"))):
                for swapped in (False, True):
                    verdicts = next(step for step in item["results"] if isinstance(step, dict))
                    answer = verdicts[f"swap = {swapped}"]
                    yield {
                        "pair": f"llmbar-{subset}-{number}",
                        "judge": judge,
                        "method": method,
                        "swapped": swapped,
                        "text": answer["completion"][0],
                        "winner": int(answer["winner"]) if str(answer["winner"]) in ("1", "2") else None,
                        "label": int(item["label"]),
                        "subset": subset,
                    }


def _subsets(folder: Path) -> list[tuple[str, Path]]:
    root = folder / "Dataset" / "LLMBar"
    return [(path.name, path) for path in [root / "Natural", *sorted((root / "Adversarial").iterdir())]]


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "hh_rlhf": hh_rlhf,
    "llmbar": llmbar,
    "llmbar_votes": llmbar_votes,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one data set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public_data", description=__doc__)
    parser.add_argument("name", choices=READERS)
    parser.add_argument("folder", type=Path, help="as published")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines")
    options = parser.parse_args(arguments)
    rows = [json.dumps(row, ensure_ascii=False) for row in READERS[options.name](options.folder)]
    options.out.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    print(f"{options.out}: {len(rows)} rows")


if __name__ == "__main__":
    main()
