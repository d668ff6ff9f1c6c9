"""What a knob is: a dataclass field with its default, help and check; and how configurations are read and written."""

import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from earcli.errors import ConfigError
from earcli.untrusted.files import read_bounded, short_repr

MOST_BYTES, MOST_BRACKETS = 64 << 10, 100

Check = Callable[[Any], str | None]
"""Returns what a value must be, as words that follow "must be", or None if it is valid."""


def knob(
    default: Any,
    help: str,
    check: Check | None = None,
    *,
    resumable: bool = False,
    words: Mapping[str, int] = types.MappingProxyType({}),
) -> Any:
    """A dataclass field with its help and check.

    Args:
        resumable: whether it may change when a run is resumed.
        words: what stands for numbers.
    """
    return field(default=default, metadata={"help": help, "check": check, "resumable": resumable, "words": words})


def at_least(low: float) -> Check:
    return lambda value: None if value >= low else f"{low} or more"


def above(low: float) -> Check:
    return lambda value: None if value > low else f"more than {low}"


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"between {low} and {high}"


def below_one(value: float) -> str | None:
    return None if 0 <= value < 1 else "0 or more and less than 1"


def image_side(value: int) -> str | None:
    return None if 64 <= value <= 256 and value % 32 == 0 else "a multiple of 32 from 64 to 256"


def plain_name(value: str) -> str | None:
    return None if value and Path(value).name == value else "a plain folder name"


def require(check: Check, **parameters: Any) -> None:
    """Checks the parameters of a function; None always passes.

    Raises:
        ConfigError: A value fails the check.

    >>> require(at_least(1), count=3, limit=None)
    """
    for name, value in parameters.items():
        expected = check(value) if value is not None else None
        if expected is not None:
            raise ConfigError(f"`{name}` must be {expected}, got {value!r}.")


def one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"one of {', '.join(choices)}"


@dataclass(frozen=True)
class Knobs:
    """All knobs of one kind of run, flat.

    Attributes:
        GROUPS: the classes that the knobs come from, in the order in which they are shown.
        PRESETS: by name, the values that differ from the defaults.

    Raises:
        ConfigError: a value that a knob cannot have.
    """

    GROUPS: ClassVar[tuple[type[Any], ...]] = ()
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}

    def __post_init__(self) -> None:
        for item in fields(self):
            check, value = item.metadata["check"], getattr(self, item.name)
            wanted = check(value) if check is not None and value is not None else None
            if isinstance(value, float) and not math.isfinite(value):
                wanted = "a finite number"
            if wanted is not None:
                raise ConfigError(f"`{item.name}` must be {wanted}, got {value!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """Builds a configuration from plain values (YAML, a checkpoint); `source` names them in errors.

        Raises:
            ConfigError: an unknown key, or a value of another type than its knob's.
        """
        return cls(**cls.parse_values(values, source))

    @classmethod
    def resolve(cls, preset: str, from_file: Mapping[str, Any], from_flags: Mapping[str, Any]) -> Self:
        """The configuration of a run: a flag wins over the file, the file over the preset, the preset over defaults.

        Raises:
            ConfigError: an unknown preset, or a value that a knob cannot have.
        """
        if preset not in cls.PRESETS:
            raise ConfigError(f"`preset` must be one of {', '.join(cls.PRESETS)}, got {preset!r}.")
        return cls(**{**cls.PRESETS[preset], **from_file, **from_flags})

    @classmethod
    def read_file(cls, path: Path) -> dict[str, Any]:
        """Reads a YAML file of knobs.

        Raises:
            ConfigError: the file cannot be read, is no YAML mapping, or names a knob that does not exist.
        """
        import yaml  # only these two methods need it, and `ear --help` calls neither

        try:
            text = read_bounded(path, MOST_BYTES).decode("utf-8")
            if text.count("[") + text.count("{") > MOST_BRACKETS:  # each takes as long as all before it
                raise ConfigError(f"`config` {path} must hold `name: value` lines, got lists in lists.")
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
                raise ConfigError(f"`config` {path} refers to itself (*name), which a few lines could do without end.")
            values = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"`config` {path} cannot be read: {error}.") from error
        except ConfigError:
            raise
        except Exception as error:  # PyYAML raises anything, from its own errors to those of int() and of dates
            raise ConfigError(f"`config` {path} is not YAML: {' '.join(str(error).split())[:200]}.") from error
        if not isinstance(values, dict):
            raise ConfigError(f"`config` {path} must hold `name: value` lines, got {type(values).__name__}.")
        return cls.parse_values(values, f"`config` {path}")

    @classmethod
    def parse_values(cls, values: Mapping[Any, Any], source: str) -> dict[str, Any]:
        """Checks names and types of plain values and turns paths into Path."""
        hints = get_type_hints(cls)
        known = {f.name: f.metadata["words"] for f in fields(cls)}
        result = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"; did you mean {near[0]}?" if near else "."
                raise ConfigError(f"{source} has {short_repr(key)}, which is no knob{remedy}")
            word = known[name].get(value) if isinstance(value, str) else None
            result[name] = _typed(value, hints[name], f"{source}: {name}") if word is None else word
        return result

    def to_dict(self) -> dict[str, Any]:
        """The plain values (str, int, float, bool, None) that `from_dict` reads."""
        names = [item.name for group in self.GROUPS for item in fields(group)]
        values = {name: getattr(self, name) for name in names}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}

    def to_yaml(self) -> str:
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text


def _typed(value: Any, wanted: Any, where: str) -> Any:
    if not isinstance(value, str | int | float | None):
        raise ConfigError(f"{where} must be text or a number, got {short_repr(value)}.")
    if get_origin(wanted) is Literal:
        # YAML reads an unquoted 32 as a number
        if str(value) in get_args(wanted):
            return str(value)
        raise ConfigError(f"{where} must be one of {', '.join(get_args(wanted))}, got {short_repr(value)}.")
    if get_origin(wanted) in (Union, types.UnionType):
        return None if value is None else _typed(value, get_args(wanted)[0], where)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is str and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if wanted is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as a string
        except ValueError:
            pass
    if wanted in (int, bool) and type(value) is wanted:
        return value
    raise ConfigError(f"{where} must be of type {wanted.__name__.lower()}, got {short_repr(value)}.")
