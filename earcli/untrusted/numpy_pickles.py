"""numpy's arrays out of a pickle, without numpy believing what the pickle says of them."""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earcli.untrusted.files import short_repr
from earcli.untrusted.npz import plain_values
from earcli.untrusted.pickles import ForbiddenError, Global, PlainUnpickler

NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
MOST_ROWS = 5_000_000
PLAIN_CODE = re.compile(r"[<>=|]?(?:[biuf][1248]|f16|O[48]?|[US]\d{1,8})")


@dataclass
class _Type:
    """What stands for a dtype."""

    dtype: np.dtype[Any]


@dataclass
class _Array:
    """What stands for an array; its value comes after it."""

    value: Any = None


class ArrayUnpickler(PlainUnpickler):
    """Makes what numpy writes for arrays and scalars of plain values, by checking what numpy would believe."""

    def find(self, wanted: Global) -> Any:
        if wanted not in ADMITTED:
            raise ForbiddenError(str(wanted))
        return wanted

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        match function, arguments:
            case Global(module=_, name="_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b" | "b"):
                return _Array()
            case Global("numpy", "dtype"), (str(code), *_):
                return _Type(_dtype(code))
            case Global(module=_, name="scalar"), (_Type(dtype), bytes(content)) if len(content) == dtype.itemsize:
                return plain_values(content, dtype)[0]
            case Global("_codecs", "encode"), (str(text), "latin1"):  # Python 3's bytes in protocol 2
                return text.encode("latin1")
        raise ForbiddenError(f"{short_repr(arguments)} for {function}")

    def build(self, instance: Any, state: Any) -> None:
        match instance, state:
            case _Type(dtype), (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
                instance.dtype = dtype.newbyteorder(order) if order != "|" else dtype
            case _Array(), (int(), tuple(shape), _Type(dtype), bool(fortran), content):
                instance.value = _filled(shape, dtype, "F" if fortran else "C", content)
            case _:
                raise ForbiddenError(f"the state {short_repr(state)} of an array")


ADMITTED = {
    Global("numpy", "ndarray"),
    Global("numpy", "dtype"),
    Global("_codecs", "encode"),
    *(Global(module, name) for module in NUMPY_MODULES for name in ("_reconstruct", "scalar")),
}


def _dtype(code: str) -> np.dtype[Any]:
    if not PLAIN_CODE.fullmatch(code):
        raise ForbiddenError(f"an array of {short_repr(code)}")
    return np.dtype(code)


def _filled(shape: tuple[Any, ...], dtype: np.dtype[Any], order: Literal["C", "F"], content: Any) -> NDArray[Any]:
    if len(shape) > 3 or not all(type(side) is int and 0 <= side <= MOST_ROWS for side in shape):
        raise ForbiddenError(f"an array of shape {short_repr(shape)}")
    count = math.prod(shape)
    if dtype.hasobject and isinstance(content, list) and len(content) == count:
        # from an iterator, because numpy would look into lists
        return np.fromiter(content, dtype, count).reshape(shape, order=order)
    plain = dtype.itemsize > 0 and not dtype.hasobject and isinstance(content, bytes)
    if not plain or len(content) != count * dtype.itemsize:
        raise ForbiddenError(f"an array of shape {short_repr(shape)} out of nothing")
    return plain_values(content, dtype).reshape(shape, order=order)


def value_of(item: Any) -> Any:
    """The array that something in a loaded pickle stands for; anything else as it is."""
    return item.value if isinstance(item, _Array) else item
