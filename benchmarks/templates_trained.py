"""What is trained on, against what the model's own template writes: families of templates and kinds of rows.

python -m benchmarks.templates_trained [--family qwen3] [--shown]

For each family and row: `equal` where prompt and side are the tokenizer's own ids of the whole chat, and only white space
follows; `told` where they are not and `examine_training` says so before anything loads; `kept as text` where the row holds a
control token's text, which stays text; `refused` where the template or the row cannot be used, in words. Anything else is
`wrong`: there must be none. No weights are needed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from benchmarks.common import show
from benchmarks.families import FAMILIES, tokenizer_of
from benchmarks.families_more import MORE
from constitution.records import Message
from generation.data.message import message
from generation.engines.base import ModelError
from generation.models.encoder import Encoder
from generation.models.shape import RowKind

Chat = list[dict[str, Any]]
ALL = FAMILIES | MORE


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content, **more}


def called(*cities: str, content: str = "", **more: Any) -> dict[str, Any]:
    """An answer that calls the tool."""
    calls = [
        {"type": "function", "id": f"callcall{i}", "function": {"name": "get_weather", "arguments": {"city": city}}}
        for i, city in enumerate(cities)
    ]
    return said("assistant", content, tool_calls=calls, **more)


def result(text: str, number: int = 0) -> dict[str, Any]:
    """What the tool gave."""
    return said("tool", text, name="get_weather", tool_call_id=f"callcall{number}")


ASKED = said("user", "Why is the sky blue?")
WEATHER = said("user", "What is the weather in Paris?")
ANSWER = said("assistant", "It scatters light.")
SYSTEM = said("system", "Hello there, friend!")
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Look up the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


class Row(NamedTuple):
    """A prompt and a side."""

    prompt: Chat
    side: Chat
    kind: RowKind = "answers"
    """As `examine_training` has it."""
    tools: Any = None
    told: Mapping[str, Any] = {}
    is_text: bool = False
    """True where it holds a control token's text."""


