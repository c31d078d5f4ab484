"""How much a file may ask for."""

from pathlib import Path

import pytest

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.untrusted.probe import (
    MAX_UNPACKING,
    SMALL_BYTES,
    check_unpacked,
    held_bytes,
)


def test_a_small_file_may_unpack_to_a_little_whatever_it_holds() -> None:
    check_unpacked(SMALL_BYTES, 0)
    with pytest.raises(BadImageError, match=r"declares .* more than the limit"):
        check_unpacked(SMALL_BYTES + 1, 0)


def test_a_large_one_to_a_hundred_times_its_size() -> None:
    check_unpacked(SMALL_BYTES + MAX_UNPACKING * 10**9, 10**9)
    with pytest.raises(BadImageError):
        check_unpacked(SMALL_BYTES + MAX_UNPACKING * 10**9 + 1, 10**9)


def test_a_file_just_written_holds_all_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.write(b"x" * 10**6)
        stream.flush()
        assert held_bytes(path) == 10**6
    path.write_bytes(b"")
    assert held_bytes(path) == 0


def test_a_hole_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.write(b"x" * 10**5)
        stream.seek(10**9)
        stream.write(b"x" * 10**5)
    if path.stat().st_blocks * 512 > 10**8:
        pytest.skip("this file system keeps no holes")
    assert 2 * 10**5 <= held_bytes(path) < 10**6
