"""Tests of `earcli/training/callbacks.py`."""

import signal
from dataclasses import replace

import pytest
from fitting import Recorder, fit, interrupt_at, table

from earcli.config.teacher import TrainConfig
from earcli.errors import InterruptedTraining
from earcli.training.callbacks import STOP_SIGNALS


def test_a_run_leaves_everything_that_the_run_folder_promises(config: TrainConfig) -> None:
    recorder = Recorder()
    run, _ = fit(replace(config, ema_decay=0.9), recorder)
    names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert {"metrics.csv", "hparams.yaml", "checkpoints/last.ckpt", "reconstructions/epoch_001.png"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert len(run.best()) == 2
    assert not [name for name in names if name.endswith(".tmp")]
    stages = [f"{s}/{t}" for s in ("train", "val") for t in ("l1", "ssim_loss", "edge", "contrastive", "center", "kl")]
    stages += ["train/deep", "val/deep", "val/psnr_deep", "val/psnr_skeleton"]
    shown = ["train/loss", "val/loss", "train/psnr", "val/psnr", "val/psnr_pooled", "val/ssim", "val/kl_nats",
             "val/active_units", "kl_weight", "lr", "images_per_second", "data_wait"]  # fmt: skip
    assert set(recorder.records[-1]) == {"epoch", "step", *stages, *shown}
    assert [row["epoch"] for row in table(run)] == ["0", "1"]
    record = recorder.records[-1]
    parts = {name: record[f"val/{name}"] for name in ("l1", "ssim_loss", "edge", "center", "kl")}
    expected = (
        record["val/deep"]
        + parts["l1"]
        + parts["ssim_loss"]
        + 0.5 * parts["edge"]
        + 3 * parts["center"]
        + 0.01 * parts["kl"]
    )
    assert record["val/loss"] == pytest.approx(expected, rel=1e-6)  # the final KL weight, no contrastive term
    assert record["val/ssim"] == pytest.approx(1 - parts["ssim_loss"], rel=1e-6)


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_stops_a_run_and_is_given_back(config: TrainConfig, number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    with pytest.raises(InterruptedTraining) as stopped:
        fit(config, interrupt_at(0, 1, number))
    assert stopped.value.signal_number == number
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


def test_a_signal_that_is_ignored_stays_so(config: TrainConfig) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        fit(replace(config, epochs=1), interrupt_at(0, 1, signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
