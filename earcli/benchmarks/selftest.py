"""Checks of an installation: encoder, VAE, objective, training step and speed of the default architecture.

Weights and images are random, so nothing is read or downloaded. Expected values follow from formulas or from the
design, not from an earlier run.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from earcli.benchmarks.report import Check
from earcli.benchmarks.step_timer import precision_context
from earcli.benchmarks.timing import time_calls
from earcli.config.teacher import TrainConfig
from earcli.data.batches import Batch, as_images
from earcli.losses.objective import Objective
from earcli.losses.perceptual import PerceptualLoss, random_vgg
from earcli.models.vae import EarVAE
from earcli.training.memory import peak_memory, reset_peak_memory, resident_memory
from earcli.training.teacher import TeacherModule

PARAMETERS = 116_150_000  # of the original architecture; ours is within 1%
BATCH_SIZES = (1, 4, 8)
STEPS = 3
PRECISION_TOLERANCE = 2e-2
TERM_TOLERANCE = 1e-4  # SSIM subtracts squares, which rounds in fp32


def run_checks(config: TrainConfig) -> Iterator[Check]:
    """Runs all checks, and yields each when it is done.

    Args:
        config: The default architecture; its precision is not `auto`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    vgg = random_vgg(torch.Generator().manual_seed(config.seed))
    module = TeacherModule(config, 1, None, vgg).to(device)
    pixels = random_pixels(max(BATCH_SIZES), config.image_size).to(device)
    yield from check_encoder(config, module.model, pixels[:2])
    yield from check_vae(module.model, pixels[:2])
    yield from check_objective(module.objective.perceptual)
    yield from check_training(config, module, pixels[:2])
    yield from measure_speed(config, module, pixels)


def random_pixels(count: int, size: int) -> Tensor:
    """Smooth random images, (count, 3, size, size) uint8.

    >>> random_pixels(2, 64).shape
    torch.Size([2, 3, 64, 64])
    """
    small = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    return F.interpolate(small, size, mode="bicubic").clamp(0, 255).byte()


