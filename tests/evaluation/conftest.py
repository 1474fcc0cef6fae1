"""Finished run folders, written by the run's own writer from outcomes that a test makes up."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from constitution.checks.check import Check
from constitution.principles import Constitution, Principle
from constitution.records import Critique, Dropped, Failure, Message, PreferencePair, Prompt, Response, Vote
from generation.output.dataset import DatasetWriter
from generation.output.manifest import Calls, Digests, Manifest, Seconds, Tally, Tokens
from generation.output.records import ControlOutcome, Feedback

LAWS = Constitution(
    name="laws",
    version=1,
    objectives={"good": 1.0, "calm": 1.0},
    principles=(
        Principle(id="kind", objective="good", text="Be kind."),
        Principle(id="quiet", objective="calm", text="Be quiet."),
        Principle(id="short", objective="calm", text="Be short.", check=Check(max_words=50)),
    ),
)


@pytest.fixture
def write_run() -> Callable[..., Manifest]:
    """write_run(folder, outcomes, controls=()) -> the manifest."""

    def write(folder: Path, outcomes: Sequence[Feedback], controls: Sequence[ControlOutcome] = ()) -> Manifest:
        folder.mkdir(parents=True, exist_ok=True)
        writer, tally = DatasetWriter(folder, LAWS, "judge", 0.3, False), Tally()
        for item in outcomes:
            writer.write(item)
            tally.add(item)
        tally.add_controls(controls)
        writer.write_controls(controls)
        spent = Calls(made=1, reused=0), Tokens(prompt=1, cached=0, completion=1), Seconds(wall=1, engine=1)
        digests = Digests(constitution="c", templates="t", policy="p", judge="j", prompts="q", settings="s")
        manifest = tally.manifest(*spent, writer.close(), digests)
        manifest.write(folder)
        return manifest

    return write


@pytest.fixture
def outcome() -> Callable[..., Feedback]:
    """outcome(i, chosen, rejected, ...) -> a prompt whose second sample was chosen over the first, or over its revision."""

    def make(
        i: int,
        chosen: str = "Better response.",
        rejected: str = "Worse.",
        *,
        text: str = "",
        tags: Sequence[str] = (),
        revised: str | None = None,
        critique: str = "It is worse.",
        kind: tuple[float, float] = (1.5, -0.5),
        quiet: tuple[float, float] = (0.2, 0.4),
        calm: float = -0.1,
    ) -> Feedback:
        name = f"p{i}"
        asked = Prompt(id=name, messages=(Message(role="user", content=text or f"Question {i}?"),), tags=tuple(tags))

        def response(place: str, words: str, parent: str | None = None) -> Response:
            origin = "revised" if parent else "sampled"
            return Response(f"{name}/{place}", name, Message(role="assistant", content=words), origin, words, parent)

        bad, good = response("s0", rejected), response("s1", chosen)
        better = [] if revised is None else [response("s1/r0", revised, good.id)]
        winner = better[0] if better else good
        votes = (
            Vote(name, winner.id, bad.id, "kind", *kind),
            Vote(name, winner.id, bad.id, "quiet", *quiet),
            Vote(name, winner.id, bad.id, "short", -0.5, 0.5, "rule", ""),
        )
        log_odds = abs(kind[0] - kind[1]) / 4
        pair = PreferencePair(name, winner, bad, log_odds, {"good": log_odds, "calm": calm}, votes)
        critiques = (Critique(name, good.id, "kind", critique, True),)
        return Feedback(asked, (bad, good, *better), critiques, 1, votes, (pair,), (winner,) if better else ())

    return make


@pytest.fixture
def failed() -> Feedback:
    """A prompt that failed."""
    asked = Prompt(id="gone", messages=(Message(role="user", content="Anyone?"),))
    left_out = (Dropped("gone", "revise", "unchanged"),)
    return Feedback(asked, failures=(Failure("gone", "sample", "empty"),), dropped=left_out)
