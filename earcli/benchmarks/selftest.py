"""Checks of an installation: encoder, VAE, objective, training step and speed of the real architecture.

Nothing is read and nothing fetched: weights and pictures are random. What a check wants follows from a formula or
from the design, not from an earlier run.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.benchmarks.training_step import precision_context
from earcli.config.teacher import TrainConfig
from earcli.data.batches import as_images
from earcli.losses.objective import Objective
from earcli.losses.perceptual import PerceptualLoss, random_vgg
from earcli.models.vae import EarVAE
from earcli.training.memory import peak_memory, reset_peak_memory, resident_memory
from earcli.training.teacher import TeacherModule

PARAMETERS = 116_150_000  # of the original, to which ours come within 1%
BATCHES = (1, 4, 8)
STEPS = 3
MIXED_BOUND = 2e-2
TERM_BOUND = 1e-4  # SSIM takes differences of squares, which fp32 rounds


@dataclass(frozen=True)
class Check:
    """One line of the self-test: what was measured, what was wanted; `passed` is None where nothing was wanted."""

    part: str
    name: str
    measured: str
    wanted: str
    passed: bool | None


def run_checks(config: TrainConfig) -> Iterator[Check]:
    """All checks, one by one as they are done.

    Args:
        config: of the default architecture, its precision chosen.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    vgg = random_vgg(torch.Generator().manual_seed(config.seed))
    module = TeacherModule(config, 1, None, vgg).to(device)
    pixels = random_pixels(max(BATCHES), config.image_size).to(device)
    yield from check_encoder(config, module.model, pixels[:2])
    yield from check_vae(module.model, pixels[:2])
    yield from check_objective(module.objective.perceptual)
    yield from check_training(config, module, pixels[:2])
    yield from check_speed(config, module, pixels)


def random_pixels(count: int, size: int) -> Tensor:
    """Smooth random pictures, (count, 3, size, size) uint8."""
    small = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    return F.interpolate(small, size, mode="bicubic").clamp(0, 255).byte()


