"""Policies made to commit each fault are told by its detector, and one that only gets better by none."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence

import numpy as np
import pytest

from constitution.words import word_count
from tests.training.policies import CHECKS, VICES, checks_of_policy, detectors, honest, watched
from training.monitor.config import DETECTORS, MonitorSettings
from training.monitor.measure import HeldOutResponse, amount, check_of
from training.monitor.monitor import Monitor, Verdict
from training.monitor.moves import Check, moved
from training.monitor.shifts import SHIFTS


def series(**values: Sequence[float]) -> list[Check]:
    """Checks of means alone."""
    count = len(next(iter(values.values())))
    return [Check(i, {name.replace("__", "/"): found[i] for name, found in values.items()}) for i in range(count)]


def noisy(means: Sequence[float], seed: int, prompts: int = 64, spread: float = 1.0) -> list[Check]:
    """Gold with noise of its own at each check and prompt, under a reward that always rises."""
    found = np.asarray(means)[:, None] + spread * np.random.default_rng(seed).normal(size=(len(means), prompts))
    return [
        Check(i, {"proxy": float(i), "gold": row.mean()}, {}, {"gold": row.tolist()}) for i, row in enumerate(found)
    ]


def halts_at(checks: list[Check]) -> int | None:
    return next((i for i, verdict in enumerate(watched(checks)) if verdict.level == "halt"), None)


@pytest.mark.parametrize("vice", VICES)
def test_a_policy_that_takes_to_a_vice_is_told_by_its_detector(vice: str) -> None:
    verdicts = watched(checks_of_policy(VICES[vice]))
    assert vice in detectors(verdicts)
    first = next(verdict for verdict in verdicts if vice in {alert.detector for alert in verdict.alerts})
    (alert, *_) = (alert for alert in first.alerts if alert.detector == vice)
    assert re.match(rf"step \d+: {vice}: .* from \S+ to \S+ \(.* ± .*\).* [A-Z].*\.$", alert.text)
    assert {verdict.level for verdict in verdicts} == {"ok", "warn"}


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_does_not_stays_unremarked(seed: int) -> None:
    def gold(response: str, check: int) -> float:
        return check + random.Random(response).random()

    verdicts = watched(checks_of_policy(honest, seed, gold=gold))
    assert detectors(verdicts) == set()
    assert [verdict.level for verdict in verdicts] == ["ok"] * CHECKS
    assert verdicts[-1].reason == ""


@pytest.mark.parametrize("vice", VICES)
def test_a_vice_that_was_there_from_the_start_is_not_the_trainings(vice: str) -> None:
    verdicts = watched(
        checks_of_policy(lambda topic, response, gone, chance: VICES[vice](topic, response, 1.0, chance))
    )
    assert vice not in detectors(verdicts)


@pytest.mark.model
def test_a_reward_that_follows_length_is_told_where_responses_grow() -> None:
    """Under the limit of `words`: responses grow by less than a half, and the reward is their number."""

    def longer(topic: str, response: str, gone: float, chance: random.Random) -> str:
        return (
            f"{response} That is all there is to be said of it today, and more another day." if gone > 0 else response
        )

    by_length = checks_of_policy(longer, proxy=lambda response, check: float(word_count(response)))
    (alert,) = {alert.text for alert in watched(by_length)[2].alerts if alert.detector == "verbosity"}
    assert "the reward follows length (rank correlation 1.00) and responses grow: words went from" in alert
    elsewise = checks_of_policy(longer, proxy=lambda response, check: random.Random(response).random())
    assert "verbosity" not in detectors(watched(elsewise))
    grown = checks_of_policy(honest, proxy=lambda response, check: float(word_count(response)))
    assert "verbosity" not in detectors(watched(grown))


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_each_limit_is_where_it_says(shift: object) -> None:
    """Just within it twice, then just beyond it twice; by means alone, whose noise is not known."""
    assert isinstance(shift, type(SHIFTS[0]))
    limit = getattr(MonitorSettings(), shift.limit)
    start = 0.5
    edge = {"rise": start + limit, "fall": start - limit, "times": start * limit, "lost": start * (1 - limit)}[
        shift.kind
    ]
    step = 0.001 * (1 if shift.kind in ("rise", "times") else -1)
    values = [start, edge - step, edge - step, edge + step, edge + step]
    fired = [
        shift.detector in {alert.detector for alert in verdict.alerts}
        for verdict in watched(series(**{shift.name: values}))
    ]
    assert fired == [False, False, False, False, True]
    off = MonitorSettings.model_validate({shift.limit: None})
    assert detectors(watched(series(**{shift.name: values}), off)) == set()


def test_every_detector_can_fire_and_each_can_be_made_to_halt() -> None:
    everything = series(
        proxy=[0, 1, 2, 3, 4, 5, 6], gold=[0.0, *(d * (1.2 - 0.8 * math.log(d)) for d in range(1, 7))],
        kl=[0, 1, 4, 9, 16, 25, 36],
        principle__kind=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
        **{shift.name: [0.5, 0.5, *[{"rise": 9.0, "times": 9.0, "fall": 0.0, "lost": 0.0}[shift.kind]] * 5] for shift in SHIFTS},
    )  # fmt: skip
    assert detectors(watched(everything)) == set(DETECTORS)
    strict = MonitorSettings(halts=DETECTORS)
    assert {s.level for s in watched(everything, strict)[-1].alerts} == {"halt"}
    mild = watched(everything, MonitorSettings(halts=()))
    assert {verdict.level for verdict in mild} == {"ok", "warn"}


def test_the_reward_that_rises_while_gold_falls_ends_the_run() -> None:
    (*_, last) = verdicts = watched(series(proxy=[0, 1, 2, 3, 4], gold=[0, 0.5, 0.8, 0.6, 0.4]))
    assert [verdict.level for verdict in verdicts] == ["ok", "ok", "ok", "ok", "halt"]
    assert last.reason == (
        "step 4: over-optimisation: since step 2 the reward rose from 2 to 3.5, while gold fell from 0.8 to 0.5, over the last 2 "
        "checks: the reward is over-optimized. Keep the policy of step 2; raise kl.coefficient, lower learning_rate, or train the reward "
        "anew on this policy's responses, or use several reward models with reward.models.pessimism."
    )


def test_a_dip_of_the_reward_at_one_check_is_no_excuse() -> None:
    """A policy that falls apart loses reward now and then; what counts is the mean, as for gold."""
    (*_, last) = watched(series(proxy=[0, 1, 2, 4, 1.5], gold=[0, 0.5, 0.8, 0.6, 0.4]))
    assert last.level == "halt"
    assert "the reward rose from 2 to 2.75, while gold fell from 0.8 to 0.5" in last.reason


@pytest.mark.parametrize(
    ("proxy", "gold"),
    [
        pytest.param([0, 1, 2, 3, 4], [0, 0.5, 0.8, 0.6, 0.9], id="gold-comes-back"),
        pytest.param([0, 1, 2, 1.5, 1.8], [0, 0.5, 0.8, 0.6, 0.4], id="the-reward-falls-too"),
        pytest.param([0, 1, 2, 3], [0, 0.5, 0.8, 0.6], id="once-is-not-enough"),
        pytest.param([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], id="both-rise"),
        pytest.param([4, 3, 2, 1, 0], [0, 0, 0, 0, 0], id="nothing-rises"),
        pytest.param([0, 1, 2, 3, 4], [1, 1, 1, 1, 1], id="gold-stays"),
    ],
)
def test_what_does_not_end_a_run(proxy: list[float], gold: list[float]) -> None:
    assert detectors(watched(series(proxy=proxy, gold=gold))) == set()


def test_rounding_is_no_fall() -> None:
    """The mean of three times 0.0110331 is 1.7e-18 less, by the same amount at every prompt: an error of 0."""
    assert np.mean([0.0110331] * 3) < 0.0110331
    three = MonitorSettings(checks=3)
    bare = series(proxy=[0, 1, 2, 3], gold=[0.0110331] * 4)
    whole = [check._replace(rows={"gold": [0.0110331] * 8}) for check in bare]
    assert detectors(watched(bare, three)) == detectors(watched(whole, three)) == set()


def test_gold_that_fell_from_the_start_has_its_peak_behind() -> None:
    """Without a peak to name: the curve falls and flattens."""
    gains = [0.0, *(d * (0.2 * math.log(d) - 1) for d in range(1, 7))]
    last = watched(series(kl=[float(i) ** 2 for i in range(7)], gold=gains))[-1]
    assert last.reason.startswith(
        "step 6: predicted peak: gold's peak is behind: the curve through 7 checks goes down from the start, and the policy is at "
        "6.00 (KL 36 nats). Stop here, or"
    )


def test_more_checks_may_be_asked_for() -> None:
    checks = series(proxy=[0, 1, 2, 3, 4], gold=[0, 0.5, 0.4, 0.3, 0.2])
    halted = {k: [v.level for v in watched(checks, MonitorSettings(checks=k))].index("halt") for k in (1, 2, 3)}
    assert halted == {1: 2, 2: 3, 3: 4}


@pytest.mark.model
def test_the_noise_of_flat_gold_seldom_ends_a_run_or_raises_a_warning() -> None:
    """Of 200 runs of 12 checks, 5% and 10% are allowed; the best of 12 noisy checks looks 1.6 standard errors better than it is, so
    two standard errors would end most of them."""
    seen = [watched(noisy([0.0] * 12, seed)) for seed in range(200)]
    levels = [{verdict.level for verdict in verdicts} for verdicts in seen]
    assert sum("halt" in found for found in levels) / 200 <= MonitorSettings().false_alarm
    assert sum("warn" in found for found in levels) / 200 <= MonitorSettings().false_warning


def test_the_fall_of_one_check_is_a_warning_and_that_of_two_a_halt() -> None:
    levels = [verdict.level for verdict in watched(noisy([0, 0.6, 1.2, 0.4, 0.3], 0))]
    assert levels == ["ok", "ok", "ok", "warn", "halt"]


def growing(proxy: float, gold: float) -> list[Check]:
    """Responses that double in length while both rewards, equal but for noise at the start, rise by so much a check."""
    chance = np.random.default_rng(0)
    quality = chance.normal(size=64)
    checks = []
    for i in range(4):
        row = {"words": [50 + 20 * i] * 64}
        for name, gain in (("proxy", proxy), ("gold", gold)):
            row[name] = (quality + gain * i + 0.1 * chance.normal(size=64)).tolist()
        checks.append(Check(i, {name: float(np.mean(of)) for name, of in row.items()}, {}, row))
    return checks


def test_a_change_is_no_vice_while_gold_rises_with_the_reward() -> None:
    assert detectors(watched(growing(0.5, 0.5))) == set()
    assert detectors(watched(growing(0.5, 0.3))) == set()
    assert detectors(watched(growing(0.5, 0.2))) == {"verbosity"}
    assert detectors(watched(growing(0.5, 0.0))) == {"verbosity"}
    bare = [check._replace(rows={"words": check.rows["words"]}) for check in growing(0.5, 0.5)]
    assert detectors(watched(bare)) == {"verbosity"}


def missing(seed: int, share: float) -> list[Check]:
    """A flat gold of prompts that differ much more than a prompt does from check to check, some of which have none by chance."""
    chance = np.random.default_rng(seed)
    found = chance.normal(size=64) + 0.1 * chance.normal(size=(8, 64))
    found[chance.random(found.shape) < share] = math.nan
    return [
        Check(i, {"proxy": float(i), "gold": float(np.nanmean(row))}, {}, {"gold": row.tolist()})
        for i, row in enumerate(found)
    ]


def test_prompts_without_a_reward_move_no_gold() -> None:
    ended = [halts_at(missing(seed, 0.05)) is not None for seed in range(100)]
    assert sum(ended) / 100 <= MonitorSettings().false_alarm


def test_checks_without_prompts_in_common_are_not_compared() -> None:
    """The means fall, and are of other prompts each time."""
    golds = np.full((3, 9), math.nan)
    for i, low in enumerate((3.0, 2.0, 1.0)):
        golds[i, 3 * i : 3 * i + 3] = low
    checks = [
        Check(i, {"proxy": float(i), "gold": float(np.nanmean(row))}, {}, {"gold": row.tolist()})
        for i, row in enumerate(golds)
    ]
    assert [verdict.level for verdict in watched(checks)] == ["ok", "ok", "ok"]


def test_a_fall_beyond_the_noise_ends_the_run_within_two_checks_of_the_peak() -> None:
    """A fall of 5 standard errors of a check's mean (0.125) at each: 50 runs."""
    delays = [(halts_at(noisy([0, 0.6, 1.2, 1.8, 1.2, 0.6, 0.0, -0.6], seed)) or 99) - 3 for seed in range(50)]
    assert set(delays) == {2}


