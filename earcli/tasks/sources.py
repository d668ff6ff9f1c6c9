"""What commands read: the pictures of a manifest, and the teacher behind --checkpoint."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from earcli.checkpoints.runs import RunFolder
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Crops, Skipped, load_crops
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.uncached import decode_crops
from earcli.errors import CheckpointError, ManifestError
from earcli.reporting.console import Report

if TYPE_CHECKING:
    from earcli.losses.perceptual import PerceptualLoss
    from earcli.models.detector import EarDetector
    from earcli.models.vae import EarVAE

SHOWN_SKIPPED = 3


def crops_of(
    manifest: Manifest, size: int, run_dir: Path | None, workers: int, report: Report, verify: bool = False
) -> Crops:
    """The crops of a manifest, through the pixel cache under `run_dir`, or for None without one.

    Says which pictures were left out.

    Raises:
        DataError: more than 5% of the pictures cannot be used.
        RunError: the cache cannot be written.
    """
    if run_dir is None:
        crops = decode_crops(manifest, size, workers, report.progress)
    else:
        crops = load_crops(manifest, size, run_dir / ".cache", workers, report.progress, verify=verify)
    note_skipped(crops.skipped, report, f"of {len(manifest)} pictures in all; skipped.csv lists them")
    return crops


def note_skipped(skipped: Sequence[Skipped], report: Report, rest: str) -> None:
    """Says which pictures or labels were left out and why: the first few, and behind the number of all, `rest`."""
    for item in skipped[:SHOWN_SKIPPED]:
        report.note(f"skipped {item.path}: {item.reason}")
    if len(skipped) > SHOWN_SKIPPED:
        report.note(f"skipped {len(skipped)} {rest}")


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds; `path` is the file."""

    path: Path

    def results(self, output: Path | None, name: str) -> Path:
        """Where results go: `output`, or the folder `name` of the checkpoint's run.

        Raises:
            CheckpointError: no `output`, and the checkpoint lies in no run folder.
        """
        if output is not None:
            return output
        try:
            return RunFolder.of(self.path).path / name
        except CheckpointError as error:
            raise CheckpointError(f"{error} Give --output, a folder for the results.") from error

    def cache(self, run_dir: Path) -> Path:
        """The folder of runs whose pixel cache is used: that of the checkpoint where it can be written."""
        try:
            home = RunFolder.of(self.path).path.parents[1]
        except CheckpointError:
            home = run_dir
        return home if os.access(home, os.W_OK) else run_dir


@dataclass(frozen=True)
class Teacher(Trained):
    """A trained teacher: the model in eval mode, its run's configuration."""

    model: "EarVAE"
    config: TrainConfig

    def train_set(self, given: Path | None, root_dir: Path | None, option: str = "--train-manifest") -> Manifest:
        """The pictures of a given manifest, or those that the run learned from; `option` is how a command names it."""
        return self._set(given, root_dir, self.config.train_manifest, self.config.limit_train, option)

    def val_set(self, given: Path | None, root_dir: Path | None) -> Manifest:
        """The pictures of a given manifest, or those that the run was validated on."""
        return self._set(given, root_dir, self.config.val_manifest, self.config.limit_val, "--manifest")

    def crops(self, manifest: Manifest, run_dir: Path, workers: int, report: Report) -> Crops:
        """Crops at the model's size, through the cache that training used, if any, where that can be written."""
        cache = None if self.config.no_cache else self.cache(run_dir)
        return crops_of(manifest, self.config.image_size, cache, workers, report)

    def _set(self, given: Path | None, root_dir: Path | None, own: Path, limit: int | None, option: str) -> Manifest:
        if given is not None:
            return read_manifest(given, root_dir)
        if not own.is_file():
            raise ManifestError(
                f"{own}, which the run of {self.path} names, is not there. "
                f"Give {option}, and --root-dir where the pictures have moved."
            )
        return read_manifest(own, root_dir or self.config.root_dir).limit(limit, self.config.seed)


@dataclass(frozen=True)
class Detector(Trained):
    """A trained detector: the model in eval mode, its run's configuration."""

    model: "EarDetector"
    config: FinetuneConfig


def perceptual_distance(wanted: str | None, teacher: Teacher, report: Report) -> "PerceptualLoss | None":
    """VGG16 distances from the weights that a flag or the run names; without a flag, nothing is downloaded.

    Raises:
        WeightsError: a flag names weights that are not there.
    """
    from earcli.checkpoints.weights import read_vgg, vgg_at_hand
    from earcli.losses.perceptual import PerceptualLoss

    state = vgg_at_hand(teacher.config.perceptual_weights) if wanted is None else read_vgg(wanted)
    if state is None:
        if wanted is None:
            report.note("no VGG distance: its weights are not at hand (--perceptual-weights imagenet fetches them)")
        return None
    return PerceptualLoss(state).to(next(teacher.model.parameters()).device)


def load_teacher(checkpoint: str, run_dir: Path, device: str = "auto") -> Teacher:
    """The teacher that --checkpoint means, on a device.

    Raises:
        CheckpointError: there is none, or it cannot be used.
        ConfigError: the device is not there.
    """
    from earcli.analysis.encoding import choose_device
    from earcli.checkpoints.opening import open_checkpoint
    from earcli.checkpoints.weights import checkpoint_config
    from earcli.models.vae import EarVAE

    target = choose_device(device)
    path, content = open_checkpoint(checkpoint, run_dir)
    config = checkpoint_config(content, path, TrainConfig)
    return Teacher(path, EarVAE.load_from_checkpoint(path).to(target), config)


def load_detector(checkpoint: str, run_dir: Path, device: str = "auto") -> Detector:
    """The detector that --checkpoint means, on a device.

    Raises:
        CheckpointError: there is none, or it cannot be used.
        ConfigError: the device is not there.
    """
    from earcli.analysis.encoding import choose_device
    from earcli.checkpoints.opening import open_checkpoint
    from earcli.checkpoints.weights import checkpoint_config
    from earcli.models.detector import EarDetector

    target = choose_device(device)
    path, content = open_checkpoint(checkpoint, run_dir, "detector")
    config = checkpoint_config(content, path, FinetuneConfig)
    return Detector(path, EarDetector.load_from_checkpoint(path).to(target), config)
