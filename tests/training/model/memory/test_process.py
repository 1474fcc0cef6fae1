"""The peak of a process; freed memory goes back to the system."""

import ctypes
import math
import subprocess
import sys

import psutil
import pytest

from training.model.memory import process as heap


@pytest.mark.parametrize(
    ("every", "least", "most"), [(0.0, 300e6, 450e6), (math.inf, -50e6, 50e6)], ids=["now", "not yet"]
)
def test_what_lies_free_between_blocks_in_use_is_given_back_in_its_time(monkeypatch, every, least, most):
    """400 MB in blocks that glibc takes from its heap, every 100th of which stays: the heap's end cannot move down."""
    monkeypatch.setattr(heap, "EVERY", every)
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc_trim(0)  # what other tests of this process left is none of this
    size = 100_000
    blocks = [libc.malloc(size) for _ in range(4_000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    kept, freed = blocks[::100], [block for i, block in enumerate(blocks) if i % 100]
    for block in freed:
        libc.free(ctypes.c_void_p(block))
    before = psutil.Process().memory_info().rss
    heap.give_back()
    after = psutil.Process().memory_info().rss
    for block in kept:
        libc.free(ctypes.c_void_p(block))
    assert least < before - after < most


def test_the_peak_is_this_process_own() -> None:
    held = bytearray(b"x" * (300 << 20))
    assert heap.peak() > len(held)
    # a process starts with the peak of the one that starts it, by `ru_maxrss`
    child = subprocess.run(
        [sys.executable, "-c", "from training.model.memory import process; print(process.peak())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 1 << 20 < int(child.stdout) < len(held)
