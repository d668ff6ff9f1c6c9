"""Resuming a run of training or fine-tuning."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earcli.config.detector import FinetuneConfig
from earcli.config.signature import knobs_of, with_knobs
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError, ConfigError
from earcli.reporting.reporter import SILENT, Reporter
from earcli.tasks.finetune import run_detector
from earcli.tasks.train import TrainResult, run_teacher

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint


@with_knobs(TrainConfig, FinetuneConfig, resumable_only=True)
def resume(checkpoint: str | Path = "last.ckpt", *, reporter: Reporter = SILENT, **knobs: Any) -> TrainResult:
    """Continue a stopped run, of a teacher or a detector, bit-exactly and in its folder.

    Args:
        checkpoint: A run's folder or its last.ckpt; last.ckpt alone is that of the newest run.
        reporter: Receives notes, progress, and the metrics of each epoch.
        knobs: Knobs that may change when a run is resumed, such as `epochs`, `precision` or `root_dir`.

    Raises:
        ConfigError: A knob that must not change in a run, or no epoch left to train.
        CheckpointError: There is no such checkpoint, or a run cannot resume from it.
        InterruptedTraining: A signal stopped the run.

    Example:
        >>> import earcli
        >>> earcli.resume("runs/ear_vae/version_0", epochs=80).metrics["val/psnr"]  # doctest: +SKIP
    """
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.checkpoints.resumable import check_resumable
    from earcli.checkpoints.runs import LAST

    path = Path(checkpoint)
    if path.is_dir():
        path = path / "checkpoints" / LAST
    opened = Checkpoint.open(path, run_dir=knobs.get("run_dir", "runs"), resumable=True)
    if not {"optimizer_states", "ear"} <= opened.content.keys():
        raise CheckpointError(f"{opened.path} holds weights only; a run cannot resume from it. Use its last.ckpt.")
    config = _config(opened, knobs)
    check_resumable(opened.content, opened.path, config)
    done = opened.content["ear"]["epochs_done"]
    if done >= config.epochs:
        raise ConfigError(f"{opened.path} has all of its {done} epochs. Give `epochs` more than {done} to continue.")
    if isinstance(config, FinetuneConfig):
        return run_detector(config, opened, reporter)
    return run_teacher(config, opened, reporter)


def _config(checkpoint: "Checkpoint", knobs: Mapping[str, Any]) -> TrainConfig | FinetuneConfig:
    """The configuration of a checkpoint with the knobs that were given, in the folder of its run.

    Raises:
        ConfigError: An unknown knob, or one that must not change.
        CheckpointError: The checkpoint lies in no run folder.
    """
    from earcli.checkpoints.runs import RunFolder

    resumable = knobs_of(type(checkpoint.config), resumable_only=True)
    unknown = knobs.keys() - knobs_of(TrainConfig, FinetuneConfig).keys()
    refused = [f"`{name}`" for name in knobs if name not in resumable]
    if refused and not unknown:
        raise ConfigError(f"{', '.join(refused)} cannot change when a run is resumed. Start a new run.")
    values = checkpoint.config.parse_values(knobs)
    run = RunFolder.of(checkpoint.path)
    return replace(checkpoint.config, **{**values, "run_dir": run.path.parents[1], "run_name": run.path.parent.name})
