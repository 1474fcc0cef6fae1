"""What holds up an event loop is seen, and what does not is not."""

import asyncio
import time

from benchmarks.watch import Watch


async def computed(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_wait_is_measured_and_placed() -> None:
    watch = Watch()
    assert asyncio.run(watch.of(computed(0.3))) >= 0.3
    assert watch.where.startswith("test_waits.computed")


def test_only_what_lies_between_beginning_and_end_counts() -> None:
    watch, until_then = Watch(), []

    async def work() -> None:
        await computed(0.1)
        watch.begin_anew()
        assert watch.longest == 0
        await computed(0.1)
        watch.end()
        until_then.append(watch.longest)
        await computed(0.1)
        await asyncio.sleep(0.01)

    assert asyncio.run(watch.of(work())) == until_then[0] >= 0.1
