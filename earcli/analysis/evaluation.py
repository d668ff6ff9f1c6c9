"""How good a teacher is on ears that it never saw, beside baselines. Arrays in, plain values out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.baselines import fit_pixel_pca, mean_image
from earcli.analysis.encoding import Floats, device_of, map_batches, posteriors
from earcli.analysis.verdict import baseline_notes
from earcli.data.batches import as_images
from earcli.data.cache import Progress
from earcli.data.pixels import Pixels
from earcli.errors import CheckpointError, DataError
from earcli.losses.perceptual import PerceptualLoss
from earcli.losses.pixel import edge_each, l1_each
from earcli.metrics.image import mse, psnr, psnr_from_mse, ssim, to_unit
from earcli.metrics.intervals import bootstrap_interval
from earcli.metrics.latent import active_units, kl_each, mean_abs_cosine
from earcli.metrics.retrieval import cmc_curve, verification
from earcli.models.vae import EarVAE

Columns = dict[str, Floats]
FEWEST_IMAGES = 2


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        metrics: nested plain values, what `metrics.json` holds.
        images: per image (N,), by the name of the metric.
        kl: (latent_dim,) nats, mean over images.
        notes: what could not be measured, and why.
    """

    metrics: dict[str, Any]
    images: Columns
    kl: NDArray[np.float64]
    notes: list[str]


