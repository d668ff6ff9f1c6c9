"""What `evaluate` does with a teacher."""

from pathlib import Path

from earcli.analysis.encoding import choose_device, device_of
from earcli.analysis.evaluation import Evaluator
from earcli.analysis.verdict import Targets, metric_rows
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.pretrained import read_cached_vgg, read_vgg
from earcli.config.teacher import TrainConfig
from earcli.data.manifest import SubjectSource
from earcli.data.pixels import Pixels
from earcli.errors import EarError
from earcli.files import atomic_folder
from earcli.losses.perceptual import PerceptualLoss
from earcli.models.vae import EarVAE
from earcli.reporting.reporter import Reporter
from earcli.tasks.evaluate import Evaluation, EvaluationSettings
from earcli.tasks.evaluation_files import TEACHER_FILES, write_teacher_evaluation
from earcli.tasks.inputs import report_ears, teacher_crops, training_set, validation_set


def evaluate_teacher(
    checkpoint: Checkpoint,
    settings: EvaluationSettings,
    targets: Targets,
    *,
    train_manifest: str | Path | None = None,
    subject: SubjectSource = "column",
    limit: int | None = None,
    perceptual_weights: str | None = None,
) -> Evaluation:
    """Measures a teacher on the crops of a manifest and writes the folder of the results; see `evaluate`."""
    config, reporter = checkpoint.config, settings.reporter
    assert isinstance(config, TrainConfig)
    model = checkpoint.teacher(choose_device(settings.device))
    reporter.note(f"teacher {checkpoint.path}")
    output = checkpoint.results_folder(settings.output, "evaluation")
    with atomic_folder(output, TEACHER_FILES) as folder:
        manifest = validation_set(checkpoint, settings.manifest, settings.root_dir)
        manifest = manifest.with_subjects(subject).limit(limit, settings.seed)
        crops = teacher_crops(checkpoint, model, manifest, settings.run_dir, settings.num_workers, reporter)
        source = str(settings.manifest or config.val_manifest)
        report_ears(crops, source, reporter)
        measurements = Evaluator(
            model,
            crops.pixels,
            crops.manifest.subject_numbers(),
            _perceptual_loss(perceptual_weights, config, model, reporter),
            settings.batch_size,
            settings.seed,
            reporter.progress,
        ).evaluate(_training_crops(checkpoint, model, settings, train_manifest))
        rows = metric_rows(measurements.metrics, targets)
        metrics = write_teacher_evaluation(folder, checkpoint.path, model, config, source, crops, measurements, rows)
    return Evaluation("teacher", output, metrics, rows, measurements.notes)


def _training_crops(
    checkpoint: Checkpoint, model: EarVAE, settings: EvaluationSettings, train_manifest: str | Path | None
) -> Pixels | None:
    """The crops that the baselines are fitted on; None, with a note, if the run's own are gone."""
    try:
        manifest = training_set(checkpoint, train_manifest, settings.root_dir, "train_manifest")
        run_dir, workers = settings.run_dir, settings.num_workers
        return teacher_crops(checkpoint, model, manifest, run_dir, workers, settings.reporter).pixels
    except EarError as error:
        if train_manifest is not None:
            raise
        settings.reporter.note(f"no baselines: {error}")
        return None


def _perceptual_loss(
    weights: str | None, config: TrainConfig, model: EarVAE, reporter: Reporter
) -> PerceptualLoss | None:
    """The VGG16 distance with the given weights; by default with the run's, without a download.

    Raises:
        WeightsError: Given weights cannot be read.
    """
    state = read_cached_vgg(config.perceptual_weights) if weights is None else read_vgg(weights)
    if state is None:
        if weights is None:
            reporter.note(
                "no VGG distance: its weights are not on this machine (`perceptual_weights` imagenet downloads them)"
            )
        return None
    return PerceptualLoss(state).to(device_of(model))
