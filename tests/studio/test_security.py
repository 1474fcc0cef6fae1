"""What the studio's security decides by itself."""

import pytest

from studio.security import is_loopback


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True), ("::1", True), ("127.0.0.1", True), ("127.9.8.7", True), ("0.0.0.0", False), ("::", False),
        ("10.0.0.1", False), ("127.0.0.1.evil.example", False), ("127.evil", False), ("evil.localhost", False), ("", False),
    ],
)  # fmt: skip
def test_addresses_that_no_other_machine_reaches(host: str, own: bool) -> None:
    assert is_loopback(host) is own
