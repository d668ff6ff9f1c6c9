"""Every knob of `ear train`, once: its default, its help, its check, and the presets.

The flags, `hparams.yaml`, the hyper-parameters in a checkpoint and the table in the docs all come from here.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import yaml

from earcli.errors import ConfigError

Check = Callable[[Any], str | None]
"""Returns what was wanted, as words that follow "must be", or None when the value is fine."""


def knob(default: Any, help: str, check: Check | None = None, *, resumable: bool = False) -> Any:
    """A dataclass field with its help and check; `resumable` knobs may change when a run is resumed."""
    return field(default=default, metadata={"help": help, "check": check, "resumable": resumable})


def at_least(low: float) -> Check:
    return lambda value: None if value >= low else f"{low} or more"


def above(low: float) -> Check:
    return lambda value: None if value > low else f"more than {low}"


def between(low: float, high: float) -> Check:
    return lambda value: None if low <= value <= high else f"between {low} and {high}"


def below_one(value: float) -> str | None:
    return None if 0 <= value < 1 else "0 or more and less than 1"


def image_side(value: int) -> str | None:
    return None if 64 <= value <= 256 and value % 32 == 0 else "a multiple of 32 from 64 to 256"


@dataclass(frozen=True)
class ModelConfig:
    """Model"""

    image_size: int = knob(128, "Side of the square input in pixels, a multiple of 32.", image_side)
    latent_dim: int = knob(1024, "Dimensions of the latent space.", at_least(1))
    resnet_version: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = knob(
        "resnet50", "Trunk of the encoder."
    )
    freeze_layers: int = knob(
        0, "Layers of the trunk that stay as they are: 0 none, k the stem and layers 1 to k.", between(0, 4)
    )
    weights: str = knob("imagenet", "Weights that the trunk starts from: imagenet, none, or a file.")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Objective"""

    perceptual_weight: float = knob(1.0, "Weight of the VGG16 feature distance.", at_least(0))
    ssim_weight: float = knob(1.0, "Weight of 1 − SSIM.", at_least(0))
    edge_weight: float = knob(0.5, "Weight of the Sobel gradient difference.", at_least(0))
    contrastive_weight: float = knob(0.05, "Weight of the NT-Xent term.", at_least(0))
    center_weight: float = knob(3.0, "Weight of the L1 that counts the centre most.", at_least(0))
    perceptual_weights: str = knob(
        "imagenet", "Weights of VGG16: imagenet, a file, or none, which switches the perceptual term off."
    )


