"""Tests of `earcli/training/checkpoint_io.py`."""

from pathlib import Path

from earcli.checkpoints.runs import RunFolder
from earcli.training.checkpoint_io import keep_best


def test_the_best_three_epochs_are_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for epoch, loss in enumerate([0.5, 0.3, 0.6, 0.4, 0.9, 0.2]):
        keep_best(run, {}, "ear_vae", epoch, loss)
    assert [item.path.name for item in run.best()] == [
        "ear_vae-epoch=005-val_loss=0.2000.ckpt",
        "ear_vae-epoch=001-val_loss=0.3000.ckpt",
        "ear_vae-epoch=003-val_loss=0.4000.ckpt",
    ]
    keep_best(run, {}, "ear_vae", 3, 0.8)  # resumed from before epoch 3
    assert [(item.epoch, item.val_loss) for item in run.best()] == [(1, 0.3), (3, 0.8)]
