"""Health checks of what a training run logs: some stop the run, some only warn."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from training.config import RECENT, RecipeName, WatchSettings

_FINITE = ("loss", "grad_norm", "kl")
_AGAIN = "start again into another --out"
_MORE_KL = f"Raise kl.coefficient, lower learning_rate, and {_AGAIN}."
_LESS: Mapping[RecipeName, str] = {
    "sft": "Lower learning_rate, epochs, or both",
    "best_of": "Lower learning_rate, epochs, or both",
    "reward": "Lower learning_rate, epochs, or both",
    "dpo": "Lower learning_rate, or raise beta",
    "simpo": "Lower learning_rate, epochs, or both",
    "kto": "Lower learning_rate, or raise beta",
    "process": "Lower learning_rate, epochs, or both",
    "orpo": "Lower learning_rate, epochs, or both",
    "ppo": "Lower learning_rate, or raise kl.coefficient",
}
"""What holds a model nearer to where it began."""


class Alert(NamedTuple):
    """Something that is wrong with a run."""

    kind: Literal["warn", "stop"]
    name: str
    text: str
    """What was seen, with its numbers, and what to try."""


class _Trace:
    """One metric so far; memory does not grow with the run."""

    def __init__(self) -> None:
        self.n = 0
        self.first: list[float] = []
        """The first `patience` values."""
        self.last: deque[float] = deque(maxlen=RECENT)
        self.perfect = True
        """None but the first value was under 1."""

    def add(self, value: float, patience: int) -> None:
        self.n += 1
        if self.n <= patience:
            self.first.append(value)
        self.last.append(value)
        self.perfect = self.n == 1 or (self.perfect and value >= 1)

    def stays(self, crossed: Callable[[float], bool], rows: int) -> bool:
        """True when each of the last rows has crossed."""
        return self.n >= rows and all(crossed(value) for value in list(self.last)[-rows:])


class Watch:
    """Looks at each logged row of training (not of `eval`) once, in order. Fed with the old rows, a resumed run is where it was."""

    def __init__(self, settings: WatchSettings | None = None, recipe: RecipeName = "ppo") -> None:
        """recipe: whose rows they are, and whose settings the advice names."""
        self._recipe = recipe
        self._settings = settings or WatchSettings()
        self._traces: dict[str, _Trace] = defaultdict(_Trace)
        self._reported: set[str] = set()

    def see(self, step: int, values: Mapping[str, float]) -> list[Alert]:
        """The alerts that this row brings, each told once in a run; names are those of `training.run.metrics.METRICS`."""
        for name, value in values.items():
            self._traces[name].add(float(value), self._settings.patience)
        found = [
            Alert(alert.kind, alert.name, f"step {step}: {alert.text}")
            for look in (_not_finite, _leak, _settled, _collapse, _crossed, _drift)
            for alert in look(values, self._traces, self._settings, self._recipe)
            if alert.name not in self._reported
        ]
        self._reported |= {alert.name for alert in found}
        return found


_Traces = Mapping[str, _Trace]


def _not_finite(
    values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName
) -> Iterator[Alert]:
    for name in _FINITE:
        if name in values and not math.isfinite(values[name]):
            yield Alert(
                "stop",
                f"{name} not finite",
                f"{name} is {values[name]}. {_AGAIN.capitalize()} with a lower learning_rate, a lower max_grad_norm, or "
                "precision: fp32.",
            )


def _leak(values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName) -> Iterator[Alert]:
    if limits.leak_rows is None or not {"accuracy", "reward_margin", "pairs"} <= values.keys():
        return
    accuracy, margin = traces["accuracy"], traces["reward_margin"]
    rows, pairs = accuracy.n - 1, values["pairs"] - traces["pairs"].first[0]
    grows = margin.last[-1] > margin.first[0]
    if accuracy.perfect and rows >= limits.leak_rows and pairs >= limits.leak_pairs and grows:
        yield Alert(
            "stop",
            "accuracy of 1",
            f"accuracy was 1.0 in all of the {rows} rows after the first ({pairs:,.0f} pairs) and the margin grew from "
            f"{margin.first[0]:.3g} to {margin.last[-1]:.3g}: something trivial tells chosen from rejected. Look for a mark, "
            "a cut or an empty response on one side only, or a model that was trained on these pairs. If they are that easy, set "
            "watch.leak_rows to null.",
        )


def _settled(
    values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName
) -> Iterator[Alert]:
    """A policy that only ever says one thing cannot find better ones; one that imitates may have nothing else to learn."""
    limit, rows = limits.min_entropy, limits.patience
    if limit is None or "entropy" not in values or not traces["entropy"].stays(lambda value: value < limit, rows):
        return
    ppo = recipe == "ppo"
    yield Alert(
        "stop" if ppo else "warn",
        "entropy collapsed",
        f"entropy is {values['entropy']:.3g} nats per token: the policy has collapsed to one way to write. Under {limit:g} for "
        f"{rows} rows. {_MORE_KL if ppo else f'Check it on held-out rows. {_LESS[recipe]}.'}",
    )


def _collapse(
    values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName
) -> Iterator[Alert]:
    lows = (
        ("distinct", limits.min_distinct, "of the responses differ: the policy answers everything alike.", _MORE_KL),
        ("length", limits.min_length, "tokens a response: the policy falls silent.", f"Is brevity rewarded? {_MORE_KL}"),
    )  # fmt: skip
    rows = limits.patience
    for name, limit, what, advice in lows:
        if name in values and limit is not None and traces[name].stays(lambda value, top=limit: value < top, rows):  # type: ignore[misc]
            yield Alert(
                "stop",
                f"{name} collapsed",
                f"{name} is {values[name]:.3g} {what} Under {limit:g} for {rows} rows. {advice}",
            )
    least = limits.min_score_std
    if "score_std" in values and least is not None and traces["score_std"].stays(lambda value: value < least, rows):
        yield Alert(
            "warn",
            "score_std too low",
            f"score_std is {values['score_std']:.3g}: all responses are rewarded alike, and nothing is learned from them. Under "
            f"{least:g} for {rows} rows. Check the reward on some responses, or end the run where it is as high as it can be.",
        )
    lowest = limits.min_kl
    if "kl" in values and lowest is not None and traces["kl"].stays(lambda value: value < lowest, rows):
        yield Alert(
            "stop",
            "kl below 0",
            f"kl is {values['kl']:.3g} nats per response, under {lowest:g} for {rows} rows. The mean of log π/π_ref over "
            "responses that the policy sampled is below 0 only by chance, so they come from another distribution, and a KL penalty "
            "rewards the distance. Check that the sampler has the newest weights and the same temperature, and that sampler.top_p "
            "is 1.",
        )
    ends = traces["no_end"] if "no_end" in values else None
    if limits.endless and ends and ends.first[0] < 1 and ends.stays(lambda value: value >= 1, rows):
        yield Alert(
            "stop",
            "no response ends",
            f"no response ended for {rows} rows; at first {1 - ends.first[0]:.0%} did. Raise missing_end_penalty, "
            "sampler.max_tokens, or kl.coefficient.",
        )


def _crossed(
    values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName
) -> Iterator[Alert]:
    """Highest values that one row may have."""
    highs: tuple[tuple[Literal["warn", "stop"], str, float | None, str, str], ...] = (
        ("stop", "kl", limits.max_kl, "nats per response: the policy runs away from its reference",
         "Raise kl.coefficient, lower learning_rate or passes, and read some responses: the policy may exploit the reward."),
        ("warn", "clip_fraction", limits.max_clip_fraction, "of the tokens are clipped: steps are too large",
         "Lower learning_rate, or passes."),
        ("warn", "mismatch_kl", limits.max_mismatch_kl, "nats per token between sampler and trainer: responses are off-policy",
         "Check that the sampler has the newest weights, and use the same precision and temperature in both."),
        ("warn", "hidden", limits.max_hidden, "of the responses hide special tokens or white space from who reads them",
         "Read some of them, and set hidden_penalty above 0."),
        ("warn", "truncated", limits.max_truncated, "of the responses are cut at the length limit",
         "Raise sampler.max_tokens, or reward shorter ones."),
    )  # fmt: skip
    for kind, name, limit, what, advice in highs:
        if limit is not None and values.get(name, -math.inf) > limit:
            yield Alert(kind, f"{name} too high", f"{name} is {values[name]:.3g} {what}; allowed: {limit:g}. {advice}")


def _drift(values: Mapping[str, float], traces: _Traces, limits: WatchSettings, recipe: RecipeName) -> Iterator[Alert]:
    limit, rows = limits.logp_drop, limits.patience
    if limit is not None and "logp_drop" in values and traces["logp_drop"].stays(lambda value: value > limit, rows):
        yield Alert(
            "warn",
            "logp_chosen falls",
            f"chosen responses lost {values['logp_drop']:.0%} of the log-probability that they have under the reference: the model "
            f"unlearns what it should prefer. Over {limit:.0%} for {rows} rows. {_LESS[recipe]}, or set sft_weight above 0.",
        )
    critic = traces["explained_variance"] if "explained_variance" in values else None
    lowest = limits.min_explained_variance
    if critic and lowest is not None and critic.n > 10 and critic.last[-1] < lowest:
        yield Alert(
            "warn",
            "explained_variance too low",
            f"explained_variance is {critic.last[-1]:.3g}; allowed: {lowest:g}: the critic is worse than a "
            "constant. Raise critic_learning_rate or critic_warmup, or set baseline: group.",
        )
    right = traces["accuracy"] if "accuracy" in values else None
    if right and limits.min_accuracy is not None and right.n > 20:
        mean = sum(right.last) / len(right.last)
        if mean < limits.min_accuracy:
            yield Alert(
                "warn",
                "accuracy too low",
                f"accuracy is {mean:.3g} over the last {len(right.last)} rows; allowed: {limits.min_accuracy:g}: worse than "
                "a guess. Check that chosen and rejected are not swapped, lower learning_rate, or raise labels.min_confidence.",
            )