def check_encoder(config: TrainConfig, model: EarVAE, pixels: Tensor) -> Iterator[Check]:
    """Checks shapes and values of the features and of the posterior of two images."""
    part = "encoder"
    images = as_images(pixels)
    size, width = config.image_size, model.encoder.width
    with torch.no_grad():
        features = model.encoder.eval().extract_features(images)
        mu, logvar = model.encoder(images)
    expected = {f"stride{s}": (c, size // s) for s, c in zip((4, 8, 16, 32), (256, 512, 1024, 2048), strict=True)}
    expected |= {"adapt1": (1024, size // 32), "adapt2": (width, size // 32), "adapt3": (width, size // 32)}
    shapes = {name: (x.shape[1], x.shape[2]) for name, x in features.items()}
    yield Check(part, "feature pyramid", f"{len(shapes)} maps", f"{len(expected)} maps", shapes == expected)
    correct = mu.shape == logvar.shape == (2, config.latent_dim)
    yield Check(part, "posterior", f"{tuple(mu.shape)}", f"{(2, config.latent_dim)}", correct)
    finite = all(bool(x.isfinite().all()) for x in (mu, logvar, *features.values()))
    yield Check(part, "values", "finite" if finite else "NaN or infinite", "finite", finite)


def check_vae(model: EarVAE, pixels: Tensor) -> Iterator[Check]:
    """Checks the number of parameters, reconstructions and samples."""
    part = "VAE"
    count = sum(p.numel() for p in model.parameters())
    close = abs(count / PARAMETERS - 1) < 0.01
    yield Check(part, "parameters", f"{count / 1e6:.2f} M", f"{PARAMETERS / 1e6:.2f} M ± 1%", close)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    yield Check(part, "trainable", f"{trainable / count:.0%}", "100%", trainable == count)
    images = as_images(pixels)
    with torch.no_grad():
        first, second = (model.eval()(images).reconstruction for _ in range(2))
        samples = model.sample(2, torch.Generator(images.device).manual_seed(0))
    valid = first.shape == images.shape and bool((first.abs() <= 1).all())
    yield Check(part, "reconstruction", f"{tuple(first.shape)}", f"{tuple(images.shape)} in [-1, 1]", valid)
    equal = torch.equal(first, second)
    yield Check(part, "deterministic", "yes" if equal else "no", "yes", equal)
    valid = samples.shape == images.shape and bool(samples.isfinite().all())
    yield Check(part, "sample", f"{tuple(samples.shape)}", f"{tuple(images.shape)}, finite", valid)


def check_objective(perceptual: PerceptualLoss | None) -> Iterator[Check]:
    """Checks each term on inputs for which its formula gives a closed-form value."""
    objective = Objective(perceptual)
    device = next(objective.buffers()).device
    image = torch.zeros(2, 3, 64, 64, device=device)
    ramp = image + 0.1 * torch.arange(64.0, device=device)
    zeros, ones, axes = (create(2, 8, device=device) for create in (torch.zeros, torch.ones, torch.eye))
    with torch.no_grad():
        equal = objective(image, image, zeros, zeros, kl_weight=0.0, samples=(axes, axes)).terms
        lighter = objective(image + 0.25, image, ones, zeros, kl_weight=0.0).terms
        steeper = objective(ramp, image, zeros, zeros, kl_weight=0.0).terms
    for name, term, expected in (
        ("l1", lighter["l1"], 0.25),
        ("perceptual", equal["perceptual"], 0.0),
        # flat gray of 0.625 and of 0.5 in [0, 1] differ in the luminance factor of SSIM alone
        ("ssim_loss", lighter["ssim_loss"], 1 - (2 * 0.625 * 0.5 + 0.01**2) / (0.625**2 + 0.5**2 + 0.01**2)),
        ("edge", steeper["edge"], 0.1 * (62 + 2 * 0.5) / 64),  # half the slope at the padded borders
        ("contrastive", equal["contrastive"], math.log(1 + 2 * math.exp(-2))),  # two orthogonal ears
        ("center", lighter["center"], 0.25),
        ("kl", lighter["kl"], 0.5),  # KL(N(1, 1) || N(0, 1))
    ):
        close = abs(term.item() - expected) < TERM_TOLERANCE
        yield Check("objective", name, f"{term.item():.5f}", f"{expected:.5f}", close)


def check_training(config: TrainConfig, module: TeacherModule, pixels: Tensor) -> Iterator[Check]:
    """Checks precision, progress and gradients of training steps on one batch."""
    part = "training step"
    batch = _batch(pixels)
    module.train()
    with torch.no_grad():
        exact = _loss(replace(config, precision="32"), module, batch).item()
        before = _loss(config, module, batch).item()
    error = abs(before / exact - 1)
    limit = f"below {PRECISION_TOLERANCE:.0e}"
    yield Check(part, f"{config.precision} vs. 32", f"relative error {error:.1e}", limit, error < PRECISION_TOLERANCE)
    _train(config, module, batch)
    with torch.no_grad():
        after = _loss(config, module, batch).item()
    yield Check(part, f"loss after {STEPS} steps", f"{before:.3f} → {after:.3f}", "lower", after < before)
    parameters = dict(module.model.named_parameters())
    missing = [name for name, p in parameters.items() if p.grad is None or not p.grad.any()]
    reached = f"{len(parameters) - len(missing)} of {len(parameters)}" + (f", not {missing[0]}" if missing else "")
    yield Check(part, "gradients reach", reached, "all weights", not missing)
    module.zero_grad()
    module.model.encoder.freeze(2)
    _loss(config, module, batch).backward()  # type: ignore[no-untyped-call]
    frozen = module.model.encoder.frozen
    touched = sum(p.grad is not None for p in frozen)
    module.model.encoder.freeze(config.freeze_layers)
    module.zero_grad()
    yield Check(part, "two frozen layers", f"gradients of {touched} of {len(frozen)} weights", "none", not touched)


def measure_speed(config: TrainConfig, module: TeacherModule, pixels: Tensor) -> Iterator[Check]:
    """Measures images/s of forward passes and training steps, the faster of two, and peak memory."""
    device = pixels.device
    optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
    for size in BATCH_SIZES:
        batch = _batch(pixels[:size])
        images = as_images(batch["pixels"])

        def forward(images: Tensor = images) -> None:
            with torch.no_grad(), precision_context(config, device):
                module.model(images)

        def step(batch: Batch = batch) -> None:
            _loss(config, module, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

        reset_peak_memory(device)
        speeds = [size / min(time_calls(call, device, warm_up=1, runs=2)) for call in (forward, step)]
        peak = max(peak_memory(device), resident_memory(device)) / 2**20
        measured = f"forward {speeds[0]:.1f}, train {speeds[1]:.2f} images/s, {peak:.0f} MiB"
        yield Check("performance", f"batch {size}", measured, "", None)


def _batch(pixels: Tensor) -> Batch:
    return {"pixels": pixels, "subject": torch.full((len(pixels),), -1, device=pixels.device)}


def _loss(config: TrainConfig, module: TeacherModule, batch: Batch) -> Tensor:
    with precision_context(config, batch["pixels"].device):
        return module.training_step(batch, 0)


def _train(config: TrainConfig, module: TeacherModule, batch: Batch) -> None:
    """Takes a few steps; leaves the gradients of the last one."""
    optimizer: torch.optim.Optimizer = module.configure_optimizers()["optimizer"]
    # as in training: without a loss scale, small gradients underflow in fp16
    half = config.precision == "16-mixed"
    scaler = torch.amp.GradScaler(batch["pixels"].device.type, init_scale=1024.0, enabled=half)
    for _ in range(STEPS):
        # the schedule starts at 0, and residual branches have gradients from the second step on
        for group in optimizer.param_groups:
            group["lr"] = config.lr / 3
        optimizer.zero_grad()
        scaler.scale(_loss(config, module, batch)).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        module.configure_gradient_clipping(optimizer)
        scaler.step(optimizer)
        scaler.update()
