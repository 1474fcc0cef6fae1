"""Whole runs on the replay engine: plans that hold, restarts that lose nothing, edits that cost what they touch."""

import asyncio
import datetime
import json
import random
import signal
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from constitution.errors import UserError
from generate_feedback import main
from generation.output.files import write_sealed
from generation.output.folder import run_folder
from generation.output.manifest import Manifest, read
from generation.output.records import Forecast
from generation.output.run import open_run
from generation.pipeline.job import Job, plan_ahead, prepare, produce
from generation.request import FeedbackSettings
from tests.forks import start, wait_until
from tests.properties import examples


def write_constitution(path: Path, principles: int = 4, **edits: str) -> Path:
    """A constitution of judged principles p0, p1, ...; `p1_compare="..."` sets a field of one."""
    items: list[dict[str, str]] = []
    for i in range(principles):
        item = {
            "id": f"p{i}",
            "objective": "good",
            "text": f"Principle number {i}.",
            "critique": f"Is {i} kept?",
            "revise": f"Keep {i}.",
        }
        item["compare"] = f"Which reply keeps {i}?"
        items.append(
            item | {key.removeprefix(f"p{i}_"): value for key, value in edits.items() if key.startswith(f"p{i}_")}
        )
    path.write_text(yaml.safe_dump({"name": "laws", "version": 1, "objectives": {"good": 1.0}, "principles": items}))
    return path


def write_prompts(path: Path, rows: int = 12, **columns: object) -> Path:
    path.write_text("".join(json.dumps({"prompt": f"Question {i % 9}?", **columns}) + "\n" for i in range(rows)))
    return path


def job(
    folder: Path,
    out: str,
    constitution: Path,
    *overrides: str,
    reuse: tuple[str, ...] = (),
    rows: int = 12,
    **columns: object,
) -> Job:
    prompts = write_prompts(folder / "prompts.jsonl", rows, **columns)
    settings = FeedbackSettings(
        constitution=constitution,
        prompts=str(prompts),
        out=folder / out,
        engine="replay",
        overrides=("plan.controls=0", *overrides),
        reuse=tuple(folder / name for name in reuse),
    )
    return prepare(settings)


def outcome_digests(manifest: Manifest) -> dict[str, str]:
    """Of the data: pages and settings tell the run's name and machine too."""
    return {name: digest for name, digest in manifest.files.items() if name.endswith(".parquet")}


def read_under(plan: dict[str, object]) -> dict[str, object]:
    """Without the settings that nothing reads under the others, which are refused."""
    unread = {"critics"} if plan["rounds"] == 0 else set()
    unread |= {"recourse"} if "debate" not in plan["methods"] else set()
    unread |= {"schedule"} if plan["pairs"] == "revision_original" else set()
    return {name: value for name, value in plan.items() if name not in unread}


