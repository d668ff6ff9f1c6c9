"""Knobs: dataclass fields with a default, a help text and a check, and how configurations are read and written."""

import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from earcli.errors import ConfigError
from earcli.untrusted.files import read_bounded, short_repr

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
TIMM = "timm:"
"""Precedes the name of a model of timm."""
MAX_BYTES, MAX_BRACKETS = 64 << 10, 100
"""Limits on a YAML file of knobs."""

Check = Callable[[Any], str | None]
"""Returns None if a value is valid, else what it must be, as words that follow "must be"."""


def knob(
    default: Any,
    help: str,
    check: Check | None = None,
    *,
    resumable: bool = False,
    words: Mapping[str, int] = types.MappingProxyType({}),
    former: str = "",
) -> Any:
    """A dataclass field with a help text and a check.

    Args:
        default: The default value.
        help: A sentence; other knobs are named in backticks.
        check: The check of a value that is not None.
        resumable: Whether the knob may change when a run is resumed.
        words: Words that stand for numbers, such as `auto`.
        former: The name that the knob had in earlier versions, which is accepted as well.
    """
    metadata = {"help": help, "check": check, "resumable": resumable, "words": words, "former": former}
    return field(default=default, metadata=metadata)


def at_least(low: float) -> Check:
    return lambda value: None if value >= low else f"{low} or more"


def above(low: float) -> Check:
    return lambda value: None if value > low else f"more than {low}"


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"between {low} and {high}"


def one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"one of {', '.join(choices)}"


def below_one(value: float) -> str | None:
    return None if 0 <= value < 1 else "0 or more and less than 1"


def image_side(value: int) -> str | None:
    return None if 64 <= value <= 256 and value % 32 == 0 else "a multiple of 32 from 64 to 256"


def encoder_name(value: str) -> str | None:
    if value in RESNETS or (value.startswith(TIMM) and value != TIMM):
        return None
    nearest = difflib.get_close_matches(value, RESNETS, n=1)
    return f"{RESNETS[0]} to {RESNETS[-1]} or {TIMM}NAME" + (f" (the nearest is {nearest[0]})" if nearest else "")


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


@dataclass(frozen=True)
class Knobs:
    """All knobs of one kind of run, flat.

    Attributes:
        GROUPS: The classes that the knobs come from, in the order in which they are shown.
        PRESETS: For each preset, the values that differ from the defaults.

    Raises:
        ConfigError: A value fails the check of its knob.
    """

    GROUPS: ClassVar[tuple[type[Any], ...]] = ()
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"`{item.name}` must be a finite number, got {value!r}.")
            if item.metadata["check"] is not None:
                require(item.metadata["check"], **{item.name: value})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """Builds a configuration from plain values (YAML, a checkpoint); `source` names them in errors.

        Raises:
            ConfigError: An unknown knob, or a value of the wrong type.
        """
        return cls(**cls.parse_values(values, source))

    @classmethod
    def resolve(cls, preset: str, config: str | Path | Mapping[str, Any] | None, knobs: Mapping[str, Any]) -> Self:
        """The configuration of a run. `knobs` win over `config`, `config` over the preset, the preset over defaults.

        Args:
            preset: A key of `PRESETS`.
            config: A YAML file of knobs, or a mapping.
            knobs: Values by name; paths may be `str`.

        Raises:
            ConfigError: An unknown preset or knob, or a value that a knob cannot have.
        """
        require(one_of(*cls.PRESETS), preset=preset)
        if isinstance(config, str | Path):
            values = cls.read_file(Path(config))
        else:
            values = cls.parse_values(config or {}, "`config`")
        return cls(**{**cls.PRESETS[preset], **values, **cls.parse_values(knobs)})

    @classmethod
    def read_file(cls, path: Path) -> dict[str, Any]:
        """Reads a YAML file of knobs.

        Raises:
            ConfigError: The file cannot be read, is no YAML mapping, or has an unknown knob.
        """
        import yaml  # slow to import, and only this method and `to_yaml` need it

        source = f"`config` {path}"
        try:
            text = read_bounded(path, MAX_BYTES).decode("utf-8")
            if text.count("[") + text.count("{") > MAX_BRACKETS:  # the parser is quadratic in their depth
                raise ConfigError(f"{source} must hold `name: value` lines, got nested lists.")
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
                raise ConfigError(f"{source} has aliases (*name), which can expand without bound. Remove them.")
            values = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source} cannot be read: {error}.") from error
        except ConfigError:
            raise
        except Exception as error:  # PyYAML raises anything, from its own errors to those of int() and of dates
            raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())[:200]}.") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{source} must hold `name: value` lines, got {type(values).__name__}.")
        return cls.parse_values(values, source)

    @classmethod
    def parse_values(cls, values: Mapping[Any, Any], source: str = "") -> dict[str, Any]:
        """Checks names and types, and converts paths to `Path` and words to numbers.

        Args:
            values: Values by the name of a knob.
            source: Where they come from, for errors; empty for keyword arguments.

        Raises:
            ConfigError: An unknown knob, or a value of the wrong type.
        """
        hints = get_type_hints(cls)
        words = {item.name: item.metadata["words"] for item in fields(cls)}
        renamed = {item.metadata["former"]: item.name for item in fields(cls) if item.metadata["former"]}
        result = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            name = renamed.get(name, name)
            if name in result:
                raise ConfigError(f"{short_repr(key)} is {name}, which was given as well. Give one of them.")
            if name not in words:
                matches = difflib.get_close_matches(name, words, n=1)
                remedy = f"; did you mean {matches[0]}?" if matches else "."
                place = f" in {source}" if source else ""
                raise ConfigError(f"Unknown knob {short_repr(key)}{place}{remedy}")
            if isinstance(value, str) and value in words[name]:
                result[name] = words[name][value]
            else:
                result[name] = _convert(value, hints[name], f"{source}: {name}" if source else f"`{name}`")
        return result

    def to_dict(self) -> dict[str, Any]:
        """The plain values (str, int, float, bool, None) that `from_dict` reads."""
        names = [item.name for group in self.GROUPS for item in fields(group)]
        values = {name: getattr(self, name) for name in names}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}

    def to_yaml(self) -> str:
        """The text of a YAML file that `read_file` reads."""
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text


def _convert(value: Any, kind: Any, name: str) -> Any:
    """A value as a knob of type `kind` has it; raises ConfigError, in which `name` stands for the knob."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str | int | float | None):
        raise ConfigError(f"{name} must be text or a number, got {short_repr(value)}.")
    if get_origin(kind) is Literal:
        # YAML reads an unquoted 32 as a number
        if str(value) in get_args(kind):
            return str(value)
        raise ConfigError(f"{name} must be one of {', '.join(get_args(kind))}, got {short_repr(value)}.")
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None else _convert(value, get_args(kind)[0], name)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is str and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as a string
        except ValueError:
            pass
    if kind in (int, bool) and type(value) is kind:
        return value
    raise ConfigError(f"{name} must be of type {kind.__name__.lower()}, got {short_repr(value)}.")
