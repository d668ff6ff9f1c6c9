"""Run a model over all crops of a dataset in batches. Arrays in, fp32 arrays out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earcli.data.batches import as_images
from earcli.data.cache import Progress
from earcli.data.pixels import Pixels
from earcli.errors import CheckpointError, ConfigError
from earcli.models.vae import EarVAE

Floats = NDArray[np.float32]


class Posteriors(NamedTuple):
    """The posteriors of N crops: mean and log variance, (N, code_dim) each."""

    mu: Floats
    logvar: Floats


def choose_device(name: str) -> torch.device:
    """The device of a name such as `cpu`, `cuda:1` or `mps`; `auto` is CUDA if available, else the CPU.

    Raises:
        ConfigError: The device is not available.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # which one depends on how torch was built
        raise ConfigError(f"`device` {name} is not available on this machine. Use auto or cpu.") from error


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's parameters."""
    return next(model.parameters()).device


def map_batches(
    function: Callable[..., Sequence[Tensor]],
    pixels: Pixels,
    *codes: Floats,
    batch_size: int,
    device: torch.device,
    activity: str = "",
    progress: Progress | None = None,
) -> list[Floats]:
    """Applies a function to all crops without gradients and concatenates each of its outputs along the first axis.

    Args:
        function: Called with images (B, 3, S, S) in [-1, 1] and the matching rows of `codes`; returns tensors with B
            rows.
        pixels: (N, S, S, 3) uint8, in memory or not.
        codes: Further arrays with N rows.
        batch_size: Crops per call.
        device: The device of the tensors that `function` receives.
        activity: The name that `progress` is called with.
        progress: Called after each batch.
    """
    batches: list[list[Floats]] = []
    with torch.no_grad():  # inference mode would leave tensors in caches that training cannot use
        for start in range(0, len(pixels), batch_size):
            rows = slice(start, start + batch_size)
            images = as_images(torch.from_numpy(np.array(pixels[rows])).to(device).permute(0, 3, 1, 2))
            inputs = [torch.from_numpy(array[rows]).to(device) for array in codes]
            batches.append([output.float().cpu().numpy() for output in function(images, *inputs)])
            if progress is not None:
                progress(activity, min(start + batch_size, len(pixels)), len(pixels))
    return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]


def posteriors(model: EarVAE, pixels: Pixels, batch_size: int = 64, progress: Progress | None = None) -> Posteriors:
    """The posterior of every crop, in eval mode and on the model's device.

    Args:
        model: A teacher; its training mode is restored.
        pixels: (N, S, S, 3) uint8 at the model's image size, in memory or not, as in `Crops.pixels`.
        batch_size: Crops per batch.
        progress: Called after each batch.

    Raises:
        CheckpointError: The encoder outputs NaN or infinity for a crop.
    """
    training = model.training
    device = device_of(model)
    encode = model.eval().posterior
    result = Posteriors(
        *map_batches(encode, pixels, batch_size=batch_size, device=device, activity="encoding", progress=progress)
    )
    model.train(training)
    invalid = int((~np.isfinite(result.mu + result.logvar).all(axis=1)).sum())
    if invalid:
        raise CheckpointError(
            f"The encoder outputs NaN or infinity for {invalid} of {len(pixels)} images. Train the teacher again."
        )
    return result


def posterior_means(model: EarVAE, pixels: Pixels, batch_size: int = 64, progress: Progress | None = None) -> Floats:
    """The posterior mean of every crop, (N, code_dim); see `posteriors`."""
    return posteriors(model, pixels, batch_size, progress).mu
