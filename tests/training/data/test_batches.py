"""What a batch holds, in both layouts, and the order in which rows are seen."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.batches import MEGABATCH, Example, Layout, by_response, collate, order, unflatten

TWO = [Example([5, 6, 7], [[8, 9], [10]]), Example([11], [[12, 13, 14]])]

tokens = st.lists(st.integers(1, 99), min_size=1, max_size=6)
examples = st.lists(
    st.builds(Example, tokens, st.lists(tokens, min_size=1, max_size=3), st.none()), min_size=1, max_size=4
)
layouts = st.sampled_from(["packed", "padded"])


def test_packed_has_each_prompt_once_and_its_responses_after_it() -> None:
    batch = collate(TWO, "packed")
    assert batch["tokens"].tolist() == [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
    assert batch["positions"].tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 2, 3]]
    assert batch["where"].tolist() == [
        2,
        3,
        2,
        6,
        7,
        8,
    ]  # the second response's first token is foretold by the prompt's last
    assert batch["targets"].tolist() == [8, 9, 10, 12, 13, 14]
    assert batch["row"].tolist() == [0, 0, 1, 2, 2, 2]
    assert batch["last"].tolist() == [4, 5, 9]
    assert batch["lengths"].tolist() == [2, 1, 3]
    pieces = batch["segments"]
    assert (pieces.sizes, pieces.prompts, pieces.longest) == ([3, 2, 1, 1, 3], [None, 0, 0, None, 3], (3, 5))
    assert pieces.gather.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5, 6, 6, 7, 8, 9]
    assert (pieces.queries.tolist(), pieces.keys.tolist()) == ([0, 3, 5, 6, 7, 10], [0, 3, 8, 12, 13, 17])


def test_padded_has_the_prompt_before_each_response() -> None:
    batch = collate(TWO, "padded")
    assert batch["tokens"].tolist() == [[5, 6, 7, 8, 9], [5, 6, 7, 10, 0], [11, 12, 13, 14, 0]]
    assert batch["mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]
    assert batch["positions"].tolist() == [[0, 1, 2, 3, 4]] * 3
    assert batch["where"].tolist() == [2, 3, 7, 10, 11, 12]
    assert batch["targets"].tolist() == [8, 9, 10, 12, 13, 14]
    assert batch["last"].tolist() == [4, 8, 13]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_no_number_has_two_names_in_memory(layout: Layout) -> None:
    """Or it could not be copied into the pinned memory from which a GPU reads."""
    batch = collate(TWO, layout)
    pieces = batch.pop("segments", None)
    assert all(values.is_contiguous() for values in batch.values())
    assert (pieces is None) == (layout == "padded")
    assert pieces is None or all(x.is_contiguous() for x in (pieces.gather, pieces.queries, pieces.keys))


@given(examples, layouts)
def test_places_name_the_responses(rows: list[Example], layout: str) -> None:
    batch = collate(rows, layout)  # type: ignore[arg-type]
    flat, places = batch["tokens"].flatten(), batch["positions"].flatten()
    responses = [list(response) for row in rows for response in row.responses]
    prompts = [len(row.prompt) for row in rows for _ in row.responses]
    assert batch["lengths"].tolist() == [len(response) for response in responses]
    assert flat[batch["last"]].tolist() == [response[-1] for response in responses]
    assert places[batch["last"]].tolist() == [
        n + len(response) - 1 for n, response in zip(prompts, responses, strict=True)
    ]
    assert batch["targets"].split(batch["lengths"].tolist())[-1].tolist() == responses[-1]
    positions = [n - 1 + i for n, response in zip(prompts, responses, strict=True) for i in range(len(response))]
    assert places[batch["where"]].tolist() == positions
    before = [([*row.prompt, *response])[len(row.prompt) - 1 : -1] for row in rows for response in row.responses]
    assert flat[batch["where"]].tolist() == [token for part in before for token in part]


@given(examples)
def test_both_layouts_name_the_same_tokens(rows: list[Example]) -> None:
    packed, padded = collate(rows, "packed"), collate(rows, "padded")
    for name in ("targets", "row", "lengths"):
        assert packed[name].tolist() == padded[name].tolist()
    assert packed["tokens"].numel() == sum(row.size for row in rows)


@given(examples, layouts)
def test_values_of_tokens_add_up_by_response_and_come_back_from_a_table(rows: list[Example], layout: str) -> None:
    batch = collate(rows, layout)  # type: ignore[arg-type]
    values = torch.arange(1.0, len(batch["targets"]) + 1)
    table, mask = unflatten(values, batch["lengths"])
    assert table.sum(1).tolist() == by_response(values, batch).tolist()
    assert table[mask].tolist() == values.tolist()
    assert mask.sum(1).tolist() == batch["lengths"].tolist()
    assert not table[~mask].any()


lengths = st.lists(st.integers(2, 500), min_size=1, max_size=60)


@given(lengths, st.integers(1, 8), st.booleans(), st.integers(0, 3), st.integers(0, 200))
def test_every_row_has_its_turn_before_one_has_another(
    sizes: list[int], batch: int, bucket: bool, seed: int, turns: int
) -> None:
    found = order(sizes, turns, batch, bucket, seed)
    assert len(found) == turns
    for epoch in range(0, turns - len(sizes) + 1, len(sizes)):
        assert sorted(found[epoch : epoch + len(sizes)]) == list(range(len(sizes)))
    rest = found[turns - turns % len(sizes) :]
    assert len(set(rest)) == len(rest)


@given(lengths, st.integers(1, 8), st.booleans(), st.integers(0, 3))
def test_a_longer_run_begins_as_a_shorter_one(sizes: list[int], batch: int, bucket: bool, seed: int) -> None:
    assert order(sizes, 150, batch, bucket, seed)[:70] == order(sizes, 70, batch, bucket, seed)


def test_seeds_and_epochs_differ() -> None:
    first, second = order([1] * 50, 100, 5, True, 0), order([1] * 50, 100, 5, True, 1)
    assert first != second
    assert first[:50] != first[50:]


@pytest.mark.parametrize("rows", [64, 8 * MEGABATCH, 8 * MEGABATCH + 64])
def test_rows_of_one_batch_have_similar_lengths(rows: int) -> None:
    sizes = [(i * 7919) % 1000 for i in range(rows)]
    found = order(sizes, rows, 8, True, 0)
    batches = [[sizes[row] for row in found[i : i + 8]] for i in range(0, rows, 8)]
    spread = [max(part) - min(part) for part in batches]
    assert max(spread) < 250  # unsorted, eight of these differ by 780 on average
    assert [part[0] for part in batches] != sorted((part[0] for part in batches), reverse=True)  # batches are shuffled
