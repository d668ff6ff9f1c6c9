"""The folder that `eigenears` writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earcli.analysis.eigenears import EigenEars
from earcli.analysis.encoding import device_of
from earcli.data.batches import as_pixels
from earcli.data.cache import Skipped, write_skipped
from earcli.models.skeleton import Skeleton
from earcli.models.vae import EarVAE
from earcli.reporting.plots import save_labeled_rows, save_variance
from earcli.tasks.eigenears import EigenearsResult
from earcli.tasks.evaluation_files import write_metrics

EIGENEARS_FILES = (
    "pc_[0-9]*.png",
    "eigenears_grid.png",
    "skeleton_grid.png",
    "variance.png",
    "eigenears.npz",
    "eigenears.json",
    "skipped.csv",
)
MIN_VARIANCE = 1e-12
"""Keeps the shares of a skeleton without components finite."""


def write_eigenears(
    folder: Path, result: EigenearsResult, model: EarVAE, space: EigenEars, skipped: Sequence[Skipped]
) -> None:
    """Writes all files of a result.

    Args:
        folder: An empty folder.
        result: What is written.
        model: The teacher, which decodes the strips.
        space: The eigenears.
        skipped: The images that could not be used.
    """
    space.save(folder / "eigenears.npz")
    reach = result.reach
    strips = {}
    for index, explained in enumerate(space.explained):
        label = f"PC {index + 1}: {explained:.1%} of the variance"
        strips[label] = [_decode(model, space.walk(index, reach, result.steps))]
        title = f"{label}\n−{reach:g}σ … mean ear … +{reach:g}σ"
        save_labeled_rows(folder / f"pc_{index + 1:02d}.png", title, {"": strips[label]})
    save_labeled_rows(folder / "eigenears_grid.png", f"Eigenears, −{reach:g}σ to +{reach:g}σ", strips)
    if model.skeleton is not None:
        save_labeled_rows(
            folder / "skeleton_grid.png",
            f"Skeleton, −{reach:g}σ to +{reach:g}σ",
            _skeleton_strips(model.skeleton, len(strips), reach, result.steps),
        )
    pixel_explained = np.array([component.pixel_explained for component in result.components])
    save_variance(folder / "variance.png", space.explained, pixel_explained)
    write_skipped(folder / "skipped.csv", skipped)
    write_metrics(folder / "eigenears.json", result.to_dict())


def _decode(model: EarVAE, codes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, S, S, 3) deep images of learned codes (N, latent_dim)."""
    with torch.no_grad():
        return as_pixels(model.decoder(torch.from_numpy(codes).to(device_of(model))))


def _skeleton_strips(
    skeleton: Skeleton, count: int, reach: float, steps: int
) -> dict[str, Sequence[NDArray[np.uint8]]]:
    """A strip for each of the first `count` components, from −reach σ to +reach σ, by label."""
    variances = skeleton.deviations.square() * (skeleton.components != 0).any(1)
    shares = (variances / variances.sum().clamp(min=MIN_VARIANCE)).tolist()
    strips: dict[str, Sequence[NDArray[np.uint8]]] = {}
    for index in range(min(count, len(shares))):
        scores = torch.zeros(steps, len(shares), device=variances.device)
        scores[:, index] = torch.linspace(-reach, reach, steps)
        label = f"component {index + 1}: {shares[index]:.1%} of its variance"
        strips[label] = [as_pixels(skeleton.image(scores).clamp(-1, 1))]
    return strips
