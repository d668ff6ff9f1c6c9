"""Evaluating a teacher or a detector."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earcli.analysis.verdict import MetricRow, Targets
from earcli.config.fields import at_least, require
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a teacher or a detector.

    Attributes:
        kind: What was evaluated.
        output: Folder of the results, with `report.html`, `metrics.json`, `per_image.csv` and images.
        metrics: The content of `metrics.json`.
        rows: The metrics as rows of a table.
        notes: Sentences on what stands out.
    """

    kind: Literal["teacher", "detector"]
    output: Path
    metrics: dict[str, Any]
    rows: list[MetricRow]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        return self.metrics


@dataclass(frozen=True)
class EvaluationSettings:
    """The parameters of `evaluate` that concern teachers and detectors."""

    manifest: str | Path | None
    root_dir: str | Path | None
    output: str | Path | None
    batch_size: int
    num_workers: int
    device: str
    seed: int
    run_dir: Path
    reporter: Reporter


def evaluate(
    checkpoint: str | Path = "best",
    *,
    manifest: str | Path | None = None,
    train_manifest: str | Path | None = None,
    root_dir: str | Path | None = None,
    subject: Literal["column", "folder", "none"] | None = None,
    limit: int | None = None,
    output: str | Path | None = None,
    perceptual_weights: str | None = None,
    target_psnr: float | None = None,
    target_ssim: float | None = None,
    target_active: float | None = None,
    target_code_gain: float | None = None,
    target_cosine: float | None = None,
    normalize: str | None = None,
    batch_size: int = 64,
    num_workers: int = 4,
    device: str = "auto",
    seed: int = 0,
    run_dir: str | Path = "runs",
    reporter: Reporter = SILENT,
) -> Evaluation:
    """Evaluate a teacher on ears that it was not trained on, or a detector on labels, next to baselines.

    Args:
        checkpoint: A teacher or detector: a file, a run's folder, or last.ckpt or best of the newest run.
        manifest: Manifest of the images, or labels for a detector. By default the run's validation set.
        train_manifest: Manifest of the images that the baselines are fitted on. By default the run's. Teachers only.
        root_dir: Folder that relative paths start from. By default the run's, or the manifest's.
        subject: Who is in an image: the manifest's column, the name of the image's folder, or unknown. By default
            column. Teachers only.
        limit: Use a random subset of this many images. Teachers only.
        output: Folder of the results. By default in the run folder.
        perceptual_weights: Weights of VGG16 for the feature distance: imagenet, none, or a file. By default those of
            the run or of torch's cache if they exist, without a download. Teachers only.
        target_psnr: Least PSNR in dB. By default 28. Teachers only.
        target_ssim: Least SSIM. By default 0.85. Teachers only.
        target_active: Least fraction of active latent dimensions. By default 0.5. Teachers only.
        target_code_gain: Least PSNR gain of an ear's own code over another ear's, in dB. By default 6. Teachers only.
        target_cosine: Largest mean |cosine| between the codes of ears. By default 0.3. Teachers only.
        normalize: What landmark errors are fractions of: box (its diagonal), crop (the side of what the detector
            sees), or the distance of two points such as 1,2. By default box. Detectors only.
        batch_size: Images per batch.
        num_workers: Threads that decode images.
        device: Device of the model: auto, cpu, cuda, mps, or one with a number such as cuda:1. auto is CUDA if
            available, else the CPU.
        seed: Seed of the subset, the bootstrap intervals and the PCA.
        run_dir: Folder of all runs.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A parameter is out of range or does not concern the checkpoint's kind.
        CheckpointError: There is no such checkpoint, or it cannot be used.
        ManifestError: A manifest cannot be read.
        DataError: Too few images can be read.
        RunError: The folder of the results holds other files, or cannot be written.

    Example:
        >>> import earcli
        >>> evaluation = earcli.evaluate("best", run_dir="runs")  # doctest: +SKIP
        >>> evaluation.metrics["reconstruction"]["psnr"]["value"]  # doctest: +SKIP
        28.4
    """
    require(at_least(1), limit=limit, batch_size=batch_size, num_workers=num_workers)
    require(at_least(0), seed=seed)
    from earcli.checkpoints.checkpoint import Checkpoint

    settings = EvaluationSettings(
        manifest, root_dir, output, batch_size, num_workers, device, seed, Path(run_dir), reporter
    )
    targets = _given(
        psnr=target_psnr, ssim=target_ssim, active=target_active, code_gain=target_code_gain, cosine=target_cosine
    )
    options = _given(train_manifest=train_manifest, subject=subject, limit=limit, perceptual_weights=perceptual_weights)
    opened = Checkpoint.open(checkpoint, run_dir=run_dir)
    if opened.kind == "detector":
        _refuse([*options, *(f"target_{name}" for name in targets)], opened)
        from earcli.tasks.evaluate_detector import evaluate_detector

        return evaluate_detector(opened, settings, normalize or "box")
    _refuse(_given(normalize=normalize), opened)
    from earcli.tasks.evaluate_teacher import evaluate_teacher

    return evaluate_teacher(opened, settings, Targets(**targets), **options)


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _refuse(names: Iterable[str], checkpoint: "Checkpoint") -> None:
    """Refuses parameters that do not concern the checkpoint's kind."""
    if names := [f"`{name}`" for name in names]:
        raise ConfigError(f"{', '.join(names)} cannot be used: {checkpoint.path} is a {checkpoint.kind}.")
