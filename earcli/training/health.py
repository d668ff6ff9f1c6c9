"""Stops a run whose numbers are no longer finite, and detects a collapsed latent space."""

import shlex
from collections.abc import Mapping

import numpy as np
from pytorch_lightning import Trainer

from earcli.checkpoints.runs import RunFolder
from earcli.data.formats.table import write_table
from earcli.errors import TrainingError
from earcli.metrics.latent import ACTIVE_VARIANCE
from earcli.training.datamodule import PixelDataModule
from earcli.training.distributed import earliest_across_ranks
from earcli.training.module import CHECKED_TERMS, EarModule

COLLAPSE_THRESHOLD = 0.1
"""The fraction of active dimensions below which a latent space has collapsed."""
MIN_LOSS_SCALE = 1.0
"""The loss scale of fp16 starts at 65,536, and every step that overflows halves it."""


def check_finite(trainer: Trainer, module: EarModule, run: RunFolder) -> None:
    """Stops a run whose numbers are not finite; must be called on every rank, before anything is saved.

    Args:
        trainer: Of the run.
        module: Of the run.
        run: Gets `bad_batch.csv`, a manifest of the pictures of the step.

    Raises:
        TrainingError: On any rank, a loss, a gradient or a validation figure was NaN or infinite, or fp16 overflowed
            in step after step.
    """
    epoch, batch, step, term = earliest_across_ranks(module.first_nonfinite.to(module.device)).tolist()
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = MIN_LOSS_SCALE if scaler is None else scaler.get_scale()
    nonfinite = [name for name, value in module.record.items() if not np.isfinite(value)]
    if epoch < 0 and not nonfinite and scale >= MIN_LOSS_SCALE:
        return
    if not trainer.is_global_zero:
        raise TrainingError  # without a message: rank 0 has it
    if epoch >= 0:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, PixelDataModule)
        write_table(run.bad_batch, data.step_manifest(epoch, batch, trainer.accumulate_grad_batches))
        raise TrainingError(
            f"The {CHECKED_TERMS[term]} became NaN or infinite in step {step} (epoch {epoch}, batch {batch}); "
            f"{run.bad_batch} lists its pictures for ear check. {_remedy(module, run)}"
        )
    if nonfinite:
        raise TrainingError(f"{nonfinite[0]} became NaN or infinite in validation. {_remedy(module, run)}")
    raise TrainingError(
        f"Gradients overflowed fp16 in step after step (loss scale {scale:g}), and all of these steps were skipped. "
        f"{_remedy(module, run)}"
    )


def collapse_warning(record: Mapping[str, float], dimensions: int) -> str:
    """A warning if the latent space has collapsed, else an empty string.

    Args:
        record: The figures of an epoch, by log key.
        dimensions: Of the latent space.
    """
    active = int(record["val/active_units"])
    if active >= COLLAPSE_THRESHOLD * dimensions:
        return ""
    remedy = (
        "lower `kl_weight` or raise `kl_anneal_epochs`"
        if record["kl_weight"]
        else "try another `lr`, and check the pictures with ear check"
    )
    return (
        f"the latent space has collapsed: only {active} of {dimensions} dimensions vary over the validation ears "
        f"(variance above {ACTIVE_VARIANCE:g}); {remedy}"
    )


def _remedy(module: EarModule, run: RunFolder) -> str:
    higher = {"16-mixed": "bf16-mixed", "bf16-mixed": "32"}.get(module.config.precision)
    restart = "start a new run with a lower `lr` or `grad_clip`"
    if not run.last.is_file():
        return f"{restart.capitalize()}{f', or with `precision` {higher}' if higher else ''}."
    if higher is None:
        return f"The checkpoints of earlier epochs are sound; {restart}."
    command = shlex.join(["ear", "resume", str(run.last)])
    return f"The checkpoints of earlier epochs are sound: resume with `precision` {higher} ({command}), or {restart}."