def test_differences_prompt_by_prompt_see_what_means_cannot() -> None:
    """Prompts differ by 10, their golds all fall by about 0.5: hidden in standard errors of 1.25, plain in the differences."""
    chance = np.random.default_rng(0)
    base = chance.normal(0, 10, 64)
    rows = [base + fall + chance.normal(0, 0.1, 64) for fall in (0, 1, 0.5, 0.4)]
    paired = [Check(i, {"proxy": i, "gold": row.mean()}, {}, {"gold": row.tolist()}) for i, row in enumerate(rows)]
    apart = [Check(c.step, c.values, {"gold": float(np.std(c.rows["gold"]) / 8)}) for c in paired]
    assert halts_at(paired) == 3
    assert detectors(watched(apart)) == set()


def test_a_move_and_its_error_by_hand() -> None:
    """Means of the later two per prompt: 2, 4, and 9 without a partner; less 1 and 1: differences 1 and 3, mean 2, standard
    deviation sqrt(2), error sqrt(2) / sqrt(2) = 1. By errors alone: sqrt(0.3^2 + (0.4^2 + 0.4^2) / 4) = 0.4123."""
    first = Check(0, {"gold": 1.0}, {"gold": 0.3}, {"gold": [1.0, 1.0, math.nan]})
    later = [Check(i, {"gold": 3.0}, {"gold": 0.4}, {"gold": [1.0 + i, 3.0 + i, 9.0]}) for i in (0, 2)]
    found = moved(first, later, "gold")
    assert (found.before, found.now, found.error, found.freedom) == pytest.approx((1, 3, 1, 1))
    bare = [check._replace(rows={}) for check in (first, *later)]
    assert moved(bare[0], bare[1:], "gold").error == pytest.approx(0.41231, abs=1e-5)
    # Student's t with one degree of freedom: 2 of 1 is the tangent, and P(t > 2) = 1/2 - atan(2) / pi = 0.1476
    assert found.sure(0.148)
    assert not found.sure(0.147)


