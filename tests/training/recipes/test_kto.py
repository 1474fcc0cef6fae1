"""KTO: its loss by hand, its baseline over all rows of a step, and rows that are pairs."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example
from training.data.unpaired import UnpairedRow, mismatches
from training.model.loading import load_policy
from training.recipes.config import KTO
from training.recipes.kto import KTORecipe, kto
from training.recipes.recipe import SURVEY, WEIGHT

LN3 = math.log(3)
ROWS = [
    UnpairedRow("a", Example((1, 8, 9), ((10, 11, 2), (12, 2))), (0.8, 0.2), 1.0),
    UnpairedRow("b", Example((1, 9), ((13, 2),)), (1.0,), 2.0),
    UnpairedRow("c", Example((1, 8, 8, 9), ((9, 14, 2),)), (0.0,), 1.0),
]


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found, t(*expected), rtol=1e-10, atol=1e-10)


def test_kto_by_hand() -> None:
    """ln 3 over the baseline: a good one costs 1/4 of 4/3, a bad one 3/4; at it both cost half. .7 and .3 of these."""
    found = kto(t(LN3 + 2, LN3 + 2, 2, LN3 + 2), t(1, 0, 1, 0.7), 2.0, 1.0, desirable=4 / 3)
    close(found, 1 / 3, 3 / 4, 2 / 3, 0.7 / 3 + 0.3 * 3 / 4)


def test_the_slope_of_kto_by_hand() -> None:
    """beta times the slope of σ, 3/16 at ln 3, and (1 - 2p) of it for a soft label with equal weights; none through a label of 1/2."""
    ratios = t(10 * LN3, 10 * LN3, 10 * LN3).requires_grad_()
    (slope,) = torch.autograd.grad(kto(ratios, t(1, 0.7, 0.5), 0.0, 0.1).sum(), ratios)
    close(slope, -0.1 * 3 / 16, -0.4 * 0.1 * 3 / 16, 0)


@given(st.floats(-30, 30), st.floats(0, 1), st.floats(0, 9))
def test_a_bad_response_below_the_baseline_costs_what_a_good_one_above_it_does(r: float, p: float, kl: float) -> None:
    close(kto(t(kl + r), t(p), kl, 0.3), *kto(t(kl - r), 1 - t(p), kl, 0.3).tolist())


def test_far_away_policies_are_finite() -> None:
    ratios = torch.tensor([1e5, -1e5], requires_grad=True)
    (slope,) = torch.autograd.grad(kto(ratios, torch.tensor([0.3, 0.7]), 3.0, 1.0).sum(), ratios)
    assert slope.isfinite().all()


def test_a_mismatched_response_answers_another_prompt() -> None:
    same = ROWS[0]._replace(id="d", example=Example((1, 8, 9), ((15, 2),)))
    found = [row.mismatched for row in mismatches([ROWS[0], same, *ROWS[1:]], 64)]
    assert found == [
        Example((1, 8, 9), ((13, 2),)),  # of b: d has the same prompt
        Example((1, 8, 9), ((13, 2),)),
        Example((1, 9), ((9, 14, 2),)),
        Example((1, 8, 8, 9), ((12, 2),)),  # of a, whose responses take turns
    ]
    assert mismatches([ROWS[0], ROWS[0]], 64)[0].mismatched == Example((1, 8, 9), ((10, 11, 2),))
    (cut, *_) = mismatches([ROWS[0], ROWS[2]], 5)
    assert cut.mismatched == Example((1, 8, 9), ((9, 14),))


def built(files: ModelFiles, **more: Any) -> tuple[KTORecipe, Any, list[UnpairedRow]]:
    """A recipe with a reference that is not the model."""
    chosen = KTO(beta=0.5, **more)
    recipe, model = KTORecipe(chosen), load_policy(files, chosen).eval()
    rows = mismatches(ROWS, 64) if chosen.loss == "kto" else ROWS
    recipe.references = {
        example: tuple(-4.0 - n for n in range(len(example.responses))) for example in recipe.referred(rows)
    }
    return recipe, model, rows


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_loss_of_a_row_is_the_mean_of_its_responses(tiny_files: ModelFiles, layout: Any) -> None:
    recipe, model, rows = built(tiny_files, layout=layout, undesirable_weight=2.0)
    batch = recipe.collate(rows, layout)
    batch[SURVEY] = torch.tensor(1.5)
    found = recipe.outcome(model, batch)
    plain = load_policy(tiny_files, KTO(layout="padded")).inner.requires_grad_(False)
    assert batch[WEIGHT].tolist() == [2, 2, 1]  # by its weight and its responses
    wanted = []
    for row in rows:
        costs = []
        for i, (response, p) in enumerate(zip(row.example.responses, row.p, strict=True)):
            ids = torch.tensor([[*row.example.prompt, *response]])
            logits = plain(input_ids=ids).logits[0, len(row.example.prompt) - 1 : -1].log_softmax(-1)
            ratio = float(logits.gather(1, torch.tensor(response)[:, None]).sum()) + 4 + i
            above = 0.5 * (ratio - 1.5)
            costs.append(p / (1 + math.exp(above)) + (1 - p) * 2 / (1 + math.exp(-above)))
        wanted.append(sum(costs) / len(costs))
    assert found.loss.tolist() == pytest.approx(wanted, rel=1e-4)
    assert found.values["kl_baseline"].tolist() == [1.5] * 3


def test_the_survey_is_of_the_mismatched_responses(tiny_files: ModelFiles) -> None:
    recipe, model, rows = built(tiny_files)
    found = recipe.survey(model, recipe.collate(rows, "packed"))
    for ratio, row in zip(found, rows, strict=True):
        assert row.mismatched
        alone = recipe.survey(model, recipe.collate([row], "packed"))
        torch.testing.assert_close(ratio, alone[0], rtol=1e-4, atol=1e-4)


def test_a_negative_estimate_counts_as_none(tiny_files: ModelFiles) -> None:
    recipe, model, rows = built(tiny_files)
    batch = recipe.collate(rows, "packed")
    below, none = (recipe.outcome(model, batch | {SURVEY: torch.tensor(x)}) for x in (-3.0, 0.0))
    assert below.loss.tolist() == none.loss.tolist()


def test_without_a_baseline_nothing_is_surveyed(tiny_files: ModelFiles) -> None:
    recipe, model, rows = built(tiny_files, loss="apo_zero")
    batch = recipe.collate(rows, "packed")
    assert not recipe.surveys
    assert not any(name.startswith("mismatched") for name in batch)
    surveyed, _, others = built(tiny_files)
    against_zero = surveyed.outcome(model, surveyed.collate(others, "packed") | {SURVEY: torch.zeros(())})
    torch.testing.assert_close(recipe.outcome(model, batch).loss, against_zero.loss)


def test_labels_of_bad_responses_are_softened_too() -> None:
    assert KTO().labels.trusted(0.0) == 0
    softened = KTO.model_validate({"labels": {"temperature": 2.0, "floor": 0.1}}).labels
    assert softened.trusted(0.0) == 0.1
    assert softened.trusted(0.2) == pytest.approx(1 / 3)  # its odds of 1 to 4 become 1 to 2
