"""Messages -> token ids, such that no text from a dataset or a model can become a control token.

Two steps, each safe by construction rather than by escaping:

1. The chat template is rendered with the real contents, in which a secret mark follows every character that could begin a
   control token's text. Whatever control texts stand in the result, whole, are then the template's own.
2. Those are replaced by secret names and the marks removed; the string is encoded by a copy of the tokenizer that knows
   each control token by its secret name alone. Ids stay the same, and a control token's public text is ordinary text to it.

What the assistant thought (`reasoning_content`, or a block of thoughts that its text begins with) is the one exception: it stands
between the template's own marks of thoughts, which are control tokens of some models (messages.with_thoughts).

Benign chats get exactly the ids of the tokenizer's own `apply_chat_template`.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import JsonValue
from tokenizers import Tokenizer

from constitution.digest import digest
from constitution.records import Message
from generation.engines.base import ModelError
from generation.models.heads import Heads
from generation.models.messages import (
    Chat,
    Marks,
    ThoughtsPlace,
    Tools,
    check_calls,
    check_visible,
    fields,
    thoughts_block,
    with_thoughts,
    with_tools_described,
    without_calls,
)
from generation.models.shape import (
    BorrowedEnds,
    RowKind,
    borrowed_ends,
    differences,
    ends_of_turns,
    examine,
    left_out,
    missing_header,
    opened_thoughts,
    place_of_thoughts,
)
from generation.models.template import ChatTemplate
from generation.models.tokenizer import renamed
from generation.models.written import Layout, Tokens, Written

_PRIVATE = [chr(code) for code in range(0xE000, 0xF8FF)]
"""Private-use characters: no normalizer, filter or case folding changes them."""
_SEEN = 40
"""Characters of a head's end by which it is found in a rendering."""
_ANSWERS = frozenset({"assistant"})
_SEEN_BY_ALL = frozenset({"user", "system"})
"""Who must not be left out of a rendering."""


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
        self,
        tokenizer: Any,
        template_kwargs: Mapping[str, JsonValue] | None = None,
        answer_prefix: str = "",
        day: datetime.date | None = None,
    ) -> None:
        """template_kwargs: what the chat template is told. answer_prefix: text after the generation prompt, where answers begin.
        day: what the template takes for today; today where None.

        Raises ModelError for a tokenizer without tokenizer.json or without a chat template.
        """
        if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
            raise ModelError(
                f"tokenizer {type(tokenizer).__name__}: is not a fast tokenizer; save the model with a tokenizer.json"
            )
        self._tokenizer = tokenizer
        self._day = day or datetime.date.today()
        self._template = ChatTemplate(tokenizer, self._day, template_kwargs or {})
        self._template_kwargs = template_kwargs or {}
        self._prefix = answer_prefix
        self._names = _control_names(tokenizer)
        self._clone, spans = renamed(tokenizer, self._names)
        self._heads = Heads(self._ids, spans)
        self._control = re.compile(
            "|".join(re.escape(text) for text in sorted(self._names, key=len, reverse=True)) or r"(?!)"
        )
        self._marks = Marks(self._names, _secret())
        self._template.header = missing_header(self._plain, self._ids)
        self.shape = examine(self._plain, template_kwargs or {}, self._template.mentions, self._template.header)
        """What the template makes of messages."""

    @cached_property
    def digest(self) -> str:
        """What decides the ids beside the model's files, for keys of calls: what the template is told, the day where the template
        may print it, and how this very code encodes small chats.
        """
        day = self._day.isoformat() if self._template.knows_day else ""
        samples: list[list[int]] = []
        for chat, tools in _SMALL_CHATS:
            with suppress(ValueError):  # many templates write no tools, or no system's message
                before, said = self.response(chat, "Yes.", tools)
                samples += [self.encode(chat, tools), self.encode(chat, tools, labels=True), [*before, *said]]
        return digest(json.dumps([self._template_kwargs, self._prefix, day, samples], sort_keys=True))

    def encode(
        self,
        messages: Chat,
        tools: Tools | None = None,
        labels: bool = False,
        head: int = 0,
        template_kwargs: Mapping[str, JsonValue] | None = None,
    ) -> list[int]:
        """As the module's `encode`. labels: True where labels are read next: after closed thoughts, where the answer begins.

        head: so many characters of the first message, up to a closing delimiter and a blank line, stand in other chats too, and are
        encoded once for all of them. The ids do not depend on it. template_kwargs: as for `written`.
        """
        opening = self._render(messages, tools, judged=labels, told=template_kwargs)
        text = opening + self._before_labels if labels else opening
        return self._heads.encode(text, self._cut(text, messages, head) if head else 0)

    def _cut(self, text: str, messages: Chat, head: int) -> int:
        """Where the head ends in the rendering; 0 where the template changed it, or what follows it."""
        content = fields(messages[0])["content"]
        end = self._marks.broken(content[max(0, head - _SEEN) : head])
        place = text.rfind(end) + len(end)
        return place if place >= len(end) and content[head : head + 1] == text[place : place + 1] else 0

    def written(
        self,
        prompt: Chat,
        sides: Sequence[Chat],
        tools: Tools | None = None,
        template_kwargs: Mapping[str, JsonValue] | None = None,
        cut: Sequence[bool] = (),
    ) -> Written:
        """Token ids of a prompt and of what may follow it, and which of them the assistant writes.

        sides: each one answer, or several turns that end with an answer. template_kwargs: what the template is told of this
        chat, beside what it is always told. cut: for each side, True where its last answer was cut and has no end.
        The prompt's ids and a side's are the ids of the template's own rendering of the whole chat, up to the end of its last
        answer. Raises ValueError for a chat that does not fit.
        """

        place, marks, secrets = self._thoughts

        def render(chat: Chat, opening: bool) -> str:
            rendered = self._render(chat, tools, opening, told=template_kwargs)
            if self._borrowed and not opening:
                rendered += self._borrowed.behind(fields(chat[-1]))
            for mark, secret in zip(marks, secrets, strict=True):
                rendered = rendered.replace(secret, mark)
            return rendered

        found = []
        for i, side in enumerate(sides):
            chat = [fields(message) for message in (*prompt, *side)]
            if not side or chat[-1]["role"] != "assistant":
                raise ValueError("what follows the prompt does not end with what the assistant says")
            chat = [with_thoughts(message, place, secrets, message is chat[-1]) for message in chat]
            turns = self._layout.turns(chat, len(prompt), render, bool(cut) and cut[i])
            check_calls(chat[len(prompt) :], self._marks.removed(turns.text[turns.spans[0][0] :]))
            shown = [self._marks.marked(message) for message in chat[len(prompt) :] if not message.get("tool_calls")]
            check_visible(shown, turns.text, _ANSWERS)
            found.append(turns)
        return self._tokens.written(found)

    @cached_property
    def _thoughts(self) -> tuple[ThoughtsPlace, tuple[str, str], tuple[str, str]]:
        """Where thoughts go, their marks, and what stands for the marks until a chat is rendered."""
        place = place_of_thoughts(self._plain, self._template.mentions, self._names)
        return place, place.marks or ("", ""), (_secret(), _secret())

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self._control, frozenset(self._turn_ends), _secret())

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self._clone, self._control, self._named)

    def examine_training(
        self, kinds: Collection[RowKind], template_kwargs: Mapping[str, JsonValue] | None = None
    ) -> list[str]:
        """What is to be told before rows of these kinds are trained on, in words: where the template writes an answered chat
        otherwise than it opens an answer, and what it leaves out. Raises ModelError for what would be trained wrong.
        """
        end = self._turn_ends[0]
        borrowed = [
            f"its chat template ends no answer: {end!r}, with which the next turn begins, is trained on as its end"
        ]
        notes = differences(self._plain, self._template.mentions, self._thoughts[0], kinds, template_kwargs or {})
        return [*(borrowed if self._borrowed else ()), *notes]

    def response(
        self, messages: Chat, text: str, tools: Tools | None = None, told: Mapping[str, JsonValue] | None = None
    ) -> tuple[list[int], list[int]]:
        """Token ids of a chat up to where an answer begins, thoughts closed, and of the text as what the model writes there.

        The end of the turn is not among the ids. Where the last token before the text would merge with its first, the text is
        encoded on its own, as a model would have to write it. No token reaches over a control token, so what comes before the last
        one is not encoded again with each text. Raises ValueError as `encode` does.
        """
        opening = self._render(messages, tools, judged=True, told=told)
        before = self._heads.encode(opening)
        border = opening[max((match.start() for match in self._control.finditer(opening)), default=0) :]
        known = self._ids(border)
        if before[len(before) - len(known) :] != known:  # a tokenizer whose tokens do reach over
            border, known = opening, before
        said = self._marks.marked(text)
        whole = self._ids(border + said)
        return before, whole[len(known) :] if whole[: len(known)] == known else self._ids(said)

    def is_structured(self, message: Message) -> bool:
        """True for an answer that is more than text: it calls tools, or begins with thoughts whose marks the model knows."""
        return bool(message.tool_calls) or thoughts_block(message.content, self._thoughts[0]) is not None

    @cached_property
    def end_of_turn(self) -> int:
        """Id of the control token with which the template ends what the assistant says. Raises ModelError."""
        return int(self._tokenizer.backend_tokenizer.token_to_id(self._turn_ends[0]))

    @cached_property
    def ends(self) -> frozenset[int]:
        """Ids of the control tokens at which an answer is over. Raises ModelError."""
        calls = self._turn_ends[1:] if self._borrowed else ()
        return frozenset({self.end_of_turn, *map(self._tokenizer.backend_tokenizer.token_to_id, calls)})

    @property
    def text_end(self) -> frozenset[int]:
        """Id of the tokenizer's own end of a text, at which every engine stops."""
        text = self._tokenizer.special_tokens_map.get("eos_token")
        return frozenset({self._tokenizer.backend_tokenizer.token_to_id(text)} if text else ()) - {None}

    def spelled(self, token: int) -> str:
        """The text of a control token."""
        return str(self._tokenizer.backend_tokenizer.id_to_token(token))

    @cached_property
    def _borrowed(self) -> BorrowedEnds | None:
        bos = self._tokenizer.special_tokens_map.get("bos_token")
        return borrowed_ends(self._plain, self._template.mentions, self._control, bos)

    @cached_property
    def _turn_ends(self) -> tuple[str, ...]:
        if self._borrowed:
            return tuple(dict.fromkeys(self._control.findall(gap)[-1] for gap in self._borrowed))
        return ends_of_turns(self._plain, self._template.mentions, self._control)

    def label_id(self, label: str) -> int:
        """Id of the one token that a label is, when it is the first thing the assistant says. Raises ModelError."""
        opening = self._render([Message(role="user", content="Which?")], None, judged=True) + self._before_labels
        joined = "" if self._before_labels else self.shape.space
        before, after = self._ids(opening), self._ids(opening + joined + label)
        if after[:-1] != before and not (opening[-1:].isspace() and self._ends_in(opening, label)):
            raise ModelError(
                f"label {label!r}: is {len(after) - len(before)} tokens at the start of a response; verdicts need labels "
                "of one token each, so a model with this tokenizer cannot judge"
            )
        return after[-1]

    def _ends_in(self, opening: str, label: str) -> bool:
        """True where the label is one token, and only the white space before it is cut otherwise than without it."""
        named = self._named(opening) + label
        start, end = self._clone.encode(named, add_special_tokens=False).offsets[-1]
        return (start, end) == (len(named) - len(label), len(named))

    @property
    def thinks(self) -> bool:
        """True where the model thinks before it answers: the prompt opens thoughts, or the template could have closed them."""
        return bool(self.opens_thoughts or self.shape.told)

    @cached_property
    def opens_thoughts(self) -> str:
        """The mark of thoughts that the prompt opens; empty where it opens none, or where `answer_prefix` closes them."""
        return "" if self._prefix.strip() else self.shape.opens_thoughts

    def opens_thoughts_for(self, template_kwargs: Mapping[str, JsonValue]) -> str:
        """`opens_thoughts` of a chat of which the template is told more."""
        if not template_kwargs or self._prefix.strip():
            return self.opens_thoughts
        opening = self._template.render([{"role": "user", "content": "Which?"}], None, True, template_kwargs)
        return opened_thoughts(opening)

    @cached_property
    def _before_labels(self) -> str:
        """White space before an answer that is a token of its own, which the model would write before the label."""
        opening = self._render([Message(role="user", content="Which?")], None, judged=True)
        space = self.shape.space
        before, joined = self._ids(opening), self._ids(f"{opening}{space}A")
        return space if space and (joined[:-1] != before) else ""

    def _ids(self, rendered: str) -> list[int]:
        # one text as a batch: it needs no offsets, and lets other threads go on
        return self._clone.encode_batch_fast([self._named(rendered)], add_special_tokens=False)[0].ids

    def _named(self, rendered: str) -> str:
        """A rendering with the secret names of its control tokens, without marks."""
        return self._marks.removed(self._control.sub(lambda match: self._names[match.group()], rendered))

    def _plain(
        self, messages: Sequence[Mapping[str, Any]], tools: Tools | None, opening: bool, told: Mapping[str, JsonValue]
    ) -> str:
        """The template's text without marks, of contents that are ours."""
        return self._template.render(messages, tools, opening, told)

    def _render(
        self,
        messages: Chat,
        tools: Tools | None,
        opening: bool = True,
        judged: bool = False,
        told: Mapping[str, JsonValue] | None = None,
    ) -> str:
        """The template's text with marked contents and, as the opening of a response, the generation prompt.

        judged: True where the response is an answer, and thoughts are closed before it.
        """
        chat = [fields(message) for message in messages]
        if not self._template.mentions("tool_calls"):
            chat = [without_calls(message) for message in chat]
        if tools and not self._template.mentions("tools"):
            chat, tools = with_tools_described(chat, tools), None
        marked = [
            {key: value if key == "role" else self._marks.marked(value) for key, value in message.items()}
            for message in chat
        ]
        if lost := left_out(self.shape, chat, tools) if opening else "":
            raise ValueError(f"the model's chat template leaves out: {lost}")
        listed = self._marks.marked(list(tools)) if tools else None
        if judged and not self._prefix:
            told = {**self.shape.told, **(told or {})}
        rendered = self._template.render(marked, listed, opening, told)
        check_visible(marked, rendered, _SEEN_BY_ALL)
        if not opening:
            return rendered
        return rendered + (self._prefix or (self.shape.closing if judged else ""))


_SMALL_CHATS: tuple[tuple[list[dict[str, Any]], Tools | None], ...] = (
    ([{"role": "user", "content": "Which?"}], None),
    ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<s>Which\n\n one?"}], None),
    (
        [
            {"role": "user", "content": "Which?"},
            {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
            {"role": "tool", "content": "2"},
        ],
        [{"type": "function", "function": {"name": "f", "description": "It is.", "parameters": {"type": "object"}}}],
    ),
)  # fmt: skip
"""Chats of every kind."""

_encoders: WeakKeyDictionary[Any, Encoder] = WeakKeyDictionary()


def _secret() -> str:
    return "".join(secrets.choice(_PRIVATE) for _ in range(6))


def _control_names(tokenizer: Any) -> dict[str, str]:
    """Control token's text -> its secret name. Added tokens that are mere white space are text, not control."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    texts = [token.content for token in added if token.content and (token.special or not token.content.isspace())]
    secret, base = _secret(), len(_PRIVATE)
    return {text: f"{secret}{_PRIVATE[i // base]}{_PRIVATE[i % base]}" for i, text in enumerate(texts)}
