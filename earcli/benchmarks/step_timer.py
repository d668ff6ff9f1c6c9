"""Timing the phases of a training step, counting its work, and measuring its tensors."""

import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from earcli.benchmarks.timing import read_clock, time_calls
from earcli.config.teacher import TrainConfig
from earcli.data.batches import Batch, EpochBatches, as_images, batch_loader, crop_dataset
from earcli.data.cache import Crops, Progress
from earcli.losses.objective import Objective
from earcli.training.memory import peak_memory, reset_peak_memory
from earcli.training.teacher import TeacherModule

WARM_UP = 3
RUNS = 8
WEIGHTED_TERMS = ("perceptual", "ssim", "edge", "contrastive", "center")


class StepTimer:
    """Times the phases of training steps; hooks on encoder, decoder and objective divide the forward pass.

    Attributes:
        peak: Bytes held at most during `run`.
    """

    def __init__(self, config: TrainConfig, module: TeacherModule, crops: Crops, device: torch.device) -> None:
        self.config, self.module, self.crops, self.device = config, module, crops, device
        self.optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
        self.laps: dict[str, list[float]] = {}
        self.last_lap = 0.0
        self.peak = 0
        module.model.encoder.register_forward_pre_hook(self._hook("augmentation"))
        module.model.encoder.register_forward_hook(self._hook("encoder"))
        module.model.decoder.register_forward_hook(self._hook("decoder"))
        module.objective.register_forward_hook(self._hook("objective"))

    def run(self, steps: int, progress: Progress) -> dict[str, Any]:
        """Times `steps` steps after the warm-up; medians over steps."""
        batches = self._batches()
        reset_peak_memory(self.device)
        start = self.last_lap = read_clock(self.device)
        self._step(next(batches))
        first = self.last_lap - start
        for number in range(1, WARM_UP + steps):
            if number == WARM_UP:
                self.laps.clear()
            self._step(next(batches))
            progress("measuring steps", number, WARM_UP + steps - 1)
        self.peak = peak_memory(self.device)
        total = statistics.median(map(sum, zip(*self.laps.values(), strict=True)))
        phases = {name: statistics.median(times) for name, times in self.laps.items()}
        return {
            "first_step_s": first,
            "phases_ms": {name: seconds * 1000 for name, seconds in phases.items()},
            "step_ms": total * 1000,
            "images_per_second": self.config.batch_size / total,
            "data_wait": phases["data"] / total,
        }

    def _step(self, batch: Batch) -> None:
        batch = self._to_device(batch)
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

    def count_work(self) -> tuple[int, int]:
        """FLOP of a step, and bytes that its forward pass keeps for the backward pass, weights not included."""
        batch = self._to_device(next(self._batches()))
        weights = {t.untyped_storage().data_ptr() for t in (*self.module.parameters(), *self.module.buffers())}
        saved: dict[int, int] = {}

        def save(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor)
        with FlopCounterMode(display=False) as counter:
            with hooks, precision_context(self.config, self.device):
                loss = self.module.training_step(batch, 0)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.zero_grad()
        return counter.get_total_flops(), sum(saved.values())

    def time_terms(self) -> dict[str, float]:
        """Milliseconds of each term of the objective alone, forward and backward; each includes L1, which is cheap."""
        target = as_images(next(self._batches())["pixels"].to(self.device))
        reconstruction = (target * 0.9).requires_grad_()
        code = torch.randn(len(target), self.config.latent_dim, device=self.device, requires_grad=True)
        perceptual = self.module.objective.perceptual
        result = {}
        for name in ("l1", *WEIGHTED_TERMS):
            if name == "perceptual" and perceptual is None:
                continue
            weights = {f"{other}_weight": float(other == name) for other in WEIGHTED_TERMS}
            objective = Objective(perceptual if name == "perceptual" else None, **weights)

            def run_term(objective: Objective = objective) -> None:
                with precision_context(self.config, self.device):
                    losses = objective(reconstruction, target, code, code, kl_weight=0.01, samples=(code, code + 0.1))
                torch.autograd.grad(losses.total, reconstruction)

            times = time_calls(run_term, self.device, warm_up=WARM_UP, runs=RUNS)
            result[name] = statistics.median(times) * 1000
        return result

    def tensor_sizes(self) -> dict[str, int]:
        """Bytes of the tensors that last longer than a step."""
        module = self.module
        state = (value for values in self.optimizer.state.values() for value in values.values())
        return {
            "parameters": count_bytes(module.model.parameters()),
            "gradients": count_bytes(p for p in module.model.parameters() if p.requires_grad),
            "optimizer": count_bytes(value for value in state if isinstance(value, Tensor)),
            "average": count_bytes(module.average.parameters()) if module.average is not None else 0,
            "skeleton": count_bytes(module.model.skeleton.buffers()) if module.model.skeleton is not None else 0,
            "VGG16": count_bytes(module.objective.buffers()),
        }

    def _batches(self) -> Iterator[Batch]:
        epoch = 0
        while True:
            order = EpochBatches(len(self.crops), self.config.batch_size, seed=self.config.seed, epoch=epoch)
            yield from batch_loader(crop_dataset(self.crops), order)
            epoch += 1

    def _to_device(self, batch: Batch) -> Batch:
        return {"pixels": batch["pixels"].to(self.device), "subject": batch["subject"].to(self.device)}

    def _hook(self, phase: str) -> Callable[..., None]:
        def hook(*_: object) -> None:  # a returned value would replace inputs or outputs
            self._lap(phase)

        return hook

    def _lap(self, phase: str) -> None:
        """Ends a phase."""
        now = read_clock(self.device)
        self.laps.setdefault(phase, []).append(now - self.last_lap)
        self.last_lap = now


def precision_context(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast as Lightning does it for the mixed precisions."""
    types = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
    return torch.autocast(device.type, types[config.precision]) if config.precision in types else nullcontext()


def count_bytes(tensors: Iterable[Tensor]) -> int:
    """Memory of tensors in bytes."""
    return sum(t.numel() * t.element_size() for t in tensors)
