"""Tests of `earcli/untrusted/pickles.py`."""

import io
import os
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import Call, array, pickled

from earcli.untrusted.pickles import ForbiddenError, check_code_points, read_pickle


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content))


@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_values_and_arrays_are_read_as_pickle_reads_them(protocol: int) -> None:
    plain = {"image_paths": ["耳.jpg"], "n": (1, 2.5, None, True), b"bytes": b"\x00\xff"}
    assert read(pickle.dumps(plain, protocol)) == plain
    arrays = [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "耳耳"]),
        np.array([b"ab", b"c"]),
        np.array([[1, None], ["x", [2]]], dtype=object),
        np.array([True, False]),
    ]
    for value in arrays:
        content = pickle.dumps(value, protocol)
        found, expected = read(content), pickle.loads(content)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tolist() == value.tolist()
    scalars = [np.float32(1.5), np.int64(-3), np.str_("ear"), np.bool_(True)]
    assert read(pickle.dumps(scalars, protocol)) == scalars


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Path("a.jpg"), "pathlib"),
        (date(2024, 2, 29), "datetime.date"),
        (len, "builtins.len"),
        (np.array([(1, 2.0)], dtype="i4,f8"), "an array of 'V12'"),
        (np.array(["2024-02-29"], "M8[D]"), "an array of 'M8'"),
    ],
)
def test_anything_else_is_named(value: Any, message: str) -> None:
    with pytest.raises(ForbiddenError, match=message):
        read(pickle.dumps(value, 4))


def test_code_is_not_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    for call in (Call(os.system, f"touch {touched}"), Call(eval, f"open({str(touched)!r}, 'w')")):
        with pytest.raises(ForbiddenError, match=r"\.system|\.eval"):
            read(pickle.dumps([1, call], 4))
    assert not touched.exists()


def test_an_array_must_have_the_size_that_it_says() -> None:
    assert read(pickled(array(b"K\x02\x85", "u1", b"C\x02ab"))).tolist() == [97, 98]
    assert read(pickle.dumps(np.zeros((0, 4)), 4)).shape == (0, 4)
    for shape, code, content in (
        (b"K\x03\x85", "u1", b"C\x02ab"),
        (b"K\x01\x85", "u1", b"C\x02ab"),
        (b"K\x01\x85", "f4", b"C\x02ab"),
        (b"J\xff\xff\xff\xff\x85", "u1", b"C\x00"),
        (b"K\x01\x85", "O", b"C\x08abcdefgh"),
    ):
        with pytest.raises(ForbiddenError, match="the array state"):
            read(pickled(array(shape, code, content)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_beyond_the_last_code_point_is_refused_in_either_byte_order(order: str) -> None:
    numbers = np.array([0x61, 0x10FFFF], f"{order}u4")
    text = numbers.view(f"{order}U2")
    assert check_code_points(text) is text
    numbers[1] += 1
    with pytest.raises(ValueError, match="invalid code points"):
        check_code_points(text)
