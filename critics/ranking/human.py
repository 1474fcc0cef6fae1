"""What people say of pairs, in the place of what the panel says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from constitution.digest import digest
from constitution.records import Dropped, Message, PreferencePair, Response, Vote
from critics.labels import MAX_LOG_ODDS

STAGE = "review"
"""Stage of what is dropped because people said so."""
Verdict = tuple[str, str, str]
"""Ids of two responses, and `a` or `b` for the better one; any other word is the reason why there is no pair."""
Rewrite = tuple[str, str]
"""Id of a response, and a better text that a person wrote from it."""


class Overruled(NamedTuple):
    """A prompt's pairs after people were heard."""

    pairs: list[PreferencePair]
    """Those of the panel that nobody spoke of, then those that people decided."""
    dropped: list[Dropped]
    """Pairs that people see no label for."""
    spoken: frozenset[frozenset[str]]
    """Ids of the responses of each pair that people spoke of; no other record of them holds."""
    unknown: list[Verdict]
    """Verdicts on responses that the prompt does not have."""
    written: list[Response]
    """Responses that people wrote; each is a candidate, and better than the one that it rewrites."""


def overrule(
    prompt_id: str,
    candidates: Sequence[Response],
    pairs: Iterable[PreferencePair],
    votes: Iterable[Vote],
    verdicts: Iterable[Verdict],
    rewrites: Iterable[Rewrite] = (),
) -> Overruled:
    """The pairs with people's verdicts in them, whatever the panel made of those. pairs: all that have a label, accepted or not.

    A person's label is taken for true: its log-odds are the largest there are, MAX_LOG_ODDS.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    had = {frozenset((pair.chosen.id, pair.rejected.id)): pair for pair in pairs}
    votes = tuple(votes)
    found = Overruled([], [], frozenset(), [], [])
    spoken: set[frozenset[str]] = set()
    for verdict in verdicts:
        a, b, said = verdict
        key = frozenset((a, b))
        if a not in by_id or b not in by_id or by_id[a].message == by_id[b].message:
            found.unknown.append(verdict)
            continue
        spoken.add(key)
        if said not in ("a", "b"):
            found.dropped.append(Dropped(prompt_id, STAGE, said, "", f"{a} vs {b}"))
            continue
        chosen, rejected = (a, b) if said == "a" else (b, a)
        known = had.get(key)
        sign = 1 if known is None or known.chosen.id == chosen else -1
        objectives = {name: sign * value for name, value in known.objectives.items()} if known else {}
        own = tuple(vote if vote.a == chosen else vote.swapped() for vote in votes if {vote.a, vote.b} == key)
        pair = PreferencePair(prompt_id, by_id[chosen], by_id[rejected], MAX_LOG_ODDS, objectives, own, "human")
        found.pairs.append(pair)
    for of, text in rewrites:
        message = Message(role="assistant", content=text)
        if of not in by_id or any(message == other.message for other in (*candidates, *found.written)):
            found.unknown.append((of, of, "rewritten"))
            continue
        response = Response(f"{of}/e-{digest(text)[:8]}", prompt_id, message, "given", text, of)
        found.written.append(response)
        found.pairs.append(PreferencePair(prompt_id, response, by_id[of], MAX_LOG_ODDS, {}, (), "human"))
    kept = [pair for key, pair in had.items() if key not in spoken]
    return found._replace(pairs=[*kept, *found.pairs], spoken=frozenset(spoken))
