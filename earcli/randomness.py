"""Random numbers for the samples of a batch, which several processes may share."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor


class SharedGenerator(torch.Generator):
    """A generator that has the same state on every rank of a run.

    Each rank draws for the global batch and keeps the rows of its own samples, as `EpochBatches` assigns them. So the
    numbers of a sample depend on its position in the global batch, not on the world size.

    Args:
        device: Where the numbers are drawn.
        total: Samples in the global batch.
        rank: Rank of this process.
        world_size: Number of processes.
    """

    def __new__(cls, device: torch.device, total: int, rank: int, world_size: int) -> Self:
        return super().__new__(cls, device)  # type: ignore[call-arg]

    def __init__(self, device: torch.device, total: int, rank: int, world_size: int) -> None:
        self.total, self.rows = total, slice(rank, None, world_size)


def draw(
    sampler: Callable[..., Tensor], shape: Sequence[int], generator: torch.Generator | None, **options: Any
) -> Tensor:
    """Calls `sampler` (`torch.rand`, `torch.randn`); with a `SharedGenerator`, returns this rank's rows.

    Args:
        sampler: A factory of random tensors.
        shape: Shape of the result; the first dimension is the samples of this rank.
        generator: On the device in `options`; None uses torch's default.
        options: Passed on, such as `device` and `dtype`.

    >>> draw(torch.rand, (2, 3), SharedGenerator(torch.device("cpu"), 4, rank=1, world_size=2)).shape
    torch.Size([2, 3])
    """
    if isinstance(generator, SharedGenerator):
        return sampler((generator.total, *shape[1:]), generator=generator, **options)[generator.rows]
    return sampler(shape, generator=generator, **options)
