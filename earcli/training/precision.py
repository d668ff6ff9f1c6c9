"""The precision of training on this machine."""

from dataclasses import replace
from typing import TypeVar

import torch

from earcli.config.teacher import AnyRunConfig
from earcli.errors import ConfigError

Config = TypeVar("Config", bound=AnyRunConfig)


def choose_precision(config: Config) -> Config:
    """Replaces `auto`: 16-mixed on CUDA, bf16-mixed on a CPU with bf16 instructions, else 32.

    Raises:
        ConfigError: 16-mixed without CUDA.
    """
    cuda = torch.cuda.is_available()
    if config.precision == "16-mixed" and not cuda:
        raise ConfigError("`precision` 16-mixed needs CUDA, which is not available. Use bf16-mixed or 32.")
    if config.precision != "auto":
        return config
    if cuda:
        return replace(config, precision="16-mixed")
    native = not torch.backends.mps.is_available() and has_bf16_instructions()
    return replace(config, precision="bf16-mixed" if native else "32")


def has_bf16_instructions() -> bool:
    """Whether the CPU has bf16 instructions, whose emulation is slower than fp32; False for an older torch."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(value for name, value in capabilities.items() if name.endswith("bf16"))
