"""What a training run logs: `metrics.jsonl`, one JSON line for each logged step, and what the names in it mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from constitution.errors import Problem, UserError, shown
from generation.output.files import write_atomically

FILE = "metrics.jsonl"
WARNING = "warning"
"""Split of the rows that hold a text, not numbers."""
DATA = "data"
"""Split of the rows that count what was read: pairs kept, dropped by reason, cut."""
_RESERVED = frozenset({"step", "split", "text"})


class Metric(NamedTuple):
    """What a logged number is."""

    group: str
    """Section of the page; a key of GROUPS."""
    unit: str
    meaning: str
    better: Literal["high", "low", ""] = ""
    chart: str = ""
    """Title of the plot that it shares with others; a plot of its own where empty."""


class Row(NamedTuple):
    """One line of the file."""

    step: int
    """Optimizer steps taken."""
    split: str
    """`train`, `eval`, `data` or `warning`."""
    values: dict[str, float]
    text: str = ""
    """Of a warning."""


GROUPS: Mapping[str, tuple[str, str]] = {
    "loss": ("Loss", "The loss that is minimized, and the size of the steps."),
    "preference": (
        "Preference",
        "How well the model separates chosen from rejected responses. When the log-probability of chosen responses falls too, the "
        "model unlearns both.",
    ),
    "policy": (
        "Policy",
        "How far the policy is from its reference, and how much each step moves it. A score that rises while the KL grows without "
        "bound means that the policy exploits the reward.",
    ),
    "best_of": ("Best of N", "What choosing the best of several responses gains, before any training."),
    "critic": ("Critic", "How well the critic predicts the return. Below zero it does worse than a constant."),
    "responses": ("Responses", "What the policy writes during training."),
    "monitor": (
        "Monitor",
        "Responses to the same held-out prompts at each check: the gold score that the reward stands for, and signs that it is "
        "exploited.",
    ),
    "speed": ("Speed", "Throughput and memory."),
    "other": ("Other", "Metrics without a description."),
}
"""Group -> title and text of its section, in the page's order."""

_LOGP, _REWARD = "Log-probability of chosen and rejected", "Reward of chosen and rejected"
_SOURCES, _TIME = "Reward by source", "Seconds of an iteration"
_DOUBT, _PRAISE, _AGAIN = "Hallucinated confidence", "Sycophancy", "Repetition"
_CLIP, _END, _MISMATCH = "Share of clipped tokens", "Responses that do not end", "Sampler against trainer"

