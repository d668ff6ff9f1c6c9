"""How fast a training step is, phase by phase, beside what the machine can do and beside the straightforward step."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from earcli.benchmarks.loader import naive_picture, time_loader
from earcli.benchmarks.straightforward import NaiveStep
from earcli.config.teacher import TrainConfig
from earcli.data.batches import Batch, EpochBatches, as_images, batch_loader, count_full_batches, crop_dataset
from earcli.data.cache import Crops, Progress
from earcli.losses.objective import Objective
from earcli.training.execution import apply_switches
from earcli.training.memory import peak_memory, reset_peak_memory, resident_memory, retain_freed_memory
from earcli.training.teacher import TeacherModule

WARM_UP = 3
PEAK_RUNS = 8


def bench_train(
    config: TrainConfig,
    crops: Crops,
    trunk: dict[str, Tensor] | None,
    vgg: dict[str, Tensor] | None,
    steps: int,
    against_naive: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Measures the step of `ear train`, without Lightning's loop around it, on cached crops.

    Args:
        config: its precision chosen; on CUDA the first device is used, and 16-mixed goes without a loss scale.
        trunk: weights that the trunk starts from; None leaves them random.
        vgg: weights of VGG16, random ones serve; None leaves the perceptual term out.
        steps: that are timed, after a warm-up.
        against_naive: also measure `NaiveStep`, before this process changes how it allocates memory.

    Returns:
        Plain values: milliseconds, images/s, GFLOP (a multiplication and an addition are two), MiB.

    Raises:
        DataError: the set is smaller than a batch.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = resident_memory(device)
    torch.manual_seed(config.seed)
    result: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "device": str(device),
        "batch_size": config.batch_size,
    }
    module = TeacherModule(config, count_full_batches(len(crops), config.batch_size), trunk, vgg)
    if against_naive:
        result["naive"] = time_naive(config, module, crops, vgg, max(steps // 2, 2), progress)
    apply_switches(module.model, config)
    retain_freed_memory()
    result["peak_gflops"] = measure_peak(device)
    bench = StepBench(config, module.to(device).train(), crops, device)
    result |= bench.run(steps, progress)
    result["gflop_per_step"], activations = bench.count()
    result["gflops"] = result["gflop_per_step"] / result["step_ms"] * 1000
    result["terms_ms"] = bench.time_terms()
    kept = {
        "parameters": bytes_of(module.model.parameters()),
        "gradients": bytes_of(p for p in module.model.parameters() if p.requires_grad),
        "optimizer": bytes_of(v for s in bench.optimizer.state.values() for v in s.values()),
        "average": bytes_of(module.average.parameters()) if module.average is not None else 0,
        "VGG16": bytes_of(module.objective.buffers()),
        "activations": activations,
    }
    result["memory_mib"] = {name: size / 2**20 for name, size in kept.items()}
    result["memory_mib"] |= {"sum": sum(kept.values()) / 2**20, "peak": (bench.peak - before) / 2**20}
    result["loader"] = time_loader(config, crops, against_naive)
    return result


class StepBench:
    """Times the phases of a training step; hooks on the parts of the model divide the forward pass."""

    def __init__(self, config: TrainConfig, module: TeacherModule, crops: Crops, device: torch.device) -> None:
        self.config, self.module, self.crops, self.device = config, module, crops, device
        self.optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
        self.laps: dict[str, list[float]] = {}
        self.mark = 0.0
        self.peak = 0
        module.model.encoder.register_forward_pre_hook(self._hook("augmentation"))
        module.model.encoder.register_forward_hook(self._hook("encoder"))
        module.model.decoder.register_forward_hook(self._hook("decoder"))
        module.objective.register_forward_hook(self._hook("objective"))

    def run(self, steps: int, progress: Progress) -> dict[str, Any]:
        batches = self._batches()
        reset_peak_memory(self.device)
        start = time.perf_counter()
        self.step(next(batches))
        first = time.perf_counter() - start
        for number in range(WARM_UP + steps - 1):
            if number == WARM_UP - 1:
                self.laps = {}
            self.step(next(batches))
            progress("measuring steps", number + 1, WARM_UP + steps - 1)
        self.peak = peak_memory(self.device)
        total = statistics.median(map(sum, zip(*self.laps.values(), strict=True)))
        return {
            "first_step_s": first,
            "phases_ms": {name: statistics.median(times) * 1000 for name, times in self.laps.items()},
            "step_ms": total * 1000,
            "images_per_second": self.config.batch_size / total,
            "data_wait": statistics.median(self.laps["data"]) / total,
        }

    def step(self, batch: Batch) -> None:
        batch = {"pixels": batch["pixels"].to(self.device), "subject": batch["subject"].to(self.device)}
        self._lap("data")
        with precision_context(self.config, self.device):
            loss = self.module.training_step(batch, 0)
        self._lap("metrics")
        loss.backward()  # type: ignore[no-untyped-call]
        self._lap("backward")
        self.module.configure_gradient_clipping(self.optimizer)
        self._lap("clipping")
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._lap("optimizer")
        self.module.update_average()
        self._lap("average")

    def count(self) -> tuple[float, int]:
        """GFLOP of a step, and the bytes that the forward pass keeps for the backward pass, weights aside."""
        batch = next(self._batches())
        batch = {"pixels": batch["pixels"].to(self.device), "subject": batch["subject"].to(self.device)}
        own = {t.untyped_storage().data_ptr() for t in (*self.module.parameters(), *self.module.buffers())}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        saved = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with FlopCounterMode(display=False) as counter:
            with saved, precision_context(self.config, self.device):
                loss = self.module.training_step(batch, 0)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad()
        return counter.get_total_flops() / 1e9, sum(kept.values())

    def time_terms(self) -> dict[str, float]:
        """Milliseconds of each term by itself, forward and backward; L1, which no weight switches off, is in all."""
        pixels = next(self._batches())["pixels"].to(self.device)
        target = as_images(pixels)
        made = (target * 0.9).requires_grad_()
        code = torch.randn(len(target), self.config.latent_dim, device=self.device, requires_grad=True)
        names = ("perceptual", "ssim", "edge", "contrastive", "center")
        result = {}
        for name in ("l1", *names):
            weights = {f"{other}_weight": float(other == name) for other in names}
            perceptual = self.module.objective.perceptual if name == "perceptual" else None
            if name == "perceptual" and perceptual is None:
                continue
            objective = Objective(perceptual, **weights)

            def once(objective: Objective = objective) -> None:
                with precision_context(self.config, self.device):
                    total = objective(made, target, code, code, kl_weight=0.01, samples=(code, code + 0.1)).total
                torch.autograd.grad(total, made)

            result[name] = self._time(once)
        return result

    def _time(self, call: Callable[[], None]) -> float:
        times = []
        for _ in range(WARM_UP + PEAK_RUNS):
            self._lap("")
            call()
            times.append(self._lap(""))
        return statistics.median(times[WARM_UP:]) * 1000

    def _batches(self) -> Iterator[Batch]:
        epoch = 0
        while True:
            order = EpochBatches(len(self.crops), self.config.batch_size, seed=self.config.seed, epoch=epoch)
            yield from batch_loader(crop_dataset(self.crops), order)
            epoch += 1

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:  # what a hook returns would take the place of inputs or outputs
            self._lap(name)

        return hook

    def _lap(self, name: str) -> float:
        """Seconds since the last call, noted under `name`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        lap, self.mark = now - self.mark, now
        self.laps.setdefault(name, []).append(lap)
        return lap