@dataclass(frozen=True)
class Evaluator:
    """Measures one teacher on one set of crops.

    Attributes:
        model: in eval mode.
        pixels: (N, S, S, 3) uint8, ears that the teacher never saw.
        subjects: (N,) a number per person, negative where unknown.
        perceptual: VGG16 distances; None leaves them out.
    """

    model: EarVAE
    pixels: Pixels
    subjects: NDArray[np.int64]
    perceptual: PerceptualLoss | None = None
    batch_size: int = 64
    seed: int = 0
    progress: Progress | None = None

    def run(self, train: Pixels | None) -> Evaluation:
        """Everything that is measured.

        Args:
            train: the crops that the teacher learned from, for the baselines; None leaves them out.

        Raises:
            DataError: fewer than two crops.
            CheckpointError: the teacher makes NaN of a crop.
        """
        if len(self.pixels) < FEWEST_IMAGES:
            raise DataError(f"{len(self.pixels)} picture is too few to evaluate on. Give at least {FEWEST_IMAGES}.")
        codes = posteriors(self.model, self.pixels, self.batch_size, self.progress)
        images = self.measure(lambda _, z: self.model.decode(z), codes.mu, what="reconstructing")
        bad = int((~np.isfinite(images["mse"])).sum())
        if bad:
            raise CheckpointError(f"The teacher makes NaN of {bad} of {len(self.pixels)} pictures. Train it anew.")
        kl = kl_each(*map(torch.from_numpy, codes)).numpy()  # (N, D)
        images["kl_nats"] = kl.sum(axis=1)
        per_dimension = kl.mean(axis=0, dtype=np.float64)
        images["psnr_shuffled"] = self._shuffled(codes.mu)
        notes: list[str] = []
        active = active_units(torch.from_numpy(codes.mu.var(axis=0, ddof=1)))
        metrics: dict[str, Any] = {
            "images": len(self.pixels),
            "reconstruction": self.summary(images),
            "baselines": {} if train is None else self.baselines(train, active),
            "latent": self._latent(codes.mu, images, per_dimension, active),
            "people": self._people(codes.mu, notes),
        }
        return Evaluation(metrics, images, per_dimension, [*baseline_notes(metrics), *notes])

    def measure(self, reconstruct: Callable[..., Tensor], *codes: Floats, what: str) -> Columns:
        """Per image: `psnr` in dB, at most 100, `mse`, `ssim`; `l1`, `edge`, `perceptual` as training logs them.

        Args:
            reconstruct: gets images (B, 3, S, S) in [-1, 1] and their codes, returns images.
        """

        def compare(images: Tensor, *z: Tensor) -> list[Tensor]:
            made = reconstruct(images, *z).float()
            a, b = to_unit(made), to_unit(images)
            values = [
                psnr(a, b),
                mse(a, b),
                ssim(a, b),
                l1_each(made - images),
                edge_each(made - images),
            ]
            return values if self.perceptual is None else [*values, self.perceptual.each(made, images)]

        columns = self._map(compare, *codes, what=what)
        return dict(zip(("psnr", "mse", "ssim", "l1", "edge", "perceptual"), columns, strict=False))

    def summary(self, images: Columns) -> dict[str, dict[str, float]]:
        """Mean and 95% interval of every column; `psnr_pooled`, of the mean squared error, in place of `mse`."""
        means = np.array([column.mean(dtype=np.float64) for column in images.values()])
        low, high = bootstrap_interval(np.stack(list(images.values()), axis=1), self.subjects, self.seed)
        result = {
            name: {"value": float(m), "low": float(a), "high": float(b)}
            for name, m, a, b in zip(images, means, low, high, strict=True)
        }
        pooled = result.pop("mse")
        decibels = {k: float(psnr_from_mse(torch.tensor(v))) for k, v in pooled.items()}
        # a small error is a high PSNR
        result["psnr_pooled"] = {"value": decibels["value"], "low": decibels["high"], "high": decibels["low"]}
        return result

    def baselines(self, train: Pixels, active: int) -> dict[str, Any]:
        """What the mean training image and PCAs of the training pixels make of the same crops."""
        mean = as_images(torch.from_numpy(mean_image(train) * 255).permute(2, 0, 1)).to(device_of(self.model))
        result: dict[str, Any] = {
            "mean_image": self.summary(self.measure(lambda x: mean.expand_as(x), what="the mean image"))
        }
        pca = fit_pixel_pca(train, self.model.latent_dim, self.seed, self.progress)
        for name, wanted in (("pca_latent_dim", self.model.latent_dim), ("pca_active_units", active)):
            count = min(wanted, len(pca.components))
            columns = self.measure(lambda x, count=count: pca.reconstruct(x, count), what=f"a PCA of {count}")
            result[name] = {"components": count, "fitted_on": pca.fitted_on, **self.summary(columns)}
        return result

    def _map(self, function: Callable[..., list[Tensor]], *codes: Floats, what: str) -> list[Floats]:
        return map_batches(
            function,
            self.pixels,
            *codes,
            batch_size=self.batch_size,
            device=device_of(self.model),
            what=what,
            progress=self.progress,
        )

    def _shuffled(self, mu: Floats) -> Floats:
        """PSNR of every image against what is decoded from another image's code."""
        order = np.random.default_rng(self.seed).permutation(len(mu))
        other = np.empty_like(order)
        other[order] = np.roll(order, 1)  # one cycle through all images: nobody keeps their own

        def compare(images: Tensor, z: Tensor) -> list[Tensor]:
            return [psnr(to_unit(self.model.decode(z)), to_unit(images))]

        return self._map(compare, mu[other], what="decoding shuffled codes")[0]

    def _latent(self, mu: Floats, images: Columns, kl: NDArray[np.float64], active: int) -> dict[str, Any]:
        return {
            "dimensions": len(kl),
            "kl_nats": float(kl.sum()),
            "kl_per_dimension": [round(value, 6) for value in kl.tolist()],
            "active_units": active,
            "code_gain_db": float(images["psnr"].mean() - images["psnr_shuffled"].mean()),
            "mean_abs_cosine": mean_abs_cosine(torch.from_numpy(mu)),
            "deterministic": self._repeats(mu),
        }

    def _repeats(self, mu: Floats) -> bool:
        """Whether the first batch, encoded and decoded again, gives the same bits."""
        first = self.pixels[: self.batch_size]
        z = torch.from_numpy(mu[: len(first)]).to(device_of(self.model))
        with torch.no_grad():
            same_images = torch.equal(self.model.decode(z), self.model.decode(z))
        return same_images and np.array_equal(posteriors(self.model, first, self.batch_size).mu, mu[: len(first)])

    def _people(self, mu: Floats, notes: list[str]) -> dict[str, Any] | None:
        if (self.subjects < 0).all():
            return None
        try:
            curve, pairs = cmc_curve(mu, self.subjects), verification(mu, self.subjects, seed=self.seed)
        except DataError as error:
            notes.append(f"people are not told apart: {error}")
            return None
        return {
            "people": len(np.unique(self.subjects[self.subjects >= 0])),
            "rank_1": float(curve[0]),
            "cmc": [round(value, 6) for value in curve.tolist()],
            "auc": pairs.auc,
            "eer": pairs.eer,
            "genuine_pairs": pairs.genuine,
            "impostor_pairs": pairs.impostor,
            "pairs_sampled": pairs.sampled,
        }
