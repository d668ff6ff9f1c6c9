"""Time of a training step by phase, beside the machine's peak and a straightforward step."""

import statistics
import time
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.benchmarks.loader import load_naively, measure_loader
from earcli.benchmarks.step_timer import RUNS, WARM_UP, StepTimer
from earcli.benchmarks.straightforward import NaiveStep
from earcli.benchmarks.timing import time_calls
from earcli.config.teacher import TrainConfig
from earcli.data.batches import count_full_batches
from earcli.data.cache import Crops, Progress
from earcli.training.execution import apply_switches, deterministic_kernels
from earcli.training.memory import resident_memory, retain_freed_memory
from earcli.training.precision import has_bf16_instructions
from earcli.training.teacher import TeacherModule


def measure_training_step(
    config: TrainConfig,
    crops: Crops,
    trunk: dict[str, Tensor] | None,
    vgg: dict[str, Tensor] | None,
    steps: int,
    against_naive: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Measures the step of `ear train` on crops, without Lightning's loop around it.

    Args:
        config: Its precision is not `auto`; on CUDA the first device is used, and 16-mixed has no loss scale.
        crops: The training set, at least one batch.
        trunk: Initial weights of the backbone; None for random ones.
        vgg: Weights of VGG16, which may be random; None disables the perceptual term.
        steps: Number of timed steps, after a warm-up.
        against_naive: Whether to measure `NaiveStep` as well.

    Returns:
        Plain values by name: ms, images/s, GFLOP (a multiply-add counts as two), MiB.

    Raises:
        DataError: The crops do not fill one batch.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = resident_memory(device)
    torch.manual_seed(config.seed)
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "batch_size": config.batch_size,
    }
    module = TeacherModule(config, count_full_batches(len(crops), config.batch_size), trunk, vgg)
    if against_naive:  # before this process changes how it allocates memory
        result["naive"] = _time_naive_step(config, module, crops, vgg, max(steps // 2, 2), device, progress)
    apply_switches(module.model, config)
    retain_freed_memory()
    result["peak_gflops"] = _measure_peak(device)
    timer = StepTimer(config, module.to(device).train(), crops, device)
    with deterministic_kernels():
        result |= timer.run(steps, progress)
    flop, activations = timer.count_work()
    result |= {"gflop_per_step": flop / 1e9, "gflops": flop / result["step_ms"] / 1e6}
    result["terms_ms"] = timer.time_terms()
    size = {**timer.tensor_sizes(), "activations": activations}
    size |= {"sum": sum(size.values()), "peak": timer.peak - before}
    result["memory_mib"] = {name: value / 2**20 for name, value in size.items()}
    result["loader"] = measure_loader(config, crops, against_naive)
    return result


def _time_naive_step(
    config: TrainConfig,
    module: TeacherModule,
    crops: Crops,
    vgg: dict[str, Tensor] | None,
    steps: int,
    device: torch.device,
    progress: Progress,
) -> dict[str, float]:
    """Times the straightforward step, loading of images included; medians after one warm-up step."""
    step = NaiveStep(module.model, module.objective.weights, vgg, config.kl_weight, config.lr, device)
    generator = torch.Generator(device).manual_seed(config.seed)
    order = np.random.default_rng(config.seed).permutation(len(crops))
    times, waits = [], []
    for number in range(1 + steps):
        start = time.perf_counter()
        rows = order[np.arange(number, number + config.batch_size) % len(order)]
        images = torch.stack([load_naively(crops, int(row), config.image_size) for row in rows])
        waits.append(time.perf_counter() - start)
        step(images.to(device), generator)
        times.append(time.perf_counter() - start)
        progress("measuring the straightforward step", number + 1, 1 + steps)
    seconds = statistics.median(times[1:])
    return {
        "step_ms": seconds * 1000,
        "images_per_second": config.batch_size / seconds,
        "data_wait": statistics.median(waits[1:]) / seconds,
    }


def _measure_peak(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a 2048² matrix product and of a 3×3 convolution of (8, 256, 32, 32), the best of several runs.

    bf16 is left out where it is emulated: one product would take minutes.
    """
    result = {}
    dtypes = {"32": torch.float32}
    if device.type == "cuda" or has_bf16_instructions():
        dtypes["bf16"] = torch.bfloat16
    for name, dtype in dtypes.items():
        matrix = torch.randn(2048, 2048, device=device).to(dtype)
        images = torch.randn(8, 256, 32, 32, device=device).to(dtype).to(memory_format=torch.channels_last)
        weight = torch.randn(256, 256, 3, 3, device=device).to(dtype).to(memory_format=torch.channels_last)
        product, convolution = partial(torch.mm, matrix, matrix), partial(F.conv2d, images, weight, padding=1)
        for kernel, call, flop in (
            ("matrix product", product, 2 * 2048**3),
            ("convolution", convolution, 2 * 8 * 32**2 * 9 * 256**2),
        ):
            best = min(time_calls(call, device, warm_up=WARM_UP, runs=RUNS))
            result[f"{kernel} {name}"] = flop / best / 1e9
    return result
