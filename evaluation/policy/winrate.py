"""How often one policy's responses beat another's, raw and with the part that length alone explains taken out.

Everything is antisymmetric: with a and b exchanged a share p becomes 1 - p and its interval is mirrored.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from critics.ranking.weights import Estimate
from evaluation.statistics import Floats, interval, prompts_of, resampled, share
from evaluation.texts import Row, pooled, table

PENALTY = 0.1
"""L2 penalty on the coefficient of length, as half its square times this, against a sum of log-likelihoods: it keeps the fit
finite where length separates wins from losses and hardly matters otherwise."""
STYLE_PENALTY = 1.0
"""The same on each feature of style: worth one standard-normal prior."""
_RIDGE = 1e-9
"""Keeps a step finite where the odds are all but sure."""
_STEPS = 200
_EXACT = 1e-8


def outcomes(logits: Sequence[float | None]) -> Floats:
    """1 where a wins, 0 where b wins, 1/2 for a tie: log-odds for a that are 0, NaN or missing (nobody could tell)."""
    values = np.array([0.0 if logit is None else logit for logit in logits], dtype=np.float64)
    return 0.5 + 0.5 * np.sign(np.nan_to_num(values, nan=0.0))


def win_rate(found: ArrayLike, seed: int = 0, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Mean outcome, or mean probability, with a 95% interval by bootstrap over prompts (`bootstrap`).

    found: [n] in [0, 1]. clusters: the prompt of each. Where all are 1, or all 0, no resample differs; the interval is then
    Wilson's for as many prompts.
    """
    values = _shares(found)
    if not len(values):
        return share(0, 0)
    if (sure := _unanimous(values, clusters)) is not None:
        return sure
    drawn = resampled(lambda weights: weights @ values / weights.sum(1), len(values), seed, clusters)
    return interval(drawn, float(values.mean()))


