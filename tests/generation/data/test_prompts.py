"""Prompts in every form, and every way a row or a file can be bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from constitution.errors import UserError
from constitution.records import Failure, Prompt
from generation.config import Plan
from generation.data.prompts import inspect, read
from generation.data.record import MAX_CELL

ASK = {"role": "user", "content": "hi"}
CALL = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]}


def jsonl(folder: Path, *rows: object) -> str:
    path = folder / "p.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def one(folder: Path, row: object) -> Prompt | Failure:
    (record,) = read(jsonl(folder, row))
    return record


@pytest.mark.parametrize(
    ("row", "check"),
    [
        pytest.param({"prompt": "hi"}, lambda p: p.messages[0].content == "hi", id="text"),
        pytest.param({"prompt": [ASK]}, lambda p: p.messages[0].role == "user", id="messages-in-prompt"),
        pytest.param({"messages": [ASK]}, lambda p: p.messages[0].content == "hi", id="messages"),
        pytest.param({"prompt": "hi", "id": 7}, lambda p: p.id == "7", id="own-id"),
        pytest.param({"prompt": "hi", "tags": ["a"]}, lambda p: p.tags == ("a",), id="tags"),
        pytest.param({"prompt": "hi", "responses": ["x", {"role": "assistant", "content": "y"}, [{"role": "assistant", "content": "z"}]]},
                     lambda p: [r.content for r in p.responses] == ["x", "y", "z"], id="responses"),
        pytest.param({"prompt": "hi", "tools": [{"name": "f"}]}, lambda p: p.tools == ({"name": "f"},), id="tools"),
        pytest.param({"prompt": [ASK, CALL, {"role": "tool", "content": "2"}]},
                     lambda p: p.messages[1].tool_calls[0].function.arguments == {"x": 1}, id="tool-turns"),
        pytest.param({"messages": [ASK, {"role": "assistant", "content": "x"}]},
                     lambda p: ([m.role for m in p.messages], [r.content for r in p.responses]) == (["user"], ["x"]), id="a-whole-conversation"),
        pytest.param({"messages": [ASK, CALL]}, lambda p: p.responses[0].tool_calls[0].function.name == "f", id="a-call-at-the-end"),
        pytest.param({"conversations": [ASK, CALL, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "x"}], "system": "s"},
                     lambda p: ([m.role for m in p.messages], len(p.responses)) == (["system", "user", "assistant", "tool"], 1),
                     id="a-conversation-of-tools"),
        pytest.param({"prompt": "hi", "messages": [ASK, {"role": "assistant", "content": "x"}]}, lambda p: p.responses == (),
                     id="a-prompt-beside-a-conversation"),
        pytest.param({"prompt": "hi", "tags": None, "responses": None}, lambda p: p.responses == (), id="nulls"),
    ],
)  # fmt: skip
def test_a_row_is_read(row: object, check: Callable[[Prompt], bool], tmp_path: Path) -> None:
    record = one(tmp_path, row)
    assert isinstance(record, Prompt)
    assert check(record)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"prompt": ""}, "empty_prompt", id="empty"),
        pytest.param({"prompt": " \n"}, "empty_prompt", id="blank"),
        pytest.param({"prompt": []}, "empty_prompt", id="no-messages"),
        pytest.param({"text": "hi"}, "bad_row", id="no-prompt"),
        pytest.param({"prompt": 3}, "bad_row", id="a-number"),
        pytest.param([1], "bad_row", id="a-list"),
        pytest.param("{", "bad_json", id="not-json"),
        pytest.param("[" * 5000 + "]" * 5000, "bad_json", id="nested-too-deep"),
        pytest.param({"prompt": "a\0b"}, "nul_byte", id="nul"),
        pytest.param('{"prompt": "a\\ud800b"}', "lone_surrogate", id="lone-surrogate"),
        pytest.param({"prompt": "x" * (10 << 20)}, "cell_too_large", id="ten-megabytes"),
        pytest.param({"prompt": "\n\nHuman: a\n\nAssistant: b" * 501 + "\n\nHuman: a"}, "cell_too_large", id="a-thousand-turns"),
        pytest.param({"prompt": "hi", "responses": [*map(str, range(1001))]}, "cell_too_large", id="a-thousand-responses"),
        pytest.param({"prompt": "hi", "tools": [{"name": "f"}] * 1001}, "cell_too_large", id="a-thousand-tools"),
        pytest.param({"prompt": "hi", "tags": "a " * 1001}, "cell_too_large", id="a-thousand-tags"),
        pytest.param({"prompt": [ASK, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}] * 1001}]},
                     "cell_too_large", id="a-thousand-calls"),
        pytest.param({"prompt": [ASK, {"role": "assistant", "content": "x"}]}, "wrong_roles", id="assistant-last"),
        pytest.param({"messages": [ASK, {"role": "assistant", "content": "x"}], "responses": ["y"]}, "wrong_roles", id="an-answer-and-responses"),
        pytest.param({"messages": [ASK, *2 * [{"role": "assistant", "content": "x"}]]}, "wrong_roles", id="two-answers"),
        pytest.param({"messages": [{"role": "assistant", "content": "x"}]}, "empty_prompt", id="an-answer-alone"),
        pytest.param({"messages": [ASK, {"role": "assistant", "content": " "}]}, "bad_response", id="an-empty-answer"),
        pytest.param({"prompt": [{"role": "robot", "content": "x"}]}, "wrong_roles", id="unknown-role"),
        pytest.param({"prompt": [ASK, {"role": "system", "content": "x"}, ASK]}, "wrong_roles", id="system-later"),
        pytest.param({"prompt": [ASK, {"role": "tool", "content": "x"}]}, "wrong_roles", id="tool-without-a-call"),
        pytest.param({"prompt": [ASK, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]}, ASK]},
                     "malformed_tool_call", id="arguments-not-json"),
        pytest.param({"prompt": [ASK, {"role": "assistant", "tool_calls": [{"function": {}}]}, ASK]}, "malformed_tool_call", id="no-name"),
        pytest.param({"prompt": "hi", "responses": "x"}, "bad_row", id="responses-no-list"),
        pytest.param({"prompt": "hi", "responses": [""]}, "bad_response", id="empty-response"),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_failure_and_the_rest_are_read(row: object, reason: str, tmp_path: Path) -> None:
    before, bad, after = read(jsonl(tmp_path, {"prompt": "one"}, row, {"prompt": "two"}))
    assert isinstance(before, Prompt)
    assert isinstance(after, Prompt)
    assert isinstance(bad, Failure)
    assert (bad.stage, bad.reason) == ("read", reason)
    assert "p.jsonl:2: " in bad.detail


def test_bytes_that_are_not_utf8_are_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"prompt": "\xff"}\n{"prompt": "ok"}\n')
    bad, good = read(str(path))
    assert isinstance(bad, Failure)
    assert bad.reason == "not_utf8"
    assert isinstance(good, Prompt)


def test_equal_rows_get_ids_of_their_own(tmp_path: Path) -> None:
    records = list(read(jsonl(tmp_path, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"})))
    ids = [record.id for record in records if isinstance(record, Prompt)]
    assert ids[1] == f"{ids[0]}-2"
    assert ids[3] == f"{ids[0]}-3"
    assert len(set(ids)) == 4


def test_ids_do_not_depend_on_the_order(tmp_path: Path) -> None:
    forward = {r.id for r in read(jsonl(tmp_path, {"prompt": "a"}, {"prompt": "b"})) if isinstance(r, Prompt)}
    backward = {r.id for r in read(jsonl(tmp_path, {"prompt": "b"}, {"prompt": "a"})) if isinstance(r, Prompt)}
    assert forward == backward


def test_csv_parquet_and_folders(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('prompt,tags,other\nhi,"[""x""]",1\n"two\nlines",,2\n,,3\n')
    records = list(read(str(tmp_path / "p.csv")))
    assert [r.messages[0].content for r in records if isinstance(r, Prompt)] == ["hi", "two\nlines"]
    assert records[0].tags == ("x",)  # type: ignore[union-attr]
    assert isinstance(records[2], Failure)
    assert inspect(str(tmp_path / "p.csv")).ignored == ("other",)

    folder = tmp_path / "shards"
    folder.mkdir()
    rows: list[dict[str, Any]] = [
        {"prompt": [{"role": "user", "content": "a", "name": None}]},
        {"prompt": [{"role": "user", "content": "b", "name": None}]},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")
    pq.write_table(pa.Table.from_pylist(rows[:1]), folder / "1.parquet")
    assert len([r for r in read(str(folder)) if isinstance(r, Prompt)]) == 3
    assert len(list(read(str(folder), 2))) == 2


def test_a_saved_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([{"prompt": "a"}, {"prompt": "b"}]).save_to_disk(str(tmp_path / "saved"))
    assert [r.messages[0].content for r in read(str(tmp_path / "saved")) if isinstance(r, Prompt)] == ["a", "b"]


def test_a_conversation_taken_apart_is_told_once(tmp_path: Path) -> None:
    info = inspect(
        jsonl(tmp_path, *2 * [{"messages": [ASK, {"role": "assistant", "content": "x"}]}], {"messages": [ASK]})
    )
    (note,) = info.notes
    assert "taken as a given response" in note
    assert note.endswith("(2 times)")
    assert (info.given, info.single, info.failed.total()) == (2, 2, 0)
    (line,) = Plan().unmet(info.references, info.given, info.single)
    assert line.startswith("2 rows have one response of their own, which is compared with nothing")
    assert [*Plan(revise_given=True).unmet(info.references, info.given, info.single)] == []


def test_inspect_counts_and_sees_tools(tmp_path: Path) -> None:
    plain = inspect(jsonl(tmp_path, {"prompt": "a"}, {"prompt": ""}))
    assert (plain.rows, plain.has_tools) == (2, False)
    assert inspect(jsonl(tmp_path, {"prompt": [ASK, CALL, {"role": "tool", "content": "2"}]})).has_tools
    assert inspect(jsonl(tmp_path, {"prompt": "a", "tools": [{"name": "f"}]})).has_tools
    assert inspect(jsonl(tmp_path, {"prompt": "b"})).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("none.jsonl", None, "no such file", id="missing"),
        pytest.param("p.txt", b"x", r"got the ending '.txt'; allowed: .jsonl", id="unknown-ending"),
        pytest.param("p.jsonl", b"", "has no rows", id="empty"),
        pytest.param("p.jsonl", b'{"promt": "x"}\n', r"got columns promt \(did you mean prompt\?\); allowed: `prompt`", id="no-usable-column"),
        pytest.param("p.parquet", b"PAR", "is not parquet", id="not-parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_clear_message(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        inspect(str(path))


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no dataset"):
        inspect(str(tmp_path))


def test_the_cap_is_below_what_is_refused() -> None:
    assert MAX_CELL < 10 << 20
