"""What `ear eigenears` finds out, and the folder that it leaves."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from earcli import __version__
from earcli.analysis.attribution import Attribution, attribute, ears_needed, measure_light
from earcli.analysis.baselines import PixelPCA, fit_pixel_pca
from earcli.analysis.eigenears import EigenEars, fit_eigenears
from earcli.analysis.encoding import device_of, posterior_means
from earcli.data.batches import as_pixels
from earcli.data.cache import Crops, Progress, write_skipped
from earcli.reporting.plots import save_labeled_rows, save_variance
from earcli.synthetic.anatomy import LIGHT_FACTORS
from earcli.synthetic.dataset import read_factors
from earcli.tasks.sources import Teacher

FILES = ("pc_[0-9]*.png", "eigenears_grid.png", "variance.png", "eigenears.npz", "eigenears.json", "skipped.csv")
HEADER = (("PC", 0), ("explained", 0), ("light", 0), ("anatomy", 0), ("goes with", 80), ("verdict", 0))
FIRST = 5
NAMED = 2


@dataclass(frozen=True)
class Study:
    """The eigenears of a set, a PCA of its pixels beside them, and what each component goes with."""

    space: EigenEars
    pixels: PixelPCA
    components: list[Attribution]
    needed: int

    def rows(self) -> list[tuple[str, tuple[str, ...]]]:
        """A row of the table for each component."""
        return [
            (
                "",
                (
                    f"{number}",
                    f"{share:.1%}",
                    _percent(item.light),
                    _percent(item.anatomy),
                    _strongest(item.correlations),
                    item.verdict or "–",
                ),
            )
            for number, (share, item) in enumerate(zip(self.space.explained, self.components, strict=True), 1)
        ]

    def notes(self) -> list[str]:
        """What should not be missed."""
        first = min(FIRST, len(self.components))
        own, raw = self.space.explained[:first].sum(), self.pixels.explained[:first].sum()
        notes = [
            f"the first {first} explain {own:.0%} of the latent variance; those of the raw pixels {raw:.0%} of theirs, "
            "so the number alone proves nothing"
        ]
        verdicts = [item.verdict for item in self.components]
        if verdicts[0] is None:
            notes.append(f"{self.space.images} ears are too few for a verdict: {self.needed} are needed")
        if all(verdict == "light" for verdict in verdicts[:first]):
            notes.append(
                f"warning: the first {first} components are only light. The teacher has learned brightness and color "
                "before anatomy: see docs/eigenears.md"
            )
        return notes


def study(teacher: Teacher, crops: Crops, components: int, batch_size: int, seed: int, progress: Progress) -> Study:
    """Finds the eigenears of crops and what they go with.

    Raises:
        ConfigError: more components than dimensions.
        DataError: too few ears, or a latent space that says the same of all.
        CheckpointError: the teacher makes NaN of a crop.
    """
    codes = posterior_means(teacher.model, crops.pixels, batch_size, progress)
    space = fit_eigenears(codes, components)
    factors = read_factors(crops.manifest.root, crops.manifest.paths)
    light = measure_light(crops.pixels) | {name: factors[name] for name in LIGHT_FACTORS if factors}
    anatomy = {name: values for name, values in factors.items() if name not in LIGHT_FACTORS}
    widths, heights = crops.manifest.boxes[:, 2], crops.manifest.boxes[:, 3]
    if np.isfinite(widths).all():
        anatomy["box_aspect"] = np.log(widths / heights)
    found = attribute(space.project(codes), light, anatomy)
    pixels = fit_pixel_pca(crops.pixels, components, seed, progress)
    return Study(space, pixels, found, ears_needed(light, anatomy))


def write_eigenears(
    folder: Path, teacher: Teacher, source: str, crops: Crops, found: Study, reach: float, steps: int
) -> str:
    """Writes every file and returns what `eigenears.json` holds.

    Args:
        source: the manifest that the crops come from.
        reach: how far the strips go, in σ.
    """
    space = found.space
    space.save(folder / "eigenears.npz")
    strips = {}
    for number, share in enumerate(space.explained):
        label = f"PC {number + 1}: {share:.1%} of the variance"
        strips[label] = [_decode(teacher, space.walk(number, reach, steps))]
        title = f"{label}\n−{reach:g}σ … mean ear … +{reach:g}σ"
        save_labeled_rows(folder / f"pc_{number + 1:02d}.png", title, {"": strips[label]})
    save_labeled_rows(folder / "eigenears_grid.png", f"Eigenears, −{reach:g}σ to +{reach:g}σ", strips)
    save_variance(folder / "variance.png", space.explained, found.pixels.explained)
    write_skipped(folder / "skipped.csv", crops.skipped)
    shares = zip(space.explained.tolist(), found.pixels.explained.tolist(), found.components, strict=True)
    document = json.dumps(
        {
            "teacher": str(teacher.path),
            "manifest": source,
            "images": len(crops),
            "left_out": len(crops.skipped),
            "ear": __version__,
            "range": reach,
            "steps": steps,
            "explained_first_5": float(space.explained[:FIRST].sum()),
            "pixel_explained_first_5": float(found.pixels.explained[:FIRST].sum()),
            "notes": found.notes(),
            "components": [
                {"number": number, "explained": own, "pixel_explained": raw, **item.to_dict()}
                for number, (own, raw, item) in enumerate(shares, 1)
            ],
        },
        indent=1,
        allow_nan=False,
    )
    (folder / "eigenears.json").write_text(document + "\n", encoding="utf-8")
    return document


def _decode(teacher: Teacher, codes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, S, S, 3) pixels of codes (N, D)."""
    with torch.no_grad():
        return as_pixels(teacher.model.decode(torch.from_numpy(codes).to(device_of(teacher.model))))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _strongest(correlations: dict[str, float]) -> str:
    ranked = sorted(correlations.items(), key=lambda item: -abs(item[1]))
    return ", ".join(f"{name} {r:+.2f}" for name, r in ranked[:NAMED])
