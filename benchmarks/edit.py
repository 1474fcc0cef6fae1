"""What it costs to edit 1 of 16 principles: calls planned, calls made, and their share of all calls.

python -m benchmarks.edit
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.common import replay, settings, show, write_constitution, write_prompts
from generation.pipeline.job import plan_ahead, prepare
from generation.request import FeedbackSettings

PRINCIPLES = 16
PLAN = {"plan.principles": PRINCIPLES, "plan.critics": 2, "plan.rounds": 2}
EDITS = {
    "comparison text": {"compare": "Which reply keeps the first rule of the house best?"},
    "critique text": {"critique": "Is the first rule of the house kept?"},
}


def main() -> None:
    """Run with 16 principles, edit one, plan, run again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts = write_prompts(folder / "p.jsonl", 100)
        more = tuple(settings(PLAN))
        replay(write_constitution(folder / "c.yaml", PRINCIPLES), prompts, folder / "before", *more)
        for what, edit in EDITS.items():
            edited = write_constitution(folder / "edited.yaml", PRINCIPLES, edit)
            out = folder / what.split()[0]
            overrides = tuple(pair for pair in more if pair != "--set")
            given = FeedbackSettings(
                constitution=edited,
                prompts=str(prompts),
                out=str(out),
                engine="replay",
                overrides=overrides,
                reuse=(folder / "before",),
            )
            ahead = asyncio.run(plan_ahead(prepare(given))).calls
            after = replay(edited, prompts, out, *more, "--reuse", str(folder / "before"))
            total = after.calls.made + after.calls.reused
            print(
                f"{what}: certain {ahead.certain.total():,}, at most {ahead.most():,}, made {after.calls.made:,} of {total:,} calls"
            )
            assert ahead.certain.total() <= after.calls.made <= ahead.most()
            if what == "comparison text":
                assert after.calls.made == ahead.certain.total() == ahead.most()
            show(
                f"edit of 1 of {PRINCIPLES} principles in its {what}",
                100 * after.calls.made / total,
                "% of calls",
                "within the plan",
            )


if __name__ == "__main__":
    main()
