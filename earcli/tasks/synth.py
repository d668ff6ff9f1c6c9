"""Drawing labeled ears."""

from dataclasses import dataclass
from pathlib import Path

from earcli.config.fields import at_least, require
from earcli.reporting.reporter import SILENT, Reporter

LEAST_EARS = 5


@dataclass(frozen=True)
class SynthResult:
    """A set of drawn ears.

    Attributes:
        folder: Holds `images/`, and the manifests and landmarks of both parts.
        train_manifest, val_manifest: The pictures with their boxes, for `earcli.train`.
        train_landmarks, val_landmarks: COCO key points, for `earcli.finetune`.
        count: The number of ears.
    """

    folder: Path
    train_manifest: Path
    val_manifest: Path
    train_landmarks: Path
    val_landmarks: Path
    count: int


def synth(folder: str | Path, *, count: int = 400, seed: int = 0, reporter: Reporter = SILENT) -> SynthResult:
    """Draw ears with known anatomy, landmarks and light.

    Args:
        folder: Folder to create; new or empty.
        count: Ears to draw; a fifth of them are for validation.
        seed: Seed of everything that varies.
        reporter: Hears of progress.

    Raises:
        ConfigError: `count` is less than 5.
        RunError: The folder is not empty, or cannot be written.

    Example:
        >>> import tempfile, earcli
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ears = earcli.synth(folder + "/ears", count=5)
        ...     ears.train_manifest.name
        'train_teacher.npy'
    """
    require(at_least(LEAST_EARS), count=count)
    require(at_least(0), seed=seed)
    from earcli.synthetic.dataset import write_set

    folder = Path(folder)
    write_set(folder, count, seed, reporter.progress)
    return SynthResult(
        folder,
        folder / "train_teacher.npy",
        folder / "val_teacher.npy",
        folder / "train_landmarks.coco.json",
        folder / "val_landmarks.coco.json",
        count,
    )
