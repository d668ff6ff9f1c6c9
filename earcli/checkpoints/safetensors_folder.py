"""A folder with a teacher's weights (safetensors) and configuration (JSON), read without running code."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from earcli.checkpoints.weights import check_fit, with_trunk
from earcli.config.teacher import EARLIER_MODEL, TrainConfig
from earcli.errors import CheckpointError, ConfigError
from earcli.models.vae import EarVAE
from earcli.untrusted.files import read_bounded
from earcli.untrusted.torch_files import read_safetensors

CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"
MODEL_KNOBS = ("latent_dim", "image_size", "encoder", "encoder_size", "input_stats", "skeleton_dim", "side")

EARLIER_FACTS = {**EARLIER_MODEL, "encoder_size": 0}


class TeacherFolder(NamedTuple):
    """The content of an exported folder.

    Attributes:
        config: The folder's architecture, and defaults for the other knobs.
        metadata: Everything in `config.json`.
        state: The weights by name.
    """

    config: TrainConfig
    metadata: dict[str, Any]
    state: dict[str, Tensor]


def read_folder(folder: Path) -> TeacherFolder:
    """Reads a folder that `ear export --format safetensors` wrote.

    Raises:
        CheckpointError: A file is missing or damaged, or the configuration is not a teacher's.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no {name}. Give a local folder that ear export --format safetensors wrote."
            )
    try:
        metadata = {**EARLIER_FACTS, **json.loads(read_bounded(folder / CONFIG_NAME))}
        metadata.setdefault("encoder", metadata.get("resnet_version"))
        config = TrainConfig.from_dict({name: metadata[name] for name in MODEL_KNOBS}, str(folder / CONFIG_NAME))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME} is damaged or was not written by ear. Export again.") from error
    except ConfigError as error:
        raise CheckpointError(f"{error} Export again.") from error
    try:
        return TeacherFolder(config, metadata, with_trunk(read_safetensors(folder / WEIGHTS_NAME)))
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(f"{folder / WEIGHTS_NAME} is damaged ({error}). Export again.") from error


def load_teacher(folder: Path) -> EarVAE:
    """The teacher of an exported folder, in eval mode.

    Raises:
        CheckpointError: See `read_folder`, or the folder holds only a part of a teacher.
    """
    config, metadata, state = read_folder(folder)
    if metadata.get("part") != "vae":
        raise CheckpointError(f"{folder} holds only the {metadata.get('part')}. Export the whole teacher (part vae).")
    with torch.device("meta"):
        expected = EarVAE.untrained(config).state_dict()
    check_fit(state, expected, f"{folder} does not hold the teacher that it describes", CheckpointError)
    model = EarVAE.untrained(config)
    model.load_state_dict(state)
    return model.eval()
