"""How fast encoders run, measured in turns, each in a process of its own that loads nothing but what it needs."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from earcli.data.cache import Progress

Floats = NDArray[np.float32]
Encoder = Callable[[Floats], Floats]
Backend = Literal["torch", "compile", "onnx", "int8"]
BACKENDS: tuple[Backend, ...] = ("torch", "compile", "onnx", "int8")
TURNS = 6
LEAST_RUNS = 3
WARM_UP = 0.2


class Speed(NamedTuple):
    """One encoder at one batch size: images a second over all runs, and how long one batch took, in milliseconds."""

    backend: str
    batch: int
    images_per_second: float
    median_ms: float
    p95_ms: float
    runs: int


class Worker:
    """An encoder in a process of its own.

    Args:
        backend: what runs it.
        path: a checkpoint for torch and compile, an ONNX file for onnx and int8.
        threads: that one operator may use.
    """

    def __init__(self, backend: Backend, path: Path, threads: int) -> None:
        # spawned, not forked: a fork would begin with all that this process has loaded
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, context, initializer=_load, initargs=(backend, path, threads))

    def encode(self, images: Floats) -> Floats:
        """The posterior means (B, latent_dim) of images (B, 3, S, S)."""
        return self.pool.submit(_encode, images).result()

    def time(self, images: Floats, seconds: float) -> list[float]:
        """Seconds that each pass took, over so many seconds; a warm-up does not count."""
        return self.pool.submit(_time, images, seconds).result()

    def peak_memory(self) -> int:
        """Bytes that the process has held at most, Python included."""
        return self.pool.submit(_peak_memory).result()

    def close(self) -> None:
        self.pool.shutdown()


def measure_speed(
    workers: Mapping[str, Worker],
    images: Floats,
    batches: Sequence[int],
    seconds: float,
    progress: Progress | None = None,
) -> list[Speed]:
    """Times encoders in turns, so that what else the machine does meets all of them.

    Args:
        workers: by name.
        images: (N, 3, S, S) in [-1, 1], repeated where a batch wants more.
        seconds: that each encoder gets at each batch size, over six turns.
    """
    result = []
    for number, batch in enumerate(batches):
        inputs = images[np.arange(batch) % len(images)]
        times: dict[str, list[float]] = {name: [] for name in workers}
        for turn in range(TURNS):
            for name, worker in workers.items():
                times[name] += worker.time(inputs, seconds / TURNS)
            if progress is not None:
                progress("measuring speed", number * TURNS + turn + 1, len(batches) * TURNS)
        for name, taken in times.items():
            median, late = (float(value) * 1000 for value in np.percentile(taken, [50, 95]))
            result.append(Speed(name, batch, batch * len(taken) / sum(taken), median, late, len(taken)))
    return result


# -- what runs in a worker's process

_loaded: dict[str, Any] = {}


def _load(backend: Backend, path: Path, threads: int) -> None:
    if backend in ("torch", "compile"):
        _loaded["encoder"] = torch_encoder(path, threads, compiled=backend == "compile")
        return
    from earcli.exporting.runtime import OnnxModel

    model = OnnxModel(path, threads)
    _loaded["encoder"] = lambda images: model(images)["mu"]


def torch_encoder(checkpoint: Path, threads: int, *, compiled: bool) -> Encoder:
    """The posterior means by PyTorch, eager or through `torch.compile`, in fp32 on the CPU."""
    import torch

    from earcli.models.vae import EarVAE

    torch.set_num_threads(threads)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses CUDA, which is not used here
    encoder = EarVAE.load_from_checkpoint(checkpoint).encoder
    # a shape each: what one batch size wants is not what another does
    run = torch.compile(encoder, dynamic=False) if compiled else encoder

    def encode(images: Floats) -> Floats:
        with torch.inference_mode():
            mu: Floats = run(torch.from_numpy(images))[0].numpy()
            return mu

    return encode


def _encode(images: Floats) -> Floats:
    found: Floats = _loaded["encoder"](images)
    return found


def _time(images: Floats, seconds: float) -> list[float]:
    _run_for(WARM_UP, images)
    return _run_for(seconds, images)


def _run_for(seconds: float, images: Floats) -> list[float]:
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < LEAST_RUNS:
        start = time.perf_counter()
        _loaded["encoder"](images)
        taken.append(time.perf_counter() - start)
    return taken


def _peak_memory() -> int:
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's getrusage still counts what the parent held when it started this process
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    if sys.platform == "win32":  # no way to ask without another library
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes but for macOS
