"""What the encoder makes of a set of crops. Arrays in, arrays out, always in fp32."""

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
    """The posteriors of N crops: mean and log variance, (N, latent_dim) each."""

    mu: Floats
    logvar: Floats


def choose_device(name: str) -> torch.device:
    """The device that --device means; `auto` is CUDA where there is one.

    Raises:
        ConfigError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # what torch raises depends on how it was built
        raise ConfigError(f"--device {name} is not on this machine. Give auto or cpu.") from error


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def map_batches(
    function: Callable[..., Sequence[Tensor]],
    pixels: Pixels,
    *codes: Floats,
    batch_size: int,
    device: torch.device,
    what: str = "",
    progress: Progress | None = None,
) -> list[Floats]:
    """Every result of `function` over all crops, without gradients, joined along the first axis.

    Args:
        function: gets images (B, 3, S, S) in [-1, 1] and what of `codes` is theirs; returns tensors, B first.
        pixels: (N, S, S, 3) uint8, in memory or not.
        codes: further arrays, N first.
        what: what `progress` says is being done.
    """
    parts: list[list[Floats]] = []
    with torch.no_grad():  # inference mode would leave tensors in caches that training cannot use
        for start in range(0, len(pixels), batch_size):
            rows = slice(start, start + batch_size)
            images = as_images(torch.from_numpy(np.array(pixels[rows])).to(device).permute(0, 3, 1, 2))
            more = [torch.from_numpy(array[rows]).to(device) for array in codes]
            parts.append([value.float().cpu().numpy() for value in function(images, *more)])
            if progress is not None:
                progress(what, min(start + batch_size, len(pixels)), len(pixels))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def posteriors(model: EarVAE, pixels: Pixels, batch_size: int = 64, progress: Progress | None = None) -> Posteriors:
    """The posterior of every crop, in eval mode, on the device that the model is on.

    Args:
        pixels: (N, S, S, 3) uint8 at the model's image size, in memory or not, as in `Crops.pixels`.

    Raises:
        CheckpointError: the teacher makes NaN or infinity of a crop.
    """
    training = model.training
    device = device_of(model)
    encode = model.eval().encoder
    result = Posteriors(
        *map_batches(encode, pixels, batch_size=batch_size, device=device, what="encoding", progress=progress)
    )
    model.train(training)
    bad = int((~np.isfinite(result.mu + result.logvar).all(axis=1)).sum())
    if bad:
        raise CheckpointError(f"The teacher makes NaN or infinity of {bad} of {len(pixels)} pictures. Train it anew.")
    return result


def posterior_means(model: EarVAE, pixels: Pixels, batch_size: int = 64, progress: Progress | None = None) -> Floats:
    """The posterior mean of every crop, (N, latent_dim); see `posteriors`."""
    return posteriors(model, pixels, batch_size, progress).mu
