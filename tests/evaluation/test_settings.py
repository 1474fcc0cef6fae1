"""Settings of the commands that evaluate."""

from pathlib import Path

from evaluation.attack import settings as attack
from evaluation.audit import settings as audit
from evaluation.audit import thresholds
from evaluation.diff import settings as diff
from evaluation.episodes import settings as episodes
from evaluation.judge import settings as judge
from evaluation.policy import settings as policy
from evaluation.principles import settings as principles
from evaluation.reasoning import settings as reasoning
from evaluation.review import settings as review
from evaluation.verify import settings as verify
from tests.defaults import assert_golden


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    modules = attack, audit, diff, episodes, judge, policy, principles, reasoning, review, thresholds, verify
    assert_golden(Path(__file__).parent / "golden" / "settings.txt", *modules)
