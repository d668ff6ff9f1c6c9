"""A checkpoint: found, read and verified once, then passed on."""

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from earcli.checkpoints.runs import LAST, Kind, RunFolder, find_checkpoint
from earcli.checkpoints.weights import AVERAGE_PREFIX, MODEL_PREFIX, check_fit, fingerprint, with_trunk
from earcli.config.detector import FinetuneConfig
from earcli.config.fields import Knobs
from earcli.config.teacher import EARLIER_MODEL, TrainConfig
from earcli.errors import CheckpointError, ConfigError, DamagedError
from earcli.models.detector import EarDetector
from earcli.models.vae import EarVAE
from earcli.untrusted.pickles import ForbiddenError
from earcli.untrusted.torch_files import read_torch_file

FORMAT_VERSION = 3
"""Of what `ear` writes. Version 1 has no `format_version`, 2 no trunk in the names of weights; both are read too."""
LOGGER = logging.getLogger("earcli")
CONFIGS: dict[Kind, type[TrainConfig] | type[FinetuneConfig]] = {"teacher": TrainConfig, "detector": FinetuneConfig}
COMMANDS: dict[Kind, str] = {"teacher": "ear train", "detector": "ear finetune"}
EARLIER: dict[Kind, dict[str, Any]] = {
    "teacher": EARLIER_MODEL,
    "detector": {"mirror_right": False, "encoder_size": 0, "input_stats": "none"},
}
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint:
    """What a run of `ear train` or `ear finetune` saved.

    Attributes:
        path: The file.
        kind: What the run trained, a teacher or a detector.
        config: The configuration of the run; knobs that its version did not have yet have their defaults.
        content: Everything in the file: `state_dict`, `hyper_parameters` and, where a run can resume from it, the
            optimizer's state and the loop's counters.

    Example:
        >>> checkpoint = Checkpoint.open("best", run_dir="runs")  # doctest: +SKIP
        >>> model = checkpoint.teacher()  # doctest: +SKIP
    """

    path: Path
    kind: Kind
    config: TrainConfig | FinetuneConfig
    content: dict[str, Any]

    @classmethod
    def open(
        cls, path: str | Path, kind: Kind | None = None, *, run_dir: str | Path = "runs", resumable: bool = False
    ) -> Self:
        """Reads and verifies a checkpoint; nothing in the file is executed.

        If a run's `last.ckpt` is damaged or missing, this opens the newest sound checkpoint of the run and logs a
        warning.

        Args:
            path: A file, a run's folder, or `last.ckpt` or `best` of the newest run.
            kind: The kind that it must be of; None accepts any.
            run_dir: Folder of all runs, in which names are looked up.
            resumable: Whether a run must be able to resume from it.

        Raises:
            CheckpointError: There is no such checkpoint, it is of another kind or version, or it would run code.
            DamagedError: It is damaged, and so are the others of its run.
        """
        file = find_checkpoint(str(path), Path(run_dir), kind)
        try:
            return cls._read(file, kind)
        except DamagedError as error:
            for other in _older_checkpoints(file, resumable):
                try:
                    checkpoint = cls._read(other, kind)
                except CheckpointError:
                    continue
                LOGGER.warning("%s Opened %s instead.", str(error).removesuffix(" Use an older one."), other)
                return checkpoint
            raise

    @classmethod
    def _read(cls, path: Path, kind: Kind | None) -> Self:
        content = _read_content(path)
        _check_version(content, path)
        content["state_dict"] = with_trunk(content["state_dict"])
        own = kind_of(content["hyper_parameters"])
        if kind not in (own, None):
            raise CheckpointError(
                f"{path} is a {own}'s checkpoint, expected a {kind}'s. Give one that {COMMANDS[kind]} wrote."
            )
        values = {**EARLIER[own], **content["hyper_parameters"]}
        return cls(path, own, read_config(CONFIGS[own], values, path), content)

    @property
    def run(self) -> RunFolder | None:
        """The run folder that the file lies in, if any."""
        try:
            return RunFolder.of(self.path)
        except CheckpointError:
            return None

    @property
    def teacher_config(self) -> TrainConfig:
        """The configuration of a teacher; raises CheckpointError for a detector."""
        if not isinstance(self.config, TrainConfig):
            raise CheckpointError(f"{self.path} is a detector's checkpoint, expected a teacher's.")
        return self.config

    @property
    def detector_config(self) -> FinetuneConfig:
        """The configuration of a detector; raises CheckpointError for a teacher, or an incomplete architecture."""
        if not isinstance(self.config, FinetuneConfig):
            raise CheckpointError(f"{self.path} is a teacher's checkpoint, expected a detector's.")
        if not self.config.is_settled:
            raise CheckpointError(f"{self.path} lacks knobs of its architecture. It was not written by ear.")
        return self.config

    def teacher(self, device: str | torch.device = "cpu") -> EarVAE:
        """The teacher in eval mode; its averaged weights where the run kept an average.

        Raises:
            CheckpointError: It holds a detector, or weights that do not fit its configuration or are not finite.
        """
        config = self.teacher_config
        return self._load(lambda: EarVAE.untrained(config)).to(device)

    def detector(self, device: str | torch.device = "cpu") -> EarDetector:
        """The detector in eval mode; its averaged weights where the run kept an average.

        Raises:
            CheckpointError: It holds a teacher, or weights that do not fit its configuration or are not finite.
        """
        config = self.detector_config
        return self._load(lambda: EarDetector.untrained(config)).to(device)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the weights; see `earcli.checkpoints.weights.fingerprint`."""
        return fingerprint(self._weights())

    def release(self) -> None:
        """Drops the tensors, which keep the file on the disk open."""
        self.content.clear()

    def results_folder(self, output: str | Path | None, name: str) -> Path:
        """Where results go: `output`, or the folder `name` of the checkpoint's run.

        Raises:
            CheckpointError: No `output`, and the checkpoint lies in no run folder.
        """
        if output is not None:
            return Path(output)
        try:
            return RunFolder.of(self.path).path / name
        except CheckpointError as error:
            raise CheckpointError(f"{error} Give `output`, a folder for the results.") from error

    def _weights(self) -> dict[str, Tensor]:
        """The weights to use: the average where the run kept one, else the last ones."""
        state = self.content["state_dict"]
        prefix = AVERAGE_PREFIX if any(key.startswith(AVERAGE_PREFIX) for key in state) else MODEL_PREFIX
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    def _load(self, build: Callable[[], Model]) -> Model:
        weights = self._weights()
        with torch.device("meta"):  # allocates nothing, however large the file claims its model to be
            expected = build().state_dict()
        check_fit(weights, expected, f"{self.path} does not hold the {self.kind} that it describes", CheckpointError)
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise CheckpointError(f"{self.path} holds NaN or infinity in {name}. Use an older checkpoint.")
        model = build()
        model.load_state_dict(weights)
        return model.eval()


AnyKnobs = TypeVar("AnyKnobs", bound=Knobs)


def kind_of(hyper_parameters: dict[str, Any]) -> Kind:
    """What a run with these hyper-parameters trained.

    >>> kind_of({"latent_dim": 64, "landmarks": 17})
    'detector'
    """
    return "detector" if "landmarks" in hyper_parameters else "teacher"


def read_config(kind: type[AnyKnobs], values: dict[str, Any], path: Path) -> AnyKnobs:
    """The configuration that a checkpoint holds.

    Raises:
        CheckpointError: It has knobs or values that this version does not know.
    """
    try:
        return kind.from_dict(values, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error} Another version of ear wrote this checkpoint: use that version.") from error


def _read_content(path: Path) -> dict[str, Any]:
    try:
        content = read_torch_file(path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path} does not exist.") from error
    except (ForbiddenError, pickle.UnpicklingError) as error:
        reason = f" ({error})" if isinstance(error, ForbiddenError) else ""
        raise CheckpointError(
            f"{path} holds more than tensors and plain values{reason}; nothing in it was executed. "
            "Only checkpoints that ear wrote can be read."
        ) from error
    except Exception as error:  # a damaged file can raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]
        raise DamagedError(f"{path} is damaged or no checkpoint ({reason}). Use an older one.") from error
    if not isinstance(content, dict) or not {"state_dict", "hyper_parameters"} <= content.keys():
        raise CheckpointError(f"{path} is not a checkpoint of ear: it has no state_dict and hyper_parameters.")
    state, hyper_parameters = content["state_dict"], content["hyper_parameters"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is damaged: its state_dict holds more than weights. Use an older one.")
    if not isinstance(hyper_parameters, dict) or "latent_dim" not in hyper_parameters:
        raise CheckpointError(f"{path} is not a checkpoint of ear: its hyper-parameters lack latent_dim.")
    return content


def _check_version(content: dict[str, Any], path: Path) -> None:
    version = content.get("format_version", 1)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, and this version of ear reads 1 to {FORMAT_VERSION}. Update ear."
        )


def _older_checkpoints(path: Path, resumable: bool) -> list[Path]:
    """The other checkpoints of the run whose `last.ckpt` this is, the newest first."""
    if path.name != LAST:
        return []
    run = RunFolder(path.absolute().parent.parent)
    best = [] if resumable else sorted(run.best(), key=lambda item: item.epoch, reverse=True)
    return [path.with_name(other.name) for other in (run.previous, *(item.path for item in best)) if other.is_file()]
