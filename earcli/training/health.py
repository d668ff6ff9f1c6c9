"""Numbers that went wrong: what stops a run, and what it leaves to find out why."""

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
from earcli.training.module import SUSPECTS, EarModule

COLLAPSED = 0.1
"""The share of active dimensions below which a latent space has collapsed."""
LEAST_SCALE = 1.0
"""Of fp16's gradients: it starts at 65,536, and every step that overflows halves it."""


def check_finite(trainer: Trainer, module: EarModule, run: RunFolder) -> None:
    """Stops a run whose numbers are not finite any more; to be called before anything of it is kept.

    Raises:
        TrainingError: in any process, a loss, a gradient or a figure of validation was NaN or infinite, or fp16
            overflowed in step after step. The pictures of the step are in `bad_batch.csv` then, a manifest.
    """
    epoch, batch, step, what = earliest_across_ranks(module.first_bad.to(module.device)).tolist()
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = LEAST_SCALE if scaler is None else scaler.get_scale()
    wrong = [name for name, value in module.record.items() if not np.isfinite(value)]
    if epoch < 0 and not wrong and scale >= LEAST_SCALE:
        return
    if not trainer.is_global_zero:
        raise TrainingError  # without a message: the first process has it
    if epoch >= 0:
        _write_pictures(trainer, run, epoch, batch)
        raise TrainingError(
            f"The {SUSPECTS[what]} became NaN or infinite in step {step} (epoch {epoch}, batch {batch}); its pictures "
            f"are in {run.bad_batch}: look at them with ear check. {_remedy(module, run)}"
        )
    if wrong:
        raise TrainingError(f"{wrong[0]} became NaN or infinite in validation. {_remedy(module, run)}")
    raise TrainingError(
        f"Gradients overflowed fp16 in step after step (loss scale {scale:g}), and no such step was taken. "
        f"{_remedy(module, run)}"
    )


def collapse(record: Mapping[str, float], dimensions: int) -> str:
    """What there is to say, by log key, of a latent space of so many dimensions that has collapsed; empty if not."""
    active = int(record["val/active_units"])
    if active >= COLLAPSED * dimensions:
        return ""
    remedy = (
        "lower --kl-weight or raise --kl-anneal-epochs" if record["kl_weight"] else "try another --lr, and `ear check`"
    )
    return (
        f"the latent space has collapsed: only {active} of {dimensions} dimensions vary over the validation ears "
        f"(variance above {ACTIVE_VARIANCE:g}), so a code says little of its ear; {remedy}"
    )


def _write_pictures(trainer: Trainer, run: RunFolder, epoch: int, batch: int) -> None:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, PixelDataModule)
    write_table(run.bad_batch, data.step_manifest(epoch, batch, trainer.accumulate_grad_batches, trainer.world_size))


def _remedy(module: EarModule, run: RunFolder) -> str:
    precise = {"16-mixed": "bf16-mixed", "bf16-mixed": "32"}.get(module.config.precision)
    if not run.last.is_file():
        return f"Start anew with a lower --lr or --grad-clip{f' or --precision {precise}' if precise else ''}."
    if precise is None:
        return "The checkpoints of the epochs before are sound; start anew with a lower --lr or --grad-clip."
    again = shlex.join(["ear", "resume", str(run.last), "--precision", precise])
    return f"The checkpoints of the epochs before are sound: {again}, or start anew with a lower --lr or --grad-clip."
