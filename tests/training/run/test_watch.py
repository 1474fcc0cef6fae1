"""Each health check: fails when it should be, once, with its numbers and a way out; and not seen in a sound run."""

import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from training.config import WatchSettings
from training.run.metrics import METRICS
from training.run.watch import Alert, Watch

Rows = Iterable[Mapping[str, float]]


def alerts(rows: Rows, **settings: Any) -> list[Alert]:
    watch = Watch(WatchSettings(**settings))
    return [alert for step, row in enumerate(rows, 1) for alert in watch.see(step, row)]


def column(name: str, *values: float) -> list[dict[str, float]]:
    return [{name: value} for value in values]


def preference(n: int, accuracy: float = 1.0, growth: float = 0.1, pairs: int = 8) -> list[dict[str, float]]:
    return [{"accuracy": accuracy, "reward_margin": growth * i, "pairs": pairs * (i + 1)} for i in range(n)]


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        (column("loss", 1, math.nan, math.nan), "stop", "step 2: loss is nan. Start again into another --out with a lower learning_rate, a lower max_grad_norm, or precision: fp32."),
        (column("grad_norm", math.inf), "stop", "step 1: grad_norm is inf. Start again"),
        (column("kl", -math.inf), "stop", "step 1: kl is -inf. Start again"),
        (preference(7), "stop", "step 6: accuracy was 1.0 in all of the 5 rows after the first (40 pairs) and the margin grew from 0 to 0.5:"),
        ([*preference(1, accuracy=0), *preference(9)[1:]], "stop", "step 6: accuracy was 1.0 in all of the 5 rows after the first"),
        (preference(9, pairs=4), "stop", "step 9: accuracy was 1.0 in all of the 8 rows after the first (32 pairs)"),
        (column("kl", 99, 101, 150), "stop", "step 2: kl is 101 nats per response: the policy runs away from its reference; allowed: 100."),
        (column("entropy", 1, 0.04, 0.03, 0.02, 0.01), "stop", "step 4: entropy is 0.02 nats per token: the policy has collapsed to one way to write. Under 0.05 for 3 rows. Raise kl.coefficient, lower learning_rate, and start again into another --out."),
        (column("distinct", 0.05, 0.05, 0.05), "stop", "step 3: distinct is 0.05 of the responses differ"),
        (column("length", 30, 1, 1, 1), "stop", "step 4: length is 1 tokens a response: the policy falls silent. Under 2 for 3 rows."),
        (column("no_end", 0.25, 1, 1, 1), "stop", "step 4: no response ended for 3 rows; at first 75% did. Raise missing_end_penalty"),
        (column("logp_drop", 0, 0.19, 0.21, 0.22, 0.23, 0.5), "warn", "step 5: chosen responses lost 23% of the log-probability that they have under the reference"),
        (column("clip_fraction", 0.4, 0.41), "warn", "step 2: clip_fraction is 0.41 of the tokens are clipped: steps are too large; allowed: 0.4. Lower learning_rate, or passes."),
        (column("explained_variance", *[-0.6] * 12), "warn", "step 11: explained_variance is -0.6; allowed: -0.5"),
        (column("accuracy", *[0.4] * 25), "warn", "step 21: accuracy is 0.4 over the last 10 rows; allowed: 0.45: worse than a guess."),
        (column("mismatch_kl", 0.2), "warn", "step 1: mismatch_kl is 0.2 nats per token between sampler and trainer"),
        (column("kl", 0, -1.1, -1.2, -1.3), "stop", "step 4: kl is -1.3 nats per response, under -1 for 3 rows."),
        (column("score_std", 1, 0, 0, 0), "warn", "step 4: score_std is 0: all responses are rewarded alike"),
        (column("hidden", 0.1, 0.3), "warn", "step 2: hidden is 0.3 of the responses hide special tokens"),
        (column("truncated", 0.6), "warn", "step 1: truncated is 0.6 of the responses are cut"),
    ],
)  # fmt: skip
def test_a_bad_sign_is_told_once(rows: Rows, kind: str, said: str) -> None:
    assert {name for row in rows for name in row} <= set(METRICS)
    (alert,) = alerts(rows)
    assert alert.kind == kind
    assert alert.text.startswith(said)


