"""Calls that were paid and whose answers are not kept: counted in the store and against the limits."""

from __future__ import annotations

from generation.calls.budget import Budget
from generation.calls.store import CallStore
from generation.engines.base import Request, Unkept, Usage


class UnkeptCalls:
    """The meter of a session."""

    def __init__(self, store: CallStore, budget: Budget | None) -> None:
        self._store = store
        self._budget = budget

    def before_probe(self, request: Request) -> None:
        """Raises LimitReached where there is no room for it."""
        if self._budget:
            self._budget.check(request)

    def paid(self, request: Request, usage: Usage, why: Unkept) -> None:
        """Count it. Raises LimitReached where there is no room to make it again, and StoreError."""
        self._store.put_unkept(request, usage, why)
        if self._budget:
            self._budget.pay(request, usage)
