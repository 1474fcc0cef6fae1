"""What is left of a chat's format in what a model said: servers that stop too late, or decode special tokens, send it along.

The end of a turn, and the turns that a model goes on to make up behind it, are no part of a response; nor is the header of its own
turn.
"""

from __future__ import annotations

import re

_END = (
    r"(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|return|eos|end_of_turn_token|end_of_sentence)\|>"
    r"|<(?:end_of_turn|eos)>|<｜end▁of▁sentence｜>|</s>)"
)
_NEXT = (
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|(?:user|system|human)\|>|<\|start\|>(?:user|system)"
    r"|<\|start_of_turn_token\|>|<｜User｜>|(?:<s>\s*)?\[INST\])"
)
_LAST = re.compile(rf"(?:\s*{_END})+\s*\Z", re.IGNORECASE)
_RUNS_ON = re.compile(rf"{_END}\s*{_NEXT}.*\Z", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(
    r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>)\s*)?"
    r"(?:<\|im_start\|>assistant\s*\n|(?:<\|start_header_id\|>)?assistant(?:<\|end_header_id\|>\s*\n|\n)\s*\n"
    r"|<start_of_turn>model\s*\n|<\|assistant\|>|<｜Assistant｜>|<\|start_of_turn_token\|><\|chatbot_token\|>)?",
    re.IGNORECASE,
)
_STRUCK = "<s>"
"""Opens what HTML strikes through, which `</s>` closes."""
_WITHIN = 200
"""Characters of a text's end in which the ends of turns are looked for."""


def without_chat_marks(text: str) -> str:
    """The text of one turn, without the header of the turn, its end, and what follows that."""
    header = _HEADER.match(text)
    said = text[header.end() :] if header and header[0].strip() else text
    if "<" not in said and "[" not in said:
        return said
    if found := _RUNS_ON.search(said):
        said = said[: found.start()]
    if _STRUCK in said:
        return said
    place = max(0, len(said) - _WITHIN)
    found = _LAST.search(said, place)
    return said[: found.start()] if found else said
