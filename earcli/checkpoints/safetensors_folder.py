"""A folder with a teacher's weights (safetensors) and configuration (JSON): read without running code or a network."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError, ConfigError
from earcli.untrusted.files import read_bounded
from earcli.untrusted.torch_files import read_safetensors

CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"
MODEL_KNOBS = ("latent_dim", "image_size", "resnet_version")


class TeacherFolder(NamedTuple):
    """What a folder holds.

    Attributes:
        config: with the folder's model, and defaults elsewhere.
        facts: everything that `config.json` says.
        state: weights by name.
    """

    config: TrainConfig
    facts: dict[str, Any]
    state: dict[str, Tensor]


def read_folder(folder: Path) -> TeacherFolder:
    """Reads what `ear export --format safetensors` wrote.

    Raises:
        CheckpointError: a file is missing or damaged, or the configuration is none of a teacher.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has no {name}. Give a local folder that ear export --format safetensors wrote."
            )
    try:
        facts = json.loads(read_bounded(folder / CONFIG_NAME))
        config = TrainConfig.from_dict({name: facts[name] for name in MODEL_KNOBS}, str(folder / CONFIG_NAME))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME} is damaged or not ear's. Export it anew.") from error
    except ConfigError as error:
        raise CheckpointError(f"{error} Export it anew.") from error
    try:
        return TeacherFolder(config, facts, read_safetensors(folder / WEIGHTS_NAME))
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(f"{folder / WEIGHTS_NAME} is damaged ({error}). Export it anew.") from error
