"""The knobs of `earcli.finetune`, each declared once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from earcli.config.fields import above, at_least, below_one, between, encoder_name, image_side, knob, plain_name
from earcli.config.teacher import (
    AUTO,
    BATCH_HELP,
    EMA_HELP,
    ENCODER_HELP,
    ENCODER_SIZE_HELP,
    INPUT_STATS_HELP,
    WEIGHTS_HELP,
    AnyRunConfig,
    DataConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
)
from earcli.errors import ConfigError


@dataclass(frozen=True)
class DetectorConfig:
    """The architecture of a detector and where its weights come from."""

    TITLE: ClassVar[str] = "Detector"
    checkpoint: str = knob(
        "best", "Teacher to start from: a file, a run's folder, or last.ckpt or best of the newest run."
    )
    init: Literal["teacher", "imagenet", "none"] = knob(
        "teacher",
        "Initialization: a teacher, an encoder with pretrained `weights` (imagenet), or random weights (none).",
    )
    weights: str = knob("pretrained", f"Weights of the trunk if `init` is imagenet: {WEIGHTS_HELP}")
    freeze_encoder: bool = knob(False, "Train the heads only and freeze everything that comes from the teacher.")
    mirror_right: bool | None = knob(
        None,
        "Mirror right ears as the teacher does, and mirror predictions back. By default if the teacher mirrors them "
        "and `view` is crop.",
    )
    landmarks: int | None = knob(
        None, "Landmarks per ear. By default the number that most labels have.", between(0, 10_000)
    )
    landmark_names: str | None = knob(None, "Comma-separated names of the landmarks. By default those in the labels.")
    image_size: int | None = knob(None, "Side of the square input in pixels. By default the teacher's.", image_side)
    teacher_size: int | None = knob(
        None, "Image size of encoder and decoder if there is no teacher. By default 128.", image_side
    )
    latent_dim: int | None = knob(
        None, "Dimensions of the latent space if there is no teacher. By default 1024.", between(1, 65536)
    )
    encoder: str | None = knob(
        None, f"{ENCODER_HELP} For use without a teacher; by default resnet50.", encoder_name, former="resnet_version"
    )
    encoder_size: int | None = knob(
        None, f"{ENCODER_SIZE_HELP} For use without a teacher.", at_least(0), words={"auto": AUTO}
    )
    input_stats: Literal["encoder", "none"] | None = knob(
        None, f"{INPUT_STATS_HELP} For use without a teacher; by default encoder."
    )


@dataclass(frozen=True)
class LabelConfig(DataConfig):
    """The labels that a detector trains and validates on."""

    TITLE: ClassVar[str] = "Labels"
    train_manifest: Path = knob(
        Path("data/preprocessed/train_landmarks.coco.json"),
        "Training labels: COCO JSON, CSV, .npy, or a folder of pictures with .pts files.",
        resumable=True,
    )
    val_manifest: Path = knob(
        Path("data/preprocessed/val_landmarks.coco.json"), "Validation labels, in the same formats.", resumable=True
    )
    category: str | None = knob(None, "Name of the annotations that are ears; separate several by commas.")
    labels: int | None = knob(None, "Train on a random subset of this many labeled pictures.", at_least(1))
    backgrounds: Path | None = knob(None, "Folder of pictures without an ear: negatives that train the confidence.")
    view: Literal["crop", "picture"] = knob(
        "crop", "Input of the detector: a crop around the labeled box, or the whole picture."
    )
    margin: float = knob(0.1, "Margin of a crop around the box on each side, as a fraction of the box.", at_least(0))
    augment: Literal["none", "light", "strong"] = knob("strong", "Strength of data augmentation.")


@dataclass(frozen=True)
class DetectorObjectiveConfig:
    """The weights of the terms of the detection objective."""

    TITLE: ClassVar[str] = "Objective"
    landmark_weight: float = knob(10.0, "Weight of the landmark distance.", at_least(0))
    box_weight: float = knob(0.2, "Weight of the box term, GIoU plus L1.", at_least(0))
    confidence_weight: float = knob(
        0.05, "Weight of the cross entropies of ear presence and landmark visibility.", at_least(0)
    )


@dataclass(frozen=True)
class DetectorOptimConfig(OptimConfig):
    """Optimizer, learning rate schedule and length of a detector's run."""

    epochs: int = knob(40, "Epochs to train.", at_least(1), resumable=True)
    epoch_steps: int = knob(25, "Batches per epoch, independent of the number of labels.", at_least(1))
    batch_size: int = knob(16, BATCH_HELP, at_least(0), words={"auto": AUTO})
    lr: float = knob(3e-3, "Peak learning rate of AdamW.", above(0))
    trunk_lr_scale: float = knob(0.3, "Learning rate of pretrained weights, as a fraction of `lr`.", above(0))
    ema_decay: float = knob(0.0, EMA_HELP, below_one)


