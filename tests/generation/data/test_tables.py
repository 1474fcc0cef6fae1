"""Tables are read in pieces of bounded size, whatever a small file asks for."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from constitution.errors import UserError
from generation.data import tables
from generation.data.record import BadRow
from generation.data.source import source
from generation.data.tables import HELD, rows


def indexed(*cells: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([*range(len(cells))] * times, pa.int32()), pa.array(cells))


def nested(array: pa.Array, each: int) -> pa.Array:
    """Lists of `each` messages."""
    turns = pa.StructArray.from_arrays([array], ["content"])
    return pa.ListArray.from_arrays(pa.array(range(0, len(array) + 1, each), pa.int32()), turns)


def test_equal_values_are_not_written_out(tmp_path: Path) -> None:
    """Half a gigabyte as values, some kilobytes in the file."""
    path = tmp_path / "p.parquet"
    large = "y" * (10 << 20)
    table = pa.table({"prompt": indexed(large, "Hi?", times=20), "turns": nested(indexed(large, "a", times=40), 2)})
    pq.write_table(table, path, compression="zstd")
    before = pa.total_allocated_bytes()
    most, found = 0, []
    for record in source(str(path), {"prompt"}).one()[0]():
        most = max(most, pa.total_allocated_bytes() - before)
        found.append(
            "large" if isinstance(record.row, BadRow) or len(record.row["prompt"]) > 9 else record.row["prompt"]
        )
    assert found == ["large", "Hi?"] * 20
    assert most < 4 * HELD


def test_a_column_that_is_not_read_may_be_too_large_and_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "HELD", 100)
    monkeypatch.setattr(tables, "MAX_ROW", 50)
    batch = pa.RecordBatch.from_pydict({"prompt": ["a", "b"], "picture": ["x" * 200, "small"]})
    assert [record.row for record in rows(batch, "f", 1, {"prompt"})] == [
        {"prompt": "a"},
        {"prompt": "b", "picture": "small"},
    ]
    bad, good = rows(batch, "f", 7, {"picture"})
    assert isinstance(bad.row, BadRow)
    assert bad.row.reason == "cell_too_large"
    assert (bad.place, good.place) == ("f:7", "f:8")


def test_a_value_that_python_has_not_costs_its_row_alone() -> None:
    times = pa.array([0, 2**62, 1], pa.timestamp("s"))
    batch = pa.RecordBatch.from_pydict({"prompt": ["a", "b", "c"], "at": times})
    found = [record.row for record in rows(batch, "f", 1, {"prompt"})]
    assert [isinstance(row, BadRow) for row in found] == [False, True, False]


def repeated_numbers(path: Path) -> None:
    """A row of 2^18 equal numbers."""
    lists = pa.ListArray.from_arrays(pa.array([0, 1 << 18], pa.int32()), pa.array([0] * (1 << 18), pa.int64()))
    pq.write_table(pa.table({"prompt": ["a"], "numbers": lists}), path, compression="zstd")


def twice(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"]), path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (repeated_numbers, r"holds 2,\d+,\d+ bytes in \d+, in one row group of 1 rows"),
        (twice, "has a column name twice"),
    ],
)
def test_what_no_table_of_rows_is_is_refused(
    write: Callable[[Path], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_GROUP", 1 << 20)
    write(tmp_path / "p.parquet")
    with pytest.raises(UserError, match=message):
        list(source(str(tmp_path / "p.parquet")).one()[0]())


@pytest.mark.parametrize(
    ("array", "size"),
    [
        pytest.param(pa.array([1, 2, 3, 4]), 4 * 8, id="numbers"),
        pytest.param(indexed("ab", "c", times=3), 3 * (2 + 1) + 6 * 8, id="texts-held-once"),
        pytest.param(pa.array([7, 7, 7]).dictionary_encode(), 3 * 8, id="numbers-held-once"),
        pytest.param(pa.array([{"a": 1, "b": 2}] * 5), 5 * (8 + 8 + 8), id="groups"),
        pytest.param(pa.array([[1, 2, 3], []] * 4), 4 * 3 * 8 + 8 * 8, id="lists"),
        pytest.param(nested(indexed("ab", "c", times=2), 2), 2 * (2 + 1) + 4 * (8 + 8) + 2 * 8, id="turns"),
        pytest.param(pa.array([[(1, 2)], [(3, 4)]], pa.map_(pa.int64(), pa.int64())), 2 * (8 + 8), id="maps"),
    ],
)
def test_what_values_take_when_each_is_held_by_itself(array: pa.Array, size: int) -> None:
    assert tables._size(pa.record_batch([array], ["x"])) == size