def controlled(
    found: ArrayLike, length_difference: ArrayLike, seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """Length-controlled win rate, as AlpacaEval 2 has it (Dubois et al. 2024, arXiv:2404.04475).

    found: [n] outcomes or probabilities for a, in [0, 1]. length_difference: [n] length of a's response minus that of b's, in any
    one unit. A logistic regression explains the outcomes by which model wrote the response and by tanh(difference / standard
    deviation of the differences); the win rate is what it predicts with the length term at zero. AlpacaEval's third term, how
    hard each instruction is, is shared by many models there; with one pair of models it cannot be told from the rest and is
    left out. The length term has a weak L2 penalty (PENALTY), the model term none: it would pull the rate to one half.
    The interval is from a fit to each resample of the prompts. Outcomes that are all 1 (or all 0) have no finite fit; they are
    given as they are, with Wilson's interval, and so is a resample of that kind.
    """
    values, lengths = _shares(found), np.asarray(length_difference, dtype=np.float64)
    if values.shape != lengths.shape:
        raise ValueError(f"got {len(values)} outcomes and {len(lengths)} differences of length; there is one for each")
    if not len(values):
        return share(0, 0)
    if (sure := _unanimous(values, clusters)) is not None:
        return sure
    spread = lengths.std()
    x = np.tanh(lengths / spread) if spread > 0 else np.zeros_like(lengths)
    whole = fit(values, x, np.ones((1, len(values))))
    drawn = resampled(lambda weights: _sigmoid(fit(values, x, weights, whole)[:, 0]), len(values), seed, clusters)
    return interval(drawn, float(_sigmoid(whole[0, 0])))


def style_controlled(
    found: ArrayLike, differences: ArrayLike, seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> tuple[Estimate, list[Estimate]]:
    """(what would be left of a's win rate if both responses were of the same style, what each feature is worth).

    differences: [n, features], as `style.difference` gives them. As Chatbot Arena controls for style (Li, Angelopoulos and Chiang
    2024): a logistic regression of the outcomes on which model wrote the response and on the differences, each in its standard
    deviations; the rate is what it predicts with all of them at zero. A feature is worth so many log-odds for one standard
    deviation more of it. STYLE_PENALTY keeps them finite, as there are several; antisymmetry asks that no difference is centered.
    """
    values, style = _shares(found), np.asarray(differences, dtype=np.float64)
    if len(values) != len(style):
        raise ValueError(f"got {len(values)} outcomes and {len(style)} differences of style; there is one for each")
    nothing = [Estimate(value=0.0, low=0.0, high=0.0)] * style.shape[1]
    if not len(values):
        return share(0, 0), nothing
    if (sure := _unanimous(values, clusters)) is not None:
        return sure, nothing
    x = style / np.where(style.std(0) > 0, style.std(0), np.inf)
    whole = fit(values, x, np.ones((1, len(values))), penalty=STYLE_PENALTY)
    drawn = resampled(lambda weights: fit(values, x, weights, whole, STYLE_PENALTY), len(values), seed, clusters)
    rate = interval(_sigmoid(drawn[:, 0]), float(_sigmoid(whole[0, 0])))
    return rate, [interval(drawn[:, 1 + j], float(whole[0, 1 + j])) for j in range(x.shape[1])]


def fit(found: Floats, x: Floats, weights: Floats, start: Floats | None = None, penalty: float = PENALTY) -> Floats:
    """Logistic regressions of the same rows under different weights, at once: [k, 1 + m] of intercept and slopes.

    found: [n]; x: [n] or [n, m]; weights: [k, n]; start: [1, 1 + m], a fit nearby. Newton's method; a step changes no row's
    log-odds by much, which keeps each one downhill. Where all outcomes that count are 1 (or 0) the intercept is infinite and the
    slopes 0.
    """
    design = np.column_stack([np.ones(len(found)), x])
    mean = weights @ found / weights.sum(1)
    endless = (mean <= 0) | (mean >= 1)
    result = np.zeros((len(mean), design.shape[1]))
    result[endless, 0] = np.where(mean[endless] >= 1, np.inf, -np.inf)
    inside = mean[~endless]
    at = np.zeros((len(inside), design.shape[1]))
    at[:, 0] = np.log(inside / (1 - inside))
    if start is not None:
        at[:] = start
    counted = weights[~endless]
    for _ in range(_STEPS):
        step = _newton(at, found, design, counted, penalty)
        at += step / np.maximum(1.0, np.abs(step).sum(1, keepdims=True))
        if not step.size or np.abs(step).max() < _EXACT:
            break
    result[~endless] = at
    return result


def paired(
    a_rows: Sequence[Row], b_rows: Sequence[Row], seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> dict[str, Estimate]:
    """Each measure of a's responses minus that of b's to the same prompts, with a 95% interval by bootstrap over the prompts.

    Row i of both is of one prompt. A measure per 100 words is compared as `texts.means` pools it.
    """
    if len(a_rows) != len(b_rows):
        raise ValueError(f"got {len(a_rows)} and {len(b_rows)} rows; row i of both is to be of one prompt")
    if not a_rows:
        return {}
    (names, a, a_sizes), (b_names, b, b_sizes) = table(a_rows), table(b_rows)
    if names != b_names:
        raise ValueError(f"got measures {', '.join(names)} and {', '.join(b_names)}; both need the same")

    def difference(weights: Floats) -> Floats:
        return pooled(weights, a, a_sizes) - pooled(weights, b, b_sizes)

    value = difference(np.ones((1, len(a))))[0]
    drawn = resampled(difference, len(a), seed, clusters)
    return {name: interval(drawn[:, j], float(value[j])) for j, name in enumerate(names)}


def win_rates(
    logits: Sequence[Mapping[str, float]], seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> dict[str, Estimate]:
    """Raw win rate of each principle, or objective, over the pairs that have its log-odds. logits: one mapping for each pair."""
    names = dict.fromkeys(name for found in logits for name in found)
    rates = {}
    for name in names:
        have = [i for i, found in enumerate(logits) if name in found]
        of = None if clusters is None else [clusters[i] for i in have]
        rates[name] = win_rate(outcomes([logits[i][name] for i in have]), seed, of)
    return rates


def _newton(at: Floats, found: Floats, design: Floats, weights: Floats, penalty: float) -> Floats:
    """[k, 1 + m]: Newton's step of the penalised log-likelihood. design: [n, 1 + m]."""
    k, size = at.shape
    p = _sigmoid(at @ design.T)
    penalties = np.full(size, penalty)
    penalties[0] = 0.0
    slope = (weights * (found - p)) @ design - penalties * at
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), size * size)
    curve = ((weights * p * (1 - p)) @ products).reshape(k, size, size) + np.diag(penalties + _RIDGE)
    return np.asarray(np.linalg.solve(curve, slope[:, :, None])[:, :, 0], dtype=np.float64)


def _sigmoid(z: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * z))


def _shares(found: ArrayLike) -> Floats:
    values = np.asarray(found, dtype=np.float64)
    if wrong := [float(value) for value in values if not 0 <= value <= 1]:
        raise ValueError(f"got an outcome of {wrong[0]:g}; allowed: 0 to 1")
    return values


def _unanimous(values: Floats, clusters: Sequence[Hashable] | None) -> Estimate | None:
    """Wilson's interval where every outcome is 1, or every one 0."""
    if 0 < values.mean() < 1:
        return None
    n = len(values) if clusters is None else len(set(prompts_of(clusters)))
    return share(float(values[0]) * n, n)
