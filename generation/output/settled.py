"""What is kept so that a restart neither reads, renders nor judges again what is settled.

A prompt's outcome, with the calls, holds for one state: the very inputs and settings of the run, what its judges' servers give, and
the code that made it. What one pass over the prompts found, in a file of the folder, holds for the very file that was read and the
code that read it. After any change either is made anew.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from constitution.digest import digest, hasher
from constitution.errors import Problem, Problems, UserError
from constitution.records import Prompt
from generation.calls.store import CallStore
from generation.data.prompts import SourceInfo, inspect
from generation.engines.base import ErrorReason
from generation.output.files import file_sha256, read_sealed, write_sealed
from generation.output.folder import INSPECTED
from generation.output.manifest import Calls, Cost, Digests, Manifest, Tokens, whole
from generation.output.records import Feedback
from generation.shard import Shard, number_of

UNSETTLED = {str(reason) for reason in ErrorReason if not reason.of_request} | {"internal_error"}
"""Reasons of failures that may be gone at the next start."""
_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("constitution", "critics", "generation")
"""Packages that decide what comes of a prompt."""
_feedback: TypeAdapter[Feedback] = TypeAdapter(Feedback)
_LEVEL = 1
_info: TypeAdapter[SourceInfo] = TypeAdapter(SourceInfo)


class Inspected(NamedTuple):
    """What one pass over the prompts found, and what was read in it."""

    info: SourceInfo
    key: str
    """Digest of the file, of how it was read and of the code; empty for what is no local file."""

    @staticmethod
    def of(folder: Path, source: str, limit: int | None, columns: Sequence[str]) -> Inspected:
        """What an earlier start kept in the run's folder, if it read the same, else what is read now. Raises UserError."""
        key = _inspected_as(source, limit, columns)
        if key and (known := _kept(folder, key)):
            return Inspected(known, key)
        info = inspect(source, limit, columns)
        same = key == _inspected_as(source, limit, columns)
        return Inspected(info, key if same else "")

    def keep(self, folder: Path) -> None:
        """For later starts in this folder: as JSON, which is YAML, below what was read."""
        try:
            body = _info.dump_json(self.info).decode() if self.key else ""
        except (PydanticSerializationError, UnicodeEncodeError):  # as where an outcome is put
            return
        if body:
            write_sealed(folder / INSPECTED, f"# {self.key}\n{body}\n")


def _kept(folder: Path, key: str) -> SourceInfo | None:
    """What was kept of the very same; None where nothing was, or it is damaged."""
    try:
        known, _, body = read_sealed(folder / INSPECTED).partition("\n")
        return _info.validate_json(body) if known == f"# {key}" else None
    except (OSError, ValueError):
        return None


def _inspected_as(source: str, limit: int | None, columns: Sequence[str]) -> str:
    """What is read of a file, and by what code; empty where it is no local file."""
    path = Path(source).expanduser()
    try:
        return digest(json.dumps([source, file_sha256(path), limit, columns, code()])) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


class Settled:
    """The outcomes that a run has kept, and those of the runs over shards that it is merged from."""

    def __init__(
        self,
        store: CallStore,
        digests: Digests,
        found: Iterable[str],
        again: bool,
        ended: bool = False,
        parts: Sequence[int] = (),
    ) -> None:
        """found: what else an outcome depends on, as capabilities of servers. again: True to make failed prompts anew.

        ended: True to keep what the next start may mend as well, for a merge to find. parts: places, among the files of calls that
        are reused, of the shards that it is merged from, in the order of their numbers.
        """
        self._store = store
        self._again = again
        self._parts = parts
        h = hasher()
        h.update(json.dumps([digests.model_dump(exclude={"labels", "shard"}), *found, code()]).encode())
        self._state = h.digest()
        h.update(b"ended")
        self._ended = h.digest()
        self._keeps_ended = ended

    def get(self, prompt: Prompt) -> Feedback | None:
        """The prompt's outcome; None where it is not known for this state. Raises StoreError."""
        kept = _read(self._store.outcome(prompt.id, self._state), prompt)
        return None if kept is None or (self._again and kept.failures) else kept

    def any_known(self) -> bool:
        """True where outcomes are kept that hold. Raises StoreError."""
        return not self._again and self._store.has_outcome(self._state)

    def knows(self, prompt: Prompt) -> bool:
        """True where the prompt's outcome is kept; it is not read. Raises StoreError."""
        return self._store.has_outcome(self._state, prompt.id)

    def merged(self, prompt: Prompt) -> Feedback | None:
        """What the run over its shard came to, whatever that was; None where it is not kept for this state. Raises StoreError."""
        place = 1 + self._parts[number_of(prompt, len(self._parts))]
        for state in (self._state, self._ended):
            if kept := _read(self._store.outcome(prompt.id, state, place), prompt):
                return kept
        return None

    def put(self, outcome: Feedback) -> None:
        """Keep an outcome, unless the next start may come to another. Raises StoreError."""
        unsettled = any(failure.reason in UNSETTLED for failure in outcome.failures)
        if unsettled and not self._keeps_ended:
            return
        state = self._ended if unsettled else self._state
        try:
            body = to_json(outcome, inf_nan_mode="constants")
        except (
            PydanticSerializationError,
            UnicodeEncodeError,
        ):  # half a character, which only sqlite and we let through
            return
        self._store.put_outcome(outcome.prompt.id, state, zlib.compress(body, _LEVEL))


