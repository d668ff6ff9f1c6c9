"""What a pickle describes, without running anything: an interpreter of the few instructions that plain data needs.

Python's own reader allocates what a file asks for and hashes whatever it is given as a key: a few bytes can take all
memory or all time. Here memory is bounded by the file's size and by `MOST_STEPS`, and keys are text or whole numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from
from typing import Any

MOST_STEPS = 50_000_000
SHOWN = 80
DAMAGED = "its pickle is damaged"


class ForbiddenError(Exception):
    """A pickle wants more than plain data; the message says what."""


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names. It is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:SHOWN]


class PlainUnpickler:
    """Reads lists, tuples, dicts, text, bytes, numbers, None, and what a subclass makes of calls.

    Args:
        data: bytes, or a file mapped into memory.
        position: where the pickle starts; after `load`, where it ends.
    """

    def __init__(self, data: Any, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: list[Any] = []

    def find(self, wanted: Global) -> Any:
        """What stands for a class or function."""
        raise ForbiddenError(str(wanted))

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """What calling something that `find` returned gives."""
        raise ForbiddenError("a call")

    def build(self, instance: Any, state: Any) -> None:
        """Gives something that `call` returned its state."""
        raise ForbiddenError(f"the state of a {type(instance).__name__}")

    def refer(self, reference: Any) -> Any:
        """What a reference to something outside the pickle means."""
        raise ForbiddenError("a reference to something outside the file")

    def load(self) -> Any:
        """The object.

        Raises:
            ForbiddenError: it is more than plain data.
            Exception: it is damaged; anything may be raised.
        """
        data, position, stack, memo = self.data, self.position, self.stack, self.memo
        for _ in range(MOST_STEPS):
            code = data[position]
            position += 1
            # the instructions that a long manifest consists of come first: millions of calls would take seconds
            if code == 0x47:  # BINFLOAT
                stack.append(unpack_from(">d", data, position)[0])
                position += 8
            elif code == 0x94:  # MEMOIZE
                memo.append(stack[-1])
            elif code == 0x5D:  # EMPTY_LIST
                stack.append([])
            elif code == 0x28:  # MARK
                self.marked.append(stack)
                self.stack = stack = []
            elif code == 0x65:  # APPENDS
                found, self.stack = stack, self.marked.pop()
                stack = self.stack
                _list(stack[-1]).extend(found)
            elif code == 0x4E:  # NONE
                stack.append(None)
            elif code == 0x2E:  # STOP
                self.position = position
                if self.marked or len(stack) != 1:
                    raise ValueError(DAMAGED)
                return stack[0]
            else:
                position = READ[code](self, position) if code in READ else self._step(code, position)
                stack = self.stack
        raise ForbiddenError(f"more than {MOST_STEPS:,} values")

    def _step(self, code: int, position: int) -> int:
        if code not in STEPS:
            raise ForbiddenError(f"the instruction {bytes([code])!r}")
        STEPS[code](self)
        return position

    def _number(self, position: int, form: str, width: int) -> int:
        self.stack.append(unpack_from(form, self.data, position)[0])
        return position + width

    def _text(self, position: int, form: str, width: int) -> int:
        content, end = self._bytes(position, form, width)
        self.stack.append(str(content, "utf-8", "surrogatepass"))
        return end

    def _raw(self, position: int, form: str, width: int) -> int:
        content, end = self._bytes(position, form, width)
        self.stack.append(content)
        return end

    def _bytes(self, position: int, form: str, width: int) -> tuple[bytes, int]:
        start = position + width
        end = start + unpack_from(form, self.data, position)[0]
        if end > len(self.data):
            raise ValueError(DAMAGED)
        return bytes(self.data[start:end]), end

    def _long(self, position: int, form: str, width: int) -> int:
        content, end = self._bytes(position, form, width)
        self.stack.append(int.from_bytes(content, "little", signed=True))
        return end

    def _get(self, position: int, form: str, width: int) -> int:
        self.stack.append(self.memo[unpack_from(form, self.data, position)[0]])
        return position + width

    def _put(self, position: int, form: str, width: int) -> int:
        place = unpack_from(form, self.data, position)[0]
        if place < len(self.memo):
            self.memo[place] = self.stack[-1]
        elif place == len(self.memo):
            self.memo.append(self.stack[-1])
        else:
            raise ForbiddenError(f"place {place:,} of a list of {len(self.memo):,}")
        return position + width

    def _global(self, position: int, form: str, width: int) -> int:
        names = []
        for _ in range(2):
            end = self.data.find(b"\n", position)
            if end < 0:
                raise ValueError(DAMAGED)
            names.append(bytes(self.data[position:end]).decode())
            position = end + 1
        self.stack.append(self.find(Global(*names)))
        return position

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError(DAMAGED)
        self.stack.append(self.find(Global(module, name)))

    def _pop_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.marked.pop()
        return found

    def _tuple(self) -> None:
        found = self._pop_mark()
        self.stack.append(tuple(found))

    def _last(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError(DAMAGED)
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _append(self) -> None:
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise ValueError(DAMAGED)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # the hash of nested tuples takes time without end, or all of the stack
            if type(key) not in (str, int):
                raise ForbiddenError(f"a {type(key).__name__} as a key")
            target[key] = value

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple):
            raise ValueError(DAMAGED)
        self.stack.append(self.call(function, arguments))

    def _build(self) -> None:
        state = self.stack.pop()
        self.build(self.stack[-1], state)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError(DAMAGED)
    return value


def _reader(method: Callable[..., int], form: str = "", width: int = 0) -> Callable[[PlainUnpickler, int], int]:
    return lambda pickle, position: method(pickle, position, form, width)


# by their codes in pickletools: what has an argument behind it, and what has not
_P = PlainUnpickler
READ: dict[int, Callable[[PlainUnpickler, int], int]] = {
    0x80: lambda pickle, position: position + 1,  # PROTO
    0x95: lambda pickle, position: position + 8,  # FRAME
    ord("K"): _reader(_P._number, "<B", 1),
    ord("M"): _reader(_P._number, "<H", 2),
    ord("J"): _reader(_P._number, "<i", 4),
    0x8A: _reader(_P._long, "<B", 1),  # LONG1
    0x8C: _reader(_P._text, "<B", 1),  # SHORT_BINUNICODE
    ord("X"): _reader(_P._text, "<I", 4),
    ord("U"): _reader(_P._text, "<B", 1),  # Python 2's text
    ord("T"): _reader(_P._text, "<I", 4),
    ord("C"): _reader(_P._raw, "<B", 1),
    ord("B"): _reader(_P._raw, "<I", 4),
    ord("q"): _reader(_P._put, "<B", 1),
    ord("r"): _reader(_P._put, "<I", 4),
    ord("h"): _reader(_P._get, "<B", 1),
    ord("j"): _reader(_P._get, "<I", 4),
    ord("c"): _reader(_P._global),
}
STEPS: dict[int, Callable[[PlainUnpickler], None]] = {
    0x88: lambda pickle: pickle.stack.append(True),
    0x89: lambda pickle: pickle.stack.append(False),
    ord(")"): lambda pickle: pickle.stack.append(()),
    ord("}"): lambda pickle: pickle.stack.append({}),
    ord("t"): _P._tuple,
    0x85: lambda pickle: pickle._last(1),
    0x86: lambda pickle: pickle._last(2),
    0x87: lambda pickle: pickle._last(3),
    ord("a"): _P._append,
    ord("s"): lambda pickle: pickle._set_items([pickle.stack.pop(-2), pickle.stack.pop()]),
    ord("u"): lambda pickle: pickle._set_items(pickle._pop_mark()),
    0x93: _P._stack_global,
    ord("R"): _P._reduce,
    ord("b"): _P._build,
    ord("Q"): lambda pickle: pickle.stack.append(pickle.refer(pickle.stack.pop())),
}
