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
from earcli.models.vae import EarVAE
from earcli.reporting.plots import save_labeled_rows, save_variance
from earcli.tasks.eigenears import EigenearsResult
from earcli.tasks.evaluation_files import write_metrics

EIGENEARS_FILES = (
    "pc_[0-9]*.png",
    "eigenears_grid.png",
    "variance.png",
    "eigenears.npz",
    "eigenears.json",
    "skipped.csv",
)


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
    pixel_explained = np.array([component.pixel_explained for component in result.components])
    save_variance(folder / "variance.png", space.explained, pixel_explained)
    write_skipped(folder / "skipped.csv", skipped)
    write_metrics(folder / "eigenears.json", result.to_dict())


def _decode(model: EarVAE, codes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, S, S, 3) images of codes (N, D)."""
    with torch.no_grad():
        return as_pixels(model.decode(torch.from_numpy(codes).to(device_of(model))))