@dataclass(frozen=True)
class DetectorRunConfig(RunConfig):
    """The folder of a detector's run, its seed, precision and devices."""

    run_name: str = knob("ear_detector", "Name of the run: RUN_DIR/RUN_NAME/version_N.", plain_name)


@dataclass(frozen=True)
class FinetuneConfig(
    DetectorRunConfig, LabelConfig, DetectorOptimConfig, DetectorObjectiveConfig, DetectorConfig, AnyRunConfig
):
    """All knobs of `earcli.finetune`."""

    GROUPS = (DetectorConfig, DetectorObjectiveConfig, DetectorOptimConfig, LabelConfig, DetectorRunConfig)
    PRESETS = {"full": {}, "small": {"epochs": 20}, "tiny": {"epochs": 4, "epoch_steps": 10}}  # noqa: RUF012

    def settled(self, teacher: TrainConfig | None, names: Sequence[str]) -> "FinetuneConfig":
        """This configuration with every knob of the architecture set.

        Args:
            teacher: The teacher to start from; None uses the defaults of a teacher for what is not set.
            names: Names of the landmarks in the labels.

        Raises:
            ConfigError: A knob contradicts the teacher.
        """
        if self.freeze_encoder and self.init != "teacher":
            raise ConfigError(f"`freeze_encoder` needs a teacher, and `init` is {self.init}.")
        defaults = teacher or TrainConfig()
        architecture = {
            "teacher_size": defaults.image_size,
            "latent_dim": defaults.latent_dim,
            "encoder": defaults.encoder,
            "encoder_size": defaults.encoder_size,
            "input_stats": defaults.input_stats,
        }
        for name, value in architecture.items():
            chosen = getattr(self, name)
            if chosen is not None and chosen != value:
                if teacher is not None:
                    raise ConfigError(f"`{name}` is {chosen}, but the teacher's is {value}. Omit it.")
                architecture[name] = chosen
        size = self.image_size or architecture["teacher_size"]
        chosen_names = (
            self.landmark_names.split(",") if self.landmark_names else [name.replace(",", " ") for name in names]
        )
        if len(chosen_names) != len(names):
            raise ConfigError(
                f"`landmark_names` has {len(chosen_names)} names, but the labels have {len(names)} points."
            )
        mirrors = self.init == "teacher" and teacher is not None and teacher.mirrors_right
        if self.mirror_right and not mirrors:
            raise ConfigError("`mirror_right` needs a teacher that mirrors right ears.")
        mirror_right = mirrors and self.view == "crop" if self.mirror_right is None else self.mirror_right
        points = {"landmarks": len(names), "landmark_names": ",".join(chosen_names)}
        return replace(self, **architecture, **points, image_size=size, mirror_right=mirror_right)  # type: ignore[arg-type]

    @property
    def initial_trunk(self) -> tuple[str, str]:
        assert self.encoder is not None
        return self.encoder, self.weights if self.init == "imagenet" else "none"

    @property
    def is_settled(self) -> bool:
        """Whether every knob of the architecture is set, as in a checkpoint."""
        encoder = (self.encoder, self.encoder_size, self.input_stats)
        return None not in (self.landmarks, self.image_size, self.teacher_size, self.latent_dim, *encoder)

    @property
    def point_names(self) -> tuple[str, ...]:
        """The names of the landmarks of a settled configuration."""
        return tuple(self.landmark_names.split(",")) if self.landmark_names else ()

    @property
    def teacher_config(self) -> TrainConfig:
        """The architecture of encoder and decoder, of a settled configuration."""
        assert self.latent_dim is not None
        assert self.teacher_size is not None
        assert self.encoder is not None
        assert self.encoder_size is not None
        assert self.input_stats is not None
        return TrainConfig(
            latent_dim=self.latent_dim,
            image_size=self.teacher_size,
            encoder=self.encoder,
            encoder_size=self.encoder_size,
            input_stats=self.input_stats,
            skeleton_dim=0,  # detectors use the networks alone
            side="estimate" if self.mirror_right else "mixed",
        )

    @property
    def side(self) -> int:
        """The side of the input in pixels, of a settled configuration."""
        assert self.image_size is not None
        return self.image_size

    @property
    def num_landmarks(self) -> int:
        """The number of landmarks of a settled configuration."""
        assert self.landmarks is not None
        return self.landmarks

    @property
    def view_margin(self) -> float | None:
        """The margin around the box as a fraction of its sides; None if the input is the whole picture."""
        return self.margin if self.view == "crop" else None
