"""A preference dataset from your own prompts and your own constitution.

    python examples/own_prompts.py --out runs/support                       # the replay engine, which makes texts up
    python examples/own_prompts.py --out runs/support --policy embedded     # a real model, though a small one

The same command again resumes: what a model has answered is kept in the run's folder.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import solon

CONSTITUTION = """\
name: support
version: 1
objectives: {helpfulness: 1.0, tone: 0.5}
principles:
  - id: next-step
    objective: helpfulness
    text: Name one concrete next step for the customer.
    antithesis: Leave the customer without anything to do.
  - id: no-blame
    objective: tone
    text: Do not blame the customer.
    antithesis: Blame the customer.
  - id: brief
    objective: tone
    text: Use at most 80 words.
    check: {max_words: 80}
"""


def prompts() -> Iterator[dict[str, Any]]:
    """Rows, one at a time; they may as well be a list, a `datasets.Dataset`, or the name of a file."""
    problems = ("my parcel is late", "I was charged twice", "the screen is cracked", "I forgot my password")
    for number, problem in enumerate(problems):
        yield {"id": f"ticket-{number}", "prompt": f"Hello, {problem}. Can you help me?", "tags": ["support"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the dataset and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--policy", help="a model: `embedded`, a folder or a hub id (default: none, texts are made up)")
    options = parser.parse_args(arguments)
    settings = {"policy": options.policy} if options.policy else {"engine": "replay"}

    constitution = options.out.with_suffix(".constitution.yaml")
    constitution.parent.mkdir(parents=True, exist_ok=True)
    constitution.write_text(CONSTITUTION, encoding="utf-8")
    run = solon.run_sync(solon.generate_feedback(constitution, prompts(), options.out, **settings))

    print(
        f"{run.manifest.counts.pairs} pairs for {run.manifest.counts.prompts} prompts; {run.folder}/report.html says how good"
    )
    for pair in run.pairs():
        print(f"\n{pair.prompt[-1].content}\n  chosen  ({pair.p_chosen:.2f}): {pair.chosen.content}")
        print(f"  rejected      : {pair.rejected.content}")
    lost = Counter(f"{record.stage}: {record.reason}" for record in run.failures())
    print("\nleft out:", dict(lost) or "nothing")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
