"""How long a server asks to be left alone, in all forms."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from generation.servers.http.waits import named_wait


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        pytest.param({"Retry-After": "7"}, 7.0, id="seconds"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0, id="a-date"),
        pytest.param({"Retry-After": "-5"}, 0.0, id="below-0"),
        pytest.param({"retry-after-ms": "250", "Retry-After": "9"}, 0.25, id="milliseconds"),
        pytest.param({"Retry-After": "soon"}, None, id="a-word"),
        pytest.param({"Retry-After": "nan"}, None, id="not-a-number"),
        pytest.param({"Retry-After": "Mon, 99 Foo 99999 00:00:00 GMT"}, None, id="no-date"),
        pytest.param({"x-ratelimit-reset-requests": "1m30.5s"}, 90.5, id="duration"),
        pytest.param({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, 360.0, id="the-longest"),
        pytest.param(
            {"x-ratelimit-reset-requests": "120ms", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "9"},
            0.12, id="that-of-which-nothing-remains"),
        pytest.param({"content-type": "x"}, None, id="none"),
        pytest.param({}, None, id="no-headers"),
    ],
)  # fmt: skip
def test_waits(headers: dict[str, str], wait: float | None) -> None:
    assert named_wait(headers) == (wait if wait is None else pytest.approx(wait))


def test_points_in_time() -> None:
    later = datetime.now(UTC) + timedelta(seconds=60)
    for text in (str(later.timestamp()), str(int(later.timestamp() * 1000)), later.isoformat()):
        assert named_wait({"anthropic-ratelimit-requests-reset": text}) == pytest.approx(60, abs=5)
    assert named_wait({"x-ratelimit-reset": str(time.time() - 9)}) == 0
    assert named_wait({"Retry-After": "inf"}) is not None
