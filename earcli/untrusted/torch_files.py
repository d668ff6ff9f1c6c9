"""Files of torch, looked through before torch reads them: what is in them, and that it fits into their bytes."""

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from earcli.untrusted.files import LARGE, check_regular_file, open_zip, short_repr
from earcli.untrusted.pickles import ForbiddenError, Global, PlainUnpickler

PICKLE_BYTES = 16 << 20
MOST_SIDES = 8
BYTES_OF = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Byte", "Char", "Bool"), 1),
}
"""Of one number, by the name of torch's storage."""
DICT, TENSOR, PARAMETER = (
    Global("collections", "OrderedDict"),
    Global("torch._utils", "_rebuild_tensor_v2"),
    Global("torch._utils", "_rebuild_parameter"),
)
STORAGES = {Global("torch", f"{name}Storage"): size for name, size in BYTES_OF.items()}
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
TIMES_SHARED = 4
"""All tensors together may have so many times the file's bytes: some share theirs."""


def read_torch_file(path: Path) -> Any:
    """Tensors and plain values that `torch.save` wrote, by today's format or that of before 1.6.

    Where torch's own reader would take memory for what a file merely claims, or not notice that a byte has changed,
    the file is refused before.

    Raises:
        ForbiddenError: it holds more than tensors and plain values.
        Exception: it is damaged; anything may be raised.
    """
    check_regular_file(path, LARGE)
    with path.open("rb") as file:
        start = file.read(len(LEGACY_START))
    archive = start[:2] == b"PK"
    if archive:
        _check_archive(path)
    elif start == LEGACY_START:
        _check_legacy(path)
    else:
        raise ValueError("no file of torch")
    # weights_only runs no code either: two readers would have to fail
    return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)


def _check_archive(path: Path) -> None:
    with open_zip(path, LARGE) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        top = next(iter(sizes)).split("/")[0]
        if f"{top}/constants.pkl" in sizes:
            raise ForbiddenError("a program (TorchScript)")
        if sizes[f"{top}/data.pkl"] > PICKLE_BYTES:
            raise ForbiddenError(f"more than {PICKLE_BYTES:,} bytes that are no tensors")
        content = archive.read(f"{top}/data.pkl")
        found = _Tensors({name.removeprefix(f"{top}/data/"): size for name, size in sizes.items()}, content)
        found.load()
        found.check_total(path.stat().st_size)


def _check_legacy(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # magic number, version, and what machine wrote it
        position = 0
        for _ in range(3):
            head = PlainUnpickler(content, position)
            head.load()
            position = head.position
        found = _Tensors(None, content, position)
        found.load()
        keys = PlainUnpickler(content, found.position)
        listed = keys.load()
        if not isinstance(listed, list) or sorted(listed) != sorted(found.storages):
            raise ValueError("it lists other tensors than it has")
        if keys.position + sum(8 + storage.size for storage in found.storages.values()) > len(content):
            raise ValueError("it ends too early")
        found.check_total(len(content))


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's numbers lie: how many, and bytes in all."""

    count: int
    size: int


@dataclass(frozen=True)
class _Tensor:
    size: int


class _Tensors(PlainUnpickler):
    """Looks through the pickle of a file of torch.

    Args:
        stored: how many bytes each storage has, by its key; None where that is not known yet.
    """

    def __init__(self, stored: Mapping[str, int] | None, data: Any, position: int = 0) -> None:
        if bytes(data[position : position + 2]) != b"\x80\x02":
            raise ForbiddenError("another protocol than torch's")
        super().__init__(data, position)
        self.stored = stored
        self.storages: dict[str, _Storage] = {}
        self.total = 0

    def check_total(self, size: int) -> None:
        """Raises `ForbiddenError` when the tensors have many times the bytes of the file."""
        if self.total > TIMES_SHARED * size:
            raise ForbiddenError(f"tensors of {self.total:,} bytes in a file of {size:,}")

    def find(self, wanted: Global) -> Any:
        if wanted in (DICT, TENSOR, PARAMETER) or wanted in STORAGES:
            return wanted
        raise ForbiddenError(str(wanted))

    def refer(self, reference: Any) -> Any:
        match reference:
            case ("storage", Global() as kind, str(key), str(), int(count), *view) if kind in STORAGES and count >= 0:
                storage = _Storage(count, count * STORAGES[kind])
            case _:
                raise ForbiddenError(f"a reference to {short_repr(reference)}")
        if len(view) > 1 or (view and view[0] is not None):
            raise ForbiddenError("a part of a storage")
        if self.stored is not None and self.stored.get(key) != storage.size:
            raise ValueError(f"{short_repr(key)} has not the {storage.size:,} bytes that it should have")
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"{short_repr(key)} has two sizes")
        return storage

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        match function, arguments:
            case Global() as what, (_Storage() as storage, int(offset), tuple(shape), tuple(stride), bool(), *rest) if (
                what == TENSOR and not any(rest)
            ):
                return self._tensor(storage, offset, shape, stride)
            case Global() as what, (_Tensor() as tensor, bool(), hooks) if what == PARAMETER and hooks == {}:
                return tensor
            case Global() as what, () if what == DICT:
                return {}
            case Global() as what, (list(pairs),) if what == DICT:
                result: dict[Any, Any] = {}
                for key, value in pairs:
                    if not isinstance(key, str):
                        raise ForbiddenError(f"a {type(key).__name__} as a key")
                    result[key] = value
                return result
        raise ForbiddenError(f"{short_repr(arguments)} for {short_repr(function)}")

    def build(self, instance: Any, state: Any) -> None:
        if not isinstance(instance, dict) or not isinstance(state, dict):
            super().build(instance, state)

    def _tensor(self, storage: _Storage, offset: int, shape: tuple[Any, ...], stride: tuple[Any, ...]) -> _Tensor:
        if len(shape) > MOST_SIDES or not all(type(n) is int and 0 <= n < LARGE for n in (offset, *shape, *stride)):
            raise ForbiddenError("a tensor of no shape")
        count = math.prod(shape)
        last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
        if count and (last >= storage.count or count > storage.count):
            raise ForbiddenError(f"a tensor of {count:,} numbers out of {storage.count:,}")
        size = storage.size // storage.count * count if count else 0
        self.total += size
        return _Tensor(size)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file.

    Raises:
        Exception: it is damaged; anything may be raised.
    """
    size = check_regular_file(path, LARGE)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(size, PICKLE_BYTES):
        raise ValueError("its header is longer than any of weights")
    return load_file(path)
