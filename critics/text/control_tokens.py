"""Control tokens of chat templates, found as text: what divides turns, and the tags of thoughts and tool calls.

They are found by their spelling, for any model: no tokenizer is asked.
"""

from __future__ import annotations

import re

_TURNS = re.compile(
    r"<\|[\w▁ |-]{1,40}\|>|<｜[^｜>]{1,40}｜>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|gMASK)\]|\[(?:CLS|SEP|BOS|EOS|PAD)\]"
    r"|<</?SYS>>|</?(?:bos|eos|pad|unk)>|</?(?:start|end)_of_(?:turn|text)>|<end_of_utterance>|<extra_id_\d+>"
    r"|\A\s*<s>|</s>(?=\s*(?:\Z|<s>|<\||\[))"
    r"|^\#\#\#\s?(?:instruction|response|human|assistant|user|input)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_INSIDE = re.compile(r"</?(?:think|tool_call|tool_response)>", re.IGNORECASE)


def divides_turns(text: str) -> bool:
    """Tokens by which chat templates divide turns or begin and end a text."""
    return ("<" in text or "[" in text or "###" in text) and bool(_TURNS.search(text))


def within_turns(text: str) -> bool:
    """Tags of thoughts and tool calls, which a response may hold where its model writes them."""
    return "<" in text and bool(_INSIDE.search(text))
