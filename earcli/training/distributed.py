"""What processes that train together tell each other. A process that trains alone hears itself.

All but `world_size` are collective: every process must call them, in the same order.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_gather_rows(rows: Tensor, total: int) -> Tensor:
    """The rows of all processes, (total, ...), in the order from which `EpochBatches` dealt them out.

    Every process must compute the same loss of them. Then the gradient of `rows`, averaged over processes as DDP
    averages gradients, is that of this loss.

    Args:
        rows: (B, ...), B differing by at most 1 between processes.
        total: the rows of all processes.
    """
    world = world_size()
    if world == 1:
        return rows
    missing = -(-total // world) - len(rows)
    even = F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows
    parts: Tensor = _Gather.apply(even)  # (processes, B, ...)
    return parts.transpose(0, 1).flatten(0, 1)[:total]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # nothing needs to be sent: the gradient is the same everywhere, and of the average this process is one part
        return gradient[dist.get_rank()] * world_size()


def sum_across_ranks(number: int, device: torch.device) -> int:
    """The sum of a number over processes."""
    if world_size() == 1:
        return number
    total = torch.tensor(number, device=device)
    dist.all_reduce(total)
    return int(total)


def max_across_ranks(number: int, device: torch.device) -> int:
    """The highest of the processes' numbers."""
    if world_size() == 1:
        return number
    found = torch.tensor(number, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def earliest_across_ranks(place: Tensor) -> Tensor:
    """The first of the processes' places, (N,) integers that count from left to right; one that starts with -1 is none.

    Waits for the device only where there are several processes.
    """
    if world_size() == 1:
        return place
    places = [torch.empty_like(place) for _ in range(world_size())]
    dist.all_gather(places, place)
    found = [each for each in places if each[0] >= 0]
    return min(found, key=Tensor.tolist, default=place)


def all_reduce_sums(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums by name, added over processes, which need not have the same names."""
    if world_size() == 1:
        return dict(sums)
    parts = all_gather_items([{name: value.cpu() for name, value in sums.items()}])
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum((part[name] for part in parts if name in part), torch.zeros(())) for name in names}


def all_gather_items(items: list[T]) -> list[T]:
    """The items of all processes, those of the first process first."""
    if world_size() == 1:
        return items
    parts: list[list[T]] = [[]] * world_size()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]
