"""Non-finite numbers: what stops a run, what it writes for a replay, and what it tolerates."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import Recorder, crops, fit, weights
from PIL import Image
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor

from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.data.manifest import read_manifest, write_manifest
from earcli.errors import TrainingError
from earcli.losses.objective import Losses, Objective
from earcli.models.encoder import EarEncoder
from earcli.training import trainer as trainer_module
from earcli.training.teacher import TeacherModule

Change = Callable[[TeacherModule, int, Tensor], Tensor]


def change_loss(monkeypatch: pytest.MonkeyPatch, change: Change) -> list[list[int]]:
    """Applies `change` to the loss of each batch; returns a list that receives the pixel sums of each batch."""
    step, compute, seen = TeacherModule.training_step, Objective.forward, []

    def training_step(self: TeacherModule, batch: Any, batch_idx: int) -> Tensor:
        seen.append(sorted(batch["pixels"].flatten(1).long().sum(1).tolist()))

        def changed(*arguments: Any, **keywords: Any) -> Losses:
            losses = compute(*arguments, **keywords)
            return losses._replace(total=change(self, batch_idx, losses.total))

        with monkeypatch.context() as patch:
            patch.setattr(Objective, "forward", changed)
            return step(self, batch, batch_idx)

    monkeypatch.setattr(TeacherModule, "training_step", training_step)
    return seen


def pixel_sums(manifest: Path, config: TrainConfig) -> list[int]:
    """The pixel sums of the pictures of a manifest, which identify them in the result of `change_loss`."""
    chosen = replace(config, train_manifest=manifest, limit_train=None, run_dir=config.run_dir / "replay")
    return sorted(np.array(crops(chosen)[0].pixels[:], np.int64).sum((1, 2, 3)).tolist())


def test_a_loss_that_is_not_finite_stops_and_leaves_the_pictures_of_its_step(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(module: TeacherModule, batch_idx: int, loss: Tensor) -> Tensor:
        return loss * torch.nan if module.global_step == 3 else loss

    seen = change_loss(monkeypatch, broken)
    recorder = Recorder()
    with pytest.raises(
        TrainingError, match=r"The loss became NaN or infinite in step 3 \(epoch 1, batch 1\)"
    ) as caught:
        fit(config, recorder)
    run = RunFolder(config.run_dir / config.run_name / "version_0")
    assert f"{run.bad_batch} lists its pictures for ear check. " in str(caught.value)
    assert "start a new run with a lower `lr`" in str(caught.value)
    assert len(recorder.records) == 1
    assert all(value.isfinite().all() for value in weights(run).values())
    assert [item.epoch for item in run.best()] == [0]
    assert pixel_sums(run.bad_batch, config) == seen[3]
    assert all(Path(path).is_absolute() for path in read_manifest(run.bad_batch).paths)


def test_a_gradient_that_is_not_finite_names_all_batches_of_its_step(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steep(module: TeacherModule, batch_idx: int, loss: Tensor) -> Tensor:
        loss = loss * 1
        if (module.current_epoch, batch_idx) == (1, 2):
            loss.register_hook(lambda gradient: gradient * torch.inf)
        return loss

    seen = change_loss(monkeypatch, steep)
    mixed = replace(config, limit_train=16, accumulate=2, precision="bf16-mixed")
    with pytest.raises(
        TrainingError, match=r"The gradient became NaN or infinite in step 3 \(epoch 1, batch 3\)"
    ) as stop:
        fit(mixed)
    run = RunFolder(config.run_dir / config.run_name / "version_0")
    assert f"sound: resume with `precision` 32 (ear resume {run.last}), or start a new run" in str(stop.value)
    assert pixel_sums(run.bad_batch, config) == sorted(seen[6] + seen[7])


def test_a_gradient_that_explodes_is_clipped(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []

    def steep(module: TeacherModule, batch_idx: int, loss: Tensor) -> Tensor:
        bias = module.model.decoder.to_rgb.bias
        moved.append(bias.detach().clone())
        return loss * (1e12 if module.global_step == 1 else 1)

    change_loss(monkeypatch, steep)
    recorder = Recorder()
    fit(replace(config, limit_train=16, epochs=1), recorder)
    steps = [float((b - a).abs().max()) for a, b in itertools.pairwise(moved)]
    assert max(steps) < 20 * config.lr  # Adam's step is bounded by its rate, and the loss after it is finite
    assert np.isfinite(recorder.records[0]["val/loss"])


@pytest.mark.slow
def test_fp16_leaves_a_step_that_overflows_out_and_stops_when_all_do(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = [False]

    def overflowing(module: TeacherModule, batch_idx: int, loss: Tensor) -> Tensor:
        loss = loss * 1
        if always[0] or module.global_step == 1:
            loss.register_hook(lambda gradient: gradient * torch.inf)
        return loss

    change_loss(monkeypatch, overflowing)
    make = trainer_module.Trainer
    scalers = []

    def on_cpu(**arguments: Any) -> Any:
        # Lightning supports fp16 on CUDA only: a plugin enables the scaler on a CPU
        scalers.append(torch.amp.GradScaler("cpu"))
        plugin = MixedPrecision("16-mixed", "cpu", scalers[-1])
        monkeypatch.setattr(plugin, "autocast_context_manager", lambda: torch.autocast("cpu", torch.bfloat16))
        arguments["plugins"].append(plugin)
        return make(**{**arguments, "precision": None})

    monkeypatch.setattr(trainer_module, "Trainer", on_cpu)
    half = replace(config, precision="16-mixed", limit_train=16, epochs=1)
    run, _ = fit(half)
    assert scalers[0].get_scale() == 2**15
    counts = {int(s["step"]) for s in torch.load(run.last, weights_only=True)["optimizer_states"][0]["state"].values()}
    assert counts == {3}  # of four steps
    always[0] = True
    with pytest.raises(TrainingError, match=r"overflowed fp16 in step after step \(loss scale 0.0625\).*bf16-mixed"):
        fit(replace(half, epochs=6))


def test_black_pictures_and_batches_of_one_are_learned_from(config: TrainConfig, tmp_path: Path) -> None:
    for name in "abcd":
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    black = tmp_path / "black.npy"
    write_manifest(black, [f"{name}.png" for name in "abcd"], [None] * 4)
    recorder = Recorder()
    fit(replace(config, train_manifest=black, val_manifest=black, batch_size=1, epochs=3, lr=0.1), recorder)
    assert len(recorder.records) == 3
    assert all(np.isfinite(value) for value in recorder.records[-1].values())
    assert recorder.records[0]["train/contrastive"] == 0  # a batch of one has no negatives


def test_a_latent_space_that_collapses_is_named_once_with_its_figure(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = EarEncoder.forward
    monkeypatch.setattr(EarEncoder, "forward", lambda self, x: (p := encode(self, x))._replace(mu=p.mu * 0.01))
    recorder = Recorder()
    fit(replace(config, kl_anneal_strategy="epoch", epochs=3), recorder)
    assert [record["val/active_units"] for record in recorder.records] == [0, 0, 0]
    warnings = [note for note in recorder.notes if "collapsed" in note]
    assert len(warnings) == 1
    assert "only 0 of 8 dimensions vary over the validation ears (variance above 0.01)" in warnings[0]
    assert "lower `kl_weight`" in warnings[0]