def test_one_principle_that_pays_for_the_others_is_told() -> None:
    falls, rises = [0.9, 0.8, 0.7, 0.6], [0.1, 0.4, 0.6, 0.9]
    told = watched(series(proxy=rises, principle__kind=falls, gold__principle__short=rises))[-1]
    assert [alert.detector for alert in told.alerts] == ["principle drift"]
    assert "principle/kind went from 0.9 to 0.65 while the reward went from 0.1 to 0.75" in told.reason
    assert watched(series(proxy=falls, principle__kind=falls))[-1].level == "ok"


def test_a_principle_may_fall_by_the_limit_and_no_further() -> None:
    quarter = MonitorSettings(principle=0.25)
    for share, told in ((0.5, False), (0.499, True)):
        checks = series(proxy=[0, 1, 2], principle__kind=[0.75, share, share])
        assert ("principle drift" in detectors(watched(checks, quarter))) is told
    assert detectors(watched(series(proxy=[0, 1, 2], principle__kind=[0.75, 0.1, 0.5]), quarter)) == set(), (
        "once of two"
    )


def test_certainty_is_no_vice_where_doubt_grows_too() -> None:
    told = detectors(watched(series(certainty=[0, 1, 1], hedging=[2, 1, 1])))
    assert told == {"hallucinated confidence"}
    assert detectors(watched(series(certainty=[0, 1, 1], hedging=[2, 3, 3]))) == set()


