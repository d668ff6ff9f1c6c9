"""One of two ranks that run collective operations and write the results to a file, for comparison with one rank.

python gathering.py RANK FOLDER
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from earcli.data.batches import EpochBatches
from earcli.losses.latent import nt_xent
from earcli.training.distributed import (
    all_gather_items,
    all_gather_rows,
    all_reduce_sums,
    earliest_across_ranks,
    max_across_ranks,
    sum_across_ranks,
)

SUBJECTS = torch.tensor([0, 1, 0, -1, 2, 1, -1])  # 7 samples: 4 for rank 0, 3 for rank 1
CPU = torch.device("cpu")


def samples() -> torch.Tensor:
    return torch.randn(len(SUBJECTS), 6, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    (rows,) = EpochBatches(len(SUBJECTS), 4, rank=rank, world_size=2)
    model = DistributedDataParallel(network())
    total = sum_across_ranks(len(rows), CPU)
    z = all_gather_rows(model(samples()[rows]), total)
    subjects = all_gather_rows(SUBJECTS[rows], total)
    loss = nt_xent(z, z.flip(1), subjects)
    loss.backward()  # type: ignore[no-untyped-call]
    unknown = torch.tensor([-1, -1])
    results = {
        "z": z.detach(),
        "subjects": subjects,
        "flags": all_gather_rows(SUBJECTS[rows] > 0, total),
        "loss": loss.detach(),
        "gradients": [p.grad for p in model.parameters()],
        "none of one": all_gather_rows(samples()[:1] if rank == 0 else samples()[:0], 1),
        "added": all_reduce_sums({"a": torch.tensor(1.0 + rank), **({"b": torch.ones(2)} if rank else {})}),
        "collected": all_gather_items([rank] * (2 - rank)),
        "highest": max_across_ranks(15 * rank, CPU),
        "earliest": earliest_across_ranks(torch.tensor([3 + rank, 2 - rank])),
        "known": earliest_across_ranks(torch.tensor([4, 2]) if rank else unknown),
        "nowhere": earliest_across_ranks(unknown),
    }
    torch.save(results, folder / f"{rank}.pt")
    os._exit(0)  # gloo sometimes aborts a process at exit


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