@dataclass(frozen=True)
class AnnealingConfig:
    """KL annealing"""

    kl_weight: float = knob(0.01, "Final weight of the KL term (per latent dimension).", at_least(0))
    kl_anneal_strategy: Literal["threshold", "epoch"] = knob(
        "threshold", "When the ramp starts: once validation PSNR reaches the threshold, or at step 0."
    )
    kl_anneal_threshold_psnr: float = knob(24.0, "Validation PSNR in dB at which the ramp starts.", above(0))
    kl_anneal_epochs: int = knob(10, "Epochs that the ramp takes; 0 fixes the weight from the start.", at_least(0))


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation"""

    epochs: int = knob(60, "Epochs to train.", at_least(1), resumable=True)
    batch_size: int = knob(8, "Pictures in a batch, per device.", at_least(1))
    accumulate: int = knob(1, "Batches whose gradients are added up before a step.", at_least(1))
    lr: float = knob(3e-4, "Peak learning rate of AdamW.", above(0))
    trunk_lr_scale: float = knob(0.1, "Learning rate of a pretrained trunk, as a share of --lr.", above(0))
    weight_decay: float = knob(0.01, "Weight decay, on weights but not on biases and norms.", at_least(0))
    warmup_epochs: float = knob(1.0, "Epochs of linear warm-up before the cosine.", at_least(0))
    grad_clip: float = knob(1.0, "Largest gradient norm; 0 does not clip.", at_least(0))
    ema_decay: float = knob(
        0.0, "Decay of an average of the weights, used for validation and after; 0 keeps none.", below_one
    )
    early_stopping: bool = knob(False, "Stop when validation loss has not fallen for --patience epochs.")
    patience: int = knob(10, "Epochs that early stopping waits.", at_least(1))


@dataclass(frozen=True)
class DataConfig:
    """Data"""

    train_manifest: Path = knob(
        Path("data/preprocessed/train_teacher.npy"), "Manifest of the pictures to learn from.", resumable=True
    )
    val_manifest: Path = knob(
        Path("data/preprocessed/val_teacher.npy"), "Manifest of the pictures to validate on.", resumable=True
    )
    root_dir: Path | None = knob(
        None, "Folder that relative paths start from. By default the manifest's.", resumable=True
    )
    augment: Literal["none", "light", "strong"] = knob("light", "How much training pictures are varied.")
    limit_train: int | None = knob(None, "Train on so many pictures only, drawn by --seed.", at_least(1))
    limit_val: int | None = knob(None, "Validate on so many pictures only, drawn by --seed.", at_least(1))
    num_workers: int = knob(4, "Threads that decode pictures into the pixel cache.", at_least(1), resumable=True)


@dataclass(frozen=True)
class RunConfig:
    """Run"""

    run_dir: Path = knob(Path("runs"), "Folder of all runs.", resumable=True)
    run_name: str = knob("ear_vae", "Name of the run: RUN_DIR/RUN_NAME/version_N.")
    seed: int = knob(0, "Seed of order, augmentation, noise and initial weights.", between(0, 2**31 - 1))
    precision: Literal["auto", "32", "16-mixed", "bf16-mixed"] = knob(
        "auto", "auto is 16-mixed on CUDA, bf16-mixed on a CPU that has it, else 32.", resumable=True
    )
    devices: str = knob("auto", "Devices per machine: a number, auto, or a list such as 0,1.", resumable=True)
    num_nodes: int = knob(1, "Machines.", at_least(1), resumable=True)
    strategy: str = knob("auto", "Lightning's strategy, such as ddp.", resumable=True)


@dataclass(frozen=True)
class TrainConfig(RunConfig, DataConfig, OptimConfig, AnnealingConfig, ObjectiveConfig, ModelConfig):
    """All knobs of one training run, flat: a field `latent_dim` is the flag `--latent-dim`.

    Raises:
        ConfigError: a value that a knob cannot have, or two that do not go together.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            check, value = item.metadata["check"], getattr(self, item.name)
            wanted = check(value) if check is not None and value is not None else None
            if isinstance(value, float) and not math.isfinite(value):
                wanted = "a finite number"
            if wanted is not None:
                raise ConfigError(f"{flag(item.name)} must be {wanted}, got {value}.")
        if not self.run_name or Path(self.run_name).name != self.run_name:
            raise ConfigError(f"--run-name must be a plain folder name, got {self.run_name!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """Builds a configuration from plain values (YAML, a checkpoint); `source` names them in errors.

        Raises:
            ConfigError: an unknown key, or a value of another type than its knob's.
        """
        return cls(**plain_to_knobs(values, source))

    def to_dict(self) -> dict[str, Any]:
        """The plain values (str, int, float, bool, None) that `from_dict` reads."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    def to_yaml(self) -> str:
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text


GROUPS = (ModelConfig, ObjectiveConfig, AnnealingConfig, OptimConfig, DataConfig, RunConfig)

PRESETS: dict[str, dict[str, Any]] = {
    "full": {},
    "small": {
        "image_size": 64,
        "latent_dim": 256,
        "resnet_version": "resnet18",
        "weights": "none",
        "perceptual_weights": "none",
        "batch_size": 32,
        "lr": 7e-4,
        "epochs": 28,
        "kl_anneal_threshold_psnr": 22.0,
        "kl_anneal_epochs": 5,
        "ema_decay": 0.999,
    },
    "tiny": {
        "image_size": 64,
        "latent_dim": 64,
        "resnet_version": "resnet18",
        "weights": "none",
        "perceptual_weights": "none",
        "batch_size": 16,
        "lr": 1e-3,
        "epochs": 30,
        "augment": "none",  # variety costs time that a demo does not have
        "kl_anneal_threshold_psnr": 16.0,
        "kl_anneal_epochs": 3,
    },
}


def flag(name: str) -> str:
    """The flag of a knob: `latent_dim` is `--latent-dim`."""
    return "--" + name.replace("_", "-")


def read_config_file(path: Path) -> dict[str, Any]:
    """Reads a YAML file of knobs.

    Raises:
        ConfigError: the file cannot be read, is no YAML mapping, or names a knob that does not exist.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--config {path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path} must hold `name: value` lines, got {type(values).__name__}.")
    return plain_to_knobs(values, f"--config {path}")


def resolve(preset: str, from_file: Mapping[str, Any], from_flags: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a run: a flag wins over the file, the file over the preset, the preset over defaults.

    Raises:
        ConfigError: an unknown preset, or a value that a knob cannot have.
    """
    if preset not in PRESETS:
        raise ConfigError(f"--preset must be one of {', '.join(PRESETS)}, got {preset!r}.")
    return TrainConfig(**{**PRESETS[preset], **from_file, **from_flags})


def plain_to_knobs(values: Mapping[Any, Any], source: str) -> dict[str, Any]:
    """Checks names and types of plain values and turns paths into Path."""
    hints = get_type_hints(TrainConfig)
    known = {f.name for f in fields(TrainConfig)}
    result = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(f"{source} has {key!r}, which is no knob{f'; did you mean {near[0]}?' if near else '.'}")
        result[name] = _typed(value, hints[name], f"{source}: {name}")
    return result


def _typed(value: Any, wanted: Any, where: str) -> Any:
    if get_origin(wanted) is Literal:
        # YAML reads an unquoted 32 as a number
        if str(value) in get_args(wanted):
            return str(value)
        raise ConfigError(f"{where} must be one of {', '.join(get_args(wanted))}, got {value!r}.")
    if get_origin(wanted) in (Union, types.UnionType):
        return None if value is None else _typed(value, get_args(wanted)[0], where)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is str and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if wanted is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as a string
        except ValueError:
            pass
    if wanted in (int, bool) and type(value) is wanted:
        return value
    raise ConfigError(f"{where} must be of type {wanted.__name__.lower()}, got {value!r}.")
