"""Tests of `earcli/untrusted/files.py`."""

import zipfile
from pathlib import Path

import pytest
from corpus import stored_zip

from earcli.untrusted.files import check_archive, check_regular_file, read_bounded, short_repr


def test_a_file_up_to_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 2000)
    assert check_regular_file(path, 2000) == 2000
    assert read_bounded(path, 2000) == b"x" * 2000
    for refuse in (check_regular_file, read_bounded, check_archive):
        with pytest.raises(OSError, match="2,000 bytes, over the limit of 1,999"):
            refuse(path, 1999)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_bounded(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none")
    with pytest.raises(ValueError, match="null byte"):
        read_bounded(Path("a\0b"))


def test_an_archive_is_sound_if_uncompressed_and_every_checksum_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    content = stored_zip({"one": b"first" * 9, "two": b"second" * 9})
    path.write_bytes(content)
    check_archive(path, 1 << 20)
    path.write_bytes(content.replace(b"secondsecond", b"secondSecond"))
    with pytest.raises(ValueError, match="checksum of 'two' does not match"):
        check_archive(path, 1 << 20)
    path.write_bytes(stored_zip({"one": b"first" * 9}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="compressed"):
        check_archive(path, 1 << 20)


def test_a_value_of_any_size_is_shown_in_few_characters() -> None:
    assert short_repr(["a.jpg", 1.5, None]) == "['a.jpg', 1.5, None]"
    assert short_repr(list(range(1000))) == "[0, 1, 2, 3, 4, 5, 6, 7, ...]"
    assert short_repr([[["deep"]]]) == "[[[...]]]"
    assert short_repr("x" * 10_000, 20) == "'" + "x" * 19
    assert len(short_repr({f"{number:099}": "x" * 99 for number in range(99)})) == 60
    assert "int" in short_repr(10**5000)
