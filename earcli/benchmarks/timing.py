"""Timing of calls on a device."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def read_clock(device: torch.device) -> float:
    """Seconds on a monotonic clock, once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def time_calls(call: Callable[[], object], device: torch.device, *, warm_up: int, runs: int) -> list[float]:
    """Seconds of each of `runs` calls, after `warm_up` untimed ones."""
    times = []
    for _ in range(warm_up + runs):
        start = read_clock(device)
        call()
        times.append(read_clock(device) - start)
    return times[warm_up:]


@contextmanager
def single_thread() -> Iterator[None]:
    """Limits PyTorch's operators to one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
