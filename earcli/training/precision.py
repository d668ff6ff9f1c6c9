"""Which number format training uses on this machine."""

from dataclasses import replace
from typing import TypeVar

import torch

from earcli.config.teacher import AnyRunConfig
from earcli.errors import ConfigError

Config = TypeVar("Config", bound=AnyRunConfig)


def choose_precision(config: Config) -> Config:
    """Replaces `auto` by what this machine does well.

    Raises:
        ConfigError: 16-mixed without CUDA.
    """
    cuda = torch.cuda.is_available()
    if config.precision == "16-mixed" and not cuda:
        raise ConfigError("--precision 16-mixed needs CUDA, and there is none here. Give bf16-mixed or 32.")
    if config.precision != "auto":
        return config
    # a CPU without bf16 instructions would emulate them, slower than fp32
    # an older torch cannot tell, and gets 32
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    native = any(value for name, value in capabilities.items() if name.endswith("bf16"))
    return replace(config, precision="16-mixed" if cuda else "bf16-mixed" if native else "32")
