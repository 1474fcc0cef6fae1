"""Rows of KTO (Ethayarajh et al. 2024, arXiv:2402.01306): one response each, and whether it is a good one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from generation.output.columns import message_row
from generation.output.reading import schema_of, split_files
from generation.output.run import Run


def kto_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Rows as TRL's KTOTrainer takes them: `prompt`, `completion`, `label`, and `tools` where the run has any.

    A response that is better in every pair is a good one, one that is worse in every pair a bad one; of one that is both, the
    pairs do not say, and it is left out.
    """
    tools = any("tools" in schema_of(path).names for _, path in split_files(run.folder, "preferences"))
    for _, of_prompt in groupby(run.pairs(), key=lambda pair: pair.prompt_id):
        pairs = list(of_prompt)
        good = {pair.chosen_id: pair.chosen for pair in pairs}
        bad = {pair.rejected_id: pair.rejected for pair in pairs}
        offered = {"tools": json.dumps(pairs[0].tools, ensure_ascii=False) if pairs[0].tools else None} if tools else {}
        for label, one, other in ((True, good, bad), (False, bad, good)):
            for name in (name for name in one if name not in other):
                yield {
                    "prompt": [message_row(message, tools) for message in pairs[0].prompt],
                    "completion": [message_row(one[name], tools)],
                    "label": label,
                    **offered,
                    "prompt_id": pairs[0].prompt_id,
                    "response_id": name,
                }
