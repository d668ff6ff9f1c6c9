"""Random numbers for the samples of a batch, which several processes may share."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor


class SharedGenerator(torch.Generator):
    """A generator that every process of a run has in the same state.

    Each draws for the whole batch and takes what belongs to its own samples, as `EpochBatches` deals them out. So what
    a sample gets depends on its place in the whole batch, and not on how many processes there are.

    Args:
        device: where the numbers are drawn.
        total: samples of the batch on all processes.
        rank, world_size: which of how many processes this is.
    """

    def __new__(cls, device: torch.device, total: int, rank: int, world_size: int) -> Self:
        return super().__new__(cls, device)  # type: ignore[call-arg]

    def __init__(self, device: torch.device, total: int, rank: int, world_size: int) -> None:
        self.total, self.own = total, slice(rank, None, world_size)


def draw(
    kind: Callable[..., Tensor], shape: Sequence[int], generator: torch.Generator | None, **options: Any
) -> Tensor:
    """What `kind` (`torch.rand`, `torch.randn`) gives for a shape whose first dimension are this process's samples."""
    if isinstance(generator, SharedGenerator):
        return kind((generator.total, *shape[1:]), generator=generator, **options)[generator.own]
    return kind(shape, generator=generator, **options)
