"""The votes of a finished run, prompt by prompt, as they can be counted anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, cast

from constitution.principles import Constitution
from constitution.records import MAIN, Failure, Origin, Prompt, Response, Vote
from critics.ranking.weights import Weights, read_weights
from generation.config import RunConfig
from generation.engines.replay import Replay
from generation.models.chat_model import ChatModel
from generation.output.folder import MACHINE, WEIGHTS, run_folder
from generation.output.reading import Candidate
from generation.output.run import Run
from generation.pipeline.outcome import labels_of
from generation.pipeline.panel import Panel, panel_of

MOST_PAIRS = 20_000
"""Compared pairs that are counted anew; of a larger run, those of its first prompts."""


@dataclass(slots=True)
class Ballot:
    """All that was said of one prompt's candidates."""

    prompt: Prompt
    """Without its messages where no pair of the dataset has them."""
    candidates: list[Response] = field(default_factory=list)
    votes: dict[tuple[str, str], list[Vote]] = field(default_factory=dict)
    """Compared pair -> its votes; a pair all of whose votes failed has none."""
    failed: set[str] = field(default_factory=set)
    """Subjects of votes that failed: they are asked for again by nobody."""
    spoken: set[frozenset[str]] = field(default_factory=set)
    """Pairs that people decided."""


class Ballots(NamedTuple):
    """Those of a run."""

    constitution: Constitution
    config: RunConfig
    panel: Panel
    """Who votes; it asks nobody."""
    prompts: list[Ballot]
    left_out: int
    """Votes of prompts beyond MOST_PAIRS pairs."""


def config_of(run: Path) -> RunConfig:
    """The settings that a run was made with, those of its machine among them. Raises UserError."""
    snapshot = run_folder(run).snapshot() or {}
    machine = snapshot.get(MACHINE, {})
    values = {name: snapshot[name] for name in RunConfig.model_fields if name in snapshot}
    for name, value in machine.items():
        if name in ("panel", "policies"):
            own = {one["name"]: one for one in value}
            several = [{**own.get(one["name"], {}), **one} for one in values.get(name, [])]
            values |= {name: several} if several else {}
        elif name in RunConfig.model_fields:
            values.setdefault(name, value)
    return RunConfig.model_validate(values)


def read_ballots(run: Run) -> Ballots:
    """All votes of a finished run, or those of its first prompts. Raises UserError."""
    config = config_of(run.folder)
    found: dict[str, Ballot] = {}
    for one in run.responses():
        ballot = found.setdefault(one.prompt_id, Ballot(Prompt(id=one.prompt_id, messages=(), tags=one.tags)))
        ballot.candidates.append(_response(one))
    pairs = left_out = 0
    for (name, a, b), votes in groupby(run.votes(), lambda vote: (vote.prompt_id, vote.a, vote.b)):
        if pairs < MOST_PAIRS:
            found[name].votes[a, b] = [*votes]
            pairs += 1
        else:
            left_out += sum(1 for _ in votes)
    _add_failures(run, found)
    _add_prompts(run, found)
    labels = labels_of(run.folder)
    for name, ballot in found.items():
        ballot.spoken = {frozenset((a, b)) for a, b, _ in labels.of(name)}
    weights = read_weights(run.folder / WEIGHTS) if (run.folder / WEIGHTS).is_file() else None
    kept = [ballot for ballot in found.values() if ballot.votes]
    return Ballots(run.constitution, config, _panel(config, weights), kept, left_out)


def _panel(config: RunConfig, weights: Weights | None) -> Panel:
    silent = ChatModel("", "", Replay.pseudo(), None, 0)
    return panel_of(config, dict.fromkeys((MAIN, *(one.name for one in config.panel)), silent), weights)


def _response(one: Candidate) -> Response:
    origin = cast(Origin, one.origin)
    return Response(
        one.id, one.prompt_id, one.message, origin, one.raw, one.parent, one.principles, one.truncated, one.policy or ""
    )


def _add_failures(run: Run, found: Mapping[str, Ballot]) -> None:
    subjects: defaultdict[str, set[str]] = defaultdict(set)
    for record in run.failures():
        if isinstance(record, Failure) and record.stage == "compare":
            subjects[record.prompt_id].add(record.subject)
    for name, several in subjects.items():
        if name in found:
            found[name].failed = several


def _add_prompts(run: Run, found: dict[str, Ballot]) -> None:
    """Add what rules read of the prompts that have pairs."""
    for pair in run.pairs():
        ballot = found.get(pair.prompt_id)
        if ballot and not ballot.prompt.messages:
            known = {"messages": pair.prompt, "tools": tuple(pair.tools), "metadata": pair.metadata or ""}
            ballot.prompt = ballot.prompt.model_copy(update=known)
