"""What an exported file says about itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from earcli import __version__
from earcli.config.detector import FinetuneConfig
from earcli.config.fields import image_side
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError

NUMBERS = ("image_size", "latent_dim")


@dataclass(frozen=True)
class Facts:
    """How to feed an exported file, and where it comes from. Plain text and numbers.

    Attributes:
        fingerprint: of the weights; see `earcli.checkpoints.weights.fingerprint`.
        run: NAME/version_N of the training run, as far as the checkpoint's place tells.
        points: the names of a detector's points, with commas between.
    """

    part: str
    precision: str
    image_size: int
    latent_dim: int
    resnet_version: str
    fingerprint: str
    run: str
    checkpoint: str
    points: str = ""
    ear_version: str = __version__
    value_range: str = "-1 to 1: pixel / 127.5 - 1"
    channel_order: str = "RGB, (batch, channel, row, column)"
    resize: str = "crop stretched to a square by Pillow's bilinear resize"

    @classmethod
    def of(
        cls, config: TrainConfig | FinetuneConfig, checkpoint: Path, fingerprint: str, part: str, precision: str
    ) -> Self:
        if isinstance(config, FinetuneConfig):
            teacher, size, points = config.teacher_config, config.side, ",".join(config.point_names)
        else:
            teacher, size, points = config, config.image_size, ""
        place = checkpoint.absolute().parent
        run = "/".join(place.parts[-3:-1]) if place.name == "checkpoints" else ""
        return cls(
            part,
            precision,
            size,
            teacher.latent_dim,
            teacher.resnet_version,
            fingerprint,
            run,
            checkpoint.name,
            points,
        )

    def to_text(self) -> dict[str, str]:
        return {key: str(value) for key, value in asdict(self).items()}

    @classmethod
    def from_text(cls, values: Mapping[str, Any], source: Path) -> Self:
        """Reads what `to_text` wrote; what it does not know it leaves out.

        Raises:
            CheckpointError: something is missing, or an image size that no teacher has.
        """
        known: dict[str, Any] = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        try:
            known.update({key: int(known[key]) for key in NUMBERS})
            facts = cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{source} was not exported by ear: it lacks what ear export notes.") from error
        if image_side(facts.image_size) is not None or facts.latent_dim < 1:
            raise CheckpointError(f"{source} claims images of {facts.image_size} pixels, which no teacher has.")
        return facts
