"""Every knob of `ear finetune`, once, as `earcli.config.teacher` has those of `ear train`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from earcli.config.fields import above, at_least, below_one, between, flag, image_side, knob, plain_name
from earcli.config.teacher import AUTO, BATCH_HELP, AnyRunConfig, DataConfig, OptimConfig, RunConfig, TrainConfig
from earcli.errors import ConfigError


@dataclass(frozen=True)
class DetectorConfig:
    """Detector"""

    checkpoint: str = knob("best", "Teacher to start from: a file, or last.ckpt or best of the newest run with one.")
    init: Literal["teacher", "imagenet", "none"] = knob(
        "teacher", "What the detector starts from: a teacher, a trunk of --weights, or nothing."
    )
    weights: str = knob("imagenet", "Weights of the trunk for --init imagenet: imagenet, or a file.")
    freeze_encoder: bool = knob(False, "Train the heads only, and keep what comes from the teacher as it is.")
    landmarks: int | None = knob(None, "Points of an ear. By default as many as most labels have.", between(0, 10_000))
    landmark_names: str | None = knob(None, "Their names, with commas between. By default those of the labels.")
    image_size: int | None = knob(None, "Side of the square input in pixels. By default the teacher's.", image_side)
    teacher_size: int | None = knob(
        None, "Image size that encoder and decoder are built for, without a teacher. By default 128.", image_side
    )
    latent_dim: int | None = knob(
        None, "Dimensions of the latent space, without a teacher. By default 1024.", between(1, 65536)
    )
    resnet_version: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] | None = knob(
        None, "Trunk, without a teacher. By default resnet50."
    )


@dataclass(frozen=True)
class LabelConfig(DataConfig):
    """Labels"""

    train_manifest: Path = knob(
        Path("data/preprocessed/train_landmarks.coco.json"),
        "Labels to learn from: COCO JSON, CSV, .npy, or a folder of pictures with .pts.",
        resumable=True,
    )
    val_manifest: Path = knob(
        Path("data/preprocessed/val_landmarks.coco.json"), "Labels to validate on, likewise.", resumable=True
    )
    labels: int | None = knob(None, "Learn from so many labeled pictures only, drawn by --seed.", at_least(1))
    backgrounds: Path | None = knob(None, "Folder of pictures without an ear, to learn confidence from.")
    view: Literal["crop", "picture"] = knob(
        "crop", "What the detector sees: the neighborhood of the labeled box, or the whole picture."
    )
    margin: float = knob(
        0.1, "What a crop shows around the box on each side, as a share of the box's side.", at_least(0)
    )
    augment: Literal["none", "light", "strong"] = knob("strong", "How much training pictures are varied.")


@dataclass(frozen=True)
class DetectorObjectiveConfig:
    """Objective"""

    landmark_weight: float = knob(10.0, "Weight of the distance of points.", at_least(0))
    box_weight: float = knob(0.2, "Weight of GIoU and L1 of the box.", at_least(0))
    confidence_weight: float = knob(
        0.05, "Weight of whether there is an ear, and whether points are visible.", at_least(0)
    )


@dataclass(frozen=True)
class DetectorOptimConfig(OptimConfig):
    """Optimization"""

    epochs: int = knob(40, "Epochs to train.", at_least(1), resumable=True)
    epoch_steps: int = knob(25, "Batches in an epoch, however many labels there are.", at_least(1))
    batch_size: int = knob(16, BATCH_HELP, at_least(0), words={"auto": AUTO})
    lr: float = knob(3e-3, "Peak learning rate of AdamW.", above(0))
    trunk_lr_scale: float = knob(0.3, "Learning rate of what was pretrained, as a share of --lr.", above(0))
    ema_decay: float = knob(
        0.0, "Decay of an average of the weights, used for validation and after; 0 keeps none.", below_one
    )


@dataclass(frozen=True)
class DetectorRunConfig(RunConfig):
    """Run"""

    run_name: str = knob("ear_detector", "Name of the run: RUN_DIR/RUN_NAME/version_N.", plain_name)


@dataclass(frozen=True)
class FinetuneConfig(
    DetectorRunConfig, LabelConfig, DetectorOptimConfig, DetectorObjectiveConfig, DetectorConfig, AnyRunConfig
):
    """All knobs of `ear finetune`."""

    GROUPS = (DetectorConfig, DetectorObjectiveConfig, DetectorOptimConfig, LabelConfig, DetectorRunConfig)
    PRESETS = {"full": {}, "small": {"epochs": 20}, "tiny": {"epochs": 4, "epoch_steps": 10}}  # noqa: RUF012

    def settled(self, teacher: TrainConfig | None, names: Sequence[str]) -> "FinetuneConfig":
        """With every knob of the architecture given.

        Args:
            teacher: whose architecture it is; None leaves what is not given at the defaults of a teacher.
            names: of the points, as the labels have them.

        Raises:
            ConfigError: a knob that contradicts the teacher.
        """
        if self.freeze_encoder and self.init != "teacher":
            raise ConfigError(f"--freeze-encoder keeps what a teacher knows, and --init {self.init} has none.")
        base = teacher or TrainConfig()
        wanted = {
            "teacher_size": base.image_size,
            "latent_dim": base.latent_dim,
            "resnet_version": base.resnet_version,
        }
        for name, value in wanted.items():
            given = getattr(self, name)
            if given is not None and given != value:
                if teacher is not None:
                    raise ConfigError(f"{flag(name)} {given} is not the teacher's, which is {value}. Leave it out.")
                wanted[name] = given
        size = self.image_size or wanted["teacher_size"]
        own = self.landmark_names.split(",") if self.landmark_names else [name.replace(",", " ") for name in names]
        if len(own) != len(names):
            raise ConfigError(f"--landmark-names has {len(own)} names, but the labels have {len(names)} points.")
        points = {"landmarks": len(names), "landmark_names": ",".join(own)}
        return replace(self, **wanted, **points, image_size=size)  # type: ignore[arg-type]

    @property
    def is_settled(self) -> bool:
        """Whether every knob of the architecture is given, as in a checkpoint."""
        known = (self.landmarks, self.image_size, self.teacher_size, self.latent_dim, self.resnet_version)
        return None not in known

    @property
    def point_names(self) -> tuple[str, ...]:
        """The names of the points, of a settled configuration."""
        return tuple(self.landmark_names.split(",")) if self.landmark_names else ()

    @property
    def architecture(self) -> tuple[int, int, str]:
        """What `EarVAE` is built from: latent_dim, image_size, resnet_version; of a settled configuration."""
        assert self.latent_dim is not None
        assert self.teacher_size is not None
        assert self.resnet_version is not None
        return self.latent_dim, self.teacher_size, self.resnet_version

    @property
    def shape(self) -> tuple[int, int]:
        """The side of the input in pixels, and the number of points; of a settled configuration."""
        assert self.image_size is not None
        assert self.landmarks is not None
        return self.image_size, self.landmarks

    @property
    def seen_margin(self) -> float | None:
        """The margin that a view has around the box; None shows the whole picture."""
        return self.margin if self.view == "crop" else None
