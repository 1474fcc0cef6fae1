"""Shards as a node makes them, and the run that is merged from them: without Ray, which only says where."""

import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from constitution.checks.own import load_rules
from constitution.errors import Fault, UserError
from constitution.options import parse
from generation.cluster import worker
from generation.cluster.attempts import Ended, Standing
from generation.cluster.driver import ClusterRun, given_up
from generation.cluster.order import order
from generation.cluster.parts import read_part
from generation.cluster.storage import Storage
from generation.output.files import read_sealed, write_sealed
from generation.output.folder import INSPECTED
from generation.output.manifest import Manifest, whole
from generation.pipeline.job import prepare
from generation.pipeline.progress import Snapshot
from generation.request import FeedbackSettings
from generation.shard import Shard, shards
from solon import produce
from tests.forks import start, wait

LAWS = "name: laws\nversion: 1\nobjectives: {good: 1.0}\nprinciples:\n  - {id: kind, objective: good, text: Be kind.}\n"
N = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "laws.yaml").write_text(LAWS)
    rows = [{"id": f"p{i}", "prompt": f"Say something about {i}."} for i in range(11)] + [{"id": "bad", "prompt": 7}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def settings(folder: Path, out: str, *more: str, **given: object) -> FeedbackSettings:
    overrides = ("plan.rounds=0", "plan.controls=4", f"cluster.scratch={folder / 'scratch'}", *more)
    return FeedbackSettings.model_validate(
        {
            "constitution": folder / "laws.yaml", "prompts": str(folder / "prompts.jsonl"), "engine": "replay",
            "out": out, "overrides": overrides, **given,
        }
    )  # fmt: skip


def cluster_run(folder: Path, out: str, *more: str, parts: int = N, **given: object) -> ClusterRun:
    asked = settings(folder, out, *more, ray="local", shards=parts, **given)
    return ClusterRun(asked, prepare(asked))


def make(run: ClusterRun, shard: Shard, watch: Callable[[Snapshot], None] = lambda _: None) -> Ended:
    """As on a node: told by pickle."""
    told = pickle.loads(pickle.dumps(order(run.job, run.storage.address)))
    return worker.make(told, shard, "node", watch)


def made(run: ClusterRun, parts: int = N) -> Manifest:
    run._divided()
    for shard in shards(parts):
        assert make(run, shard) == Ended(shard, True, "node")
    return run.make(None)


def data(manifest: Manifest) -> dict[str, str]:
    return {name: sha for name, sha in manifest.files.items() if name.endswith(".parquet")}


def one(folder: Path) -> Manifest:
    assert produce.run(settings(folder, str(folder / "one")), Console(quiet=True)) == 0
    return whole(folder / "one")


@pytest.mark.model
@pytest.mark.parametrize("parts", [1, 4])
def test_the_files_are_those_of_one_process_whatever_the_number_of_shards(folder: Path, parts: int) -> None:
    alone = one(folder)
    run = cluster_run(folder, str(folder / "all"), parts=parts)
    merged = made(run, parts)
    assert data(merged) == data(alone)
    assert (merged.counts, merged.controls, merged.digests) == (alone.counts, alone.controls, alone.digests)
    assert (merged.calls, merged.tokens, merged.merged) == (alone.calls, alone.tokens, parts)
    assert whole(folder / "all").files == merged.files
    assert run.finished() == whole(folder / "all")
    assert not list((folder / "scratch").rglob("calls.sqlite")), "what was handed over is not kept twice"


def test_a_run_goes_to_an_address_and_comes_from_one(folder: Path) -> None:
    out = f"memory://{folder.name}/run"
    run = cluster_run(folder, out)
    shutil.rmtree(run.job.out, ignore_errors=True)
    manifest = made(run)
    there = Storage(out)
    assert "manifest.json" in there.files()
    found = run.finished()
    assert found
    assert found.files == manifest.files
    there.get_folder("", folder / "back")
    assert data(whole(folder / "back")) == data(one(folder))
    shutil.rmtree(run.job.out)


@pytest.mark.model
def test_a_shard_that_was_begun_goes_on_from_the_calls_in_the_storage(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"), "max_calls=30")
    run._divided()
    ended = make(run, Shard(0, N))
    assert ended.limited
    assert "--max-calls 10" in ended.reason
    assert [path.stem for path in run.parts()] == ["part-00000-of-00003"]
    shutil.rmtree(folder / "scratch")  # the node is lost
    seen: list[Snapshot] = []
    again = cluster_run(folder, str(folder / "all"))
    assert make(again, Shard(0, N), seen.append).done
    assert seen[-1].reused == 10, "none of them is made again"
    for shard in shards(N)[1:]:
        assert make(again, shard).done
    assert again.make(None).calls == one(folder).calls


def test_a_start_that_comes_late_changes_nothing(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"))
    made(run)
    before = [read_part(run.storage, shard) for shard in shards(N)]
    assert make(run, Shard(1, N)).done
    (folder / "all.shards" / "part-00001-of-00003.lost").mkdir()
    run.make(None)
    assert not (folder / "all.shards" / "part-00001-of-00003.lost").exists()
    assert [read_part(run.storage, shard) for shard in shards(N)] == before


def test_a_shard_that_the_storage_has_lost_is_told_and_made_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cluster_run(folder, str(folder / "all"))
    run._divided()
    for shard in shards(N):
        make(run, shard)
    part = read_part(run.storage, Shard(1, N))
    assert part
    (folder / "all.shards" / part.folder / "votes.parquet").write_bytes(b"")
    asked: list[list[Shard]] = []

    def on_this_machine(left: list[Shard], *_: object) -> None:
        asked.append(left)
        assert all(make(run, shard).done for shard in left)

    monkeypatch.setattr(run, "_run", on_this_machine)
    assert data(run.make(None)) == data(one(folder))
    assert asked == [[Shard(1, N)]]
    assert "shard 1/3 is damaged or lost; it is made again" in capsys.readouterr().err


def test_a_full_disk_and_a_lost_storage_end_a_start_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cluster_run(folder, str(folder / "all"))
    run._divided()
    (folder / "all.shards").rename(folder / "away")
    (folder / "all.shards").write_text("")
    lost = make(run, Shard(0, N))
    assert not lost.done
    assert not lost.refused
    assert "all.shards: has no rows of shard 0/3" in lost.reason
    (folder / "all.shards").unlink()
    (folder / "away").rename(folder / "all.shards")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
        full = make(run, Shard(0, N))
    assert "0 MiB free" in full.reason
    assert make(run, Shard(0, N)).done


def test_another_version_and_damaged_rows_are_refused(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"))
    run._divided()
    rows = folder / "all.shards" / "rows" / "part-00000-of-00003.gz"
    rows.write_bytes(rows.read_bytes()[:40])
    assert "cannot be read" in make(run, Shard(0, N)).reason
    told = order(run.job, run.storage.address)
    ended = worker.make(replace(told, code="other"), Shard(0, N), "node", print)
    assert ended.refused
    assert "another version of Solon" in ended.reason


def test_a_storage_of_another_run_is_refused(folder: Path) -> None:
    cluster_run(folder, str(folder / "all"))._claim()
    with pytest.raises(UserError, match=r"(?s)has shards of another run.*shards: was 3, now 2"):
        cluster_run(folder, str(folder / "all"), parts=2)
    with pytest.raises(UserError, match="settings: was"):
        cluster_run(folder, str(folder / "all"), "plan.samples=3")


def test_a_run_keeps_the_day_of_its_first_start(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"))
    assert run.storage.names() == [], "a forecast changes nothing"
    run._claim()
    state = json.loads(run.storage.read("run.json") or "")
    state["date"] = "2020-02-02"
    run.storage.write("run.json", json.dumps(state), folder)
    assert str(cluster_run(folder, str(folder / "all")).job.config.date) == "2020-02-02"


def test_what_was_found_of_the_prompts_is_known_at_the_next_start(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"))
    run._claim()
    kept = folder / "all" / INSPECTED
    write_sealed(kept, read_sealed(kept).replace('"rows":12', '"rows":99'))
    assert cluster_run(folder, str(folder / "all")).job.info.rows == 99
    kept.unlink()
    assert made(cluster_run(folder, str(folder / "all"))).outcomes.failed == 1


def test_options_that_do_not_go_together_are_refused() -> None:
    for given, words in (
        (["--ray", "local"], "--ray: is for --shards, which is not given; give both"),
        (["--shards", "2"], "--shards: is for --ray, which is not given; give both"),
        (["--out", "s3://bucket/run"], "--out: got an address, which is for --ray alone; allowed: a folder"),
        (["--ray", "local", "--shards", "2", "--shard", "0/2"], "--shard: is not for --ray"),
    ):
        with pytest.raises(UserError) as found:
            parse(FeedbackSettings, ["--constitution", "hhh", "--prompts", "x", "--out", "x", *given])
        assert words in str(found.value)


def test_a_forecast_knows_what_shards_have_made(folder: Path) -> None:
    run = cluster_run(folder, str(folder / "all"))
    run._divided()
    make(run, Shard(0, N))
    (calls,) = run.parts()
    with closing(sqlite3.connect(calls)) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone()[0] > 10
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


def test_a_bug_on_a_node_is_told_with_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(worker, "fetch_calls", lambda *_: dict[str, int]()["lost"])  # nobody foresaw it
    run = cluster_run(folder, str(folder / "run"))
    run._divided()
    how = make(run, next(iter(shards(N))))
    assert "KeyError: 'lost'" in how.reason
    error = given_up("place", [Standing(how.shard, ended=how), Standing(how.shard, ended=how._replace(fault=""))], 4)
    assert isinstance(error, Fault)
    assert str(error).startswith(
        f"place: 2 shards were given up after 4 starts that came to nothing new: shard {how.shard}: "
    )
    (log,) = folder.glob("solon-fault-*.log")
    assert str(log) in str(error)
    assert "fetch_calls(storage, shard, job.out)" in log.read_text(encoding="utf-8")


def test_what_failed_is_asked_again_where_it_failed_and_nothing_else_is(folder: Path) -> None:
    first = made(cluster_run(folder, str(folder / "run")))
    again = cluster_run(folder, str(folder / "run"), forget="failed")
    assert again.finished() is None
    again._reopen()
    left = [shard for shard in shards(N) if read_part(again.storage, shard) is None]
    assert len(left) == 1  # that of the row that is no prompt
    asked = make(again, left[0])
    assert asked.done
    merged = cluster_run(folder, str(folder / "run")).make(None)
    assert data(merged) == data(first)
    assert merged.calls.made == first.calls.made


DEADLY = """
import os

def deadly(prompt, response):
    return "about 3." not in prompt.messages[-1].content or os._exit(9)
"""


def in_a_process(told: bytes, shard: Shard, careful: bool) -> int:
    return 0 if worker.make(pickle.loads(told), shard, "node", lambda _: None, careful).done else 1


def test_a_prompt_that_ends_its_process_costs_its_record_alone(folder: Path) -> None:
    """The first start is not careful; then one prompt is worked on at a time, until the process has ended three times on the same."""
    (folder / "rules.py").write_text(DEADLY)
    load_rules(folder / "rules.py")
    (folder / "laws.yaml").write_text(
        LAWS + "  - {id: deadly, objective: good, text: Be short., check: {own: deadly}}\n"
    )
    run = cluster_run(folder, str(folder / "run"), parts=1)
    run._divided()
    told, (shard,) = pickle.dumps(order(run.job, run.storage.address)), shards(1)
    codes = []
    for careful in (False, True, True, True, True):
        process = start(in_a_process, told, shard, careful, log=folder / "log")
        wait(process)
        codes.append(process.exitcode)
    assert codes == [9, 9, 9, 9, 0], (folder / "log").read_text()
    manifest = run.make(None)
    assert manifest.failed == {"engine: process_ended": 1, "read: bad_row": 1}
    assert manifest.outcomes.failed == 2
