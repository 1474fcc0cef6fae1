"""A finished run folder, small, as generation writes it."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from constitution.principles import Constitution, Principle
from constitution.records import Function, Message, PreferencePair, Prompt, Response, ToolCall, Vote
from generation.output.dataset import DatasetWriter
from generation.output.manifest import Calls, Digests, Seconds, Tally, Tokens
from generation.output.records import Feedback

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0},
    principles=(Principle(id="kind", objective="good", text="Be kind."),),
)
TOOL: dict[str, JsonValue] = {
    "type": "function",
    "function": {"name": "look", "parameters": {"at": {"type": "string"}}},
}
CALL = ToolCall(function=Function(name="look", arguments={"at": "sky"}))


def write_run(folder: Path, prompts: int = 20, tools: bool = False) -> Path:
    """Prompts with one pair and one target each; with tools, the better response is a call."""
    writer, tally = DatasetWriter(folder, LAWS, "judge", 0.3, tools), Tally()
    for i in range(prompts):
        asked = Prompt(
            id=f"p{i}",
            messages=(Message(role="user", content=f"why is {i} blue ?"),),
            tools=(TOOL,) if tools else (),
            tags=("sky",),
        )
        calls = (CALL,) if tools else ()
        good, bad = (
            Response(f"p{i}/{name}", f"p{i}", message, "sampled", "")
            for name, message in (
                ("good", Message(role="assistant", content="it scatters light", tool_calls=calls)),
                ("bad", Message(role="assistant", content="nobody knows")),
            )
        )
        votes = (Vote(f"p{i}", good.id, bad.id, "kind", 0.7, -0.7),)
        pair = PreferencePair(f"p{i}", good, bad, 0.7, {"good": 0.7}, votes)
        outcome = Feedback(asked, (good, bad), pairs=(pair,), targets=(good,))
        writer.write(outcome)
        tally.add(outcome)
    manifest = tally.manifest(
        Calls(made=0, reused=0),
        Tokens(prompt=0, cached=0, completion=0),
        Seconds(wall=0, engine=0),
        writer.close(),
        Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s"),
    )
    manifest.write(folder)
    return folder
