"""Execution of the training pass: `low_memory` and `compile`, in place with the same state dict, and its kernels."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from earcli.config.teacher import TrainConfig
from earcli.errors import ConfigError
from earcli.models.vae import EarVAE


def check_switches(config: TrainConfig) -> None:
    """Checks, before any work, whether this machine supports `low_memory` and `compile` as configured.

    Raises:
        ConfigError: Both are set, or `compile` without a working compiler.
    """
    if not config.compile:
        return
    if config.low_memory:
        raise ConfigError("`compile` and `low_memory` cannot be combined. Set one of them.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # a missing dependency can raise anything
        reason = " ".join(str(error).split("\n", 1)[0].split())
        raise ConfigError(
            f"`compile` found no working compiler ({type(error).__name__}: {reason}). Install a C++ compiler such as "
            "g++, and Triton for a GPU, or do not set `compile`."
        ) from error


def apply_switches(model: EarVAE, config: TrainConfig) -> None:
    """Applies `low_memory` and `compile` to the training passes of a model; inference is unchanged."""
    if config.low_memory:
        for block in checkpointed_blocks(model):
            _replace_in_training(block, partial(_checkpointed, block, block.forward))
    if config.compile:
        mode = "reduce-overhead" if torch.cuda.is_available() else "default"
        for half in (model.encoder, model.decoder):
            _replace_in_training(half, torch.compile(half.forward, mode=mode))


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """On CUDA, uses only kernels that repeat their results, so that a resumed run continues bit-exactly.

    Others, such as those of the backward pass of interpolation, add in an order that changes from run to run.
    """
    if not torch.cuda.is_available():
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS requires for it
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def checkpointed_blocks(model: EarVAE) -> list[nn.Module]:
    """The blocks of encoder and decoder whose activations can be recomputed from their inputs."""
    return [*model.encoder.trunk.blocks(), *model.encoder.adapt.children(), *model.decoder.stages.children()]


def _replace_in_training(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Replaces the forward pass of a module in training only."""
    plain = module.forward

    def dispatch(*inputs: Any, **options: Any) -> Any:
        return (forward if module.training and torch.is_grad_enabled() else plain)(*inputs, **options)

    module.forward = dispatch


def _checkpointed(block: nn.Module, forward: Callable[..., Tensor], *inputs: Tensor, **options: Any) -> Tensor:
    """A forward pass that saves only the inputs for the backward pass (Chen et al. 2016, arXiv:1604.06174)."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(block)

    # blocks use no random numbers
    result: Tensor = checkpoint(
        partial(forward, **options), *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return result


@contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Keeps batch norms from updating their running statistics a second time for the same batch."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
