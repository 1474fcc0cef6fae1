"""Tokens that are read and not learnt: tool outputs, users' turns, headers."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example, Layout, collate
from training.data.encode import PairRow, TargetRow
from training.data.segments import Segments
from training.model.loading import load_policy, load_reward
from training.ppo.experience import Responses, chunks, tabled
from training.recipes.config import DPO, SFT, Reward
from training.recipes.dpo import DPORecipe
from training.recipes.recipe import WEIGHT
from training.recipes.reward import RewardRecipe
from training.recipes.sft import SFTRecipe

T, F = True, False
LAYOUTS: Any = pytest.mark.parametrize("layout", ["packed", "padded"])
MASKED = [
    Example((1, 8, 9), ((10, 11, 2, 12, 13, 14, 2), (12, 2)), ((T, T, T, F, F, T, T), (T, T))),
    Example((1, 9), ((13, 2), (10, 14, 15, 2)), ((T, F), (F, T, F, T))),
    Example((1, 8, 8, 9), ((9, 2), (9, 9, 2))),
]
PAIRS = [PairRow(name, example, 0.8, 0.0, 2.0) for name, example in zip("abc", MASKED, strict=True)]
TARGETS = [
    TargetRow(row.id, Example(e.prompt, e.responses[:1], e.trained and e.trained[:1]), 1.0)
    for row in PAIRS
    for e in [row.example]
]

tokens = st.lists(st.integers(1, 99), min_size=1, max_size=6)
examples = st.lists(
    st.builds(Example, tokens, st.lists(tokens, min_size=1, max_size=3), st.none()), min_size=1, max_size=4
)


@pytest.mark.model
@given(examples, st.sampled_from(["packed", "padded"]), st.randoms(use_true_random=False))
def test_a_batch_names_trained_tokens_alone(rows: list[Example], layout: Any, chance: Any) -> None:
    masks = [[[chance.random() < 0.5 for _ in response] for response in row.responses] for row in rows]
    whole = collate(rows, layout)
    batch = collate([row._replace(trained=mask) for row, mask in zip(rows, masks, strict=True)], layout)
    trained = torch.tensor([one for mask in masks for response in mask for one in response])
    for name in ("where", "targets", "row"):
        assert batch[name].tolist() == whole[name][trained].tolist()
    assert batch["lengths"].tolist() == [sum(response) for mask in masks for response in mask]
    for name in whole.keys() - {"where", "targets", "row", "lengths"}:
        assert plain(batch[name]) == plain(whole[name])


@LAYOUTS
def test_a_mask_that_hides_nothing_is_none(layout: Layout) -> None:
    whole = collate([row._replace(trained=None) for row in MASKED], layout)
    batch = collate([row._replace(trained=[[T] * len(r) for r in row.responses]) for row in MASKED], layout)
    assert {name: plain(values) for name, values in batch.items()} == {n: plain(v) for n, v in whole.items()}


def plain(values: Tensor | Segments) -> object:
    """What equality can be asked of."""
    return values.groups if isinstance(values, Segments) else values.tolist()


def recipe_and_model(kind: str, files: ModelFiles, layout: Layout) -> tuple[Any, Any, Sequence[Any]]:
    torch.manual_seed(0)
    if kind == "reward":
        reward: Any = load_reward(files, 1, Reward(layout=layout))
        with torch.no_grad():
            reward.inner.score.weight.normal_()
        return RewardRecipe(Reward()), reward, PAIRS
    if kind == "sft":
        return SFTRecipe(), load_policy(files, SFT(layout=layout)), TARGETS
    recipe = DPORecipe(DPO(loss="soft", sft_weight=0.2, normalize=kind == "normalized"))
    recipe.references = {row.example: (-9.0 + i, -8.0) for i, row in enumerate(PAIRS)}
    return recipe, load_policy(files, DPO(layout=layout)), PAIRS


def outcome(recipe: Any, model: Any, rows: Sequence[Any], layout: Layout) -> tuple[Any, dict[str, Any], Any, Any]:
    """Losses and metrics, gradients of weights, and of the states that the head reads, with the batch."""
    seen = []

    def keep(module: Any, args: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        seen.append(output.last_hidden_state)

    hook = model.inner.base_model.register_forward_hook(keep)
    model.zero_grad()
    batch = recipe.collate(rows, layout)
    found = recipe.outcome(model, batch)
    ((found.loss * batch[WEIGHT]).sum() / batch[WEIGHT].sum()).backward()
    hook.remove()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found, grads, seen[0].grad.flatten(0, 1), batch


@pytest.mark.parametrize("kind", ["sft", "dpo", "normalized", "reward"])
@LAYOUTS
def test_no_gradient_comes_from_where_a_masked_token_is_foretold(
    tiny_files: ModelFiles, kind: str, layout: Layout
) -> None:
    recipe, model, rows = recipe_and_model(kind, tiny_files, layout)
    _, _, states, batch = outcome(recipe, model, rows, layout)
    read = torch.zeros(len(states), dtype=torch.bool)
    read[batch["last"] if kind == "reward" else batch["where"]] = True
    assert (states[~read] == 0).all()
    assert (states[read].abs().sum(1) > 0).all()
    whole = collate([row.example._replace(trained=None) for row in rows], layout)
    assert kind == "reward" or not read[whole["where"]].all()


@pytest.mark.parametrize("kind", ["sft", "dpo", "normalized", "reward"])
def test_packed_is_padded(tiny_files: ModelFiles, kind: str) -> None:
    found = {}
    for layout in ("packed", "padded"):
        recipe, model, rows = recipe_and_model(kind, tiny_files, layout)  # type: ignore[arg-type]
        found[layout] = outcome(recipe, model, rows, layout)  # type: ignore[arg-type]
    (packed, grads, *_), (padded, others, *_) = found["packed"], found["padded"]
    torch.testing.assert_close(packed.loss, padded.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(dict(packed.values), dict(padded.values), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grads, others, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
@LAYOUTS
def test_the_label_of_a_masked_token_decides_nothing(tiny_files: ModelFiles, kind: str, layout: Layout) -> None:
    """Nothing comes after the second row's masked end, so that it is a label alone: another one leaves every bit as it was."""
    recipe, model, rows = recipe_and_model(kind, tiny_files, layout)
    example = rows[1].example
    other = [rows[0], rows[1]._replace(example=example._replace(responses=((13, 16), *example.responses[1:]))), rows[2]]
    if kind == "dpo":
        recipe.references[other[1].example] = recipe.references[example]
    found, grads, *_ = outcome(recipe, model, rows, layout)
    changed, others, *_ = outcome(recipe, model, other, layout)
    assert changed.loss.tolist() == found.loss.tolist()
    assert {name: values.tolist() for name, values in changed.values.items()} == {
        name: values.tolist() for name, values in found.values.items()
    }
    if layout == "padded":  # tied embeddings: in either layout the masked token is read, and nothing comes of it
        torch.testing.assert_close(others, grads, rtol=0, atol=0)


