"""The knobs of `earcli.train`, each declared once with its default, help and check.

Command-line options, `hparams.yaml` and the hyper-parameters in a checkpoint are derived from them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from earcli.config.fields import (
    Knobs,
    above,
    at_least,
    below_one,
    between,
    encoder_name,
    image_side,
    knob,
    plain_name,
)
from earcli.config.presets import PRESETS

AUTO = 0
"""The number that `auto` stands for: the largest batch that fits, or the size of the images."""
ENCODER_HELP = "Trunk of the encoder: resnet18 to resnet152 of torchvision, or timm:NAME, a model of timm."
ENCODER_SIZE_HELP = (
    "Side in pixels to which a timm model's images are resized, such as the 1024 of SAM; auto (or 0) is that of the "
    "images."
)
INPUT_STATS_HELP = (
    "Input of the trunk: encoder normalizes it as the trunk's pretrained weights expect, none leaves it in [-1, 1]."
)
WEIGHTS_HELP = (
    "pretrained (imagenet means the same), or a .pth or .safetensors file. Pretrained weights have licenses of their "
    "own (DINOv3's is Meta's), which the first lines of a run and its hparams.yaml name."
)
EMA_HELP = "Decay of a moving average of the weights, which is validated and saved for use; 0 disables it."
BATCH_HELP = "Pictures per batch and device; auto (or 0) finds the largest batch that fits, on CUDA."


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of the teacher."""

    TITLE: ClassVar[str] = "Model"
    image_size: int = knob(128, "Side of the square input in pixels, a multiple of 32.", image_side)
    latent_dim: int = knob(1024, "Learned dimensions of the latent space.", between(1, 65536))
    skeleton_dim: int = knob(
        1024,
        "Dimensions of the latent space that are fixed before training: principal components of the training pixels, "
        "which make reconstructions sharp. 0 has none.",
        between(0, 8192),
    )
    side: Literal["estimate", "left", "right", "mixed"] = knob(
        "estimate",
        "Side of the ears in the pictures: estimate, left or right. Right ears are mirrored, so that the networks see "
        "left ears only; estimate uses the labels of the manifest where it has them. mixed mirrors none and flips at "
        "random.",
    )
    encoder: str = knob("resnet50", ENCODER_HELP, encoder_name, former="resnet_version")
    encoder_size: int = knob(0, ENCODER_SIZE_HELP, at_least(0), words={"auto": AUTO})
    input_stats: Literal["encoder", "none"] = knob("encoder", INPUT_STATS_HELP)
    freeze_layers: int = knob(
        0,
        "Parts of the encoder's trunk to freeze: 0 none, k the stem and the first k quarters (of a ResNet, layers 1 to "
        "k).",
        between(0, 4),
    )
    weights: str = knob("pretrained", f"Initial weights of the trunk: none, or {WEIGHTS_HELP}")


@dataclass(frozen=True)
class ObjectiveConfig:
    """The weights of the terms of the objective."""

    TITLE: ClassVar[str] = "Objective"
    perceptual_weight: float = knob(1.0, "Weight of the VGG16 feature distance.", at_least(0))
    ssim_weight: float = knob(1.0, "Weight of 1 − SSIM.", at_least(0))
    edge_weight: float = knob(0.5, "Weight of the Sobel gradient difference.", at_least(0))
    contrastive_weight: float = knob(0.05, "Weight of the NT-Xent term.", at_least(0))
    center_weight: float = knob(3.0, "Weight of the center-weighted L1 distance.", at_least(0))
    perceptual_weights: str = knob(
        "imagenet", "Weights of VGG16: imagenet, a file, or none, which disables the perceptual term."
    )