METRICS: Mapping[str, Metric] = {
    "loss": Metric("loss", "", "The loss that is minimized, mean over the batch.", "low"),
    "lr": Metric("loss", "", "Learning rate."),
    "grad_norm": Metric("loss", "", "Norm of the gradient before it is clipped."),
    "expert_load": Metric("loss", "ratio", "Tokens of a layer's most used expert over its even share; 1: all even.", "low"),
    "weights_moved": Metric("loss", "share", "Weights that differ from the base's, in the type they are saved in."),
    "epoch": Metric("loss", "epochs", "Passes over the data so far."),
    "accuracy": Metric("preference", "share", "Pairs in which the chosen response has the higher reward.", "high"),
    "reward_margin": Metric("preference", "log-odds", "Reward of the chosen minus that of the rejected response.", "high"),
    "logp_chosen": Metric("preference", "nats", "Log-probability of the chosen response.", "high", _LOGP),
    "logp_rejected": Metric("preference", "nats", "Log-probability of the rejected response.", "", _LOGP),
    "logp_drop": Metric("preference", "", "Share of its reference log-probability that chosen lost.", "low"),
    "reward_chosen": Metric("preference", "log-odds", "Reward of the chosen response; implicit for DPO.", "", _REWARD),
    "reward_rejected": Metric("preference", "log-odds", "Reward of the rejected response; implicit for DPO.", "", _REWARD),
    "pairs": Metric("preference", "pairs", "Pairs trained on since the start."),
    "judged_pairs": Metric("preference", "pairs", "Pairs of an iteration that were judged and learned from."),
    "kl_baseline": Metric("preference", "nats per response", "KL from the reference by other prompts' responses: KTO's zero."),
    "whole_accuracy": Metric("preference", "share", "Responses whose aggregate tells whether all steps are right.", "high"),
    "covariate_weight": Metric("preference", "log-odds", "What labels owe to a response e times as long."),
    "disagreement": Metric("preference", "log-odds", "Standard deviation of the margin between the heads of an ensemble.", "low"),
    "score": Metric("policy", "", "Reward of a response before the KL penalty.", "high"),
    "reward/rules": Metric("policy", "share", "Weighted share of the rules that a response satisfies.", "high", _SOURCES),
    "reward/models": Metric("policy", "", "Mean of the reward models' heads, minus the pessimism penalty.", "high", _SOURCES),
    "reward/judge": Metric("policy", "log-odds", "The judge's log-odds that a response is good.", "high", _SOURCES),
    "reward/compare": Metric("policy", "log-odds", "Worth against other responses; held out: the first ones.", "high", _SOURCES),
    "votes_missing": Metric("policy", "share", "Votes of comparisons that were asked for and have no answer.", "low"),
    "head_spread": Metric("policy", "", "Standard deviation of a response's reward over all heads of the reward models.", "low"),
    "approx_kl": Metric("policy", "nats per token", "KL between the policy that sampled the responses and the one being trained."),
    "ratio": Metric("policy", "", "Mean ratio of a token's probability to that before the update; near 1 for small steps."),
    "score_std": Metric("policy", "", "Standard deviation of the score over an iteration's responses; 0: nothing to learn."),
    "kl": Metric("policy", "nats per response", "Mean of log π/π_ref, summed over a response (k1). Below 0: not sampled by π."),
    "kl_k3": Metric("policy", "nats per response", "The same KL by another estimate (k3), which is never below 0."),
    "kl_coefficient": Metric("policy", "", "Reward subtracted for each nat of KL."),
    "entropy": Metric("policy", "nats per token", "Entropy of the policy's next token."),
    "policy_loss": Metric("policy", "", "Clipped surrogate loss of the policy."),
    "clip_fraction": Metric("policy", "share", "Tokens whose probability ratio was clipped.", "", _CLIP),
    "mismatch": Metric("policy", "nats per token", "Mean |log-probability of sampler - of trainer|.", "low", _MISMATCH),
    "mismatch_kl": Metric("policy", "nats per token", "KL of the sampler's distribution from the trainer's.", "low", _MISMATCH),
    "mismatch_weight": Metric("policy", "", "Mean truncated importance weight π/π_sampler; near 1 where both agree."),
    "mismatch_truncated": Metric("policy", "share", "Tokens whose importance weight was truncated.", "low", _CLIP),
    "best_of/mean": Metric("best_of", "", "Reward of a response of the initial policy, mean over prompts.", "high"),
    "best_of/gain": Metric("best_of", "", "Best reward of a prompt minus the mean of all, mean over prompts.", "high"),
    "best_of/gain_half": Metric("best_of", "", "Expected gain with half as many responses.", "high"),
    "best_of/kl_bound": Metric("best_of", "nats per response", "Upper bound on its KL from the policy: log N - (N - 1) / N."),
    "best_of/words": Metric("best_of", "ratio", "Words of the best responses over all: above 1, longer ones win."),
    "value_loss": Metric("critic", "", "Squared error of the critic.", "low"),
    "critic_grad_norm": Metric("critic", "", "Norm of the critic's gradient before it is clipped."),
    "explained_variance": Metric("critic", "share", "Share of the returns' variance that the critic explains.", "high"),
    "value_clip_fraction": Metric("critic", "share", "Tokens whose value was clipped."),
    "success": Metric("responses", "share", "Responses that pass the rule, where a rule can check the task.", "high"),
    "length": Metric("responses", "tokens", "Mean length of a response."),
    "distinct": Metric("responses", "share", "Distinct responses among all of a batch.", "high"),
    "truncated": Metric("responses", "share", "Responses cut off at the length limit.", "low", _END),
    "no_end": Metric("responses", "share", "Responses without an end of turn.", "low", _END),
    "rewarded": Metric("responses", "responses", "Responses with a reward, which are trained on."),
    "failed": Metric("responses", "", "Responses without a reward; for held-out prompts, their share.", "low"),
    "equal_groups": Metric("responses", "share", "Prompts whose responses have equal scores, which tell nothing."),
    "resampled": Metric("responses", "prompts", "Prompts that were replaced by others, since their scores were equal."),
    "hidden": Metric("responses", "share", "Responses with special tokens, or white space at their ends.", "low"),
    "gold": Metric("monitor", "", "Gold score: what the reward stands for; never trained on.", "high", "Gold"),
    "gold_failed": Metric("monitor", "share", "Held-out responses without a gold score.", "low", "Gold missing"),
    "words": Metric("monitor", "words", "Length of a response.", "", "Verbosity"),
    "reward_length": Metric("monitor", "", "Rank correlation of reward and words, over prompts.", "", "Reward that follows length"),
    "markup": Metric("monitor", "per 100 words", "List items, headings, bold, emoji, exclamation marks.", "", "Style exploitation"),
    "repetition": Metric("monitor", "share", "Word 3-grams of a response that repeat earlier ones in it.", "low", _AGAIN),
    "distinct_2": Metric("monitor", "share", "Distinct word pairs, over as much text at each check.", "high", _AGAIN),
    "refusal": Metric("monitor", "share", "Responses that open with a refusal.", "", "Over-refusal"),
    "certainty": Metric("monitor", "per 100 words", "Words that claim certainty.", "", _DOUBT),
    "hedging": Metric("monitor", "per 100 words", "Words that hedge.", "", _DOUBT),
    "unsure": Metric("monitor", "share", "Responses that admit not knowing.", "", "Admitted ignorance"),
    "agreement": Metric("monitor", "share", "Responses that open with praise or agreement.", "low", _PRAISE),
    "novelty": Metric("monitor", "share", "Word 4-grams that are not in the reward models' data.", "low", "Distribution shift"),
    "tokens_per_second": Metric("speed", "tokens/s", "Tokens trained on per second, without padding.", "high"),
    "pairs_per_second": Metric("speed", "pairs/s", "Pairs trained on per second.", "high"),
    "seconds": Metric("speed", "s", "Time of an iteration.", "low", _TIME),
    "seconds_writing": Metric("speed", "s", "Of these, sampling responses.", "low", _TIME),
    "peak_memory_gb": Metric("speed", "GB", "Peak memory so far.", "low"),
}  # fmt: skip
"""The vocabulary. Other names may be logged; they are shown under `other`."""

