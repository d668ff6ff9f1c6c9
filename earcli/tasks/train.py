"""Training a teacher."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earcli.config.signature import with_knobs
from earcli.config.teacher import AnyRunConfig, TrainConfig
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.analysis.laterality import Sides
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.checkpoints.runs import RunFolder
    from earcli.data.cache import Crops
    from earcli.models.laterality import Laterality
    from earcli.models.skeleton import SkeletonBasis

SIDES = {"left": 1, "right": -1}
"""The values of `side` that hold for every ear, as `Sides` has them."""


@dataclass(frozen=True)
class TrainResult:
    """A run that trained to its end.

    Attributes:
        run: The run folder.
        best: The checkpoint with the lowest validation loss: weights only.
        last: The checkpoint to resume from.
        metrics: The last epoch by log key, such as `val/psnr`; for a teacher also `baseline_psnr`, the PSNR in dB of
            the mean training image.
        config: The configuration that was trained.
        notes: What needs attention, such as a KL term that never became active.
    """

    run: Path
    best: Path
    last: Path
    metrics: dict[str, float]
    config: AnyRunConfig
    notes: tuple[str, ...] = ()


@with_knobs(TrainConfig)
def train(
    *,
    preset: str = "full",
    config: str | Path | Mapping[str, Any] | None = None,
    reporter: Reporter = SILENT,
    **knobs: Any,
) -> TrainResult:
    """Train a teacher on unlabeled ear crops.

    Args:
        preset: Default values: full, small or medium (an hour on a CPU), or tiny (a demo).
        config: YAML file of knobs. Knobs given directly override it, and it overrides the preset.
        reporter: Receives notes, progress, and the metrics of each epoch.
        knobs: Any knob of `TrainConfig`, such as `train_manifest`, `epochs`, `batch_size` or `run_dir`.

    Raises:
        ConfigError: An unknown knob, or a value that it cannot have on this machine.
        WeightsError: The pretrained weights are missing or do not fit.
        ManifestError: A manifest cannot be read.
        DataError: More than 5% of the pictures cannot be used.
        RunError: The run folder cannot be written.
        TrainingError: The loss is not finite, or memory ran out.
        InterruptedTraining: A signal stopped the run.

    Example:
        >>> import earcli
        >>> result = earcli.train(preset="small", train_manifest="ears/train_teacher.npy")  # doctest: +SKIP
        >>> result.metrics["val/psnr"], result.best  # doctest: +SKIP
    """
    return run_teacher(TrainConfig.resolve(preset, config, knobs), None, reporter)


def run_teacher(config: TrainConfig, checkpoint: "Checkpoint | None", reporter: Reporter) -> TrainResult:
    """Trains a teacher in a new run or, from a checkpoint, continues one; see `train` for the errors."""
    from earcli.checkpoints.pretrained import read_trunk, read_vgg
    from earcli.checkpoints.runs import check_run_folder
    from earcli.training.batch_size import check_batch_size
    from earcli.training.execution import check_switches
    from earcli.training.precision import choose_precision

    config = choose_precision(config)
    check_switches(config)
    check_batch_size(config)
    check_run_folder(config.run_dir, config.run_name)
    check_devices(config)
    # weights come before pictures, and both before Lightning, which takes seconds to import
    trunk = read_trunk(replace(config, weights="none") if checkpoint else config)
    vgg = read_vgg(config.perceptual_weights) if config.perceptual_weight else None
    train_crops, val_crops = _read_sets(config, reporter)
    from earcli.training.loop import Pretrained, train_teacher

    reporter.note(f"{len(train_crops)} training ears, {len(val_crops)} validation ears; precision {config.precision}")
    if vgg is None:
        reporter.note("the perceptual term is off")
    laterality = None
    if config.mirrors_right:
        laterality = checkpoint.teacher().laterality if checkpoint else _laterality(config, train_crops, reporter)
        assert laterality is not None
        train_crops, val_crops = (
            _mirror(laterality, crops, config, name, reporter)
            for crops, name in ((train_crops, "training"), (val_crops, "validation"))
        )
    skeleton = None if checkpoint else _skeleton(config, train_crops, reporter)
    pretrained = Pretrained(trunk, vgg, skeleton, laterality)
    run, module = train_teacher(config, train_crops, val_crops, pretrained, reporter, checkpoint)
    metrics = {**module.record, **_baseline(train_crops, val_crops)}
    notes = []
    if module.anneal_start is None and config.kl_weight:
        notes.append(
            "KL annealing never began: the validation PSNR of the networks alone stayed below "
            f"{config.kl_anneal_threshold_psnr:g} dB, so the posterior is far from N(0, I) and samples will be poor. "
            "Train longer, or lower `kl_anneal_threshold_psnr`."
        )
    return finish(run, config, metrics, notes, reporter)


def _laterality(config: TrainConfig, train: "Crops", reporter: Reporter) -> "Laterality":
    """The estimator of sides, fitted to the training crops."""
    from earcli.analysis.laterality import fit_laterality

    reporter.progress("telling left ears from right ones", 0, 1)
    return fit_laterality(train.pixels, _known_sides(config, train), config.seed)


def _known_sides(config: TrainConfig, crops: "Crops") -> "Sides":
    """The sides that `side` or the manifest states.

    Raises:
        ConfigError: They contradict each other.
    """
    import numpy as np

    labeled = crops.manifest.side_numbers()
    if config.side not in SIDES:
        return labeled
    wrong = int((labeled == -SIDES[config.side]).sum())
    if wrong:
        raise ConfigError(
            f"`side` is {config.side}, but {wrong} of {len(crops)} ears are labeled as the other side. "
            "Use estimate, which keeps the labels."
        )
    return np.full(len(crops), SIDES[config.side], np.int8)


def _mirror(laterality: "Laterality", crops: "Crops", config: TrainConfig, name: str, reporter: Reporter) -> "Crops":
    """The crops with right ears mirrored; reports how many they are."""
    from earcli.analysis.laterality import mirror_right_ears

    left = mirror_right_ears(laterality, crops, _known_sides(config, crops))
    reporter.note(left.describe(name))
    return left.crops


def _skeleton(config: TrainConfig, train: "Crops", reporter: Reporter) -> "SkeletonBasis | None":
    """The skeleton of the training crops, with notes on what it leaves out."""
    from earcli.analysis.skeleton import count_fitted, fit_skeleton

    if not config.skeleton_dim:
        return None
    flips = config.augment != "none" and not config.mirrors_right
    basis = fit_skeleton(train.pixels, config.skeleton_dim, flips=flips, seed=config.seed, progress=reporter.progress)
    fitted = count_fitted(train.pixels, flips=flips)
    if fitted < len(train):
        reporter.note(f"the skeleton was fitted on a random subset of {fitted} of {len(train)} training ears")
    count = len(basis.components)
    if count < config.skeleton_dim:
        reporter.note(
            f"the skeleton has {count} of {config.skeleton_dim} components: {len(train)} training ears have no more"
        )
    return basis


def check_devices(config: AnyRunConfig) -> None:
    """Checks that this machine has the devices of a configuration that asks for particular ones.

    Raises:
        ConfigError: It does not.
    """
    if (config.devices, config.num_nodes, config.strategy) == ("auto", 1, "auto"):
        return
    from earcli.training.trainer import make_trainer, quiet_lightning

    with quiet_lightning():
        make_trainer(config, [])


def finish(
    run: "RunFolder", config: AnyRunConfig, metrics: dict[str, float], notes: list[str], reporter: Reporter
) -> TrainResult:
    """The result of a run that trained to its end; reports `notes`."""
    for note in notes:
        reporter.note(note)
    best = run.best()  # other machines may not see the run folder of the first
    return TrainResult(run.path, best[0].path if best else run.last, run.last, metrics, config, tuple(notes))


def _read_sets(config: TrainConfig, reporter: Reporter) -> "tuple[Crops, Crops]":
    """The crops to train and to validate on; both manifests are read before any picture is decoded."""
    from earcli.data.manifest import read_manifest
    from earcli.tasks.inputs import read_crops, report_manifest

    train = read_manifest(config.train_manifest, config.root_dir)
    val = read_manifest(config.val_manifest, config.root_dir)
    report_manifest(train, config.train_manifest, reporter)
    report_manifest(val, config.val_manifest, reporter)
    train, val = train.limit(config.limit_train, config.seed), val.limit(config.limit_val, config.seed)
    cache = None if config.no_cache else config.run_dir
    train_crops, val_crops = (
        read_crops(manifest, config.image_size, cache, config.num_workers, reporter, verify=config.verify_cache)
        for manifest in (train, val)
    )
    return train_crops, val_crops


def _baseline(train: "Crops", val: "Crops") -> dict[str, float]:
    """The PSNR of the mean training image; nothing in the other processes of a distributed run."""
    from earcli.analysis.baselines import mean_image_psnr
    from earcli.reporting.console import is_main_process

    return {"baseline_psnr": mean_image_psnr(train.pixels, val.pixels)} if is_main_process() else {}