@LAYOUTS
def test_losses_are_those_of_trained_tokens_by_hand(tiny_files: ModelFiles, layout: Layout) -> None:
    recipe, model, rows = recipe_and_model("dpo", tiny_files, layout)
    found, *_ = outcome(recipe, model, rows, layout)
    plain, alone = load_policy(tiny_files, DPO(layout="padded")), []
    for row in rows:
        for i, response in enumerate(row.example.responses):
            ids, start = [*row.example.prompt, *response], len(row.example.prompt)
            with torch.no_grad():
                logits = plain.inner(torch.tensor([ids])).logits[0, start - 1 : -1].log_softmax(-1)
            mask = row.example.trained[i] if row.example.trained else [True] * len(response)
            alone.append(sum(logits[place, token] for place, token in enumerate(response) if mask[place]))
    logps = torch.stack(alone)  # type: ignore[arg-type]
    torch.testing.assert_close(found.values["logp_chosen"], logps[0::2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.values["logp_rejected"], logps[1::2], rtol=1e-5, atol=1e-5)
    sft, model, targets = recipe_and_model("sft", tiny_files, layout)
    learnt, *_ = outcome(sft, model, targets, layout)
    torch.testing.assert_close(learnt.loss, -logps[0::2] / torch.tensor([5.0, 1.0, 2.0]), rtol=1e-5, atol=1e-5)
    assert learnt.values["length"].tolist() == [5, 1, 2]


@LAYOUTS
def test_experience_has_trained_tokens_alone(layout: Layout) -> None:
    responses = Responses([*MASKED], [0, 1, 2], [0.0] * 6, [[0.0] * n for e in MASKED for n in e.lengths])
    tables = []
    for part in chunks(responses.examples, 4):  # the last example's responses are cut apart from one another
        batch = collate(part, layout)
        tables.append(tabled(batch["targets"], batch, responses.longest))
    table = torch.cat(tables)
    assert (table != 0).tolist() == responses.mask().tolist()
    assert responses.mask().sum(1).tolist() == [5, 2, 1, 2, 2, 3]
    assert table[0].tolist() == [10, 11, 2, 14, 2]
