"""Digests, which name what is stored and must never change."""

import hashlib
from pathlib import Path

import pytest

from constitution.digest import digest, file_digest, fraction, hasher, integer

ABC_512 = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
"""BLAKE2b-512 of "abc", from RFC 7693, appendix A."""


def test_it_is_blake2b() -> None:
    assert digest("abc", 64) == ABC_512
    assert digest("abc") == digest(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()


def test_pieces_make_the_digest_of_the_whole(tmp_path: Path) -> None:
    found = hasher()
    for piece in (b"a", b"b", b"c"):
        found.update(piece)
    assert found.hexdigest() == digest("abc")
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == digest("abc")


@pytest.mark.parametrize("size", [1, 4, 8])
def test_integers_are_the_digest_read_from_the_left(size: int) -> None:
    assert integer("abc", size) == int(digest("abc", size), 16)


def test_fractions_are_spread_evenly() -> None:
    found = [fraction(f"row {i}") for i in range(1000)]
    assert 0 <= min(found) < 0.01
    assert 0.99 < max(found) <= 1
    assert 0.45 < sum(found) / 1000 < 0.55