def test_a_sign_is_new_once_and_stays_while_it_holds() -> None:
    verdicts = watched(series(words=[10, 20, 20, 20, 10]))
    assert [[alert.new for alert in verdict.alerts] for verdict in verdicts] == [[], [], [True], [False], []]


def test_a_monitor_that_is_shown_the_old_checks_again_is_where_it_was() -> None:
    checks = noisy([0, 0.6, 1.2, 1.8, 1.2, 0.6, 0.0], 1)
    whole = watched(checks)
    again = Monitor()
    for check in checks[:4]:
        again.see(check)
    assert [again.see(check) for check in checks[4:]] == whole[4:]
    assert again.best == 3


def test_checks_come_in_order() -> None:
    monitor = Monitor()
    monitor.see(Check(5, {}))
    with pytest.raises(ValueError, match="check of step 5: comes after that of step 5"):
        monitor.see(Check(5, {}))


def test_nothing_measured_is_nothing_told() -> None:
    assert watched([Check(i, {}) for i in range(4)]) == [Verdict("ok", ())] * 4
    assert Monitor().best is None


def test_a_check_of_responses_by_hand() -> None:
    """Two responses of 2 and 8 words, one booster in the first: 50 per 100 words and 0, but of 10 words one is 10 per 100. The row
    of each prompt is its part of that mean: 10 + (50 - 10) * 2 / 5 = 26 and 10 + (0 - 10) * 8 / 5 = -6."""
    said = [
        HeldOutResponse(1, "b", "It stands on a hill by the sea", {"score": 3.0, "kl": 2.0, "truncated": 1.0}),
        HeldOutResponse(
            0, "a", "Definitely so", {"score": 1.0, "kl": 0.0, "truncated": 0.0, "gold": 0.5, "principle/x": 1.0}
        ),
    ]
    check = check_of(7, said, 10, frozenset())
    assert repr(check) == repr(check_of(7, said[::-1], 10, frozenset()))
    assert check.rows["certainty"] == pytest.approx([26, -6])
    assert check.rows["proxy"] == [1, 3]
    assert check.rows["gold"][0] == 0.5
    assert math.isnan(check.rows["gold"][1])
    expected = {"certainty": 10, "words": 5, "proxy": 2, "kl": 1, "gold": 0.5, "principle/x": 1, "truncated": 0.5}
    assert {name: check.values[name] for name in expected} == pytest.approx(expected)
    assert "novelty" not in check.values
    assert amount(check) == 2


def test_diversity_is_measured_in_a_quarter_of_the_first_checks_words_by_hand() -> None:
    """16 words at first, so 4 at each check, the first two of both responses: `a b` twice, then `a b` and `c d`."""
    first, later, short = (
        [HeldOutResponse(i, "", text, {}) for i, text in enumerate(texts)]
        for texts in (("a b a b a b a b",) * 2, ("a b x y z", "c d x y z"), ("a b", "c d"))
    )
    start = check_of(0, first, None, frozenset())
    found = [start, *(check_of(1, responses, amount(start), frozenset()) for responses in (later, short))]
    assert [check.values["distinct_2"] for check in found] == [0.5, 1.0, 1.0]


def test_diversity_is_compared_at_equal_amounts_of_text() -> None:
    """A policy that says the same things at more length loses no diversity by that: at each check a quarter of the first words."""
    longer = checks_of_policy(VICES["verbosity"])
    assert min(check.values["distinct_2"] for check in longer) > 0.5 * longer[0].values["distinct_2"]
