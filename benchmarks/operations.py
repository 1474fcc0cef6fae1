"""Counts what a GPU would be told to do and how often the program would wait for it, on a machine without one.

An operation that only makes another view of memory launches nothing. A synchronisation is whatever needs a number of the
device's on the host: `item`, `tolist`, `float`, a shape that depends on values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
SYNCS = {
    _ATEN._local_scalar_dense, _ATEN.nonzero, _ATEN.masked_select, _ATEN._unique2, _ATEN.unique_consecutive, _ATEN.equal,
}  # fmt: skip
"""Operations whose result is a number, or a shape, that the host waits for."""
READS = {Tensor.tolist, Tensor.numpy, Tensor.cpu}
"""Methods that read memory without being an operation."""
FREE = {
    _ATEN.empty,
    _ATEN.empty_like,
    _ATEN.empty_strided,
    _ATEN.new_empty,
    _ATEN.detach,
    _ATEN._unsafe_view,
    _ATEN.lift_fresh,
    _ATEN.result_type,
}
"""Operations that launch nothing though their result is no view."""
_NAMES = re.compile(r"aten::(\w+)|.*_fused_|solon_")
"""Of events of a profile: an operation, a kernel that was compiled, a stand-in of a benchmark."""


class Operations:
    """What was done while `counted`."""

    def __init__(self) -> None:
        self.launched: Counter[str] = Counter()
        """Operation -> how often a device would be told to do it."""
        self.waited: Counter[str] = Counter()
        """Operation -> how often the host would wait for it."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside, backward passes too."""
        with _Launches(self), _Reads(self):
            yield

    def clear(self) -> None:
        """Begin again."""
        self.launched.clear()
        self.waited.clear()


class _Launches(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, counts: Operations) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        if packet in SYNCS or _waits(func, args, kwargs or {}):
            self._counts.waited[str(func)] += 1
        elif packet not in FREE and not _is_view(func):
            self._counts.launched[str(func)] += 1
        return func(*args, **(kwargs or {}))


class _Reads(TorchFunctionMode):  # type: ignore[misc]
    def __init__(self, counts: Operations) -> None:
        super().__init__()
        self._counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            self._counts.waited[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def _is_view(func: Any) -> bool:
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def _waits(func: Any, args: Any, kwargs: Any) -> bool:
    """Indexing with a mask, and repeating by counts without saying how many there will be."""
    if func.overloadpacket in (_ATEN.index, _ATEN.index_put, _ATEN.index_put_):
        return any(i is not None and i.dtype == torch.bool for i in args[1])
    return func is _ATEN.repeat_interleave.Tensor and kwargs.get("output_size") is None


def profiled(step: Callable[[], None]) -> Counter[str]:
    """What a device would be told to do in a step, each compiled kernel once: `Operations` sees no compiled code."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    return Counter(name for event in found.events() if event.cpu_parent is None for name in _launches(event))


def _launches(event: FunctionEvent) -> list[str]:
    inner = [name for child in event.cpu_children for name in _launches(child)]
    match = _NAMES.match(event.name)
    return inner or ([event.name] if match and not _launches_nothing(match[1]) else [])


def _launches_nothing(name: str | None) -> bool:
    packet = getattr(_ATEN, name or "", None)
    return packet in FREE or (packet is not None and any(_is_view(getattr(packet, one)) for one in packet.overloads()))
