"""Fine-tuning a detector."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earcli.config.detector import FinetuneConfig
from earcli.config.signature import with_knobs
from earcli.reporting.reporter import SILENT, Reporter
from earcli.tasks.train import TrainResult, check_devices, finish

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint


@with_knobs(FinetuneConfig)
def finetune(
    *,
    preset: str = "full",
    config: str | Path | Mapping[str, Any] | None = None,
    reporter: Reporter = SILENT,
    **knobs: Any,
) -> TrainResult:
    """Train a detector of ears and landmarks on a few labels, starting from a teacher.

    Args:
        preset: Default values: full, small (for a CPU) or tiny (a demo).
        config: YAML file of knobs. Knobs given directly override it, and it overrides the preset.
        reporter: Receives notes, progress, and the metrics of each epoch.
        knobs: Any knob of `FinetuneConfig`, such as `checkpoint`, `train_manifest`, `epochs` or `run_dir`.

    Raises:
        ConfigError: An unknown knob, or a value that it cannot have on this machine or with this teacher.
        CheckpointError: There is no such teacher, or it cannot be used.
        WeightsError: The pretrained weights are missing or do not fit.
        ManifestError: The labels cannot be read.
        DataError: More than a fifth of the labels cannot be used.
        RunError: The run folder cannot be written.
        TrainingError: The loss is not finite, or memory ran out.
        InterruptedTraining: A signal stopped the run.

    Example:
        >>> import earcli
        >>> result = earcli.finetune(checkpoint="best", preset="small")  # doctest: +SKIP
        >>> result.metrics["val/nme"], result.metrics["val/ap"]  # doctest: +SKIP
    """
    return run_detector(FinetuneConfig.resolve(preset, config, knobs), None, reporter)


def run_detector(config: FinetuneConfig, checkpoint: "Checkpoint | None", reporter: Reporter) -> TrainResult:
    """Trains a detector in a new run or, from a checkpoint, continues one; see `finetune` for the errors."""
    from earcli.checkpoints.runs import check_run_folder
    from earcli.tasks.detectors import build_detector, read_label_sets, read_views
    from earcli.training.batch_size import check_batch_size
    from earcli.training.precision import choose_precision

    config = choose_precision(config)
    check_batch_size(config)
    check_run_folder(config.run_dir, config.run_name)
    check_devices(config)
    train, val = read_label_sets(config, reporter)
    model, config = build_detector(config, train.names, resumed=checkpoint is not None, note=reporter.note)
    (train_views, train), (val_views, val) = (
        read_views(config, labels, vary=vary, reporter=reporter)
        for labels, vary in ((train, config.augment != "none"), (val, False))
    )
    from earcli.training.loop import train_detector

    skipped = [*train.skipped, *val.skipped]
    run, module = train_detector(config, model, train_views, val_views, skipped, reporter, checkpoint)
    return finish(run, config, dict(module.record), [], reporter)