@pytest.mark.parametrize(
    "rows",
    [
        preference(50, accuracy=0.97),
        [*preference(2, accuracy=0.97), *preference(50)],
        preference(50, growth=0),
        preference(8, pairs=4),
        [{"accuracy": 1.0, "reward_margin": i} for i in range(50)],
        [*column("accuracy", 1, math.nan), *preference(50)],
        column("kl", 100, 99),
        column("kl", -2, -2, 0.1, -0.9, -0.9, -0.9),
        column("score_std", 0, 0, 1),
        column("hidden", 0.2),
        column("entropy", 0.04, 0.04, 0.06, 0.04, 0.04),
        column("length", 1, 1, 2),
        column("no_end", 1, 1, 1, 1),
        column("no_end", 0.5, 1, 1, 0.9, 1),
        column("logp_drop", *[0.19] * 9),
        column("logp_drop", 0.21, 0.21, 0.19, 0.21, 0.21),
        column("logp_drop", 0.3, math.nan, 0.3),
        # long responses after short ones are no fall
        column("logp_chosen", -80, -80, -80, -160, -160, -160),
        column("explained_variance", *[-0.6] * 10, *[-0.4] * 9),
        column("accuracy", *[0.4] * 20),
        column("accuracy", *[0.0, 1.0] * 40),
        column("truncated", 0.5, math.nan),
        [{}],
    ],
)
def test_a_sound_run_has_none(rows: Rows) -> None:
    assert alerts(rows) == []


@pytest.mark.parametrize(
    ("off", "rows"),
    [
        ("leak_rows", preference(50)),
        ("max_kl", column("kl", 1e6)),
        ("min_kl", column("kl", *[-9] * 9)),
        ("min_score_std", column("score_std", *[0] * 9)),
        ("max_hidden", column("hidden", 1)),
        ("min_entropy", column("entropy", *[0] * 9)),
        ("min_distinct", column("distinct", *[0] * 9)),
        ("min_length", column("length", *[0] * 9)),
        ("logp_drop", column("logp_drop", 0.3, 0.3, 0.3)),
        ("max_clip_fraction", column("clip_fraction", 1)),
        ("min_explained_variance", column("explained_variance", *[-9] * 12)),
        ("min_accuracy", column("accuracy", *[0] * 30)),
        ("max_mismatch_kl", column("mismatch_kl", 9)),
        ("max_truncated", column("truncated", 1)),
    ],
)
def test_none_switches_a_limit_off(off: str, rows: list[Mapping[str, float]]) -> None:
    assert len(alerts(rows)) == 1
    assert alerts(rows, **{off: None}) == []


def test_what_never_ends_may_be_meant() -> None:
    assert alerts(column("no_end", 0, 1, 1, 1), endless=False) == []


def test_several_signs_of_one_row_and_each_only_once() -> None:
    watch = Watch()
    assert [alert.name for alert in watch.see(1, {"loss": math.nan, "kl": 200, "truncated": 1})] == [
        "loss not finite",
        "kl too high",
        "truncated too high",
    ]
    assert [alert.name for alert in watch.see(2, {"loss": math.nan, "grad_norm": math.nan})] == ["grad_norm not finite"]


def test_old_rows_put_a_resumed_run_where_it_was() -> None:
    rows = [{**row, "entropy": 0.01, "logp_drop": 0.1 * i} for i, row in enumerate(preference(9))]
    for cut in range(len(rows)):
        whole, resumed = Watch(), Watch()
        for step, row in enumerate(rows[:cut]):
            assert whole.see(step, row) == resumed.see(step, row)
        assert [whole.see(step, row) for step, row in enumerate(rows[cut:], cut)] == [
            resumed.see(step, row) for step, row in enumerate(rows[cut:], cut)
        ]
    assert len(alerts(rows)) == 3


def test_settings_load_without_a_library_of_models() -> None:
    code = "import sys, training.run.watch, training.run.metrics; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("recipe", "kind", "said"),
    [
        ("ppo", "stop", "Raise kl.coefficient, lower learning_rate, and start again"),
        ("sft", "warn", "Lower learning_rate, epochs, or both."),
        ("dpo", "warn", "Lower learning_rate, or raise beta."),
    ],
)
def test_one_way_to_write_ends_ppo_alone(recipe: Any, kind: str, said: str) -> None:
    watch = Watch(recipe=recipe)
    (alert,) = [
        alert for step, row in enumerate(column("entropy", 0.01, 0.01, 0.01), 1) for alert in watch.see(step, row)
    ]
    assert (alert.kind, said in alert.text) == (kind, True)


def test_advice_on_a_fall_names_dpos_settings() -> None:
    watch = Watch(recipe="dpo")
    found = [alert for row in column("logp_drop", *[0.3] * 6) for alert in watch.see(1, row)]
    assert [
        alert.text.endswith("Lower learning_rate, or raise beta, or set sft_weight above 0.") for alert in found
    ] == [True]
