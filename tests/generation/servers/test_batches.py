"""Calls by a vendor's batch API, against a server of that form on loopback."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from constitution.records import Message
from generation.engines.base import (
    Completion,
    ErrorReason,
    ModelError,
    RefusedError,
    Request,
    Sampling,
    TransientError,
    Unkept,
    Usage,
)
from generation.engines.limited import Limited
from generation.servers.batches import NOTES, Batches
from generation.servers.endpoint import Endpoint
from generation.servers.settings import EndpointSettings
from tests.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    server = Vendor()
    yield server
    server.shutdown()
    server.server_close()


def ask(prompt: str) -> Request:
    return Request("d", "sample", (), Sampling(8), messages=(Message(role="user", content=prompt),))


def engine(vendor: Vendor, folder: Path | None = None, **more: Any) -> Batches:
    url = f"http://127.0.0.1:{vendor.server_address[1]}/v1"
    quick = {"batch_idle_seconds": 0.02, "batch_poll_seconds": 0.01, "backoff_seconds": 0.01, "attempts": 3}
    made = Batches(Endpoint(EndpointSettings.model_validate({"url": url, "batch": True, **quick, **more}), "m"))
    if folder:
        Limited(made, 99).keep_in(folder)
    return made


def run(batches: Batches, *prompts: str) -> list[Any]:
    async def together() -> list[Any]:
        try:
            asked = (asyncio.wait_for(batches.generate(ask(prompt)), 5) for prompt in prompts)
            return list(await asyncio.gather(*asked, return_exceptions=True))
        finally:
            await batches.close()

    return asyncio.run(together())


def texts(found: list[Any]) -> list[str]:
    return [one.text if isinstance(one, Completion) else repr(one) for one in found]


def test_calls_are_one_batch(vendor: Vendor, tmp_path: Path) -> None:
    vendor.polls = 3
    assert texts(run(engine(vendor, tmp_path), *(f"p{i}" for i in range(20)))) == [f"P{i}" for i in range(20)]
    assert len(vendor.batches) == 1
    (batch,) = vendor.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    first = json.loads(vendor.files["file-0"].splitlines()[0])
    assert {name: first[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": ask("p0").key().hex(), "method": "POST", "url": "/v1/chat/completions",
    }  # fmt: skip
    assert first["body"]["messages"] == [{"role": "user", "content": "p0"}]
    file, made = map(json.loads, (tmp_path / NOTES).read_text().splitlines())
    assert len(file["keys"]) == 20
    assert (made["file"], made["batch"]) == ("file-0", "batch-0")


def test_a_killed_run_waits_for_the_same_batch(vendor: Vendor, tmp_path: Path) -> None:
    vendor.polls = 1 << 30

    async def killed() -> None:
        batches = engine(vendor, tmp_path)
        tasks = [asyncio.create_task(batches.generate(ask(f"p{i}"))) for i in range(5)]
        while not vendor.batches:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await batches.close()

    asyncio.run(asyncio.wait_for(killed(), 5))
    vendor.polls = 1
    # one of the calls is stored already, and one is new
    assert texts(run(engine(vendor, tmp_path), "p1", "p2", "p3", "p4", "new")) == ["P1", "P2", "P3", "P4", "NEW"]
    second = vendor.files[vendor.batches["batch-1"]["input_file_id"]].splitlines()
    assert [json.loads(line)["body"]["messages"][0]["content"] for line in second] == ["new"]
    assert len(vendor.batches) == 2


def test_calls_that_come_later_find_what_their_batch_answered(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "p1", "p2")
    before = len(vendor.batches)

    async def in_turn() -> list[str]:
        batches = engine(vendor, tmp_path)
        try:
            return [(await batches.generate(ask(prompt))).text for prompt in ("p2", "p1")]
        finally:
            await batches.close()

    assert asyncio.run(asyncio.wait_for(in_turn(), 5)) == ["P2", "P1"]
    assert len(vendor.batches) == before


def test_each_line_is_read_as_an_answer_is(vendor: Vendor) -> None:
    vendor.answers = {
        "long": (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
        "odd": (422, {"error": {"message": "not this one"}}),
        "later": (500, {"error": {"message": "broken"}}),
    }
    fine, long, odd, later = run(engine(vendor), "fine", "long", "odd", "later")
    assert (fine.text, later.text) == ("FINE", "LATER")
    assert long.error.reason == ErrorReason.PROMPT_TOO_LONG
    assert isinstance(odd, RefusedError)
    assert len(vendor.batches) == 2  # what may pass was asked again


def test_a_call_that_its_batch_left_out_goes_into_the_next(vendor: Vendor) -> None:
    vendor.left_out = {"b"}
    assert texts(run(engine(vendor), "a", "b")) == ["A", "B"]
    assert len(vendor.batches) == 2


def test_batches_that_expire_make_the_run_incomplete(vendor: Vendor, tmp_path: Path) -> None:
    vendor.status = "expired"
    vendor.finish = lambda batch: batch.update(status="expired")  # type: ignore[method-assign]
    (error,) = run(engine(vendor, tmp_path, attempts=2), "a")
    assert isinstance(error, TransientError)
    assert "ended as expired without it" in str(error)
    assert len(vendor.batches) == 2


def test_a_batch_that_fails_ends_the_run_and_is_not_waited_for_again(vendor: Vendor, tmp_path: Path) -> None:
    vendor.status = "failed"
    found = run(engine(vendor, tmp_path), "a", "b")
    assert {type(one) for one in found} == {ModelError}
    assert "line 1: model x does not exist" in str(found[0])
    vendor.status = "completed"
    assert texts(run(engine(vendor, tmp_path), "a", "b")) == ["A", "B"]


def test_a_batch_that_the_server_no_longer_has_is_made_again(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "a")
    vendor.batches.clear()
    assert texts(run(engine(vendor, tmp_path), "a")) == ["A"]


def test_trouble_of_the_server_is_waited_for(vendor: Vendor) -> None:
    vendor.broken = 2
    assert texts(run(engine(vendor), "a")) == ["A"]
    vendor.broken = 99
    (error,) = run(engine(vendor), "a")
    assert isinstance(error, TransientError)
    assert "batches: status 503: later" in str(error)


def test_a_server_without_batches_ends_the_run(vendor: Vendor) -> None:
    vendor.broken, vendor.broken_status = 99, 404
    (error,) = run(engine(vendor), "a")
    assert isinstance(error, ModelError)
    assert "batches: status 404: later" in str(error)


def test_a_batch_whose_making_was_not_answered_is_found_among_the_servers(vendor: Vendor, tmp_path: Path) -> None:
    vendor.hangs_up_after = {"/v1/batches"}
    assert texts(run(engine(vendor, tmp_path), "a", "b")) == ["A", "B"]
    assert len(vendor.batches) == 1


def test_a_run_killed_before_its_batch_was_noted_finds_it_on_a_later_page(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "a", "b")
    kept = (tmp_path / NOTES).read_text().splitlines(keepends=True)
    (tmp_path / NOTES).write_text(kept[0])  # the file alone is noted
    for i in range(5):
        vendor.batches[f"other-{i}"] = {"id": f"other-{i}", "input_file_id": f"x{i}"}
    assert texts(run(engine(vendor, tmp_path), "a", "b")) == ["A", "B"]
    assert len(vendor.batches) == 6
    assert (tmp_path / NOTES).read_text() == "".join(kept)


@pytest.mark.parametrize("lists", [True, False])
def test_a_file_of_which_no_batch_was_made_is_not_sent_again(lists: bool, vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "a", "b")
    vendor.batches.clear()
    vendor.lists = lists
    (tmp_path / NOTES).write_text((tmp_path / NOTES).read_text().splitlines(keepends=True)[0])
    assert texts(run(engine(vendor, tmp_path), "a", "b")) == ["A", "B"]
    assert vendor.asked.count("POST /v1/files") == 1
    assert vendor.asked.count("POST /v1/batches") == 2


def test_a_file_that_no_batch_can_be_made_of_is_sent_anew_at_the_next_start(vendor: Vendor, tmp_path: Path) -> None:
    run(engine(vendor, tmp_path), "a")
    (tmp_path / NOTES).write_text((tmp_path / NOTES).read_text().splitlines(keepends=True)[0])
    vendor.batches.clear()
    vendor.broken, vendor.broken_status = 9, 400
    assert isinstance(run(engine(vendor, tmp_path), "a")[0], ModelError)
    vendor.broken = 0
    assert texts(run(engine(vendor, tmp_path), "a")) == ["A"]
    assert vendor.asked.count("POST /v1/files") == 2


def test_what_a_batch_took_is_told_as_of_a_batch(vendor: Vendor) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    odd = {"choices": [{"message": {"content": "x"}, "finish_reason": None}], "usage": usage}
    vendor.answers = {"odd": (200, odd)}
    batches = engine(vendor)
    paid: list[tuple[Usage, Unkept]] = []

    class Counts:
        def before_probe(self, request: Request) -> None:
            raise AssertionError(request)

        def paid(self, request: Request, usage: Usage, why: Unkept) -> None:
            assert request == ask("odd")
            paid.append((usage, why))

    batches.count_with(Counts())
    fine, again = run(batches, "fine", "odd")
    assert paid == [(Usage(7, 0, 2, batched=True), Unkept.UNUSABLE)]
    assert again.text == "ODD"
    assert fine.usage == Usage(
        9, 0, 2, 11, batched=True
    )  # nobody said: 4 characters are at most 2 tokens, a message takes 8


@pytest.mark.parametrize("attempts", [1, 3, 4])
def test_a_call_is_in_as_many_batches_as_it_has_attempts(attempts: int, vendor: Vendor) -> None:
    vendor.spoken = lambda body: (500, {"error": {"message": "broken"}})
    (error,) = run(engine(vendor, attempts=attempts), "never")
    assert isinstance(error, TransientError)
    assert len(vendor.batches) == attempts
