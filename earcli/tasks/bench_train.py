"""Measuring the training step."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from earcli.benchmarks.report import Benchmark, Table
from earcli.config.fields import at_least, require
from earcli.config.teacher import AUTO, TrainConfig
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter
from earcli.tasks.inputs import read_crops

if TYPE_CHECKING:
    from torch import Tensor

    from earcli.data.cache import Crops

SYNTHETIC_EARS = 64


def bench_train(
    *,
    preset: str = "full",
    steps: int = 10,
    against_naive: bool = False,
    output: str | Path | None = None,
    reporter: Reporter = SILENT,
    **knobs: Any,
) -> Benchmark:
    """Measure the training step: phases, loss terms, memory, GFLOP/s. Trains nothing and creates no run.
    Without `train_manifest` the images are synthetic ears; without `weights` and `perceptual_weights` the networks
    have random weights. Neither affects the speed.

    Args:
        preset: Source of the defaults: full, small, medium, tiny.
        steps: Steps to time.
        against_naive: Also measure a straightforward fp32 step for comparison.
        output: Folder for train.json and train.md; by default they are not written.
        reporter: Receives progress.
        **knobs: Knobs of `earcli.train` that differ from the preset.

    Returns:
        The figures of `earcli.benchmarks.training_step.measure_training_step`, and the configuration.

    Raises:
        ConfigError: A value is invalid, or this machine cannot run the configuration.
        WeightsError: Pretrained weights cannot be read.
        DataError: The images do not fill one batch.

    Example:
        >>> earcli.bench_train(preset="small", batch_size=16)["images_per_second"]  # doctest: +SKIP
        120.5
    """
    require(at_least(1), steps=steps)
    from earcli.benchmarks.training_step import measure_training_step
    from earcli.checkpoints.pretrained import read_trunk
    from earcli.files import check_writable
    from earcli.training.execution import check_switches
    from earcli.training.precision import choose_precision

    config = choose_precision(TrainConfig.resolve(preset, {"weights": "none"}, knobs))
    check_switches(config)
    if config.batch_size == AUTO:
        raise ConfigError("`batch_size` must be a number, got auto.")
    folder = None if output is None else Path(output)
    if folder is not None:
        check_writable(folder)
    trunk = read_trunk(config)
    vgg, source = _read_vgg(config, "perceptual_weights" in knobs)
    figures = {"preset": preset, "precision": config.precision, "image_size": config.image_size, "vgg16": source}
    with TemporaryDirectory() as temporary:
        crops = _read_crops(config, "train_manifest" in knobs, Path(temporary), reporter)
        figures |= measure_training_step(config, crops, trunk, vgg, steps, against_naive, reporter.progress)
    result = Benchmark(_title(figures), figures, make_tables(figures), folder)
    result.write("train")
    return result


def _read_vgg(config: TrainConfig, given: bool) -> "tuple[dict[str, Tensor] | None, str | None]":
    """Weights of VGG16 and their source: random unless `perceptual_weights` was given."""
    from torch import Generator

    from earcli.checkpoints.pretrained import read_vgg
    from earcli.losses.perceptual import random_vgg

    source = config.perceptual_weights
    if not config.perceptual_weight or source == "none":
        return None, None
    if given or source != "imagenet":
        return read_vgg(source), source
    return random_vgg(Generator().manual_seed(0)), "random"


def _read_crops(config: TrainConfig, given: bool, folder: Path, reporter: Reporter) -> "Crops":
    """The crops of the configuration's training manifest if it was given, else of synthetic ears."""
    from earcli.data.manifest import read_manifest
    from earcli.synthetic.dataset import write_set

    path, runs = Path(config.train_manifest), Path(config.run_dir)
    if not given:
        # a fifth of the ears is for validation
        write_set(folder / "ears", max(SYNTHETIC_EARS, 2 * config.batch_size), config.seed, reporter.progress)
        path, runs = folder / "ears" / "train_teacher.npy", folder
    manifest = read_manifest(path, config.root_dir).limit(config.limit_train, config.seed)
    cache = None if config.no_cache else runs
    return read_crops(manifest, config.image_size, cache, config.num_workers, reporter, verify=config.verify_cache)


def _title(figures: dict[str, Any]) -> str:
    vgg = f"VGG16 {figures['vgg16']}" if figures["vgg16"] else "no VGG16"
    return (
        "preset {preset}, {image_size} px, batch {batch_size}, {precision}, {vgg}; {device}, {threads} threads, "
        "torch {torch}"
    ).format(vgg=vgg, **figures)


def make_tables(figures: dict[str, Any]) -> list[Table]:
    """The tables of what `bench_train` measured."""
    step = figures["step_ms"]
    phases = [(name, f"{ms:.1f}", f"{ms / step:.1%}") for name, ms in figures["phases_ms"].items()]
    tables = [
        Table(("phase", "ms", "share"), [*phases, ("step", f"{step:.1f}", "")]),
        Table(("term alone, forward and backward", "ms"), _rows(figures["terms_ms"], ".1f")),
        Table(("memory", "MiB"), _rows(figures["memory_mib"], ".0f")),
        Table(("speed", ""), _speed_rows(figures)),
    ]
    if "naive" not in figures:
        return tables
    loader = figures["loader"]
    pairs = [
        ("step, images/s", figures["images_per_second"], figures["naive"]["images_per_second"]),
        ("loader, images/s of one core", loader["images_per_second"], loader["naive_images_per_second"]),
    ]
    rows = [(name, f"{ours:.2f}", f"{naive:.2f}", f"{ours / naive:.2f}") for name, ours, naive in pairs]
    return [*tables, Table(("comparison", "ear", "straightforward", "ratio"), rows)]


def _speed_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    peaks = figures["peak_gflops"]
    peak = peaks.get("convolution 32" if figures["precision"] == "32" else "convolution bf16")
    return [
        ("images/s", f"{figures['images_per_second']:.2f}"),
        ("GFLOP per step", f"{figures['gflop_per_step']:.0f}"),
        ("GFLOP/s", f"{figures['gflops']:.0f}"),
        *_rows({f"GFLOP/s, {name} alone": value for name, value in peaks.items()}, ".0f"),
        *([("share of the convolution's GFLOP/s", f"{figures['gflops'] / peak:.0%}")] if peak else []),
        ("waiting for data", f"{figures['data_wait']:.1%}"),
        ("first step, s", f"{figures['first_step_s']:.1f}"),
        ("loader, images/s of one core", f"{figures['loader']['images_per_second']:.0f}"),
    ]


def _rows(values: dict[str, float], form: str) -> list[tuple[str, str]]:
    return [(name, format(value, form)) for name, value in values.items()]