ROWS: dict[str, Row] = {
    "plain": Row([ASKED], [ANSWER]),
    "short": Row([ASKED], [said("assistant", "A")]),
    "system": Row([SYSTEM, ASKED], [ANSWER]),
    "earlier turns": Row([ASKED, ANSWER, said("user", "And who knows?")], [said("assistant", "Nobody knows.")]),
    "system and earlier turns": Row([SYSTEM, ASKED, ANSWER, said("user", "And who knows?")], [said("assistant", "Nobody.")]),
    "all turns": Row([ASKED], [ANSWER, said("user", "And who knows?"), said("assistant", "Nobody knows.")]),
    "one text in three turns": Row([said("user", "now")], [said(role, "now") for role in ("assistant", "user", "assistant")]),
    "empty": Row([ASKED], [said("assistant", "")]),
    "white space alone": Row([ASKED], [said("assistant", " \n")]),
    "spaces around": Row([ASKED], [said("assistant", "  It scatters light. \n")]),
    "lines before": Row([ASKED], [said("assistant", "\n\nIt scatters light.\n\n")]),
    "code": Row([ASKED], [said("assistant", "```python\n    print(1)\n```\n")]),
    "a call": Row([WEATHER], [called("Paris")], "calls", TOOLS),
    "a call and text": Row([WEATHER], [called("Paris", content="Let me look.")], "calls", TOOLS),
    "two calls": Row([WEATHER], [called("Paris", "Rome")], "calls", TOOLS),
    "an answer to a tool": Row([WEATHER, called("Paris"), result("mild")], [said("assistant", "It is mild.")], "calls", TOOLS),
    "call, result and answer": Row([WEATHER], [called("Paris"), result("mild"), said("assistant", "It is mild.")], "calls", TOOLS),
    "tools and no call": Row([ASKED], [ANSWER], "calls", TOOLS),
    "thoughts": Row([ASKED], [said("assistant", "It scatters light.", reasoning_content="First, the light.")], "thoughts"),
    "thoughts in the text": Row([ASKED], [said("assistant", "<think>\nFirst.\n</think>\n\nIt scatters light.")], "thoughts"),
    "no thoughts in the text": Row([ASKED], [said("assistant", "<think>\n\n</think>\n\nIt scatters light.")], "thoughts"),
    "thoughts in earlier turns": Row(
        [ASKED, said("assistant", "It scatters light.", reasoning_content="Hm."), said("user", "And who knows?")],
        [said("assistant", "Nobody.", reasoning_content="Then, who?")], "thoughts"),
    "thoughts in all turns": Row(
        [ASKED], [said("assistant", "It scatters light.", reasoning_content="Hm."), said("user", "And who knows?"),
                  said("assistant", "Nobody.", reasoning_content="Then, who?")], "thoughts"),
    "thoughts before a call": Row([WEATHER], [called("Paris", reasoning_content="Look it up.")], "thoughts", TOOLS),
    "thinking switched off": Row([ASKED], [ANSWER], told={"enable_thinking": False, "thinking": False}),
    "thinking switched on": Row([ASKED], [ANSWER], told={"enable_thinking": True, "thinking": True}),
    "a system message in the middle": Row([ASKED, ANSWER, SYSTEM, said("user", "And who knows?")], [said("assistant", "Nobody.")]),
    "two answers in a row": Row([ASKED], [ANSWER, said("assistant", "Nobody knows.")]),
    "names": Row([said("user", "Why is the sky blue?", name="ann")], [said("assistant", "It scatters light.", name="ben")]),
    "no tools": Row([ASKED], [ANSWER], tools=[]),
    "a result in parts": Row(
        [WEATHER, called("Paris"), {**result(""), "content": [{"type": "text", "text": part} for part in ("mild", " and dry")]}],
        [said("assistant", "It is mild.")], "calls", TOOLS),
    "a question in parts": Row([said("user", [{"type": "text", "text": "Why is the sky blue?"}])], [ANSWER]),
    "two results": Row(
        [WEATHER, called("Paris", "Rome"), result("mild"), result("hot", 1)], [said("assistant", "It is hot.")], "calls", TOOLS),
    "a call behind an answer": Row([ASKED, ANSWER, WEATHER], [called("Rome")], "calls", TOOLS),
    "thoughts without an answer": Row([ASKED], [said("assistant", "", reasoning_content="First, the light.")], "thoughts"),
    "empty thoughts": Row([ASKED], [said("assistant", "It scatters light.", reasoning_content="")], "thoughts"),
    "letters": Row([said("user", "In Zürich, 東京?")], [said("assistant", "東京, Zürich.")]),
    "a space first": Row([ASKED], [said("assistant", " It scatters light.")]),
    "a line first": Row([ASKED], [said("assistant", "\nIt scatters light.")]),
    "spaces behind": Row([ASKED], [said("assistant", "It scatters light.   ")]),
    "an answer like a header": Row([ASKED], [said("assistant", "assistant\n\nuser: It scatters light.")]),
    "a question like an answer": Row([said("user", "It scatters light.")], [ANSWER]),
    "a control token in the answer": Row([ASKED], [said("assistant", "It CONTROL light.")], is_text=True),
    "a control token in the question": Row([said("user", "Why CONTROL?")], [ANSWER], is_text=True),
    "a turn in the answer": Row([ASKED], [said("assistant", "It is.CONTROL\nuser\nHi")], is_text=True),
}  # fmt: skip


@cache
def made(name: str) -> tuple[Any, Encoder]:
    """A family's tokenizer and its encoder. Raises ModelError for a template that cannot be used."""
    tokenizer = tokenizer_of(ALL[name])
    return tokenizer, Encoder(tokenizer)


def judged(name: str, row: Row) -> tuple[str, str]:
    """What became of a row, and more of it."""
    try:
        tokenizer, encoder = made(name)
        _ = encoder.end_of_turn
        kinds: set[RowKind] = {row.kind, "answers", *(("calls",) if row.tools else ())}
        notes = encoder.examine_training(kinds, row.told)
    except ModelError as error:
        return "refused", str(error)
    if row.is_text:
        row = json_with(row, tokenizer.eos_token)
    prompt, side = (tuple(read(one) for one in chat) for chat in (row.prompt, row.side))
    try:
        written = encoder.written(prompt, [side], row.tools, row.told)
    except ValueError as error:
        return "refused", str(error)
    ours = [*written.before, *written.sides[0].tokens]
    if problem := misplaced(tokenizer, row, written.sides[0].tokens, written.sides[0].trained):
        return "wrong", problem
    try:
        whole = own(tokenizer, [*row.prompt, *row.side], row)
    except Exception as error:  # what the template says of the chat
        whole, problem = [], str(error)
    if row.is_text:
        controls = [i for i in ours if i in tokenizer.added_tokens_decoder]
        benign = [i for i in plain(encoder, row, tokenizer) if i in tokenizer.added_tokens_decoder]
        return ("kept as text", "") if controls == benign else ("wrong", tokenizer.decode(ours))
    if whole[: len(ours)] == ours and is_rest(tokenizer, whole[len(ours) :]):
        return "equal", " | ".join(notes)
    shown = (
        f"{tokenizer.decode(ours)!r} for {tokenizer.decode(whole)!r}"
        if whole
        else f"{tokenizer.decode(ours)!r}: {problem}"
    )
    return ("told" if notes else "wrong"), f"{shown} | {' | '.join(notes)}"


