"""What asks models: one store of calls, the engines opened over it, and a view of how far it is."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from constitution.errors import Problem, Unavailable, UserError
from generation.calls.budget import NO_LIMITS, Budget, LimitReached, Limits, Metered
from generation.calls.prices import Tariff
from generation.calls.store import CallStore
from generation.calls.stored import Stored
from generation.calls.unkept import UnkeptCalls
from generation.config import RunConfig
from generation.engines.base import Completion, Engine, Keeps, Paid, Request
from generation.engines.capabilities import Capabilities
from generation.models.chat_model import ChatModel
from generation.models.factory import OpenEngine
from generation.output.folder import day_of, keep_day
from generation.pipeline.cost import spent_before
from generation.pipeline.preflight import preflight
from generation.pipeline.progress import Progress
from generation.request import Forget

CALLS = "calls.sqlite"
"""The store's file in a run's folder."""


class CallCount(NamedTuple):
    """Answers of a session."""

    made: int
    """By an engine."""
    reused: int
    """By the store, or by an equal call that was under way."""


@contextmanager
def brief_collections() -> Iterator[None]:
    """The garbage collector looks through what comes from here on, and not again and again through all libraries as well: with half
    a million objects that takes 0.3 s, in which everything else waits.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Session:
    """Everything that asks models does it inside a session, which makes no call twice and closes what was opened.

        async with Session(folder / CALLS, reuse=[other / CALLS], prompts=len(prompts)) as session:
            config = session.dated(config)
            policies, judges = chat_models(config, model_registry(config), session.wrap)
            ...
            session.prompt_done(prompt.id, failed=False)

    Entering raises StoreError for a file of calls that cannot be used; leaving raises it where the last calls could not be written.
    """

    def __init__(
        self,
        calls: Path,
        *,
        reuse: Sequence[Path] = (),
        prompts: int | None = None,
        forget: Forget | None = None,
        tariff: Tariff | None = None,
        limits: Limits = NO_LIMITS,
        progress: Progress | None = None,
    ) -> None:
        """calls: file of the store, made where it is not there. reuse: files of other runs' calls. prompts: how many there are to
        show the progress of; nothing is shown where None. forget: which calls are made again.
        tariff: what calls cost; spending is counted where it is given. limits: what all sessions over this file may spend together.
        progress: what shows it, in place of one of its own.
        """
        self._path, self._reuse, self._forget = calls, reuse, forget
        self._progress = progress or (None if prompts is None else Progress(prompts))
        self._tariff, self._limits = tariff, limits
        self._stack = AsyncExitStack()
        self._engines: list[Stored] = []
        self._made = self._reused = 0
        self.budget: Budget | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(brief_collections())
            self.store = CallStore(
                self._path,
                reuse=self._reuse,
                forget_failed=self._forget == "failed",
                forget_damaged=self._forget == "damaged",
            )
            stack.callback(self.store.close)
            if self._tariff:
                before = spent_before(self.store.totals(), self._tariff)
                self.budget = Budget(self._tariff, self._limits, before)
            self._meter = UnkeptCalls(self.store, self.budget)
            if self._progress:
                self._progress.budget = self.budget
                stack.enter_context(self._progress)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if error is None or isinstance(error, Unavailable):
                for engine in self._engines:
                    await engine.drain()
        finally:
            await self._stack.aclose()

    def wrap(self, open_engine: OpenEngine) -> Engine:
        """An engine that answers from the store and is opened at the first call that is not there."""

        async def opened() -> Engine:
            engine = await open_engine()
            gc.freeze()
            if isinstance(engine, Keeps):
                engine.keep_in(self._path.parent)
            if isinstance(engine, Paid):
                engine.count_with(self._meter)
            return Metered(engine, self.budget) if self.budget else engine

        engine = Stored(self.store, opened, self._observe)
        self._engines.append(engine)
        self._stack.push_async_callback(engine.close)
        return engine

    def wrap_stored(self, _: OpenEngine) -> Engine:
        """An engine that answers from the store alone. Its calls raise UserError where the answer is not there."""

        async def none() -> Engine:
            got, fix = (
                "do not hold a call that is needed",
                "finish all shards with this version of Solon, then merge them",
            )
            raise UserError(Problem("--merge", got=got, fix=fix))

        return self.wrap(none)

    async def preflight(
        self, *models: ChatModel, tools: bool = False, structured: bool = False
    ) -> dict[str, Capabilities]:
        """What the models' servers take and give, by the models' names. Raises as `preflight.preflight`."""
        folder, others = self._path.parent, [path.parent for path in self._reuse]
        try:
            return await preflight(models, folder, others, tools=tools, structured=structured, meter=self._meter)
        except LimitReached:
            raise
        except Unavailable as error:
            again = "nothing was asked of it; run the same command again to resume"
            raise Unavailable(f"{folder}: incomplete, a model is unavailable: {error}; {again}") from None

    def dated(self, config: RunConfig) -> RunConfig:
        """The settings with the day that chat templates take for today, the same at each start over this folder. Once entered."""
        folder = self._path.parent
        day = config.date or day_of(folder, *(path.parent for path in self._reuse))
        keep_day(folder, day)
        return config.model_copy(update={"date": day})

    def prompt_done(self, prompt: str, failed: bool) -> None:
        """One of the prompts is finished."""
        if self._progress:
            self._progress.row(prompt, failed)

    @property
    def calls(self) -> CallCount:
        """Calls answered since the session began."""
        return CallCount(self._made, self._reused)

    @property
    def seconds(self) -> float:
        """Wall time since the session began; 0 where no progress is shown."""
        return self._progress.seconds if self._progress else 0.0

    def _observe(self, request: Request, completion: Completion, reused: bool, seconds: float) -> None:
        self._made += not reused
        self._reused += reused
        if self._progress:
            self._progress.call(request, completion, reused, seconds)
