"""The metadata in an exported file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from earcli import __version__
from earcli.config.detector import FinetuneConfig
from earcli.config.fields import image_side
from earcli.errors import CheckpointError

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint

INTEGERS = ("image_size", "latent_dim", "skeleton_dim", "encoder_size")


@dataclass(frozen=True)
class ExportMetadata:
    """The input format of an exported file and its provenance, as plain text and numbers.

    Attributes:
        part: encoder, decoder, vae, features or detector.
        precision: fp32, fp16 or int8.
        image_size: Side of the square images in pixels.
        latent_dim: Learned dimensions of the latent space.
        encoder: The trunk, such as resnet50; `resnet_version` in files of earlier versions.
        fingerprint: Of the weights; see `earcli.checkpoints.weights.fingerprint`.
        run: NAME/version_N of the training run; empty if the checkpoint lies in no run folder.
        checkpoint: The file name of the checkpoint.
        points: The names of a detector's landmarks, separated by commas.
        skeleton_dim: Components of the skeleton; a code has skeleton_dim + latent_dim dimensions.
        side: mixed if the model takes ears as they come; else it mirrors right ears, and its codes are those of left
            ears. The encoder's output `right` tells which it mirrored: those above 0.
        encoder_size: Side to which a timm model's images are resized inside the file; 0 is `image_size`.
        input_stats: encoder if the trunk's input is normalized inside the file, else none.
    """

    part: str
    precision: str
    image_size: int
    latent_dim: int
    encoder: str
    fingerprint: str
    run: str
    checkpoint: str
    points: str = ""
    skeleton_dim: int = 0
    side: str = "mixed"
    encoder_size: int = 0
    input_stats: str = "none"
    ear_version: str = __version__
    value_range: str = "-1 to 1: pixel / 127.5 - 1"
    channel_order: str = "RGB, (batch, channel, row, column)"
    resize: str = "crop stretched to a square by Pillow's bilinear resize"

    @classmethod
    def of(cls, checkpoint: "Checkpoint", part: str, precision: str) -> Self:
        """The metadata of a part of a checkpoint's model."""
        config, run = checkpoint.config, checkpoint.run
        if isinstance(config, FinetuneConfig):
            teacher, image_size, points = config.teacher_config, config.side, ",".join(config.point_names)
        else:
            teacher, image_size, points = config, config.image_size, ""
        return cls(
            part=part,
            precision=precision,
            image_size=image_size,
            latent_dim=teacher.latent_dim,
            encoder=teacher.encoder,
            fingerprint=checkpoint.fingerprint,
            run="/".join(run.path.parts[-2:]) if run else "",
            checkpoint=checkpoint.path.name,
            points=points,
            skeleton_dim=teacher.skeleton_dim,
            side=teacher.side,
            encoder_size=teacher.encoder_size,
            input_stats=teacher.input_stats,
        )

    def to_text(self) -> dict[str, str]:
        """Every field as text, as exported files store it."""
        return {key: str(value) for key, value in asdict(self).items()}

    @classmethod
    def from_text(cls, values: Mapping[str, Any], source: Path) -> Self:
        """Parses what `to_text` returned; unknown keys are ignored.

        Args:
            values: Text by key.
            source: The file, for error messages.

        Raises:
            CheckpointError: A key is missing, or a value is invalid.

        >>> texts = ExportMetadata("encoder", "fp32", 64, 8, "resnet18", "0f", "", "best.ckpt").to_text()
        >>> ExportMetadata.from_text(texts, Path("encoder.onnx")).image_size
        64
        """
        values = {"encoder": values.get("resnet_version"), **values} if "resnet_version" in values else values
        known: dict[str, Any] = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        try:
            known.update({key: int(known[key]) for key in INTEGERS if key in known})
            metadata = cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{source} was not exported by ear: its metadata is missing or incomplete."
            ) from error
        expected = image_side(metadata.image_size)
        if expected is not None:
            raise CheckpointError(f"{source} has an image size of {metadata.image_size}, expected {expected}.")
        if metadata.latent_dim < 1:
            raise CheckpointError(f"{source} has {metadata.latent_dim} latent dimensions, expected 1 or more.")
        return metadata
