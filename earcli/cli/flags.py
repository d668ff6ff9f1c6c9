"""The flags of parameters, and texts that name parameters by their flags."""

import re
from collections.abc import Iterable, Mapping, Sequence


def flag(name: str) -> str:
    """The flag of a parameter: `latent_dim` is `--latent-dim`.

    >>> flag("latent_dim")
    '--latent-dim'
    """
    return "--" + name.replace("_", "-")


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """A help or error text in which parameters in backticks are written as their flags.

    >>> with_flags("`batch_size` must be 1 or more, got `x`.", {"batch_size": "--batch-size"})
    '--batch-size must be 1 or more, got `x`.'
    """
    return re.sub(r"`(\w+)`", lambda match: flags.get(match[1], match[0]), text)


def flags_of(names: Iterable[str], short: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The flag by which messages name each parameter.

    >>> flags_of(["counts", "output"], {"counts": ("--count",)})
    {'counts': '--count', 'output': '--output'}
    """
    return {name: short[name][0] if name in short else flag(name) for name in names}
