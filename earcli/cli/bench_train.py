"""`ear bench train`: the training step against what the machine can do."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earcli.cli.options import with_knobs
from earcli.config.teacher import AUTO, TrainConfig
from earcli.errors import ConfigError

if TYPE_CHECKING:
    from earcli.data.cache import Crops, Progress

DRAWN_EARS = 64


@with_knobs(TrainConfig)
def train(
    ctx: typer.Context,
    preset: Annotated[str, typer.Option("--preset", help="Where defaults come from: full, small, tiny.")] = "full",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps to time.")] = 10,
    against_naive: Annotated[
        bool, typer.Option("--against-naive", help="Measure the straightforward fp32 step beside it.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for train.json and train.md; by default none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    *,
    knobs: dict[str, Any],
) -> None:
    """Measure the training step: phases, loss terms, memory, GFLOP/s. Nothing is learned and no run is made.

    Without --train-manifest it works on ears that it draws, without --weights and --perceptual-weights on random
    weights: neither changes the speed.
    """
    import torch
    from rich.console import Console

    from earcli.benchmarks.training_step import bench_train
    from earcli.checkpoints.weights import read_trunk, read_vgg
    from earcli.files import atomic_write, check_writable
    from earcli.losses.perceptual import random_vgg
    from earcli.reporting.benchmarks import step_markdown, step_rows, title
    from earcli.reporting.console import ProgressBar
    from earcli.reporting.tables import show_rows
    from earcli.training.execution import check_switches
    from earcli.training.precision import choose_precision

    config = choose_precision(TrainConfig.resolve(preset, {"weights": "none"}, knobs))
    check_switches(config)
    if config.batch_size == AUTO:
        raise ConfigError("--batch-size auto is for ear train. Give a number, whose step is measured.")
    if output is not None:
        check_writable(output)
    trunk = read_trunk(config.resnet_version, config.weights)
    drawn = "perceptual_weights" not in knobs and config.perceptual_weights == "imagenet"
    vgg = random_vgg(torch.Generator().manual_seed(0)) if drawn else read_vgg(config.perceptual_weights)
    console = Console(stderr=as_json)
    with ProgressBar(console) as progress, TemporaryDirectory() as temporary:
        crops = _crops(config, "train_manifest" in knobs, Path(temporary), progress)
        result = {
            "torch": torch.__version__,
            "preset": preset,
            "precision": config.precision,
            "image_size": config.image_size,
            "vgg16": None if vgg is None else "random" if drawn else config.perceptual_weights,
            **bench_train(
                config, crops, trunk, vgg if config.perceptual_weight else None, steps, against_naive, progress
            ),
        }
    if output is not None:
        for name, text in (("train.json", json.dumps(result, indent=2)), ("train.md", step_markdown(result))):
            with atomic_write(output / name) as path:
                path.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    console.print(title(result), soft_wrap=True, highlight=False)
    for headings, rows in step_rows(result).items():
        show_rows(console, [headings, *rows])
        console.print()


def _crops(config: TrainConfig, given: bool, folder: Path, progress: "Progress") -> "Crops":
    """The crops of the manifest that was given, or drawn ears."""
    from earcli.data.cache import load_crops
    from earcli.data.manifest import read_manifest
    from earcli.data.uncached import decode_crops
    from earcli.synthetic.dataset import write_set

    if not given:
        # a fifth of them is for validation
        write_set(folder / "ears", max(DRAWN_EARS, 2 * config.batch_size), config.seed, progress)
    manifest = read_manifest(config.train_manifest if given else folder / "ears" / "train_teacher.npy", config.root_dir)
    manifest = manifest.limit(config.limit_train, config.seed)
    if config.no_cache:
        return decode_crops(manifest, config.image_size, config.num_workers, progress)
    cache = config.run_dir / ".cache" if given else folder / "cache"
    return load_crops(manifest, config.image_size, cache, config.num_workers, progress)