def precision_context(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast as Lightning's mixed precisions have it."""
    types = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
    return torch.autocast(device.type, types[config.precision]) if config.precision in types else nullcontext()


def time_naive(
    config: TrainConfig,
    module: TeacherModule,
    crops: Crops,
    vgg: dict[str, Tensor] | None,
    steps: int,
    progress: Progress,
) -> dict[str, float]:
    """The straightforward step on the CPU: pictures opened, cropped, resized and varied one by one, in every step."""
    naive = NaiveStep(module.model, module.objective.weights, vgg, config.kl_weight, config.lr)
    generator = torch.Generator().manual_seed(config.seed)
    order = np.random.default_rng(config.seed).permutation(len(crops))
    times, waits = [], []
    for number in range(1 + steps):
        start = time.perf_counter()
        chosen = order[np.arange(number, number + config.batch_size) % len(order)]
        images = torch.stack([naive_picture(crops, int(index), config.image_size) for index in chosen])
        loaded = time.perf_counter()
        naive(images, generator)
        times.append(time.perf_counter() - start)
        waits.append(loaded - start)
        progress("measuring the straightforward step", number + 1, 1 + steps)
    taken = statistics.median(times[1:])
    return {
        "step_ms": taken * 1000,
        "images_per_second": config.batch_size / taken,
        "data_wait": statistics.median(waits[1:]) / taken,
    }


def measure_peak(device: torch.device) -> dict[str, float]:
    """GFLOP/s of a 2048² matrix product and of a 3×3 convolution of (8, 256, 32, 32), the best of a few runs."""
    result = {}
    for name, dtype in (("32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(2048, 2048, device=device).to(dtype)
        images = torch.randn(8, 256, 32, 32, device=device).to(dtype).to(memory_format=torch.channels_last)
        weight = torch.randn(256, 256, 3, 3, device=device).to(dtype).to(memory_format=torch.channels_last)
        work = {
            f"matrix product {name}": (partial(torch.mm, matrix, matrix), 2 * 2048**3),
            f"convolution {name}": (partial(F.conv2d, images, weight, padding=1), 2 * 8 * 32**2 * 9 * 256**2),
        }
        for what, (call, flop) in work.items():
            times = []
            for _ in range(WARM_UP + PEAK_RUNS):
                start = time.perf_counter()
                call()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            result[what] = flop / min(times[WARM_UP:]) / 1e9
    return result


def bytes_of(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