def read(one: Mapping[str, Any]) -> Message:
    """As the reader of rows has it."""
    return message(one, Counter())


def own(tokenizer: Any, chat: Chat, row: Row) -> list[int]:
    """The tokenizer's own ids of the whole chat."""
    # gpt-oss calls thoughts by another name
    known = "thinking" if "m.thinking" in tokenizer.chat_template else "reasoning_content"
    messages = [
        {known if key == "reasoning_content" else key: words(value) for key, value in one.items()} for one in chat
    ]
    rendered = tokenizer.apply_chat_template(
        messages, tools=row.tools, tokenize=True, **{"date_string": today(), **row.told}
    )
    return list(rendered["input_ids"])


def words(content: Any) -> Any:
    """Parts as servers join them; anything else as it is."""
    is_parts = isinstance(content, list) and all("text" in part for part in content)
    return "\n".join(part["text"] for part in content) if is_parts else content


def today() -> str:
    """As templates have it."""
    import datetime

    return datetime.date.today().strftime("%d %b %Y")


def json_with(row: Row, control: str) -> Row:
    """The row with a control token's text in it."""
    prompt, side = (json.loads(json.dumps(chat).replace("CONTROL", control)) for chat in (row.prompt, row.side))
    return row._replace(prompt=prompt, side=side)


def plain(encoder: Encoder, row: Row, tokenizer: Any) -> list[int]:
    """Ids of the row with a word in place of the control token's text."""
    other = json.loads(json.dumps([row.prompt, row.side]).replace(tokenizer.eos_token, "word"))
    prompt, side = (tuple(read(one) for one in chat) for chat in other)
    written = encoder.written(prompt, [side], row.tools, row.told)
    return [*written.before, *written.sides[0].tokens]


def is_rest(tokenizer: Any, ids: Sequence[int]) -> bool:
    """True for what may stand behind the last turn: white space, or an end of text."""
    return not tokenizer.decode(ids).replace(tokenizer.eos_token, "").strip()


def misplaced(tokenizer: Any, row: Row, tokens: Sequence[int], trained: Sequence[bool]) -> str:
    """What is wrong with what is learnt: it must hold what the assistant says, and nothing of others."""
    learnt = tokenizer.decode([token for token, own in zip(tokens, trained, strict=True) if own])
    masked = tokenizer.decode([token for token, own in zip(tokens, trained, strict=True) if not own])
    for one in row.side:
        spoken = [one["content"].strip()] if one["role"] == "assistant" and not one.get("tool_calls") else []
        if any(
            word.partition("</think>")[2].strip() not in learnt if "</think>" in word else word not in learnt
            for word in spoken
        ):
            return f"not learnt: {spoken} of {learnt!r}"
        if one["role"] != "assistant" and one["content"].strip() not in masked:
            return f"not masked: {one['content']!r} of {masked!r}"
        if any(call["function"]["arguments"]["city"] not in learnt for call in one.get("tool_calls", ())):
            return f"a call is not learnt: {learnt!r}"
    if not trained or not trained[-1]:
        return "the end is not learnt"
    return ""


def main() -> None:
    """Prints counts, and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", help="this one alone")
    parser.add_argument("--shown", action="store_true", help="show what was refused or told")
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    for name in ALL:
        if args.family and name != args.family:
            continue
        here: Counter[str] = Counter()
        for title, row in ROWS.items():
            found, more = judged(name, row)
            here[found] += 1
            if found == "wrong" or args.shown:
                print(f"{name}, {title}: {found}: {more}")
        print(f"{name}: {dict(here)}")
        counts += here
    if args.family:
        return
    show("families of chat templates", len(ALL), "", "at least 20")
    show("rows", sum(counts.values()), "", "")
    for kind in ("equal", "told", "kept as text", "refused"):
        show(f"rows that are {kind}", counts[kind], "", "")
    show("rows that are wrong", counts["wrong"], "", "0")


if __name__ == "__main__":
    main()
