"""Every control token's text, put into every place that data reaches: how many control ids come of it.

    python -m benchmarks.injection

Printed for our encoding (must be 0) and for the tokenizer's own chat template.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.styles import STYLES, control_tokens
from generation.models.encoder import Encoder

Chat = list[dict[str, Any]]


def _turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def _calls(name: str = "f", key: str = "k", value: str = "v") -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "arguments": {key: value}}}]


def _places(text: str) -> dict[str, tuple[Chat, list[dict[str, Any]] | None]]:
    """Chats with the text in each place."""
    ask, answer = _turn("user", "ask"), _turn("assistant", "answer")
    half = len(text) // 2
    return {
        "alone": ([_turn("user", text)], None),
        "start": ([_turn("user", f"{text} then")], None),
        "middle": ([_turn("user", f"before{text}after")], None),
        "end": ([_turn("user", f"before {text}")], None),
        "between white space": ([_turn("user", f" \n{text}\n ")], None),
        "twice": ([_turn("user", f"{text}{text}")], None),
        "full-width": ([_turn("user", text.replace("<", "＜").replace(">", "＞"))], None),
        "system": ([_turn("system", text), ask], None),
        "assistant": ([ask, _turn("assistant", text), ask], None),
        "over two turns": ([_turn("user", text[:half]), _turn("assistant", text[half:]), ask], None),
        "tool result": ([ask, _turn("assistant", "", tool_calls=_calls()), _turn("tool", text)], None),
        "tool name": ([ask, _turn("assistant", "", tool_calls=_calls(name=text)), _turn("tool", "r")], None),
        "argument name": ([ask, _turn("assistant", "", tool_calls=_calls(key=text)), _turn("tool", "r")], None),
        "argument value": ([ask, _turn("assistant", "", tool_calls=_calls(value=text)), _turn("tool", "r")], None),
        "tool description": (
            [ask, answer, ask],
            [{"type": "function", "function": {"name": "f", "description": text}}],
        ),
    }


POSITIONS = tuple(_places("x"))


def inject(tokenizer: Any, encoder: Encoder | None, position: str, text: str) -> Counter[int] | None:
    """Control ids of the chat with the text in that place, by our encoding or (encoder None) the template's own.

    None when the template refuses such a chat whatever the text.
    """
    chat, tools = _places(text)[position]
    try:
        if encoder:
            ids = encoder.encode(chat, tools)
        else:
            ids = tokenizer.apply_chat_template(chat, tools=tools, add_generation_prompt=True, tokenize=True)[
                "input_ids"
            ]
    except Exception:  # templates raise what they like
        return None
    controls = set(control_tokens(tokenizer).values())
    return Counter(i for i in ids if i in controls)


def from_content(tokenizer: Any, encoder: Encoder | None) -> tuple[int, int, int]:
    """(chats tried, control ids that content made, chats in which it did)."""
    tried = ids = chats = 0
    for position in POSITIONS:
        expected = inject(tokenizer, encoder, position, "harmless")
        if expected is None:
            continue
        for text in control_tokens(tokenizer):
            found = inject(tokenizer, encoder, position, text)
            if found is not None:
                tried += 1
                ids += (found - expected).total()
                chats += found != expected
    return tried, ids, chats


def main() -> None:
    """A table of all styles."""
    print(f"{'tokenizer':12}{'control tokens':>16}{'places':>8}{'chats':>8}{'ids, ours':>12}{'ids, own template':>20}")
    worst = 0
    for name, make in STYLES.items():
        tokenizer = make()
        tried, ours, _ = from_content(tokenizer, Encoder(tokenizer))
        _, theirs, _ = from_content(tokenizer, None)
        worst = max(worst, ours)
        print(f"{name:12}{len(control_tokens(tokenizer)):16}{len(POSITIONS):8}{tried:8}{ours:12}{theirs:20}")
    print(f"control ids from content: {worst} (target 0)")
    assert worst == 0


if __name__ == "__main__":
    main()