def read_outcome(body: bytes) -> Feedback | None:
    """The outcome that is kept as these bytes; None where they are damaged."""
    try:
        return _feedback.validate_json(zlib.decompress(body))
    except (ValidationError, zlib.error, ValueError):
        return None


def _read(body: bytes | None, prompt: Prompt) -> Feedback | None:
    """The outcome that is kept as these bytes, where it is this prompt's."""
    kept = None if body is None else read_outcome(body)
    return kept if kept and kept.prompt == prompt else None


class Shards(NamedTuple):
    """The finished runs that a run is merged from."""

    places: list[int]
    """Of each shard, by its number, the place of its folder among those that were given."""
    manifests: list[Manifest]
    """In the same order."""

    def among(self, reused: int) -> list[int]:
        """Their places among so many files of calls that are reused, of which theirs are the last."""
        return [reused - len(self.places) + place for place in self.places]

    def calls(self) -> Calls:
        """All their calls; likewise for the others. What they took of each other, in no run's folder, is none."""
        return Calls(**_sums([one.calls for one in self.manifests]))

    def tokens(self) -> Tokens:
        """All their tokens."""
        return Tokens(**_sums([one.tokens for one in self.manifests]))

    def engine_seconds(self) -> float:
        """The time of all their engines."""
        return round(sum(one.seconds.engine for one in self.manifests), 3)

    def cost(self) -> Cost | None:
        """All their cost; None where none has prices. Currencies are one, as a run's settings are its shards'."""
        costs = [one.cost for one in self.manifests if one.cost]
        if not costs:
            return None
        models: Counter[str] = Counter()
        for cost in costs:
            models.update(cost.models)
        return Cost(
            amount=round(sum(cost.amount for cost in costs), 6),
            currency=costs[0].currency,
            models={name: round(amount, 6) for name, amount in models.items()},
            unpriced=sorted({name for cost in costs for name in cost.unpriced}),
            batched=round(sum(cost.batched for cost in costs), 6),
        )


def _sums(parts: Sequence[BaseModel]) -> dict[str, int]:
    return {name: sum(getattr(part, name) for part in parts) for name in type(parts[0]).model_fields}


def check_shards(runs: Sequence[Path], digests: Digests) -> Shards:
    """Raises UserError unless these are the finished runs of all shards of the run with these digests, whole and each once."""
    problems, found, manifests = Problems(), dict[str, Path](), dict[str, Manifest]()
    for path in runs:
        with problems.collect():
            manifest = whole(path, "--merge")
            shard = manifest.digests
            others = [
                name for name, value in digests if name not in ("labels", "shard") and getattr(shard, name) != value
            ]
            if others:
                got = f"has other {', '.join(others)} than this command"
                raise UserError(Problem(str(path), got=got, fix="give the command of the shards, without --shard"))
            if not shard.shard:
                raise UserError(Problem(str(path), got="is the run of no shard", fix="leave it out"))
            if shard.shard in found:
                got = f"is of shard {shard.shard}, as {found[shard.shard]} is"
                raise UserError(Problem(str(path), got=got, fix="give one of the two"))
            found[shard.shard], manifests[shard.shard] = path, manifest
    counts = {name.partition("/")[2] for name in found}
    if len(counts) > 1:
        got = f"has shards of {' and of '.join(sorted(counts))}"
        problems.found.append(Problem("--merge", got=got, fix="give the shards of one division"))
    elif counts:
        wanted = [str(Shard(index, int(*counts))) for index in range(int(*counts))]
        if lacking := [name for name in wanted if name not in found]:
            got = f"lacks shard {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
            problems.found.append(Problem("--merge", got=got, fix="give the finished runs of all shards"))
    problems.check()
    names = [str(Shard(number, len(found))) for number in range(len(found))]
    return Shards([runs.index(found[name]) for name in names], [manifests[name] for name in names])


@cache
def code() -> str:
    """Digest of all code and templates that decide what comes of a prompt."""
    h = hasher()
    for package in _CODE:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.suffix in (".py", ".jinja", ".jsonl"):
                h.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()
