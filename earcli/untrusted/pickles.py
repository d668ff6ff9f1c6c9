"""Pickles of numpy arrays, read without running code.

Only the constructors that numpy's own pickles name are admitted. The classes below stand for them and check their
arguments: numpy itself would trust a dtype whose fields hide object pointers.
"""

import math
import pickle
import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from earcli.untrusted.files import short_repr

LAST_CODE_POINT = 0x10FFFF
_PLAIN_TYPE = re.compile(r"[<>=|]?(?:[biuf][1248]|f16|O[48]?|[US][1-9]\d{0,7})")


class ForbiddenError(Exception):
    """A pickle asks for more than plain data; the message says for what."""


class _Dtype:
    """Stands for `numpy.dtype`: numbers, text and objects, no records."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise ForbiddenError(f"an array of {short_repr(code)}")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        match state:
            case (int(), "<" | ">" | "=" as order, None, None, None, *_):
                self.dtype = self.dtype.newbyteorder(order)
            case (int(), "|", None, None, None, *_):
                pass
            case _:
                raise ForbiddenError(f"the dtype state {short_repr(state)}")


class _Array(np.ndarray[Any, Any]):
    """Stands for `_reconstruct`; an array whose state must agree with its shape and type."""

    def __new__(cls, *_arguments: Any) -> "_Array":
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: Any) -> None:
        match state:
            case (int(), tuple(shape), _Dtype(dtype=dtype), bool(fortran), bytes() | list() as content):
                kind, unit = (list, 1) if dtype.hasobject else (bytes, dtype.itemsize)
                sizes = all(type(size) is int and size >= 0 for size in shape)
                if sizes and isinstance(content, kind) and len(content) == math.prod(shape) * unit:
                    super().__setstate__((1, shape, dtype, fortran, content))  # type: ignore[arg-type]
                    self.setflags(write=False)  # it may share bytes that Python keeps for every use of them
                    check_code_points(self)
                    return
        raise ForbiddenError(f"the array state {short_repr(state)}")


class _Scalar:
    """Stands for `scalar`."""

    def __new__(cls, dtype: Any, content: Any) -> Any:
        if not isinstance(dtype, _Dtype) or dtype.dtype.hasobject or not isinstance(content, bytes):
            raise ForbiddenError(f"a scalar of {short_repr(content)}")
        return check_code_points(np.frombuffer(content, dtype.dtype, 1))[0]

    def __setstate__(self, state: Any) -> None:
        raise ForbiddenError("the state of a scalar")


class _Bytes:
    """Stands for `_codecs.encode`, by which protocol 2 of Python 3 stores bytes."""

    def __new__(cls, text: Any, encoding: Any) -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise ForbiddenError(f"a call of {short_repr(encoding)}")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise ForbiddenError("the state of bytes")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Bytes,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _Scalar,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise ForbiddenError(f"{module}.{name}"[:80])
        return _ADMITTED[module, name]


def read_pickle(file: BinaryIO) -> Any:
    """Reads lists, tuples, dicts, text, bytes, numbers, None, and numpy arrays and scalars of those.

    Sets are read from protocol 4 on, and empty bytes from protocol 3 on: before, both were stored as calls.

    Raises:
        ForbiddenError: the pickle asks for more than plain data; nothing of it was run.
        Exception: it is damaged; errors of any type.
    """
    return _Unpickler(file, encoding="utf-8").load()


def check_code_points(array: NDArray[Any]) -> NDArray[Any]:
    """Returns the array. Text with invalid code points would make numpy raise `SystemError` wherever it is used.

    Raises:
        ValueError: its text has invalid code points.
    """
    if array.dtype.kind == "U" and array.size:
        numbers = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if numbers.max() > LAST_CODE_POINT:
            raise ValueError("its text has invalid code points")
    return array
