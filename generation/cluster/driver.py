"""The command of a run on Ray: divide the prompts, have the shards made, merge them. Killed anywhere, it goes on where it was."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from constitution.command import fault_log
from constitution.errors import Fault, Problem, SolonError, Unavailable, UserError
from constitution.terminal import complain
from generation.cluster.attempts import Attempts, Standing, allowed
from generation.cluster.nodes import Cluster
from generation.cluster.order import CHECKPOINTS, ROWS, SHARDS, order
from generation.cluster.parts import DONE, Part, read_part, reopen
from generation.cluster.shown import ClusterProgress
from generation.cluster.storage import Storage
from generation.output.folder import changes
from generation.output.manifest import NAME as MANIFEST
from generation.output.manifest import Manifest
from generation.pipeline.job import Job, Report, produce
from generation.pipeline.session import CALLS
from generation.request import FeedbackSettings, is_address
from generation.shard import Shard, divide, shards

STATE = "run.json"
"""What the shards in a storage are of."""
DIVIDED = f"{ROWS}/done.json"
"""How many prompts each shard has; written once all rows are divided."""
TOLD = 5
"""Shards that were given up and are told one by one."""
TICK = 1.0
"""Seconds between two looks at the cluster."""


class ClusterRun:
    """One run on Ray, and the storage of its shards."""

    def __init__(self, settings: FeedbackSettings, job: Job) -> None:
        """Raises UserError where the storage is of another run, and StorageError."""
        assert settings.ray is not None
        assert settings.shards is not None
        self._address = settings.ray
        self._shards = shards(settings.shards)
        self._target = Storage(settings.out) if is_address(settings.out) else None
        """Where the merged run goes, where that is not where it is made."""
        place = settings.out if self._target else str(settings.folder.absolute())
        self.storage = Storage(f"{place.rstrip('/')}{SHARDS}")
        self.job = replace(job, config=job.config.model_copy(update={"date": self._claimed(job)}))
        self._order = order(self.job, self.storage.address)
        self._scratch = self._order.scratch

    def _claimed(self, job: Job) -> datetime.date:
        """The day of the run's first start, today where this is it. Raises UserError where the storage is another run's."""
        own = self._own(job)
        text = self.storage.read(STATE)
        try:
            known = json.loads(text) if text else None
            if known is not None and (changed := changes(known["run"], own)):
                fix = "choose another --out, or remove the folder of its shards"
                raise UserError([Problem(self.storage.address, got="has shards of another run", fix=fix), *changed])
            if known is not None:
                return datetime.date.fromisoformat(known["date"])
        except (ValueError, LookupError, TypeError) as error:
            if isinstance(error, UserError):
                raise
        return job.config.date or datetime.date.today()

    def _own(self, job: Job) -> dict[str, object]:
        """What the storage's shards are of."""
        return {"shards": len(self._shards), **job.digests.model_dump(exclude={"labels", "shard"})}

    def _claim(self) -> None:
        """Make the storage this run's, and keep what is found of the prompts for the command's next start."""
        self.job.out.mkdir(parents=True, exist_ok=True)
        self.job.inspected.keep(self.job.out)
        if self.storage.read(STATE) is None:
            state = {"run": self._own(self.job), "date": str(self.job.config.date)}
            self.storage.write(STATE, json.dumps(state), self._scratch)

    def finished(self) -> Manifest | None:
        """The manifest, where the merged run is there, whole."""
        if self._target is None or self.job.forget:
            return self.job.finished()
        text = self._target.read(MANIFEST)
        try:
            found = Manifest.model_validate_json(text) if text else None
        except ValueError:
            return None
        return found if found and found.text() == text and found.digests == self.job.digests else None

    def make(self, report: Report | None) -> Manifest:
        """Make the shards that are not done, and merge all. Raises UserError, and Unavailable where the same command resumes."""
        with self._alone():
            self._claim()
            prompts = self._divided()
            if self.job.forget:
                self._reopen()
            while True:
                done = {shard: part for shard in self._shards if (part := read_part(self.storage, shard))}
                if left := [shard for shard in self._shards if shard not in done]:
                    self._run(left, prompts, [*done])
                    continue
                if folders := self._whole(done):
                    manifest = self._merged(folders, report)
                    self._tidy({part.folder for part in done.values()})
                    return manifest

    def parts(self) -> list[Path]:
        """Files of calls that are stored so far, on this machine, for a forecast."""
        found = []
        for shard in self._shards:
            part = read_part(self.storage, shard)
            names = [f"{part.folder}/{CALLS}"] if part else [f"{CHECKPOINTS}/{shard.name}.sqlite"]
            for name in names:
                path = self.storage.folder / name if self.storage.folder else self._scratch / "forecast" / name
                if path.is_file() or (self.storage.folder is None and self.storage.get(name, path)):
                    found.append(path)
        return found

    def _run(self, left: list[Shard], prompts: list[int], done: list[Shard]) -> None:
        """Have shards made. Raises UserError and Unavailable with the reasons of those that were given up."""
        settings = self.job.config.cluster
        roles = self.job.config.roles().values()
        local = any(role.engine in ("vllm", "transformers") and not role.is_function for role in roles)
        attempts = Attempts(left, settings.attempts)
        with (
            Cluster(self._address, settings, local) as cluster,
            ClusterProgress(prompts, done, self.job.tariff) as progress,
        ):
            cluster.give(self._order)
            while attempts.left:
                nodes = cluster.nodes()
                for standing in attempts.start(settings.shards_in_flight):
                    avoid = allowed(standing, attempts.bad_nodes(), nodes)
                    cluster.start(standing.shard, standing.home, avoid, standing.careful)
                ended = cluster.wait(TICK)
                seen = cluster.seen()
                for how in ended:
                    known = seen.get(how.shard)
                    how = how._replace(node=how.node or (known.node if known else ""))
                    # a prompt that met a dead engine counts as failed, and is nothing new
                    new = known.snapshot.done - known.snapshot.failed if known else 0
                    standing = attempts.ended(how, new)
                    if not how.done and standing not in attempts.given_up:
                        progress.restarted(f"shard {how.shard} is started again: {how.reason}")
                progress.update(attempts, seen, [how.shard for how in ended if how.done])
        if attempts.given_up:
            raise given_up(self.storage.address, attempts.given_up, settings.attempts)

    def _divided(self) -> list[int]:
        """Prompts of each shard, whose rows are in the storage then."""
        try:
            found = json.loads(self.storage.read(DIVIDED) or "null")
            if isinstance(found, list) and len(found) == len(self._shards):
                return found
        except ValueError:
            pass
        self._scratch.mkdir(parents=True, exist_ok=True)
        files = [self._scratch / f"{shard.name}.rows" for shard in self._shards]
        try:
            counts = divide(self.job.rows(), files)
            for shard, path in zip(self._shards, files, strict=True):
                self.storage.put(path, f"{ROWS}/{shard.name}.gz")
        finally:
            for path in files:
                path.unlink(missing_ok=True)
        self.storage.write(DIVIDED, json.dumps(counts), self._scratch)
        return counts

    def _reopen(self) -> None:
        """Take shards that are done for unfinished where anything failed in them."""
        for shard in self._shards:
            part = read_part(self.storage, shard)
            text = self.storage.read(f"{part.folder}/{MANIFEST}") if part else None
            try:
                failed = bool(text and Manifest.model_validate_json(text).failed)
            except ValueError:
                failed = False  # a damaged shard is made again anyway
            if part and failed:
                reopen(self.storage, shard, part, self._scratch)

    def _whole(self, done: dict[Shard, Part]) -> list[Path]:
        """Folders of all shards on this machine; empty where some were damaged, which are made again then."""
        folders, bad = [], []
        for shard, part in done.items():
            folder = (self.storage.folder or self._scratch / "merged") / part.folder
            if self.storage.folder is None and part.damaged(folder):
                self.storage.get_folder(part.folder, folder)
            if part.damaged(folder):
                bad.append(shard)
                complain(f"{self.storage.address}: shard {shard} is damaged or lost; it is made again")
                self.storage.remove(f"{DONE}/{shard.name}.json")
            folders.append(folder)
        return [] if bad else folders

    def _merged(self, folders: list[Path], report: Report | None) -> Manifest:
        """The run over all prompts, where it was asked for."""
        merging = replace(
            self.job, merge=tuple(folders), reuse=tuple(folder / CALLS for folder in folders), forget=None
        )
        manifest = asyncio.run(produce(merging, report))
        if self._target:
            self._target.put_folder(self.job.out, "", last=MANIFEST)
        return manifest

    def _tidy(self, kept: set[str]) -> None:
        """Remove what starts that were lost have left in the storage."""
        with suppress(SolonError):
            for name in self.storage.names():
                if name.startswith("part-") and name not in kept:
                    self.storage.remove(name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep another command of this machine out of the storage's folder."""
        if self.storage.folder is None:
            yield
            return
        self.storage.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.storage.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            got = "is in use by another command"
            raise UserError(
                Problem(self.storage.address, got=got, fix="wait for it, or choose another --out")
            ) from None
        try:
            yield
        finally:
            lock.release()


def given_up(place: str, standings: list[Standing], attempts: int) -> SolonError:
    """Why shards did not come to an end, each with the reason of its last start."""
    ended = [standing.ended for standing in standings if standing.ended]
    if all(how.refused for how in ended):
        fix = "mend that, and run the same command again to resume"
        return UserError([Problem(place, f"shard {how.shard}", how.reason, fix=fix) for how in ended[:TOLD]])
    lines = "; ".join(f"shard {how.shard}: {how.reason}" for how in ended[:TOLD])
    more = f"; and {len(ended) - TOLD} more" if len(ended) > TOLD else ""
    limit = all(how.limited for how in ended)
    tried = "stopped by a limit" if limit else f"given up after {attempts} starts that came to nothing new"
    what = f"{place}: {len(ended)} shards were {tried}: {lines}{more}"
    if faults := [f"shard {how.shard}\n{how.fault}" for how in ended if how.fault]:
        return Fault(f"{what}\n{fault_log(chr(10).join(faults))}")
    return Unavailable(f"{what}; run the same command again to resume")