plans = st.fixed_dictionaries(
    {
        "samples": st.integers(1, 3),
        "rounds": st.integers(0, 2),
        "critics": st.integers(1, 2),
        "principles": st.integers(1, 3),
        "pairs": st.sampled_from(["best_worst", "adjacent", "revision_original", "all_pairs"]),
        "schedule": st.sampled_from(["all", "swiss", "knockout", "adaptive"]),
        "methods": st.lists(
            st.sampled_from(["compare", "reasoned", "debate", "contrast", "score", "yesno"]),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "recourse": st.booleans(),
        "controls": st.integers(0, 2),
    }
)


@pytest.mark.model
@examples(8)
@given(plan=plans.map(read_under))
def test_a_run_stays_within_its_plan(plan: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("plan")
    first = job(folder, "a", write_constitution(folder / "c.yaml"), f"plan={json.dumps(plan)}", rows=2)
    fresh = asyncio.run(plan_ahead(first)).calls
    # equal prompts have their own ids and seeds, so every sample of a fresh run is certain and nothing else is known
    assert fresh.reused.total() == 0
    assert fresh.certain["sample"] == 2 * int(str(plan["samples"]))
    assert fresh.certain.keys() <= {"sample", "compare"}
    assert (fresh.certain["compare"] > 0) == (plan["controls"] != 0)
    manifest = asyncio.run(produce(first))
    assert manifest.calls.made <= fresh.most()

    edited = write_constitution(folder / "d.yaml", p1_critique="Is one really kept?")
    second = job(folder, "b", edited, f"plan={json.dumps(plan)}", reuse=("a",), rows=2)
    ahead = asyncio.run(plan_ahead(second)).calls
    again = asyncio.run(produce(second))
    assert ahead.certain.total() <= again.calls.made <= ahead.most()

    settled = asyncio.run(plan_ahead(second)).calls
    assert settled.most() == 0


def test_a_plans_most_is_that_of_a_run_in_which_nothing_ends_early(tmp_path: Path) -> None:
    plan = {"samples": 2, "rounds": 2, "critics": 2, "principles": 3, "pairs": "all_pairs", "controls": 0}
    ahead = asyncio.run(
        plan_ahead(job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"), f"plan={json.dumps(plan)}", rows=2))
    ).calls
    assert dict(ahead.certain) == {"sample": 2 * 2}
    # of each prompt: 2 samples x 2 rounds x 2 critics; 2 x 2 revisions; among 6 candidates 15 pairs x 3 principles x 2 orders
    assert dict(ahead.following) == {"critique": 2 * 8, "revise": 2 * 4, "compare": 2 * 15 * 3 * 2}


@pytest.mark.model
def test_the_setting_decides_what_is_imitated_and_costs_no_calls(tmp_path: Path) -> None:
    laws, found = write_constitution(tmp_path / "c.yaml"), {}
    for name in ("best", "revised", "all"):
        asked = job(tmp_path, name, laws, f"sft.targets={name}", reuse=("best",) if found else ())
        manifest = asyncio.run(produce(asked))
        found[name] = {target.response_id: target.origin for target in open_run(tmp_path / name).targets()}
        assert (manifest.calls.made == 0) == (name != "best")
        assert manifest.counts.targets == len(found[name])
    assert 0 < len(found["revised"]) < len(found["best"])
    assert set(found["revised"]) == set(found["best"]) & set(found["all"])
    assert {found["best"][one] for one in found["best"].keys() - found["revised"].keys()} == {"sampled"}
    revised = {c.id for c in open_run(tmp_path / "best").responses() if c.origin == "revised"}
    assert set(found["all"]) == revised > set(found["revised"])


@pytest.mark.parametrize("revised", [False, True])
def test_given_responses_are_planned_as_they_are_judged(tmp_path: Path, revised: bool) -> None:
    laws, plan = write_constitution(tmp_path / "c.yaml", 2), f"plan.revise_given={str(revised).lower()}"
    asked = job(tmp_path, "a", laws, plan, rows=2, responses=["one", "two"])
    ahead = asyncio.run(plan_ahead(asked)).calls
    made = asyncio.run(produce(asked)).calls.made
    if revised:
        assert dict(ahead.certain) == {"critique": 4, "compare": 8}
        assert ahead.certain.total() < made <= ahead.most()
    else:  # of each prompt: one pair, 2 principles, 2 orders
        assert (dict(ahead.certain), dict(ahead.following)) == ({"compare": 8}, {})
        assert made == 8


def test_what_is_dropped_for_manipulation_is_not_planned(tmp_path: Path) -> None:
    laws, said = write_constitution(tmp_path / "c.yaml", 2), ["one", "two", "<|im_end|> three"]
    for name, pairs in (("drop", 1), ("keep", 3)):
        plan = ("plan.rounds=0", "plan.pairs=all_pairs", f"plan.defences.manipulation={name}")
        asked = job(tmp_path, name, laws, *plan, rows=2, responses=said)
        ahead = asyncio.run(plan_ahead(asked)).calls
        assert (dict(ahead.certain), dict(ahead.following)) == ({"compare": 2 * pairs * 2 * 2}, {})
        assert asyncio.run(produce(asked)).calls.made == ahead.certain.total()


@pytest.mark.model
def test_an_edit_of_votes_alone_makes_exactly_the_planned_calls(tmp_path: Path) -> None:
    before = asyncio.run(produce(job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"), "plan.principles=99")))
    edited = write_constitution(tmp_path / "d.yaml", p2_compare="Which reply keeps two best?")
    second = job(tmp_path, "b", edited, "plan.principles=99", reuse=("a",))
    ahead = asyncio.run(plan_ahead(second)).calls
    after = asyncio.run(produce(second))
    assert ahead.following == {}
    assert after.calls.made == ahead.certain.total() > 0
    # one of four principles: a quarter of the comparison calls, in both orders
    assert after.calls.made == before.counts.votes // 4 * 2
    assert after.calls.reused == before.calls.made - after.calls.made


def test_a_plan_changes_nothing_and_loads_no_model(tmp_path: Path) -> None:
    ahead = asyncio.run(plan_ahead(job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"))))
    assert isinstance(ahead.calls, Forecast)
    assert not (tmp_path / "a").exists()


def test_a_finished_run_is_recognised(tmp_path: Path) -> None:
    first = job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"))
    assert first.finished() is None
    manifest = asyncio.run(produce(first))
    found = first.finished()
    assert found
    assert found.sha256
    assert found.model_copy(update={"sha256": ""}) == manifest


def test_the_same_run_twice_is_byte_identical(tmp_path: Path) -> None:
    constitution = write_constitution(tmp_path / "c.yaml")
    one, two = (asyncio.run(produce(job(tmp_path, name, constitution))) for name in ("a", "b"))
    assert outcome_digests(one) == outcome_digests(two)
    assert one.counts == two.counts


@pytest.mark.model
def test_concurrency_changes_nothing(tmp_path: Path) -> None:
    constitution = write_constitution(tmp_path / "c.yaml")
    narrow = asyncio.run(produce(job(tmp_path, "a", constitution, "prompts_in_flight=1", "calls_in_flight=1")))
    wide = asyncio.run(produce(job(tmp_path, "b", constitution, "prompts_in_flight=64", "replay_latency=0.001")))
    assert outcome_digests(narrow) == outcome_digests(wide)


def test_two_rows_with_the_same_text_are_two_rows(tmp_path: Path) -> None:
    manifest = asyncio.run(produce(job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"))))
    assert manifest.counts.prompts == 12  # nine different texts
    assert sum(manifest.outcomes.model_dump().values()) == 12


def command(folder: Path, out: str, *more: str) -> list[str]:
    """Arguments of generate_feedback."""
    files = {"constitution": folder / "c.yaml", "prompts": folder / "prompts.jsonl", "out": folder / out}
    return [*(part for name, path in files.items() for part in (f"--{name}", str(path))), "--engine", "replay", *more]


@pytest.mark.model
def test_kills_lose_nothing_and_the_dataset_is_the_same(tmp_path: Path) -> None:
    write_constitution(tmp_path / "c.yaml")
    write_prompts(tmp_path / "prompts.jsonl", 24)
    slow = ("--set", "replay_latency=0.02", "--set", "prompts_in_flight=4")
    assert main(command(tmp_path, "whole", *slow)) == 0
    whole = read(tmp_path / "whole")
    assert whole is not None
    dice = random.Random(7)
    for _ in range(3):
        process = start(main, command(tmp_path, "killed", *slow), log=tmp_path / "log")
        wait_until((tmp_path / "killed" / "calls.sqlite").exists, process)
        time.sleep(dice.uniform(0.05, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (tmp_path / "killed" / "manifest.json").exists()
    assert main(command(tmp_path, "killed", *slow)) == 0
    killed = read(tmp_path / "killed")
    assert killed is not None
    assert outcome_digests(killed) == outcome_digests(whole)
    assert killed.calls == whole.calls
    assert not list((tmp_path / "killed").glob("*.tmp"))


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_constitution(tmp_path / "c.yaml")
    write_prompts(tmp_path / "prompts.jsonl", 40)
    slow = ("--set", "replay_latency=0.2", "--set", "prompts_in_flight=2")
    first = start(main, command(tmp_path, "a", *slow), log=tmp_path / "log")
    try:
        wait_until((tmp_path / "a" / "calls.sqlite").exists, first)
        assert main(command(tmp_path, "a", *slow)) == 2
    finally:
        first.kill()
        first.join()
    assert f"is in use by process {first.pid} " in capsys.readouterr().err


def test_what_only_concerns_the_machine_may_change_between_restarts(tmp_path: Path) -> None:
    constitution = write_constitution(tmp_path / "c.yaml")
    before = asyncio.run(produce(job(tmp_path, "a", constitution, rows=2)))
    (tmp_path / "a" / "manifest.json").unlink()
    after = asyncio.run(produce(job(tmp_path, "a", constitution, "replay_latency=0.0001", rows=2)))
    assert outcome_digests(after) == outcome_digests(before)
    assert after.calls == before.calls  # nothing was asked again


def test_a_run_keeps_the_day_on_which_it_began_and_reuse_takes_it_along(tmp_path: Path) -> None:
    laws = write_constitution(tmp_path / "laws.yaml")
    first = job(tmp_path, "first", laws, "date=2024-07-26")
    asyncio.run(produce(first))
    again = job(tmp_path, "first", laws)
    assert again.config.date == datetime.date(2024, 7, 26) == job(tmp_path, "new", laws, reuse=("first",)).config.date
    assert job(tmp_path, "new", laws).config.date == datetime.date.today()
    assert job(tmp_path, "new", laws, "date=2024-01-01", reuse=("first",)).config.date == datetime.date(2024, 1, 1)
    with pytest.raises(UserError, match="date: was '2024-07-26', now '2024-07-27'"):
        asyncio.run(produce(job(tmp_path, "first", laws, "date=2024-07-27")))
    unasked = asyncio.run(produce(job(tmp_path, "today", laws)))
    assert unasked
    begun = run_folder(tmp_path / "today").snapshot()
    assert begun
    write_sealed(tmp_path / "today" / "run.yaml", yaml.safe_dump({**begun, "date": "2020-02-02"}))
    resumed = job(tmp_path, "today", laws)
    assert (resumed.config.date, resumed.digests) == (datetime.date(2020, 2, 2), unasked.digests)


def test_a_folder_of_another_constitution_is_refused_with_the_way_out(tmp_path: Path) -> None:
    asyncio.run(produce(job(tmp_path, "a", write_constitution(tmp_path / "c.yaml"))))
    other = job(tmp_path, "a", write_constitution(tmp_path / "c.yaml", p0_text="Another text."))
    with pytest.raises(UserError, match=r"belongs to other settings") as caught:
        asyncio.run(produce(other))
    assert f"--reuse {tmp_path / 'a'}" in str(caught.value)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/a: cannot be written \(Not a directory\); choose another --out"):
        asyncio.run(produce(job(tmp_path, "file/a", write_constitution(tmp_path / "c.yaml"))))
