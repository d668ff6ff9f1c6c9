"""Every knob of `ear train`, once: its default, its help, its check, and the presets.

The flags, `hparams.yaml`, the hyper-parameters in a checkpoint and the table in the docs all come from here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from earcli.config.fields import Knobs, above, at_least, below_one, between, image_side, knob, plain_name

AUTO = 0
"""The batch size that is yet to be found."""
BATCH_HELP = "Pictures in a batch, per device; auto (or 0) finds the most that fit, on CUDA."


@dataclass(frozen=True)
class ModelConfig:
    """Model"""

    image_size: int = knob(128, "Side of the square input in pixels, a multiple of 32.", image_side)
    latent_dim: int = knob(1024, "Dimensions of the latent space.", between(1, 65536))
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
    center_weight: float = knob(3.0, "Weight of the L1 that counts the center most.", at_least(0))
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
    """Optimization"""

    epochs: int = knob(60, "Epochs to train.", at_least(1), resumable=True)
    batch_size: int = knob(8, BATCH_HELP, at_least(0), words={"auto": AUTO})
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
    num_workers: int = knob(4, "Threads that decode pictures into the pixel cache.", at_least(1), resumable=True)
    verify_cache: bool = knob(
        False,
        "Verify every byte of the pixel cache at the start, instead of its size and modification time.",
        resumable=True,
    )


@dataclass(frozen=True)
class TeacherDataConfig(DataConfig):
    """Data"""

    limit_train: int | None = knob(None, "Train on so many pictures only, drawn by --seed.", at_least(1))
    limit_val: int | None = knob(None, "Validate on so many pictures only, drawn by --seed.", at_least(1))
    no_cache: bool = knob(
        False,
        "Write no pixel cache: every picture is decoded at the start and again in every epoch, each time half a "
        "millisecond of one core for a small crop, a tenth of a second for a photograph of 12 megapixels.",
        resumable=True,
    )


@dataclass(frozen=True)
class RunConfig:
    """Run"""

    run_dir: Path = knob(Path("runs"), "Folder of all runs.", resumable=True)
    run_name: str = knob("ear_vae", "Name of the run: RUN_DIR/RUN_NAME/version_N.", plain_name)
    seed: int = knob(0, "Seed of order, augmentation, noise and initial weights.", between(0, 2**31 - 1))
    precision: Literal["auto", "32", "16-mixed", "bf16-mixed"] = knob(
        "auto", "auto is 16-mixed on CUDA, bf16-mixed on a CPU that has it, else 32.", resumable=True
    )
    devices: str = knob("auto", "Devices per machine: a number, auto, or a list such as 0,1.", resumable=True)
    num_nodes: int = knob(1, "Machines.", at_least(1), resumable=True)
    strategy: str = knob(
        "auto", "How several processes train together: ddp; auto is ddp where there are several.", resumable=True
    )


@dataclass(frozen=True)
class TeacherRunConfig(RunConfig):
    """Run"""

    low_memory: bool = knob(
        False,
        "Compute the blocks of encoder and decoder a second time in the backward pass instead of keeping what is "
        "inside them: same result, less memory, slower.",
        resumable=True,
    )
    compile: bool = knob(
        False,
        "Let torch.compile translate encoder and decoder, with CUDA graphs on a GPU; takes minutes before the first "
        "step and did not pay on a CPU. Not with --low-memory.",
        resumable=True,
    )


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


@dataclass(frozen=True)
class AnyRunConfig(Knobs, RunConfig, DataConfig, OptimConfig):
    """The knobs that every kind of run has."""


@dataclass(frozen=True)
class TrainConfig(AnyRunConfig, TeacherRunConfig, TeacherDataConfig, AnnealingConfig, ObjectiveConfig, ModelConfig):
    """All knobs of `ear train`."""

    GROUPS = (ModelConfig, ObjectiveConfig, AnnealingConfig, OptimConfig, TeacherDataConfig, TeacherRunConfig)
    PRESETS = PRESETS
