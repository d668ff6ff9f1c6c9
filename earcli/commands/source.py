"""What commands read: the pictures of a manifest, and the teacher behind --checkpoint."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from earcli.config import TrainConfig
from earcli.data.cache import Crops, load_crops
from earcli.data.manifest import Manifest, read_manifest
from earcli.errors import ManifestError
from earcli.reporting.console import Report
from earcli.runs import RunFolder, find_checkpoint

if TYPE_CHECKING:
    from earcli.models.vae import EarVAE

SHOWN_SKIPPED = 3


def crops_of(manifest: Manifest, size: int, run_dir: Path, workers: int, report: Report) -> Crops:
    """The crops of a manifest, through the pixel cache under `run_dir`; says which pictures were left out.

    Raises:
        DataError: more than 5% of the pictures cannot be used.
        RunError: the cache cannot be written.
    """
    crops = load_crops(manifest, size, run_dir / ".cache", workers, report.progress)
    for item in crops.skipped[:SHOWN_SKIPPED]:
        report.note(f"skipped {item.path}: {item.reason}")
    if len(crops.skipped) > SHOWN_SKIPPED:
        report.note(f"skipped {len(crops.skipped)} of {len(manifest)} pictures in all; skipped.csv lists them")
    return crops


@dataclass(frozen=True)
class Teacher:
    """A trained teacher: the model in eval mode, its run's configuration, the checkpoint that it came from."""

    path: Path
    model: "EarVAE"
    config: TrainConfig

    def results(self, output: Path | None, name: str) -> Path:
        """Where results go: `output`, or the folder `name` of the checkpoint's run.

        Raises:
            CheckpointError: no `output`, and the checkpoint lies in no run folder.
        """
        return RunFolder.of(self.path).path / name if output is None else output

    def train_set(self, option: str = "--train-manifest") -> Manifest:
        """The pictures that the run learnt from; `option` is what the command calls them."""
        return self._own(self.config.train_manifest, self.config.limit_train, option)

    def val_set(self) -> Manifest:
        """The pictures that the run was validated on."""
        return self._own(self.config.val_manifest, self.config.limit_val, "--manifest")

    def _own(self, path: Path, limit: int | None, option: str) -> Manifest:
        if not path.is_file():
            raise ManifestError(
                f"{path}, which the run of {self.path} names, is not there (any more). "
                f"Give {option}, and --root-dir where the pictures have moved."
            )
        return read_manifest(path, self.config.root_dir).limit(limit, self.config.seed)


def load_teacher(checkpoint: str, run_dir: Path, root_dir: Path | None = None, device: str = "auto") -> Teacher:
    """The teacher that --checkpoint means, on a device.

    Args:
        root_dir: where its run's pictures are now; None where the run says.

    Raises:
        CheckpointError: there is none, or it cannot be used.
        ConfigError: the device is not there.
    """
    from earcli.analysis.embedding import choose_device
    from earcli.models.vae import EarVAE
    from earcli.models.weights import checkpoint_config, read_checkpoint

    target = choose_device(device)
    path = find_checkpoint(checkpoint, run_dir)
    config = checkpoint_config(read_checkpoint(path), path)
    if root_dir is not None:
        config = replace(config, root_dir=root_dir)
    return Teacher(path, EarVAE.load_from_checkpoint(path).to(target), config)