FAMILIES: Mapping[str, Metric] = {
    "principle/": Metric("monitor", "share", "Responses that satisfy the principle.", "high", "Principles"),
    "gold/principle/": Metric(
        "monitor", "share", "Responses that satisfy the gold principle.", "high", "Principles of gold"
    ),
}
"""Prefix of a name -> its description."""


def describe(name: str) -> Metric:
    """What a name means; names that share what stands before their first `.` or `/` share a plot."""
    if name in METRICS:
        return METRICS[name]
    for beginning, metric in FAMILIES.items():
        if name.startswith(beginning):
            return metric
    head, dot, _ = name.replace("/", ".").partition(".")
    return Metric("other", "", "", chart=head if dot else "")


class Metrics:
    """Appends to `metrics.jsonl` in a folder that exists. Each line is with the system once written, so a killed run keeps it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        _mend(self.path)
        self._file = self.path.open("a", encoding="utf-8", buffering=1)

    def write(self, step: int, values: Mapping[str, float], split: str = "train") -> None:
        """Log numbers; what float() takes will do. Raises ValueError for a name that the line itself needs."""
        if taken := sorted(_RESERVED & values.keys()):
            raise ValueError(f"metric {taken[0]!r}: allowed: any name but {', '.join(sorted(_RESERVED))}")
        numbers = {name: float(value) for name, value in values.items()}
        written = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        self._line({"step": step, "split": split, **written})

    def warn(self, step: int, text: str) -> None:
        """Log a warning, which the page shows on top. text: with the step in it."""
        self._line({"step": step, "split": WARNING, "text": text})

    def resume(self, step: int) -> None:
        """Drop what was logged after a step, so that a resumed run repeats no line."""
        self._file.close()
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for number, line in enumerate(lines, 1) if _row(line, self.path, number).step <= step]
        write_atomically(self.path, "".join(kept))
        self._file = self.path.open("a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """No more lines."""
        self._file.close()

    def _line(self, row: Mapping[str, object]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
        self._file.flush()


def read(path: Path) -> list[Row]:
    """All lines of a file in their order; none where there is no file. A last line that is still being written is left out.

    Raises UserError for any other line that is none of ours.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_row(line.decode("utf-8", "replace"), path, number) for number, line in enumerate(lines, 1)]


def _row(line: str, path: Path, number: int) -> Row:
    try:
        values = json.loads(line)
        step, split, text = int(values.pop("step")), str(values.pop("split")), str(values.pop("text", ""))
        return Row(step, split, {name: float(value) for name, value in values.items()}, text)
    except (ValueError, TypeError, KeyError, AttributeError):
        allowed = "a JSON object with `step`, `split` and numbers"
        raise UserError(
            Problem(f"{path}:{number}", "", f"got {shown(line.strip())}", allowed, "delete the line")
        ) from None


def _mend(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished."""
    if path.exists() and not (text := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(text.rfind(b"\n") + 1)
