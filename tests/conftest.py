"""What tests of several packages share: the embedded model, one real vLLM for the whole session, and the loop it lives on.

A run of folders goes over several processes, a run of files over one. A file's tests stay together, and so do all that need vLLM or a
GPU: a machine has memory for one of each.

An async call is `run(engine.generate(request))`: every call is made on the session's one loop, since an engine belongs to the
loop that first used it.
"""

import asyncio
import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch counts the cores: processes side by side have one each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    gc.disable()  # until all is collected: nothing of that is garbage

from constitution.checks import own
from generation.engines.base import Completion, Request
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.engines.vllm import VLLM, VLLMSettings, unavailable
from generation.models.encoder import Encoder
from generation.models.files import resolve
from tests import properties
from tests.forks import worker

properties.load()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start and interrupt would never hear of it

PROCESSES = 4
"""Most processes of a run; each may hold a small model."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core, and none beside the first where single files are asked for."""
    files = all(".py" in argument for argument in config.args)
    return 0 if files else min(os.cpu_count() or 1, PROCESSES)


LONG = (
    "test_setup.py", "test_forecast_resume.py", "test_sandbox.py", "test_contributing.py", "test_batched_run.py", "test_planted.py",
    "test_browser.py", "test_clean.py", "solon/test_fitting.py", "solon/test_main.py", "test_learnt.py", "test_loads.py",
)  # fmt: skip
"""Files of few tests that take long."""


class ByFile(LoadScopeScheduling):
    """Gives whole files to processes; pages of the documentation one by one, and to one process all that names vLLM or a GPU."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """What a test is given to a process with."""
    file = nodeid.partition("::")[0]
    if "vllm" in nodeid or "gpu" in file:
        return "accelerator"
    return nodeid if is_page(nodeid) else file


def is_page(nodeid: str) -> bool:
    """True for a page of the documentation, which takes as long as a whole file."""
    return "test_a_page_runs" in nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The processes of a run are forked from one that has imported what all need, and which serves the tests as well."""
    gateways = getattr(config.option, "tx", None) or []
    if len(gateways) > 1 and {*gateways} == {"popen"} and "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile all tests, every time
        config.option.tx = [f"popen//python={worker()}"] * len(gateways)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Files, not tests, are what processes share out: a file's fixtures are made once."""
    config.option.loadscopereorder = False  # it would put single tests last, whatever they take
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several processes: what takes long first, so that none is left with it when the others are done.

    That are pages, then files with many tests of models, then long files, then those with many tests.
    """
    gc.enable()
    gc.freeze()  # what is collected stays to the end, and need not be looked through again and again
    if "PYTEST_XDIST_WORKER" in os.environ:
        sizes = Counter(scope(item.nodeid) for item in items)
        models = Counter(scope(item.nodeid) for item in items if item.get_closest_marker("model"))
        items.sort(
            key=lambda item: (
                not is_page(item.nodeid),
                -models[of := scope(item.nodeid)],
                not of.endswith(LONG),
                -sizes[of],
            )
        )


@pytest.fixture(scope="session", autouse=True)
def power() -> Iterator[None]:
    """No power fails in a test: nobody waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def loaded_rules() -> Iterator[None]:
    """Rules that a file of tests loads are gone with it."""
    before = dict(own._rules)
    yield
    own._rules.clear()
    own._rules.update(before)


@pytest.fixture(scope="session")
def run() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine on the session's loop and returns its result."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="session")
def embedded() -> ModelFiles:
    """The embedded model's checkpoint; made from its GGUF file at the first use on a machine."""
    return resolve("embedded")


@pytest.fixture(scope="session")
def encoder(embedded: ModelFiles) -> Encoder:
    """Chats -> token ids of the embedded model."""
    return Encoder(load_tokenizer(embedded))


@pytest.fixture(scope="session")
def vllm(embedded: ModelFiles, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[VLLM]:
    """The embedded model in a real vLLM. Its prefix cache is shared by all tests."""
    if reason := unavailable():
        pytest.skip(reason)
    engine = VLLM(embedded, VLLMSettings(max_model_len=1024, kv_cache_gb=1, gpu_memory_utilization=0.2))
    yield engine
    run(engine.close())
    engines = [each for each in psutil.Process().children(recursive=True) if "VLLM" in str(each)]
    assert psutil.wait_procs(engines, timeout=3)[1] == []


@pytest.fixture(scope="session")
def ask(vllm: VLLM, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Callable[..., list[Completion]]:
    """Sends requests to vLLM all at once; completions in their order."""

    async def together(requests: tuple[Request, ...]) -> list[Completion]:
        return await asyncio.gather(*(vllm.generate(request) for request in requests))

    return lambda *requests: run(together(requests))
