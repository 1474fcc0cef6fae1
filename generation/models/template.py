"""A model's chat template: rendered as transformers renders it, within limits of time and memory, on a day that is given."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from pydantic import JsonValue

from constitution.records import characters
from generation.engines.base import ModelError
from generation.models.sandbox import Budget, LimitedEnvironment, LimitError, render_within

MAX_TEMPLATE = 256 * 1024
"""Characters of the longest template; the largest of known models have a tenth."""
DAY = "%d %b %Y"
"""How a template is told the day as `date_string`: 26 Jul 2024, as Llama's does it."""


class ChatTemplate:
    """The template of one tokenizer."""

    def __init__(self, tokenizer: Any, day: datetime.date, told: Mapping[str, JsonValue]) -> None:
        """tokenizer: transformers' fast tokenizer. day: what the template takes for today. told: more variables of the template.

        Raises ModelError for a template that is none.
        """
        given = tokenizer.chat_template
        if not given:
            raise ModelError("the tokenizer has no chat template; set tokenizer.chat_template and save it")
        self._sources: dict[str, str] = given if isinstance(given, dict) else {"default": str(given)}
        environment = _environment(day)
        self._templates = {name: _compile(environment, source) for name, source in self._sources.items()}
        self.header = ""
        """What opens an answer, of a template that knows no generation prompt."""
        self._variables = {"date_string": day.strftime(DAY), **tokenizer.special_tokens_map, **told}

    def mentions(self, variable: str) -> bool:
        """True where the variable's name stands in the template."""
        return any(variable in source for source in self._sources.values())

    @property
    def knows_day(self) -> bool:
        """True where it may print the day."""
        return self.mentions("strftime_now") or self.mentions("date_string")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        opening: bool,
        told: Mapping[str, JsonValue] | None = None,
    ) -> str:
        """The template's text, as the opening of a response with the generation prompt. told: variables for this time.

        Raises ValueError for a chat that does not fit, ModelError for a template that takes too much.
        """
        name = "tool_use" if tools is not None and "tool_use" in self._templates else "default"
        if name not in self._templates:
            raise ModelError(f"the model has chat templates {', '.join(self._templates)}; name one of them `default`")
        template = self._templates[name]
        variables = {**self._variables, **(told or {})}
        budget = Budget(characters(messages) + characters(tools or ()))
        try:
            text = render_within(
                budget,
                lambda: template.generate(
                    variables, messages=messages, tools=tools, documents=None, add_generation_prompt=opening
                ),
            )
            return text + self.header if opening else text
        except LimitError as error:
            raise ModelError(f"the chat template cannot be used: {error}; use a checkpoint with another one") from error
        except Exception as error:  # a template is a stranger's program, and can fail in any way
            raise ValueError(f"the chat does not fit the model's template ({_words(error)})") from error


def _compile(environment: LimitedEnvironment, source: str) -> jinja2.Template:
    if len(source) > MAX_TEMPLATE:
        raise ModelError(f"the chat template has {len(source):,} characters; allowed: {MAX_TEMPLATE:,}")
    try:
        return environment.from_string(source)
    except Exception as error:  # a template is a stranger's program: too deep, no Jinja, or a name that is not there
        raise ModelError(f"the chat template is no template ({_words(error)}); save the tokenizer with one") from error


def _words(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return said if isinstance(error, jinja2.TemplateError) and said else f"{type(error).__name__}: {said}"


class _Generation(Extension):
    """`{% generation %}`, which marks what the assistant says for those who train; its contents stand as they are."""

    tags = {"generation"}  # noqa: RUF012 - as jinja has it

    def parse(self, parser: Any) -> Any:
        """The statements inside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def _environment(day: datetime.date) -> LimitedEnvironment:
    """As transformers makes it, but for the limits and the clock."""
    environment = LimitedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    midnight = datetime.datetime.combine(day, datetime.time())

    def strftime_now(form: str) -> str:
        if len(form) > 100:
            raise LimitError("it writes the date at too great length")
        return midnight.strftime(form)

    environment.add_filter("tojson", _tojson)
    environment.globals.update(raise_exception=_raise_exception, strftime_now=strftime_now)
    return environment


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
