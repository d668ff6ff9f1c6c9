"""Collective operations across the ranks of a run; a single process is a run with one rank.

All functions but `world_size` are collective: every rank must call them, in the same order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def all_gather_rows(rows: Tensor, total: int) -> Tensor:
    """The rows of all ranks, (total, ...), in the order of the global batch of `EpochBatches`.

    Every rank must compute the same loss from them. Then the gradient of `rows`, averaged over ranks as DDP does, is
    that of this loss.

    Args:
        rows: (B, ...); B may differ by 1 between ranks.
        total: The number of rows on all ranks.
    """
    world = world_size()
    if world == 1:
        return rows
    missing = -(-total // world) - len(rows)
    even = F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, missing)) if missing else rows
    parts: Tensor = _AllGather.apply(even)  # (ranks, B, ...)
    return parts.transpose(0, 1).flatten(0, 1)[:total]


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # no communication: the gradient is the same on every rank, and DDP divides it by the world size
        return gradient[dist.get_rank()] * world_size()


def broadcast_from_rank_0(tensors: Iterable[Tensor]) -> None:
    """Replaces the values of tensors, in place, by those of rank 0."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def sum_across_ranks(number: int, device: torch.device) -> int:
    """The sum of a number over all ranks."""
    if world_size() == 1:
        return number
    total = torch.tensor(number, device=device)
    dist.all_reduce(total)
    return int(total)


def max_across_ranks(number: int, device: torch.device) -> int:
    """The maximum of a number over all ranks."""
    if world_size() == 1:
        return number
    maximum = torch.tensor(number, device=device)
    dist.all_reduce(maximum, dist.ReduceOp.MAX)
    return int(maximum)


def earliest_across_ranks(position: Tensor) -> Tensor:
    """The lexicographically smallest position of all ranks; one that starts with -1 is none.

    Synchronizes with the device only if there are several ranks.

    Args:
        position: (N,) integers.
    """
    if world_size() == 1:
        return position
    positions = [torch.empty_like(position) for _ in range(world_size())]
    dist.all_gather(positions, position)
    return min((each for each in positions if each[0] >= 0), key=Tensor.tolist, default=position)


def all_reduce_sums(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sums by name over all ranks, which may have different names."""
    if world_size() == 1:
        return dict(sums)
    parts = all_gather_items([{name: value.cpu() for name, value in sums.items()}])
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum((part[name] for part in parts if name in part), torch.zeros(())) for name in names}


def all_gather_items(items: list[T]) -> list[T]:
    """The items of all ranks, in the order of ranks."""
    if world_size() == 1:
        return items
    parts: list[list[T]] = [[]] * world_size()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]
