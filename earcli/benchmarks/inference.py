"""Speed of encoders, each in a process of its own that imports nothing but what it needs."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Progress

Floats = NDArray[np.float32]
Encoder = Callable[[Floats], Floats]
"""From images (B, 3, S, S) in [-1, 1] to posterior means (B, code_dim)."""
ROUNDS = 6
MIN_RUNS = 3
WARM_UP_SECONDS = 0.2


class Speed(NamedTuple):
    """Throughput of one encoder at one batch size over all runs, and the latency of a batch in ms."""

    backend: str
    batch: int
    images_per_second: float
    median_ms: float
    p95_ms: float
    runs: int


class Worker:
    """An encoder in a process of its own; a context manager that ends the process.

    Args:
        backend: `torch`, `compile`, `onnx` or `int8`.
        path: A checkpoint for `torch` and `compile`, an ONNX file for `onnx` and `int8`.
        threads: Threads of one operator.
    """

    def __init__(self, backend: str, path: Path, threads: int) -> None:
        # a forked process would start with all the modules that this one has imported
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, context, initializer=_load, initargs=(backend, path, threads))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def encode(self, images: Floats) -> Floats:
        """The posterior means (B, code_dim) of images (B, 3, S, S) in [-1, 1]."""
        return self.pool.submit(_encode, images).result()

    def time(self, images: Floats, seconds: float) -> list[float]:
        """Seconds of each pass, repeated for `seconds` after a warm-up."""
        return self.pool.submit(_time, images, seconds).result()

    def peak_memory(self) -> int:
        """Peak resident memory of the process in bytes, Python included."""
        return self.pool.submit(_peak_memory).result()


def measure_speed(
    workers: Mapping[str, Worker],
    images: Floats,
    batch_sizes: Sequence[int],
    seconds: float,
    progress: Progress,
) -> list[Speed]:
    """Times encoders in alternation, so that other load on the machine affects all of them.

    Args:
        workers: By name.
        images: (N, 3, S, S) in [-1, 1], repeated where a batch is larger.
        batch_sizes: Images per batch.
        seconds: Total time of each encoder at each batch size, divided among six rounds.
        progress: Called after each round.
    """
    result = []
    for number, batch in enumerate(batch_sizes):
        inputs = images[np.arange(batch) % len(images)]
        times: dict[str, list[float]] = {name: [] for name in workers}
        for turn in range(ROUNDS):
            for name, worker in workers.items():
                times[name] += worker.time(inputs, seconds / ROUNDS)
            progress("measuring speed", number * ROUNDS + turn + 1, len(batch_sizes) * ROUNDS)
        for name, values in times.items():
            median, p95 = (float(value) * 1000 for value in np.percentile(values, [50, 95]))
            result.append(Speed(name, batch, batch * len(values) / sum(values), median, p95, len(values)))
    return result


def torch_encoder(checkpoint: Path, threads: int, *, compiled: bool) -> Encoder:
    """The encoder in PyTorch, eager or through `torch.compile`, in fp32 on the CPU."""
    import torch

    from earcli.models.vae import EarVAE

    torch.set_num_threads(threads)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns about missing CUDA, unused here
    encoder = EarVAE.load_from_checkpoint(checkpoint).posterior
    # compiled again for each batch size, which may need other code
    run = torch.compile(encoder, dynamic=False) if compiled else encoder

    def encode(images: Floats) -> Floats:
        with torch.inference_mode():
            mu: Floats = run(torch.from_numpy(images))[0].numpy()
            return mu

    return encode


# -- what runs in a worker's process

_loaded: dict[str, Any] = {}


def _load(backend: str, path: Path, threads: int) -> None:
    if backend in ("torch", "compile"):
        _loaded["encoder"] = torch_encoder(path, threads, compiled=backend == "compile")
        return
    from earcli.exporting.runtime import OnnxModel

    model = OnnxModel(path, threads)
    _loaded["encoder"] = lambda images: model(images)["mu"]


def _encode(images: Floats) -> Floats:
    mu: Floats = _loaded["encoder"](images)
    return mu


def _time(images: Floats, seconds: float) -> list[float]:
    _run_for(WARM_UP_SECONDS, images)
    return _run_for(seconds, images)


def _run_for(seconds: float, images: Floats) -> list[float]:
    times: list[float] = []
    while sum(times) < seconds or len(times) < MIN_RUNS:
        start = time.perf_counter()
        _loaded["encoder"](images)
        times.append(time.perf_counter() - start)
    return times


def _peak_memory() -> int:
    # not `earcli.training.memory`, which imports torch
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's getrusage includes what the parent held when it started this process
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    if sys.platform == "win32":  # the standard library cannot tell
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, else KiB
