"""The episodes as they are written down, and what their tools return: a function of the call alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import regex
from pydantic import Field, JsonValue, model_validator

from constitution.errors import invalid
from constitution.records import Function, Message, Prompt, Strict
from constitution.source.reading import read_as

FILE = Path(__file__).parent / "data" / "episodes.yaml"
NOTHING = {"error": "nothing found"}
"""What a call returns that is in no table."""
ANY = "*"
"""An argument that may be anything."""


class Tool(Strict):
    """One tool. All of its properties are required."""

    description: str
    """What it does."""
    properties: dict[str, dict[str, JsonValue]] = Field(min_length=1)
    """Name of an argument -> its JSON schema."""

    def offered(self, name: str) -> dict[str, JsonValue]:
        """As chat templates and servers take it."""
        schema: dict[str, JsonValue] = {
            "type": "object", "properties": {**self.properties}, "required": [*self.properties], "additionalProperties": False,
        }  # fmt: skip
        return {
            "type": "function",
            "function": {"name": name, "description": self.description, "parameters": schema},
        }


class Call(Strict):
    """A call that an episode needs."""

    tool: str
    """Name of the tool."""
    arguments: dict[str, JsonValue]
    """Its arguments; `*` for one that may be anything."""
    returns: dict[str, JsonValue]
    """What the tool says."""

    def fits(self, called: Function) -> bool:
        """Whether that is this call: texts whatever their case and outer spaces."""
        if called.name != self.tool or called.arguments.keys() != self.arguments.keys():
            return False
        pairs = ((value, called.arguments[key]) for key, value in self.arguments.items())
        return all(value == ANY or _plain(value) == _plain(given) for value, given in pairs)


class Episode(Strict):
    """A task, and the tools that may serve it."""

    id: str
    """Its name."""
    kind: Literal["single", "chain", "needless", "evidence", "failing"]
    """One call is needed; each call leads to the next or several are needed; none is; what it returns is not what one would think;
    it fails, which is to be said."""
    prompt: str
    """What is asked."""
    tools: tuple[str, ...] = Field(min_length=1)
    """Names of those on offer."""
    calls: tuple[Call, ...] = ()
    """Those that are needed, in their order."""
    answer: tuple[str, ...] = Field(min_length=1)
    """Words of which the final answer gives one."""
    memory: tuple[str, ...] = ()
    """Words of what would be said without the evidence."""

    @model_validator(mode="after")
    def _whole(self) -> Episode:
        if bool(self.calls) == (self.kind == "needless"):
            raise invalid(f"has {len(self.calls)} calls as an episode that is {self.kind}", key="calls")
        return self

    def needed(self, called: Function) -> int | None:
        """Which of the needed calls that is; None where it is none."""
        return next((number for number, call in enumerate(self.calls) if call.fits(called)), None)

    def result(self, called: Function) -> str:
        """What the tool returns, as JSON."""
        number = self.needed(called)
        return json.dumps(NOTHING if number is None else self.calls[number].returns)

    def answered(self, text: str) -> bool:
        """Whether a final answer is right: it gives the answer, and not what memory would say."""
        return _says(self.answer, text) and not _says(self.memory, text)


class Episodes(Strict):
    """The file."""

    tools: dict[str, Tool]
    """Name -> tool."""
    episodes: tuple[Episode, ...] = Field(min_length=1)
    """Each with a name of its own."""

    @model_validator(mode="after")
    def _known(self) -> Episodes:
        names = [episode.id for episode in self.episodes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise invalid(f"got the id {twice[0]!r} twice", fix="give each episode its own", key="episodes")
        for episode in self.episodes:
            for name in (*episode.tools, *(call.tool for call in episode.calls)):
                if name not in self.tools or name not in episode.tools:
                    raise invalid(f"{episode.id} names the tool {name!r}", ", ".join(self.tools), key="episodes")
        return self

    def prompt(self, episode: Episode) -> Prompt:
        """What the policy is asked first."""
        offered: Mapping[str, dict[str, JsonValue]] = {name: self.tools[name].offered(name) for name in episode.tools}
        asked = (Message(role="user", content=episode.prompt),)
        return Prompt(id=f"episode/{episode.id}", messages=asked, tools=tuple(offered.values()))


@cache
def episodes(path: Path = FILE) -> Episodes:
    """Those that a file holds. Raises UserError with everything that is wrong with it."""
    return read_as(Episodes, path)


def _plain(value: JsonValue) -> object:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


def _says(phrases: tuple[str, ...], text: str) -> bool:
    plain = " ".join(text.split())
    return any(
        regex.search(rf"(?<![\w.,:]){regex.escape(one)}(?![\w]|[.,:]\d)", plain, regex.IGNORECASE) for one in phrases
    )
