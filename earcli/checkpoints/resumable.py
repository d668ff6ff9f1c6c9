"""Checks that a run can resume from a checkpoint, before a network is built and Lightning trusts the checkpoint."""

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


def check_resumable(checkpoint: Mapping[str, Any], path: Path, config: AnyRunConfig) -> None:
    """Compares a complete checkpoint with the network of its configuration.

    Args:
        checkpoint: what `read_checkpoint` returned.
        path: its file, for messages.
        config: the configuration of its run.

    Raises:
        CheckpointError: weights, optimizer state or counters are missing, malformed, or do not fit together.
    """
    try:
        valid = _has_counters(checkpoint)
        model = _meta_model(config)
        for prefix in (MODEL_PREFIX, *([AVERAGE_PREFIX] if config.ema_decay else [])):
            expected = {prefix + name: value for name, value in model.state_dict().items()}
            check_fit(checkpoint["state_dict"], expected, f"{path} does not fit its own configuration", CheckpointError)
        valid = valid and _has_optimizer(checkpoint, {value.shape for value in model.parameters()})
    except CheckpointError as error:
        raise CheckpointError(f"{error} Take an older checkpoint.") from error
    except (AttributeError, KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        raise CheckpointError(f"{path} is damaged: no run can resume from it. Take an older checkpoint.")


def _meta_model(config: AnyRunConfig) -> nn.Module:
    """The network on the meta device, which takes no memory however large the configuration says it is."""
    with torch.device("meta"):
        if isinstance(config, TrainConfig):
            return EarVAE.untrained(config)
        if isinstance(config, FinetuneConfig) and config.is_settled:
            return EarDetector.untrained(config)
    raise ValueError("not the configuration of a run")


def _has_counters(checkpoint: Mapping[str, Any]) -> bool:
    """Whether ear's counters are valid and Lightning's agree; without its own, Lightning would start from scratch."""
    state, loop = checkpoint["ear"], checkpoint["loops"]["fit_loop"]
    counts = [state["epochs_done"], state["steps_per_epoch"] - 1, state.get("processes", 1) - 1]
    return (
        all(isinstance(count, int) and count >= 0 for count in counts)
        and all(isinstance(value, Tensor) and value.numel() == 1 for value in state["sums"].values())
        and isinstance(loop["epoch_loop.batch_progress"], dict)
        and all(isinstance(count, int) for count in loop["epoch_progress"]["current"].values())
        and loop["epoch_progress"]["current"]["processed"] == state["epochs_done"]
    )


def _has_optimizer(checkpoint: Mapping[str, Any], shapes: set[torch.Size]) -> bool:
    """Whether there is the state of one AdamW, with moments of the shapes of the network's parameters."""
    (optimizer,) = checkpoint["optimizer_states"]
    return all("params" in group for group in optimizer["param_groups"]) and all(
        item["exp_avg"].shape == item["exp_avg_sq"].shape
        and item["exp_avg"].shape in shapes
        and item["step"].numel() == 1
        for item in optimizer["state"].values()
    )
