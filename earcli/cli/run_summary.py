"""What the commands that train share: `--print-config` and the summary of a run."""

import shlex
from typing import Annotated

import typer
from rich.console import Console

from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AnyRunConfig
from earcli.reporting.console import print_line
from earcli.tasks.train import TrainResult

PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print the knobs as YAML and exit.")]


def show_run(console: Console, result: TrainResult | AnyRunConfig) -> None:
    """Prints the summary of a run, or a configuration as YAML."""
    if isinstance(result, AnyRunConfig):
        typer.echo(result.to_yaml(), nl=False)
        return
    for line in summary(result):
        print_line(line, console)


def summary(result: TrainResult) -> list[str]:
    """The lines on a run that trained to its end."""
    from earcli.checkpoints.runs import BestCheckpoint

    detector = isinstance(result.config, FinetuneConfig)
    best = BestCheckpoint.parse(result.best)
    pictures = "predictions" if detector else "reconstructions"
    resume = shlex.join(["ear", "resume", str(result.last), "--epochs", str(2 * result.config.epochs)])
    use = shlex.join(["ear", "predict", "PICTURES", "--checkpoint", str(result.best)])
    return [
        _detector_metrics(result.metrics) if detector else _teacher_metrics(result.metrics),
        f"best epoch {best.epoch}, validation loss {best.val_loss:.4f}: {best.path}" if best else f"{result.best}",
        f"run folder {result.run}: metrics.csv, {pictures}/, checkpoints/",
        f"train longer: {resume}",
        f"use it: {use}" if detector else f"curves: tensorboard --logdir {shlex.quote(str(result.run))}",
    ]


def _teacher_metrics(metrics: dict[str, float]) -> str:
    return (
        f"validation PSNR {metrics['val/psnr']:.2f} dB, SSIM {metrics['val/ssim']:.3f}; "
        f"the mean training image alone gives {metrics['baseline_psnr']:.2f} dB"
    )


def _detector_metrics(metrics: dict[str, float]) -> str:
    nme = f"NME {metrics['val/nme']:.2%} of the box diagonal, " if "val/nme" in metrics else ""
    return f"validation {nme}IoU {metrics['val/iou']:.3f}, AP {metrics['val/ap']:.3f}"
