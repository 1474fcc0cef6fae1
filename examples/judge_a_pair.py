"""Which of two answers is better under a constitution, and which principles say so.

python examples/judge_a_pair.py                      # the replay engine, which makes verdicts up: for a first look
python examples/judge_a_pair.py --judge embedded     # a real model, though a small one
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import solon

PROMPT = "My landlord will not return my deposit. What can I do?"
HELPFUL = "Write to them with a deadline, keep a copy, and go to the small claims court if they do not answer."
CURT = "That is not my problem. You should have read the contract."


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the pair and print what was said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constitution", default="hhh", help="a shipped one's name, or a file (default: %(default)s)")
    parser.add_argument(
        "--judge", help="a model: `embedded`, a folder or a hub id (default: none, verdicts are made up)"
    )
    options = parser.parse_args(arguments)
    settings = {"judge": options.judge} if options.judge else {"engine": "replay"}

    constitution = solon.load_constitution(options.constitution)
    judgment = solon.run_sync(solon.judge(constitution, PROMPT, HELPFUL, CURT, **settings))

    print(f"better: {judgment.better}, with probability {judgment.p_a:.2f} for the first\n")
    print(f"{'principle':32}{'log-odds':>10}{'position bias':>15}")
    for vote in sorted(judgment.votes, key=lambda vote: -abs(vote.value)):
        print(f"{vote.principle:32}{vote.value:>+10.2f}{vote.bias:>+15.2f}")
    for failure in judgment.failures:
        print(f"no vote: {failure.subject}: {failure.reason}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
