"""What `ear train` and `ear resume` share: load, train, say what came of it."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from earcli.analysis.baselines import mean_image_psnr
from earcli.checkpoints.opening import open_checkpoint
from earcli.checkpoints.resumable import check_resumable
from earcli.checkpoints.runs import RunFolder, check_place
from earcli.checkpoints.weights import checkpoint_config, kind_of, read_trunk, read_vgg
from earcli.config.detector import FinetuneConfig
from earcli.config.fields import flag
from earcli.config.teacher import AnyRunConfig, TrainConfig
from earcli.data.manifest import read_manifest
from earcli.errors import CheckpointError, ConfigError
from earcli.reporting.console import ProgressBar, TrainingReport
from earcli.startup import first_process, lap
from earcli.tasks.finetune import finetune
from earcli.tasks.sources import crops_of
from earcli.tasks.stops import resume_command, stops_told
from earcli.training.batch_size import check_batch_size
from earcli.training.execution import check_switches
from earcli.training.precision import choose_precision

if TYPE_CHECKING:
    from earcli.training.teacher import TeacherModule


def take_up(wanted: str, knobs: Mapping[str, Any]) -> None:
    """Goes on with a run that was stopped; `knobs` are those given on the command line.

    Raises:
        ConfigError: a knob that cannot change in the middle of a run, or nothing left to train.
        CheckpointError: no such checkpoint, or one without the optimizer's state.
    """
    path, checkpoint = open_checkpoint(wanted, knobs.get("run_dir", Path("runs")), None, complete=True)
    if not {"optimizer_states", "ear"} <= checkpoint.keys():
        raise CheckpointError(f"{path} holds weights only, for use, not to go on from. Give the run's last.ckpt.")
    run = RunFolder.of(path)
    detector = kind_of(checkpoint["hyper_parameters"]) == "detector"
    kind: type[AnyRunConfig] = FinetuneConfig if detector else TrainConfig
    resumable = {f.name for f in fields(kind) if f.metadata["resumable"]}
    refused = [flag(name) for name in knobs if name not in resumable]
    if refused:
        raise ConfigError(f"{', '.join(refused)} cannot change when a run is resumed. Start a new run for that.")
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in knobs.items()}
    place = {"run_dir": str(run.path.parents[1]), "run_name": run.path.parent.name}
    checkpoint_config(checkpoint, path, kind)  # so that what is wrong from here on is a flag
    config = kind.from_dict({**checkpoint["hyper_parameters"], **plain, **place}, str(path))
    check_resumable(checkpoint, path, config)
    done = checkpoint["ear"]["epochs_done"]
    if done >= config.epochs:
        raise ConfigError(f"{path} has all of its {done} epochs. Give --epochs more than {done} to go on.")
    del checkpoint  # a memory map would keep the file on the disk when it is replaced
    if isinstance(config, FinetuneConfig):
        finetune(config, (run, path))
    elif isinstance(config, TrainConfig):
        train(config, (run, path))


def train(config: TrainConfig, resume: tuple[RunFolder, Path] | None = None) -> None:
    """Loads what training needs, trains, and says where everything is."""
    lap("imports")
    config = choose_precision(config)
    check_switches(config)
    check_batch_size(config)
    check_place(config.run_dir, config.run_name)
    # weights come before pictures, and both before Lightning, which takes seconds to import
    trunk = None if resume else read_trunk(config.resnet_version, config.weights)
    vgg = read_vgg(config.perceptual_weights) if config.perceptual_weight else None
    lap("weights")
    console = Console(quiet=not first_process())
    with ProgressBar(console) as progress:
        report = TrainingReport(console, progress)
        train_set = read_manifest(config.train_manifest, config.root_dir).limit(config.limit_train, config.seed)
        val_set = read_manifest(config.val_manifest, config.root_dir).limit(config.limit_val, config.seed)
        lap("manifests")
        train_crops, val_crops = (
            crops_of(
                manifest,
                config.image_size,
                None if config.no_cache else config.run_dir,
                config.num_workers,
                report,
                config.verify_cache,
            )
            for manifest in (train_set, val_set)
        )
        lap("pictures")
        from earcli.training.loop import Pretrained, train_teacher

        lap("Lightning")
        report.note(f"{len(train_crops)} ears to learn from, {len(val_crops)} to validate on; {config.precision}")
        if vgg is None:
            report.note("the perceptual term is off")
        with stops_told(report):
            run, module = train_teacher(config, train_crops, val_crops, Pretrained(trunk, vgg), report, resume)
    if console.quiet:
        return
    for line in summary(config, run, module, mean_image_psnr(train_crops.pixels, val_crops.pixels)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def summary(config: TrainConfig, run: RunFolder, module: "TeacherModule", baseline: float) -> list[str]:
    """What came of a run that trained to its end."""
    best = run.best()[0]
    lines = [
        f"validation PSNR {module.record['val/psnr']:.2f} dB, SSIM {module.record['val/ssim']:.3f}; "
        f"the mean training image alone gives {baseline:.2f} dB",
        f"best epoch {best.epoch}, validation loss {best.val_loss:.4f}: {best.path}",
        f"run folder {run.path}: metrics.csv, reconstructions/, checkpoints/",
        f"train on: {resume_command(run.last, '--epochs', str(config.epochs * 2))}",
        f"curves: tensorboard --logdir {shlex.quote(str(run.path))}",
    ]
    if module.anneal_start is None and config.kl_weight:
        lines.append(
            f"KL annealing never began: validation PSNR stayed under {config.kl_anneal_threshold_psnr:g} dB, so the "
            "latent space was never drawn towards N(0, I) and samples will be poor. Train longer, or lower "
            "--kl-anneal-threshold-psnr."
        )
    return lines
