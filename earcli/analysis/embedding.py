"""What the encoder makes of a set of crops. Arrays in, arrays out, always in fp32."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.data.batches import as_images
from earcli.data.cache import Progress
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


def image_batches(pixels: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Crops (N, S, S, 3), memory-mapped or not, as images (B, 3, S, S) in [-1, 1] on a device, in order."""
    for start in range(0, len(pixels), batch_size):
        batch = torch.from_numpy(np.array(pixels[start : start + batch_size])).to(device)
        yield as_images(batch.permute(0, 3, 1, 2))


def map_batches(
    function: Callable[[Tensor], tuple[Tensor, ...]],
    pixels: NDArray[np.uint8],
    batch_size: int,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> list[NDArray[np.float32]]:
    """Every result of `function` over all images, without gradients, joined along the first axis.

    Args:
        function: gets images (B, 3, S, S) in [-1, 1], returns tensors whose first axis is B.
        progress: called with how many images are done and how many there are.
    """
    parts: list[list[Floats]] = []
    done = 0
    with torch.inference_mode():
        for images in image_batches(pixels, batch_size, device):
            parts.append([value.float().cpu().numpy() for value in function(images)])
            done += len(images)
            if progress is not None:
                progress(done, len(pixels))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def posteriors(
    model: EarVAE, pixels: NDArray[np.uint8], batch_size: int = 64, progress: Progress | None = None
) -> Posteriors:
    """The posterior of every crop, in eval mode, on the device that the model is on.

    Args:
        pixels: (N, S, S, 3) uint8 at the model's image size, memory-mapped or not, as in `Crops.pixels`.

    Raises:
        CheckpointError: the teacher makes NaN or infinity of a crop.
    """
    told = None if progress is None else lambda done, total: progress("encoding", done, total)
    device = next(model.parameters()).device
    training = model.training
    result = Posteriors(*map_batches(model.eval().encoder, pixels, batch_size, device, told))
    model.train(training)
    bad = int((~np.isfinite(result.mu + result.logvar).all(axis=1)).sum())
    if bad:
        raise CheckpointError(f"The teacher makes NaN or infinity of {bad} of {len(pixels)} pictures. Train it anew.")
    return result


def posterior_means(
    model: EarVAE, pixels: NDArray[np.uint8], batch_size: int = 64, progress: Progress | None = None
) -> Floats:
    """The posterior mean of every crop, (N, latent_dim); see `posteriors`."""
    return posteriors(model, pixels, batch_size, progress).mu