def check_encoder(config: TrainConfig, model: EarVAE, pixels: Tensor) -> Iterator[Check]:
    part = "encoder"
    images = as_images(pixels)
    size, width = config.image_size, model.encoder.width
    with torch.no_grad():
        features = model.encoder.eval().extract_features(images)
        mu, logvar = model.encoder(images)
    wanted = {f"stride{s}": (c, size // s) for s, c in zip((4, 8, 16, 32), (256, 512, 1024, 2048), strict=True)}
    wanted |= {"adapt1": (1024, size // 32), "adapt2": (width, size // 32), "adapt3": (width, size // 32)}
    found = {name: (x.shape[1], x.shape[2]) for name, x in features.items()}
    yield Check(part, "feature pyramid", f"{len(found)} maps", f"{len(wanted)} maps of known shape", found == wanted)
    shapes = tuple(mu.shape), tuple(logvar.shape)
    yield Check(part, "posterior", f"{shapes[0]}", f"{(2, config.latent_dim)}", set(shapes) == {(2, config.latent_dim)})
    finite = all(bool(x.isfinite().all()) for x in (mu, logvar, *features.values()))
    yield Check(part, "numbers", "finite" if finite else "NaN or infinite", "finite", finite)


def check_vae(model: EarVAE, pixels: Tensor) -> Iterator[Check]:
    part = "VAE"
    count = sum(p.numel() for p in model.parameters())
    near = abs(count / PARAMETERS - 1) < 0.01
    yield Check(part, "parameters", f"{count / 1e6:.2f} M", f"{PARAMETERS / 1e6:.2f} M, to 1%", near)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    yield Check(part, "trainable", f"{trainable / count:.0%}", "100%", trainable == count)
    images = as_images(pixels)
    with torch.no_grad():
        first, second = (model.eval()(images).reconstruction for _ in range(2))
        drawn = model.sample(2, torch.Generator(images.device).manual_seed(0))
    inside = first.shape == images.shape and bool((first.abs() <= 1).all())
    yield Check(part, "reconstruction", f"{tuple(first.shape)}", f"{tuple(images.shape)} in [-1, 1]", inside)
    same = torch.equal(first, second)
    yield Check(part, "the same twice", "yes" if same else "no", "yes", same)
    sound = drawn.shape == images.shape and bool(drawn.isfinite().all())
    yield Check(part, "sample", f"{tuple(drawn.shape)}", f"{tuple(images.shape)}, finite", sound)


def check_objective(perceptual: PerceptualLoss | None) -> Iterator[Check]:
    """Each term where its formula gives a number by hand."""
    objective = Objective(perceptual)
    device = next(objective.buffers()).device
    image = torch.zeros(2, 3, 64, 64, device=device)
    ramp = image + 0.1 * torch.arange(64.0, device=device)
    zeros, ones, axes = (make(2, 8, device=device) for make in (torch.zeros, torch.ones, torch.eye))
    with torch.no_grad():
        same = objective(image, image, zeros, zeros, kl_weight=0.0, samples=(axes, axes)).terms
        lighter = objective(image + 0.25, image, ones, zeros, kl_weight=0.0).terms
        steeper = objective(ramp, image, zeros, zeros, kl_weight=0.0).terms
    expected = [
        ("l1", lighter["l1"], 0.25),
        ("perceptual", same["perceptual"], 0.0),
        # flat gray 0.625 against flat gray 0.5, in [0, 1]: only SSIM's term of luminance is not 1
        ("ssim_loss", lighter["ssim_loss"], 1 - (2 * 0.625 * 0.5 + 0.01**2) / (0.625**2 + 0.5**2 + 0.01**2)),
        ("edge", steeper["edge"], 0.1 * (62 + 2 * 0.5) / 64),  # the padded borders rise half as much
        ("contrastive", same["contrastive"], math.log(1 + 2 * math.exp(-2))),  # two ears at a right angle
        ("center", lighter["center"], 0.25),
        ("kl", lighter["kl"], 0.5),  # of N(1, 1)
    ]
    for name, value, wanted in expected:
        close = abs(value.item() - wanted) < TERM_BOUND
        yield Check("objective", name, f"{value.item():.5f}", f"{wanted:.5f}", close)


def check_training(config: TrainConfig, module: TeacherModule, pixels: Tensor) -> Iterator[Check]:
    part = "training step"
    batch = {"pixels": pixels, "subject": torch.full((len(pixels),), -1, device=pixels.device)}
    plain = replace(config, precision="32")
    module.train()

    def loss(kind: TrainConfig) -> Tensor:
        with precision_context(kind, pixels.device):
            return module.training_step(batch, 0)  # type: ignore[arg-type]

    with torch.no_grad():
        exact, mixed = loss(plain).item(), loss(config).item()
    apart = abs(mixed / exact - 1)
    name = f"{config.precision} against 32"
    yield Check(part, name, f"{apart:.1e} apart", f"under {MIXED_BOUND:.0e}", apart < MIXED_BOUND)
    optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
    for _ in range(STEPS):
        # the schedule begins at rate 0, and residual branches learn from the second step on
        for group in optimizer.param_groups:
            group["lr"] = config.lr / 3
        optimizer.zero_grad()
        loss(config).backward()  # type: ignore[no-untyped-call]
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
    with torch.no_grad():
        after = loss(config).item()
    yield Check(part, f"loss after {STEPS} steps", f"{mixed:.3f} → {after:.3f}", "lower", after < mixed)
    named = dict(module.model.named_parameters())
    silent = [name for name, p in named.items() if p.grad is None or not p.grad.any()]
    reached = f"{len(named) - len(silent)} of {len(named)}" + (f", not {silent[0]}" if silent else "")
    yield Check(part, "gradients reach", reached, "all weights", not silent)
    module.zero_grad()
    module.model.encoder.freeze(2)
    loss(config).backward()  # type: ignore[no-untyped-call]
    frozen = [p for part in module.model.encoder.frozen for p in part.parameters()]
    touched = sum(p.grad is not None for p in frozen)
    module.model.encoder.freeze(config.freeze_layers)
    module.zero_grad()
    yield Check(part, "with --freeze-layers 2", f"{touched} of {len(frozen)} frozen weights", "none", not touched)


def check_speed(config: TrainConfig, module: TeacherModule, pixels: Tensor) -> Iterator[Check]:
    device = pixels.device
    optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
    for size in BATCHES:
        batch = {"pixels": pixels[:size], "subject": torch.full((size,), -1, device=device)}
        images = as_images(batch["pixels"])

        def forward(images: Tensor = images) -> None:
            with torch.no_grad(), precision_context(config, device):
                module.model(images)

        def step(batch: dict[str, Tensor] = batch) -> None:
            with precision_context(config, device):
                loss = module.training_step(batch, 0)  # type: ignore[arg-type]
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

        reset_peak_memory(device)
        speeds = [size / seconds(call, device) for call in (forward, step)]
        peak = max(peak_memory(device), resident_memory(device)) / 2**20
        measured = f"forward {speeds[0]:.1f}, train {speeds[1]:.2f} images/s, {peak:.0f} MiB"
        yield Check("performance", f"batch {size}", measured, "", None)


def seconds(call: Callable[[], None], device: torch.device) -> float:
    """What a call takes, the faster of two after a warm-up."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
