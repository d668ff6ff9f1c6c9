"""Evaluate a teacher on ears that it was not trained on, next to baselines. Arrays in, plain values out."""

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
MIN_IMAGES = 2


@dataclass(frozen=True)
class TeacherMeasurements:
    """The measurements of one teacher on N images.

    Attributes:
        metrics: Nested plain values, the content of `metrics.json`.
        per_image: (N,) each, by metric.
        kl: (latent_dim,) mean KL of the learned dimensions over images in nats.
        notes: Sentences on poor results, and on what could not be measured.
    """

    metrics: dict[str, Any]
    per_image: Columns
    kl: NDArray[np.float64]
    notes: list[str]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates one teacher on one set of crops.

    Attributes:
        model: A teacher in eval mode.
        pixels: (N, S, S, 3) uint8, ears that it was not trained on.
        subjects: (N,) a number per person, negative if unknown.
        perceptual: VGG16 distance; None skips it.
    """

    model: EarVAE
    pixels: Pixels
    subjects: NDArray[np.int64]
    perceptual: PerceptualLoss | None = None
    batch_size: int = 64
    seed: int = 0
    progress: Progress | None = None

    def evaluate(self, train: Pixels | None) -> TeacherMeasurements:
        """Measures reconstruction, latent space, and identification of people if they are known.

        Args:
            train: (M, S, S, 3) uint8, the training crops, for the baselines; None skips them.

        Raises:
            DataError: Fewer than two crops.
            CheckpointError: The teacher outputs NaN for a crop.
        """
        if len(self.pixels) < MIN_IMAGES:
            raise DataError(f"An evaluation needs at least {MIN_IMAGES} images, got {len(self.pixels)}.")
        codes = posteriors(self.model, self.pixels, self.batch_size, self.progress)
        per_image = self.compare(lambda _, z: self.model.decode(z), codes.mu, activity="reconstructing")
        invalid = int((~np.isfinite(per_image["mse"])).sum())
        if invalid:
            raise CheckpointError(
                f"The decoder outputs NaN for {invalid} of {len(self.pixels)} images. Train the teacher again."
            )
        skip = self.model.skeleton_dim
        learned = [torch.from_numpy(values[:, skip:]) for values in codes]
        kl = kl_each(*learned).numpy()  # (N, latent_dim)
        per_image["kl_nats"] = kl.sum(axis=1)
        mean_kl = kl.mean(axis=0, dtype=np.float64)
        per_image["psnr_shuffled"] = self._shuffled_psnr(codes.mu)
        notes: list[str] = []
        active = active_units(learned[0].var(0))
        metrics: dict[str, Any] = {
            "images": len(self.pixels),
            "reconstruction": self.summarize(per_image),
            "paths": self._paths(codes.mu),
            "baselines": {} if train is None else self._baselines(train, skip + active),
            "latent": self._latent(codes.mu, per_image, mean_kl, active),
            "people": self._people(codes.mu, notes),
        }
        return TeacherMeasurements(metrics, per_image, mean_kl, [*baseline_notes(metrics), *notes])

    def compare(self, reconstruct: Callable[..., Tensor], *codes: Floats, activity: str) -> Columns:
        """Compares each image with its reconstruction.

        Args:
            reconstruct: Called with images (B, 3, S, S) in [-1, 1] and their codes; returns images.
            codes: Arrays with N rows.
            activity: The name that `progress` is called with.

        Returns:
            (N,) each: `psnr` in dB, at most 100; `mse`; `ssim`; `l1`, `edge`, `perceptual` as logged in training.
        """

        def batch_metrics(images: Tensor, *z: Tensor) -> list[Tensor]:
            output = reconstruct(images, *z).float()
            a, b = to_unit(output), to_unit(images)
            values = [psnr(a, b), mse(a, b), ssim(a, b), l1_each(output - images), edge_each(output - images)]
            return values if self.perceptual is None else [*values, self.perceptual.each(output, images)]

        columns = self._map(batch_metrics, *codes, activity=activity)
        return dict(zip(("psnr", "mse", "ssim", "l1", "edge", "perceptual"), columns, strict=False))

    def summarize(self, per_image: Columns) -> dict[str, dict[str, float]]:
        """Mean and 95% bootstrap interval of each column; `mse` becomes `psnr_pooled`, the PSNR of the mean MSE."""
        means = np.array([column.mean(dtype=np.float64) for column in per_image.values()])
        low, high = bootstrap_interval(np.stack(list(per_image.values()), axis=1), self.subjects, self.seed)
        result = {
            name: {"value": float(m), "low": float(a), "high": float(b)}
            for name, m, a, b in zip(per_image, means, low, high, strict=True)
        }
        pooled = result.pop("mse")
        decibels = {k: float(psnr_from_mse(torch.tensor(v))) for k, v in pooled.items()}
        # a low error is a high PSNR
        result["psnr_pooled"] = {"value": decibels["value"], "low": decibels["high"], "high": decibels["low"]}
        return result

    def _paths(self, mu: Floats) -> dict[str, Any]:
        """The reconstruction metrics of the skeleton alone and of the networks alone; nothing without a skeleton."""
        model = self.model
        if model.skeleton is None:
            return {}
        scores, learned = mu[:, : model.skeleton_dim], mu[:, model.skeleton_dim :]
        skeleton = model.skeleton
        columns = {
            "skeleton": self.compare(
                lambda _, s: skeleton.image(s).clamp(-1, 1), scores, activity="decoding the skeleton"
            ),
            "deep": self.compare(lambda _, z: model.decoder(z), learned, activity="decoding without the skeleton"),
        }
        return {name: self.summarize(values) for name, values in columns.items()}

    def _baselines(self, train: Pixels, active: int) -> dict[str, Any]:
        """The reconstruction metrics of the mean training image and of PCAs of the training pixels.

        Args:
            train: The training crops.
            active: Active dimensions of a code.
        """
        mean = as_images(torch.from_numpy(mean_image(train) * 255).permute(2, 0, 1)).to(device_of(self.model))
        result: dict[str, Any] = {
            "mean_image": self.summarize(self.compare(lambda x: mean.expand_as(x), activity="mean image"))
        }
        pca = fit_pixel_pca(train, self.model.code_dim, self.seed, self.progress)
        for name, components in (("pca_code_dim", self.model.code_dim), ("pca_active_units", active)):
            count = min(components, len(pca.components))
            columns = self.compare(lambda x, count=count: pca.reconstruct(x, count), activity=f"PCA of {count}")
            result[name] = {"components": count, "fitted_on": pca.fitted_on, **self.summarize(columns)}
        return result

    def _map(self, function: Callable[..., list[Tensor]], *codes: Floats, activity: str) -> list[Floats]:
        return map_batches(
            function,
            self.pixels,
            *codes,
            batch_size=self.batch_size,
            device=device_of(self.model),
            activity=activity,
            progress=self.progress,
        )

    def _shuffled_psnr(self, mu: Floats) -> Floats:
        """(N,) PSNR in dB of each image against the reconstruction from another image's code."""
        order = np.random.default_rng(self.seed).permutation(len(mu))
        other = np.empty_like(order)
        other[order] = np.roll(order, 1)  # one cycle through all images, so that none keeps its own code

        def batch_psnr(images: Tensor, z: Tensor) -> list[Tensor]:
            return [psnr(to_unit(self.model.decode(z)), to_unit(images))]

        return self._map(batch_psnr, mu[other], activity="decoding shuffled codes")[0]

    def _latent(self, mu: Floats, per_image: Columns, kl: NDArray[np.float64], active: int) -> dict[str, Any]:
        return {
            "dimensions": len(kl),
            "kl_nats": float(kl.sum()),
            "kl_per_dimension": [round(value, 6) for value in kl.tolist()],
            "active_units": active,
            "code_gain_db": float(per_image["psnr"].mean() - per_image["psnr_shuffled"].mean()),
            "mean_abs_cosine": mean_abs_cosine(torch.from_numpy(mu)),
            "deterministic": self._is_deterministic(mu),
        }

    def _is_deterministic(self, mu: Floats) -> bool:
        """Whether encoding and decoding the first batch again gives the same bits."""
        first = self.pixels[: self.batch_size]
        z = torch.from_numpy(mu[: len(first)]).to(device_of(self.model))
        with torch.no_grad():
            same_images = torch.equal(self.model.decode(z), self.model.decode(z))
        return same_images and np.array_equal(posteriors(self.model, first, self.batch_size).mu, mu[: len(first)])

    def _people(self, mu: Floats, notes: list[str]) -> dict[str, Any] | None:
        """Identification and verification of people by their codes; None, with a note, where there are too few."""
        if (self.subjects < 0).all():
            return None
        try:
            curve, pairs = cmc_curve(mu, self.subjects), verification(mu, self.subjects, seed=self.seed)
        except DataError as error:
            notes.append(f"Identification was not measured: {error}")
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
