"""Tests of `earcli/cli/run_summary.py`."""

from pathlib import Path

import pytest
from rich.console import Console

from earcli.cli.run_summary import show_run, summary
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AnyRunConfig, TrainConfig
from earcli.tasks.train import TrainResult

RUN = Path("my runs/v/version_0")
TEACHER_METRICS = {"val/psnr": 21.456, "val/ssim": 0.7123, "baseline_psnr": 15.0}
DETECTOR_METRICS = {"val/nme": 0.05123, "val/iou": 0.8, "val/ap": 0.75}


def result(config: AnyRunConfig, metrics: dict[str, float], best: str) -> TrainResult:
    folder = RUN / "checkpoints"
    return TrainResult(RUN, folder / best, folder / "last.ckpt", metrics, config)


def test_a_teacher_is_summed_up_with_what_to_do_next() -> None:
    lines = summary(result(TrainConfig(epochs=7), TEACHER_METRICS, "v-epoch=012-val_loss=0.4321.ckpt"))
    assert lines == [
        "validation PSNR 21.46 dB, SSIM 0.712; the mean training image alone gives 15.00 dB",
        "best epoch 12, validation loss 0.4321: my runs/v/version_0/checkpoints/v-epoch=012-val_loss=0.4321.ckpt",
        "run folder my runs/v/version_0: metrics.csv, reconstructions/, checkpoints/",
        "train longer: ear resume 'my runs/v/version_0/checkpoints/last.ckpt' --epochs 14",
        "curves: tensorboard --logdir 'my runs/v/version_0'",
    ]


def test_a_detector_is_summed_up_with_its_own_figures_and_use() -> None:
    lines = summary(result(FinetuneConfig(epochs=4), DETECTOR_METRICS, "v-epoch=003-val_loss=1.0000.ckpt"))
    assert lines[0] == "validation NME 5.12% of the box diagonal, IoU 0.800, AP 0.750"
    assert lines[2] == "run folder my runs/v/version_0: metrics.csv, predictions/, checkpoints/"
    assert lines[3].endswith("--epochs 8")
    best = "my runs/v/version_0/checkpoints/v-epoch=003-val_loss=1.0000.ckpt"
    assert lines[4] == f"use it: ear predict PICTURES --checkpoint '{best}'"


def test_a_detector_of_boxes_has_no_landmark_error() -> None:
    metrics = {name: value for name, value in DETECTOR_METRICS.items() if name != "val/nme"}
    lines = summary(result(FinetuneConfig(), metrics, "last.ckpt"))
    assert lines[:2] == ["validation IoU 0.800, AP 0.750", "my runs/v/version_0/checkpoints/last.ckpt"]


def test_a_configuration_is_printed_as_yaml_that_can_be_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(lr=1e-5, limit_val=3, precision="32")
    show_run(Console(), config)
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    assert TrainConfig.resolve("full", tmp_path / "config.yaml", {}) == config
    show_run(Console(), result(config, TEACHER_METRICS, "last.ckpt"))
    assert capsys.readouterr().out.splitlines()[2].startswith("run folder my runs/v/version_0: ")
