"""Texts that hold more than text: conversations and lists kept as JSON or as Python's repr, and dialogues in one text."""

from __future__ import annotations

import ast
import io
import itertools
import json
import re
import tokenize
from typing import Any

from constitution.terminal import quietly
from generation.data.record import BadRow

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "chatbot": "assistant", "ai": "assistant", "function_call": "assistant", "tool_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool", "ipython": "tool",
}  # fmt: skip
"""Roles as makers of data name them -> as Solon does."""
_OPENS = ("[", "{", '"[', '"{', "array(", "(", "'[", "'{")
_ROLE = re.compile(r"""(?<!\\)\\*+['"](?:role|from)\\*+['"]\s*:\s*\\*['"](\w+)""")
_LOOKED_AT = 400
"""Characters at the beginning of a text in which a role shows that it is a broken conversation."""
_MOST_TOKENS = 50_000
"""In a text that Python's repr wrote; one string is one token."""
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ ]?")
Turns = list[dict[str, str]]


def parsed(text: str) -> Any:
    """A list or an object that a text holds as JSON or as Python's repr. Raises BadRow."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _literal(text)
    return parsed(found) if isinstance(found, str) and found.lstrip().startswith(("[", "{")) else found


def _literal(text: str) -> Any:
    """Python's repr. Two texts side by side are refused: Python would join them, and numpy writes lists so."""
    allowed = "JSON, or what Python's repr writes"
    stripped = text.strip()
    try:
        kinds = _kinds(stripped)
        with quietly():
            found = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError, IndentationError):
        raise BadRow("bad_conversation", f"is a text that cannot be parsed ({text[:60]!r})", allowed) from None
    kinds = [kind for kind in kinds if kind not in (tokenize.NL, tokenize.NEWLINE)]
    if any(a == b == tokenize.STRING for a, b in itertools.pairwise(kinds)):
        raise BadRow("bad_conversation", f"is a list without commas ({text[:60]!r})", allowed)
    return list(found) if isinstance(found, tuple) else found


def _kinds(text: str) -> list[int]:
    """Of Python's tokens in a text. Raises ValueError where something in it is none, or they are many: the parser that is asked
    next keeps all threads waiting."""
    kinds = list[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.ERRORTOKEN or len(kinds) == _MOST_TOKENS:
            raise ValueError
        kinds.append(token.type)
    return kinds


def turns_in(text: str) -> Any | None:
    """The messages that a text holds; None where it is a text and no more. Raises BadRow for broken ones."""
    stripped = text.lstrip()
    if stripped.startswith(_OPENS):
        return _stored(stripped)
    dialogue = text.startswith("\n\nHuman:") or (stripped.startswith("Human:") and "\n\nAssistant:" in text)
    return _dialogue(stripped) if dialogue else None


def _stored(text: str) -> Any | None:
    found = _ROLE.search(text[:_LOOKED_AT])
    try:
        value = parsed(text)
    except BadRow:
        if found and found[1].lower() in ROLES:
            raise
        return None
    turns = value if isinstance(value, list) else [value]
    first = turns[0] if turns else None
    role = (first.get("role") or first.get("from")) if isinstance(first, dict) else None
    known = isinstance(role, str) and role.lower() in ROLES
    spoken = isinstance(first, dict) and not {"content", "value", "tool_calls"}.isdisjoint(first)
    return value if known and spoken else None


def _dialogue(text: str) -> Turns:
    """The turns of `Human: ... Assistant: ...` (Bai et al. 2022, arXiv:2204.05862), without an empty last one of the assistant."""
    _, *parts = _TURN.split(text.rstrip() if text.rstrip().endswith("Assistant:") else text)
    turns = [
        {"role": ROLES[name.lower()], "content": said.strip()}
        for name, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    return turns[:-1] if turns[-1] == {"role": "assistant", "content": ""} else turns
