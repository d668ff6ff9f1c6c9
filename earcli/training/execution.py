"""What `--low-memory` and `--compile` make of a network: in place, without new names in its state dict."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.models.vae import EarVAE


def check_switches(config: TrainConfig) -> None:
    """Finds out before any work whether this machine can do what the switches ask for.

    Raises:
        ConfigError: both switches, or --compile without a compiler.
    """
    if not config.compile:
        return
    if config.low_memory:
        raise ConfigError("--compile and --low-memory do not go together. Leave one out.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # it fails in many ways without what it needs
        reason = " ".join(str(error).split("\n", 1)[0].split())
        raise ConfigError(
            f"--compile found no working compiler ({type(error).__name__}: {reason}). Install a C++ compiler such as "
            "g++, and Triton for a GPU, or leave --compile out."
        ) from error


def apply_switches(model: EarVAE, config: TrainConfig) -> None:
    """Makes the training passes of a model what the switches ask for; it validates as before."""
    if config.low_memory:
        for block in blocks(model):
            _replace_in_training(block, lambda *inputs, block=block, plain=block.forward: _kept(block, plain, inputs))
    if config.compile:
        mode = "reduce-overhead" if torch.cuda.is_available() else "default"
        for half in (model.encoder, model.decoder):
            _replace_in_training(half, torch.compile(half.forward, mode=mode))


def blocks(model: EarVAE) -> list[nn.Module]:
    """The parts of encoder and decoder whose inside can be computed again from what goes in."""
    residual = [block for layer in model.encoder.layers for block in layer.children()]
    return [*residual, *model.encoder.adapt.children(), *model.decoder.stages.children()]


def _replace_in_training(module: nn.Module, forward: Callable[..., Any]) -> None:
    plain = module.forward

    def chosen(*inputs: Any) -> Any:
        return (forward if module.training and torch.is_grad_enabled() else plain)(*inputs)

    module.forward = chosen


def _kept(block: nn.Module, forward: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
    """One pass of a block of which only the inputs are kept (Chen et al. 2016, arXiv:1604.06174)."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(block)

    # nothing in a block draws random numbers
    result: Tensor = checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return result


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Lets batch norms compute what they did, without counting the same batch a second time."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
