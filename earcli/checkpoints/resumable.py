"""Whether a run can go on from a checkpoint: looked at before a network is built and Lightning believes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from earcli.checkpoints.weights import AVERAGE_PREFIX, MODEL_PREFIX, check_fit
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AnyRunConfig, TrainConfig
from earcli.errors import CheckpointError
from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE

MOST_DEPTH = 12


def check_resumable(checkpoint: Mapping[str, Any], path: Path, config: AnyRunConfig) -> None:
    """Compares what a complete checkpoint holds with the network of its configuration.

    Raises:
        CheckpointError: weights or moments of the optimizer do not fit, or the rest has another form than ear writes.
    """
    wrong = CheckpointError(f"{path} is damaged: it has another form than a run leaves. Take an older checkpoint.")
    known, moments = checkpoint["ear"], checkpoint["optimizer_states"]
    if not isinstance(known, dict) or not isinstance(known.get("sums"), dict):
        raise wrong
    if not all(isinstance(value, Tensor) and value.numel() == 1 for value in known["sums"].values()):
        raise wrong
    if not all(type(known.get(key)) is int and known[key] >= 0 for key in ("epochs_done", "steps_per_epoch")):
        raise wrong
    if not all(type(known.get(key, 1)) is int and known.get(key, 1) > 0 for key in ("processes",)):
        raise wrong
    if not isinstance(moments, list) or len(moments) != 1 or not _are_moments(moments[0]):
        raise wrong
    if not _is_progress(checkpoint.get("loops"), MOST_DEPTH) or not _agrees(checkpoint["loops"], known["epochs_done"]):
        raise wrong
    with torch.device("meta"):  # takes no memory, however large the configuration says the network is
        model: nn.Module
        if isinstance(config, TrainConfig):
            model = EarVAE.untrained(config)
        elif isinstance(config, FinetuneConfig) and config.is_settled:
            model = EarDetector.untrained(config)
        else:
            raise wrong
    for prefix in (MODEL_PREFIX, *([AVERAGE_PREFIX] if config.ema_decay else [])):
        wanted = {prefix + name: value for name, value in model.state_dict().items()}
        try:
            check_fit(
                checkpoint["state_dict"], wanted, f"{path} does not hold the run that it describes", CheckpointError
            )
        except CheckpointError as error:
            raise CheckpointError(f"{error} Take an older checkpoint.") from error
    shapes = {value.shape for value in model.parameters()}
    if any(item["exp_avg"].shape not in shapes for item in moments[0]["state"].values()):
        raise wrong


def _are_moments(state: Any) -> bool:
    """Whether something has the form of AdamW's state."""
    if not isinstance(state, dict) or not isinstance(state.get("state"), dict):
        return False
    for item in state["state"].values():
        if not isinstance(item, dict) or not {"step", "exp_avg", "exp_avg_sq"} <= item.keys():
            return False
        if not all(isinstance(value, Tensor) for value in item.values()):
            return False
        if item["exp_avg"].shape != item["exp_avg_sq"].shape or item["step"].numel() != 1:
            return False
    return isinstance(state.get("param_groups"), list) and all(isinstance(g, dict) for g in state["param_groups"])


def _is_progress(value: Any, depth: int) -> bool:
    """Whether something counts what Lightning has done: whole numbers under names."""
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(key, str) and _is_progress(item, depth - 1) for key, item in value.items())
    return isinstance(value, int) and 0 <= value < 1 << 40


def _agrees(loops: Mapping[str, Any], epochs: int) -> bool:
    """Whether Lightning has counted so many epochs; without counters it would begin anew."""
    try:
        loop = loops["fit_loop"]
        return "epoch_loop.batch_progress" in loop and bool(loop["epoch_progress"]["current"]["processed"] == epochs)
    except (KeyError, TypeError):
        return False