@dataclass(frozen=True)
class AnnealingConfig:
    """The schedule of the weight of the KL term."""

    TITLE: ClassVar[str] = "KL annealing"
    kl_weight: float = knob(0.01, "Final weight of the KL term (per latent dimension).", at_least(0))
    kl_anneal_strategy: Literal["threshold", "epoch"] = knob(
        "threshold", "When the ramp starts: once the networks reach the PSNR threshold, or at step 0."
    )
    kl_anneal_threshold_psnr: float = knob(
        24.0, "Validation PSNR in dB of the networks alone, without the skeleton, at which the ramp starts.", above(0)
    )
    kl_anneal_epochs: int = knob(10, "Length of the ramp in epochs; 0 starts at the final weight.", at_least(0))


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer, learning rate schedule and length of a run."""

    TITLE: ClassVar[str] = "Optimization"
    epochs: int = knob(60, "Epochs to train.", at_least(1), resumable=True)
    batch_size: int = knob(8, BATCH_HELP, at_least(0), words={"auto": AUTO})
    accumulate: int = knob(1, "Batches whose gradients are accumulated for one optimizer step.", at_least(1))
    lr: float = knob(3e-4, "Peak learning rate of AdamW.", above(0))
    trunk_lr_scale: float = knob(0.1, "Learning rate of a pretrained trunk, as a fraction of `lr`.", above(0))
    layer_decay: float = knob(
        1.0,
        "Factor of the learning rate from a layer of a pretrained trunk to the one below it, such as 0.75 for a "
        "transformer; 1 disables it.",
        between(0.01, 1),
    )
    weight_decay: float = knob(0.01, "Weight decay, not applied to biases and normalization layers.", at_least(0))
    warmup_epochs: float = knob(1.0, "Epochs of linear warm-up before the cosine schedule.", at_least(0))
    grad_clip: float = knob(1.0, "Maximum gradient norm; 0 disables clipping.", at_least(0))
    ema_decay: float = knob(0.0, EMA_HELP, below_one)
    early_stopping: bool = knob(False, "Stop when validation loss has not improved for `patience` epochs.")
    patience: int = knob(10, "Epochs without improvement before early stopping.", at_least(1))


@dataclass(frozen=True)
class DataConfig:
    """The training and validation data of a run."""

    TITLE: ClassVar[str] = "Data"
    train_manifest: Path = knob(
        Path("data/preprocessed/train_teacher.npy"), "Manifest of the training pictures.", resumable=True
    )
    val_manifest: Path = knob(
        Path("data/preprocessed/val_teacher.npy"), "Manifest of the validation pictures.", resumable=True
    )
    root_dir: Path | None = knob(
        None, "Folder that relative paths are resolved against. By default the manifest's.", resumable=True
    )
    augment: Literal["none", "light", "strong"] = knob("light", "Strength of data augmentation.")
    num_workers: int = knob(4, "Threads that decode pictures into the pixel cache.", at_least(1), resumable=True)
    verify_cache: bool = knob(
        False,
        "Verify every byte of the pixel cache at the start, instead of its size and modification time.",
        resumable=True,
    )


@dataclass(frozen=True)
class TeacherDataConfig(DataConfig):
    """The training and validation data of a teacher."""

    limit_train: int | None = knob(None, "Train on a random subset of this many pictures.", at_least(1))
    limit_val: int | None = knob(None, "Validate on a random subset of this many pictures.", at_least(1))
    no_cache: bool = knob(
        False,
        "Disable the pixel cache: every picture is decoded at the start and in every epoch, which takes one core half "
        "a millisecond for a small crop and a tenth of a second for a 12-megapixel photograph.",
        resumable=True,
    )


@dataclass(frozen=True)
class RunConfig:
    """The folder of a run, its seed, precision and devices."""

    TITLE: ClassVar[str] = "Run"
    run_dir: Path = knob(Path("runs"), "Folder of all runs.", resumable=True)
    run_name: str = knob("ear_vae", "Name of the run: RUN_DIR/RUN_NAME/version_N.", plain_name)
    seed: int = knob(0, "Seed of the data order, augmentation, noise and initial weights.", between(0, 2**31 - 1))
    precision: Literal["auto", "32", "16-mixed", "bf16-mixed"] = knob(
        "auto",
        "Number format; auto is 16-mixed on CUDA, bf16-mixed on a CPU with bf16 instructions, else 32.",
        resumable=True,
    )
    devices: str = knob("auto", "Devices per machine: a number, auto, or a list such as 0,1.", resumable=True)
    num_nodes: int = knob(1, "Number of machines.", at_least(1), resumable=True)
    strategy: str = knob(
        "auto", "Distributed strategy: auto or ddp; auto is ddp if there are several processes.", resumable=True
    )


@dataclass(frozen=True)
class TeacherRunConfig(RunConfig):
    """The folder of a teacher's run, its seed, precision and devices, and how its step is executed."""

    low_memory: bool = knob(
        False,
        "Recompute the activations of encoder and decoder blocks in the backward pass: same result, less memory, "
        "slower.",
        resumable=True,
    )
    compile: bool = knob(
        False,
        "Compile encoder and decoder with torch.compile, with CUDA graphs on a GPU. This delays the first step by "
        "minutes and was not faster on a CPU. Cannot be combined with `low_memory`.",
        resumable=True,
    )


EARLIER_MODEL = {"skeleton_dim": 0, "side": "mixed", "input_stats": "none"}
"""The values of knobs that teachers of earlier versions did not have, where they differ from today's defaults."""


@dataclass(frozen=True)
class AnyRunConfig(Knobs, RunConfig, DataConfig, OptimConfig):
    """The knobs that every kind of run shares."""

    @property
    def initial_trunk(self) -> tuple[str, str]:
        """The encoder, and what its trunk starts from, as in `weights`; none as well where a teacher replaces it."""
        raise NotImplementedError


@dataclass(frozen=True)
class TrainConfig(AnyRunConfig, TeacherRunConfig, TeacherDataConfig, AnnealingConfig, ObjectiveConfig, ModelConfig):
    """All knobs of `earcli.train`.

    >>> TrainConfig(latent_dim=64).image_size
    128
    """

    GROUPS = (ModelConfig, ObjectiveConfig, AnnealingConfig, OptimConfig, TeacherDataConfig, TeacherRunConfig)
    PRESETS = PRESETS

    @property
    def initial_trunk(self) -> tuple[str, str]:
        return self.encoder, self.weights

    @property
    def mirrors_right(self) -> bool:
        """Whether right ears are mirrored."""
        return self.side != "mixed"
