"""Training: it learns, it resumes bit-exactly, it reports what goes wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from fitting import UNTRAINED, Recorder, assert_same, crops, fit, interrupt_at, table, weights
from torch import Tensor

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.data.batches import as_images
from earcli.data.cache import load_crops
from earcli.errors import ConfigError, DataError, InterruptedTraining, RunError
from earcli.metrics.image import psnr, to_unit
from earcli.models.vae import EarVAE
from earcli.training.loop import Pretrained, train_teacher
from earcli.training.teacher import TeacherModule


def test_validation_is_what_the_saved_model_gives(config: TrainConfig) -> None:
    recorder = Recorder()
    run, _ = fit(replace(config, ema_decay=0.5), recorder)
    _, val = crops(config)
    images = as_images(torch.from_numpy(np.array(val.pixels[:])).permute(0, 3, 1, 2))
    for path in (run.last, run.best()[0].path):
        model = EarVAE.load_from_checkpoint(path)
        with torch.no_grad():
            values = psnr(to_unit(model(images).reconstruction), to_unit(images))
        epoch = 1 if path == run.last else run.best()[0].epoch
        assert values.mean().item() == pytest.approx(recorder.records[epoch]["val/psnr"], rel=1e-4)


@pytest.mark.slow
def test_it_overfits_four_ears(config: TrainConfig) -> None:
    quick = replace(config, limit_train=4, epochs=3, lr=1e-3, augment="none", latent_dim=16)
    _, val = crops(quick)
    table = val.manifest.subset([0, 1, 2, 3] * 25)
    train = load_crops(table, quick.image_size, quick.run_dir / ".cache", 2)
    recorder = Recorder()
    train_teacher(quick, train, val, UNTRAINED, recorder)
    assert recorder.records[-1]["val/psnr"] > 20
    assert recorder.records[-1]["val/psnr"] > recorder.records[0]["val/psnr"] + 2


RESUMED = {"ema_decay": 0.9, "kl_anneal_threshold_psnr": 1.0, "kl_anneal_epochs": 2, "limit_train": 16}


@pytest.fixture(scope="module")
def straight() -> dict[int, tuple[dict[str, Tensor], list[dict[str, str]]]]:
    """The results of uninterrupted runs by `accumulate`; filled by the first test that needs them."""
    return {}


@pytest.mark.parametrize(
    ("accumulate", "epoch", "batch"),
    [
        pytest.param(1, 0, 1, id="after the first step", marks=pytest.mark.slow),
        pytest.param(1, 0, 4, id="in an epoch's last step", marks=pytest.mark.slow),
        pytest.param(1, 1, 3, id="in the second epoch"),
        pytest.param(2, 1, 1, id="between two batches of one step", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_stops_and_resumes_equals_one_that_did_not_bit_for_bit(
    config: TrainConfig, straight: dict[int, Any], accumulate: int, epoch: int, batch: int
) -> None:
    whole = replace(config, **RESUMED, accumulate=accumulate, run_name="whole")
    if accumulate not in straight:
        run, _ = fit(whole)
        straight[accumulate] = weights(run), table(run)
    with pytest.raises(InterruptedTraining) as stopped:
        fit(replace(whole, run_name="stopped"), interrupt_at(epoch, batch))
    assert stopped.value.last is not None
    run = RunFolder(stopped.value.last.parents[1])
    done = torch.load(run.last, weights_only=True)
    assert done["ear"]["epochs_done"] == (1 if (epoch, batch) == (0, 4) else epoch)
    fit(replace(whole, run_name="stopped"), resume=Checkpoint.open(run.last))
    assert_same(straight[accumulate][0], weights(run))
    assert straight[accumulate][1] == table(run)


@pytest.mark.slow
def test_two_runs_of_one_seed_are_one_and_of_two_seeds_are_two(config: TrainConfig) -> None:
    first, again, other = (fit(replace(config, epochs=1, seed=s))[0] for s in (1, 1, 2))
    assert_same(weights(first), weights(again))
    assert any(not torch.equal(a, b) for a, b in zip(weights(first).values(), weights(other).values(), strict=True))


def test_a_changed_training_set_is_not_resumed(config: TrainConfig) -> None:
    run, _ = fit(config)
    with pytest.raises(DataError, match="had 2 steps per epoch and would now have 3"):
        fit(replace(config, limit_train=12, epochs=3), resume=Checkpoint.open(run.last))


def test_resuming_with_another_number_of_processes_is_refused(config: TrainConfig) -> None:
    run, _ = fit(config)
    content = torch.load(run.last, weights_only=True)
    content["ear"]["processes"] = 2
    torch.save(content, run.last)
    with pytest.raises(ConfigError) as refused:
        fit(replace(config, epochs=3), resume=Checkpoint.open(run.last))
    assert str(refused.value) == (
        "The run had a total of 2 processes and would now have 1. Set `devices` and `num_nodes` as before."
    )


def test_a_checkpoint_that_cannot_be_written_stops_with_a_reason(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file: no space\nmore")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match=r"cannot be written .*no space"):
        fit(config)


def test_a_set_smaller_than_a_batch_is_refused(config: TrainConfig) -> None:
    with pytest.raises(DataError, match="8 training pictures do not fill one batch of 9"):
        fit(replace(config, batch_size=9))
    assert not (config.run_dir / config.run_name).exists()


def test_a_strategy_that_does_not_exist_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="`strategy` must be auto or ddp, got bogus"):
        fit(replace(config, strategy="bogus"))


def test_a_perceptual_file_and_a_pretrained_trunk_are_used(config: TrainConfig) -> None:
    torch.manual_seed(0)
    trunk = {k: v for k, v in torchvision.models.resnet18(weights=None).state_dict().items() if "fc" not in k}
    vgg = {k: v * 0.1 for k, v in torchvision.models.vgg16(weights=None).features.state_dict().items()}
    pretrained = Pretrained(trunk, {f"features.{k}": v for k, v in vgg.items()})
    recorder = Recorder()
    frozen = replace(config, epochs=1, freeze_layers=4, weights="x", perceptual_weights="x")
    run, module = fit(frozen, recorder, pretrained=pretrained)
    assert recorder.records[-1]["train/perceptual"] > 0
    assert torch.equal(module.model.encoder.trunk.stem[0].weight, trunk["conv1.weight"])
    assert not [name for name in torch.load(run.last, weights_only=True)["state_dict"] if "perceptual" in name]


def test_early_stopping_stops(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    validate = TeacherModule.validation_step

    def worse_every_epoch(self: TeacherModule, batch: Any, batch_idx: int) -> None:
        validate(self, batch, batch_idx)
        self.sums["loss"] = self.sums["count"] * self.global_step

    monkeypatch.setattr(TeacherModule, "validation_step", worse_every_epoch)
    recorder = Recorder()
    fit(replace(config, epochs=6, early_stopping=True, patience=2), recorder)
    assert len(recorder.records) == 3


def test_a_run_names_the_license_of_its_pretrained_weights_and_its_knobs_stay_readable(config: TrainConfig) -> None:
    recorder = Recorder()
    fit(replace(config, epochs=1, weights="pretrained"), recorder)
    line = "pretrained weights of resnet18: bsd-3-clause, https://github.com/pytorch/vision"
    assert line in recorder.notes
    path = config.run_dir / config.run_name / "version_0" / "hparams.yaml"
    assert path.read_text().startswith(f"# {line}\n")
    assert TrainConfig.read_file(path)["weights"] == "pretrained"
