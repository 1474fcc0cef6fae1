"""Messages -> token ids, such that no text from a dataset or a model can become a control token.

Two steps, each safe by construction rather than by escaping:

1. The chat template is rendered with the real contents, in which a secret marker follows every character that could begin a
   control token's text. Whatever control texts stand in the result, whole, are then the template's own.
2. Those are replaced by secret names and the markers removed; the string is encoded by a copy of the tokenizer that knows
   each control token by its secret name alone. Ids stay the same, and a control token's public text is ordinary text to it.

Benign chats get exactly the ids of the tokenizer's own `apply_chat_template`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError
from pydantic import JsonValue
from tokenizers import Tokenizer

from constitution.records import Message
from generation.engines.base import ModelError

Chat = Sequence[Message | Mapping[str, Any]]
Tools = Sequence[Mapping[str, JsonValue]]

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_PRIVATE = [chr(code) for code in range(0xE000, 0xF8FF)]
"""Private-use characters: no normalizer, filter or case folding changes them."""
_FIRST_WORD = re.compile(r"\S")
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(tokenizer: Any, messages: Chat, tools: Tools | None = None) -> list[int]:
    """Token ids of a chat with the generation prompt, from a transformers fast tokenizer.

    Raises ValueError when the chat does not fit the template (roles out of order), ModelError when the tokenizer cannot be used.
    """
    encoder = _encoders.get(tokenizer)
    if encoder is None:
        encoder = _encoders[tokenizer] = Encoder(tokenizer)
    return encoder.encode(messages, tools)


class Encoder:
    """The machinery of `encode` for one tokenizer, made once."""

    def __init__(
        self, tokenizer: Any, template_kwargs: Mapping[str, JsonValue] | None = None, answer_prefix: str = ""
    ) -> None:
        """template_kwargs: what the chat template is told. answer_prefix: text after the generation prompt, where answers begin.

        Raises ModelError for a tokenizer without tokenizer.json or without a chat template.
        """
        if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
            raise ModelError(
                f"tokenizer {type(tokenizer).__name__}: is not a fast tokenizer; save the model with a tokenizer.json"
            )
        if not tokenizer.chat_template:
            raise ModelError("the tokenizer has no chat template; set tokenizer.chat_template and save it")
        self._tokenizer = tokenizer
        self._kwargs = dict(template_kwargs or {})
        self._prefix = answer_prefix
        self._marker = _secret()
        self._names = _control_names(tokenizer)
        self._clone = _clone(tokenizer, self._names)
        self._control = re.compile(
            "|".join(re.escape(text) for text in sorted(self._names, key=len, reverse=True)) or r"(?!)"
        )
        starts = "".join(sorted({text[0] for text in self._names}))
        self._start = re.compile(f"[{re.escape(starts)}]") if starts else re.compile(r"(?!)")
        self._ends = {text[k:] for text in self._names for k in range(1, len(text))}
        self._lengths = sorted({len(end) for end in self._ends}) or [0]
        self._inside = "\n".join(text[1:] for text in self._names)

    @cached_property
    def _template(self) -> str:
        template = self._tokenizer.chat_template
        return " ".join(template.values()) if isinstance(template, dict) else str(template)

    def encode(self, messages: Chat, tools: Tools | None = None) -> list[int]:
        """As the module's `encode`."""
        return self._ids(self._render(messages, tools))

    def response(self, messages: Chat, text: str, tools: Tools | None = None) -> tuple[list[int], list[int]]:
        """Token ids of a chat with the generation prompt, and of the text as what the assistant then says.

        The end of the turn is not among them. Where the last token before the text would merge with its first, the text
        is encoded on its own, as a model would have to write it. Raises ValueError as `encode` does.
        """
        before, (response,) = self.responses(messages, (text,), tools)
        return before, response

    def responses(
        self, messages: Chat, texts: Sequence[str], tools: Tools | None = None
    ) -> tuple[list[int], list[list[int]]]:
        """As `response`, of several texts after one chat, which is rendered and encoded once.

        No token reaches over a control token, so what comes before the last one is not encoded again with each text.
        """
        opening = self._render(messages, tools)
        before = self._ids(opening)
        border = opening[max((match.start() for match in self._control.finditer(opening)), default=0) :]
        known = self._ids(border)
        if before[len(before) - len(known) :] != known:  # a tokenizer whose tokens do reach over
            border, known = opening, before
        return before, [self._after(border, known, self._mark_text(text)) for text in texts]

    def _after(self, border: str, known: list[int], text: str) -> list[int]:
        whole = self._ids(border + text)
        return whole[len(known) :] if whole[: len(known)] == known else self._ids(text)

    @cached_property
    def end_of_turn(self) -> int:
        """Id of the control token with which the template ends what the assistant says. Raises ModelError."""
        content = _secret()
        chat = [Message(role="user", content="Which?"), Message(role="assistant", content=content)]
        rendered = self._render(chat, None, opening=False)
        found = self._control.search(rendered, rendered.rindex(content) if content in rendered else len(rendered))
        if not found:
            raise ModelError(
                "the chat template ends the assistant's turn with no control token; write one after the assistant's "
                "content, such as {{ eos_token }}, and save the tokenizer"
            )
        return int(self._tokenizer.backend_tokenizer.token_to_id(found.group()))

    def label_id(self, label: str) -> int:
        """Id of the one token that a label is, when it is the first thing the assistant says. Raises ModelError."""
        opening = self._render([Message(role="user", content="Which?")], None)
        before, after = self._ids(opening), self._ids(opening + label)
        if after[:-1] != before:
            raise ModelError(
                f"label {label!r}: is {len(after) - len(before)} tokens at the start of a response; verdicts need labels "
                "of one token each, so a model with this tokenizer cannot judge"
            )
        return after[-1]

    def _ids(self, rendered: str) -> list[int]:
        named = self._control.sub(lambda match: self._names[match.group()], rendered)
        return self._clone.encode(named.replace(self._marker, ""), add_special_tokens=False).ids

    def _render(self, messages: Chat, tools: Tools | None, opening: bool = True) -> str:
        """The template's text with marked contents and, as the opening of a response, the generation prompt."""
        chat = [_fields(message) for message in messages]
        if "tool_calls" not in self._template:
            chat = [_without_calls(message) for message in chat]
        if tools and "tools" not in self._template:
            chat, tools = _with_tools_described(chat, tools), None
        marked = [
            {key: value if key == "role" else self._mark(value) for key, value in message.items()} for message in chat
        ]
        try:
            rendered = str(
                self._tokenizer.apply_chat_template(
                    marked,
                    tools=self._mark(list(tools)) if tools else None,
                    tokenize=False,
                    add_generation_prompt=opening,
                    **self._kwargs,
                )
            )
            return rendered + self._prefix if opening else rendered
        except (TemplateError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"the chat does not fit the model's template ({error})") from error

    def _mark(self, value: Any) -> Any:
        """The value with markers in every string of it."""
        if isinstance(value, str):
            return self._mark_text(value)
        if isinstance(value, Mapping):
            return {self._break(str(key)): self._mark(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._mark(item) for item in value]
        return value

    def _mark_text(self, text: str) -> str:
        """Markers after each possible start of a control text, and before the first word where it could end one.

        The second is for templates that write the start themselves. Other texts are left as they are, since templates
        compare some of them.
        """
        text = self._break(text)
        word = text.strip()
        if not word or not self._ends_a_control(word):
            return text
        return _FIRST_WORD.sub(lambda match: self._marker + match.group(), text, count=1)

    def _break(self, text: str) -> str:
        text = _SURROGATE.sub("\ufffd", text).replace(self._marker, "")
        return self._start.sub(lambda match: match.group() + self._marker, text)

    def _ends_a_control(self, word: str) -> bool:
        """True when the word begins with the end of a control text, or is a piece of its inside."""
        return any(word[:n] in self._ends for n in self._lengths) or (
            len(word) <= self._lengths[-1] and word in self._inside
        )


_encoders: WeakKeyDictionary[Any, Encoder] = WeakKeyDictionary()


def _secret() -> str:
    return "".join(secrets.choice(_PRIVATE) for _ in range(6))


def _control_names(tokenizer: Any) -> dict[str, str]:
    """Control token's text -> its secret name. Added tokens that are mere white space are text, not control."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    texts = [token.content for token in added if token.content and (token.special or not token.content.isspace())]
    secret, base = _secret(), len(_PRIVATE)
    return {text: f"{secret}{_PRIVATE[i // base]}{_PRIVATE[i % base]}" for i, text in enumerate(texts)}


def _clone(tokenizer: Any, names: Mapping[str, str]) -> Tokenizer:
    """The tokenizer with each control token renamed, in the added tokens and in the vocabulary, at the same id."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(text, text): index for text, index in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(text, text), score] for text, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]
    state.update(post_processor=None, truncation=None, padding=None)
    clone = Tokenizer.from_str(json.dumps(state))
    for text, name in names.items():
        if clone.token_to_id(name) != tokenizer.backend_tokenizer.token_to_id(text):
            raise ModelError(
                f"tokenizer: control token {text!r} changes its id when renamed; its tokenizer.json is inconsistent, save it again"
            )
    return clone


def _touches(merge: Any, names: Mapping[str, str]) -> bool:
    """True for a merge that makes, or is made of, a control token's text."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def _fields(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates expect it, with the keys that are set."""
    if isinstance(message, Message):
        fields = message.model_dump(mode="json", exclude_defaults=True)
        return {"content": "", **fields}
    if message.get("role") not in _ROLES:
        raise ValueError(f"role {message.get('role')!r}: allowed: {', '.join(sorted(_ROLES))}")
    return dict(message)


def _without_calls(message: dict[str, Any]) -> dict[str, Any]:
    """A message for a template that knows no tools: calls become text, and a tool's result the user's turn."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"Tool result: {message.get('content') or ''}"}
    calls = message.get("tool_calls") or ()
    if not calls:
        return message
    lines = [f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>" for call in calls]
    texts = [message["content"]] if message.get("content") else []
    return {"role": message["role"], "content": "\n".join([*texts, *lines])}


def _with_tools_described(chat: list[dict[str, Any]], tools: Tools) -> list[dict[str, Any]]:
    """The chat with the tools listed in its system message, for a template that knows no tools."""
    listing = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    text = (
        "You may call these tools, one JSON object a line:\n" + listing + "\n"
        'To call one, write <tool_call>{"name": ..., "arguments": {...}}</tool_call>.'
    )
    if chat and chat[0]["role"] == "system":
        return [{**chat[0], "content": f"{chat[0]['content']}\n\n{text}"}, *chat[1:]]
    return [{"role": "system", "content": text}, *chat]
