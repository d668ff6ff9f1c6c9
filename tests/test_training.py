"""Training: it learns, it resumes bit-exactly, it reports what goes wrong."""

import signal
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
from earcli.config.teacher import AUTO, TrainConfig
from earcli.data.batches import as_images
from earcli.data.cache import load_crops
from earcli.errors import ConfigError, DataError, InterruptedTraining, RunError, TrainingError
from earcli.metrics.image import psnr, to_unit
from earcli.models.vae import EarVAE
from earcli.training.callbacks import STOP_SIGNALS
from earcli.training.loop import Pretrained, train_teacher
from earcli.training.module import accumulator_dtype, lerp_average
from earcli.training.precision import choose_precision
from earcli.training.teacher import TeacherModule


def test_a_run_leaves_everything_that_the_run_folder_promises(config: TrainConfig) -> None:
    recorder = Recorder()
    run, _ = fit(replace(config, ema_decay=0.9), recorder)
    names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert {"metrics.csv", "hparams.yaml", "checkpoints/last.ckpt", "reconstructions/epoch_001.png"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert len(run.best()) == 2
    assert not [name for name in names if name.endswith(".tmp")]
    stages = [f"{s}/{t}" for s in ("train", "val") for t in ("l1", "ssim_loss", "edge", "contrastive", "center", "kl")]
    shown = ["train/loss", "val/loss", "train/psnr", "val/psnr", "val/psnr_pooled", "val/ssim", "val/kl_nats",
             "val/active_units", "kl_weight", "lr", "images_per_second", "data_wait"]  # fmt: skip
    assert set(recorder.records[-1]) == {"epoch", "step", *stages, *shown}
    assert [row["epoch"] for row in table(run)] == ["0", "1"]
    record = recorder.records[-1]
    parts = {name: record[f"val/{name}"] for name in ("l1", "ssim_loss", "edge", "center", "kl")}
    expected = parts["l1"] + parts["ssim_loss"] + 0.5 * parts["edge"] + 3 * parts["center"] + 0.01 * parts["kl"]
    assert record["val/loss"] == pytest.approx(expected, rel=1e-6)  # the final KL weight, no contrastive term
    assert record["val/ssim"] == pytest.approx(1 - parts["ssim_loss"], rel=1e-6)


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
        pytest.param(2, 1, 1, id="between two batches of one step"),
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


def test_two_runs_of_one_seed_are_one_and_of_two_seeds_are_two(config: TrainConfig) -> None:
    first, again, other = (fit(replace(config, epochs=1, seed=s))[0] for s in (1, 1, 2))
    assert_same(weights(first), weights(again))
    assert any(not torch.equal(a, b) for a, b in zip(weights(first).values(), weights(other).values(), strict=True))


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


@pytest.mark.parametrize(
    ("size", "remedy"),
    [(4, "`batch_size` 2 with `accumulate` 2"), (1, "a smaller `image_size` or `resnet_version`")],
)
def test_running_out_of_memory_names_what_to_try(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, size: int, remedy: str
) -> None:
    monkeypatch.setattr(TeacherModule, "training_step", memory_for(0))
    with pytest.raises(TrainingError, match=f"Memory ran out with `batch_size` {size}. Try {remedy}"):
        fit(replace(config, batch_size=size))


def memory_for(most: int) -> Any:
    """A training step for which a GPU has memory for `most` pictures."""
    step = TeacherModule.training_step

    def training_step(self: TeacherModule, batch: Any, batch_idx: int) -> Tensor:
        if len(batch["pixels"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, batch_idx)

    return training_step


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        pytest.param(6, 5, id="what fits, less 5%"),
        pytest.param(100, 8, id="no more than there are", marks=pytest.mark.slow),
    ],
)
def test_the_batch_size_is_found(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capacity: int, expected: int
) -> None:
    whole, _ = fit(replace(config, batch_size=expected, epochs=1))
    monkeypatch.setattr("earcli.training.batch_size.check_batch_size", lambda config: None)  # this is no GPU
    monkeypatch.setattr(TeacherModule, "training_step", memory_for(capacity))
    validated: list[int] = []
    validate = TeacherModule.validation_step
    monkeypatch.setattr(
        TeacherModule, "validation_step", lambda self, b, i: (validated.append(len(b["pixels"])), validate(self, b, i))
    )
    recorder = Recorder()
    run, _ = fit(replace(config, batch_size=AUTO, epochs=1), recorder)
    assert recorder.notes[0] == f"batch size {expected}, the largest that fits into memory"
    assert f"batch_size: {expected}\n" in (run.path / "hparams.yaml").read_text()
    assert_same(weights(run), weights(whole))  # the search leaves nothing behind
    assert len(validated) > 1  # a validation needs memory too


def test_a_set_smaller_than_a_batch_is_refused(config: TrainConfig) -> None:
    with pytest.raises(DataError, match="8 training pictures do not fill one batch of 9"):
        fit(replace(config, batch_size=9))
    assert not (config.run_dir / config.run_name).exists()


def test_a_strategy_that_does_not_exist_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="`strategy` must be auto or ddp, got bogus"):
        fit(replace(config, strategy="bogus"))


def test_precision_is_chosen_and_16_mixed_needs_cuda(config: TrainConfig) -> None:
    assert choose_precision(replace(config, precision="auto")).precision in ("32", "bf16-mixed")
    with pytest.raises(ConfigError, match="`precision` 16-mixed needs CUDA"):
        choose_precision(replace(config, precision="16-mixed"))


def test_bf16_learns_what_fp32_learns(config: TrainConfig) -> None:
    results = {}
    for precision in ("32", "bf16-mixed"):
        recorder = Recorder()
        fit(replace(config, epochs=1, precision=precision, run_name=precision), recorder)  # type: ignore[arg-type]
        results[precision] = recorder.records[-1]
    for name in ("train/loss", "train/l1", "train/ssim_loss"):
        assert results["bf16-mixed"][name] == pytest.approx(results["32"][name], rel=2e-2)


def test_a_perceptual_file_and_a_pretrained_trunk_are_used(config: TrainConfig) -> None:
    torch.manual_seed(0)
    trunk = {k: v for k, v in torchvision.models.resnet18(weights=None).state_dict().items() if "fc" not in k}
    vgg = {k: v * 0.1 for k, v in torchvision.models.vgg16(weights=None).features.state_dict().items()}
    pretrained = Pretrained(trunk, {f"features.{k}": v for k, v in vgg.items()})
    recorder = Recorder()
    frozen = replace(config, epochs=1, freeze_layers=4, weights="x", perceptual_weights="x")
    run, module = fit(frozen, recorder, pretrained=pretrained)
    assert recorder.records[-1]["train/perceptual"] > 0
    assert torch.equal(module.model.encoder.stem[0].weight, trunk["conv1.weight"])
    assert not [name for name in torch.load(run.last, weights_only=True)["state_dict"] if "perceptual" in name]


def test_the_learning_rate_warms_up_then_falls_to_zero(config: TrainConfig) -> None:
    module = TeacherModule(replace(config, epochs=10, warmup_epochs=1), steps_per_epoch=10)
    factors = [module.lr_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert np.argmax(factors) == 10
    assert max(factors) == 1
    assert factors[-1] < 0.001
    assert (np.diff(factors[:10]) > 0).all()
    assert (np.diff(factors[10:]) < 0).all()


def test_a_pretrained_trunk_learns_slower_and_norms_do_not_decay(config: TrainConfig) -> None:
    module = TeacherModule(replace(config, weights="x", trunk_lr_scale=0.1, lr=1e-3, weight_decay=0.1), 10)
    groups = module.configure_optimizers()["optimizer"].param_groups
    where = {id(p): (g["initial_lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    encoder = module.model.encoder
    assert where[id(encoder.stem[0].weight)] == (pytest.approx(1e-4), 0.1)
    assert where[id(encoder.stem[1].weight)] == (pytest.approx(1e-4), 0)
    assert where[id(encoder.mu_head.weight)] == (pytest.approx(1e-3), 0.1)
    assert where[id(encoder.mu_head.bias)] == (pytest.approx(1e-3), 0)
    assert len(where) == len(list(module.model.parameters()))


def test_sums_have_the_precision_that_a_device_supports(config: TrainConfig) -> None:
    assert [accumulator_dtype(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]
    module = TeacherModule(config, 1)
    module.add({"loss": torch.tensor(0.1)}, 3)
    assert module.sums["loss"].dtype == torch.float64


def test_the_average_moves_by_its_decay() -> None:
    model, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked.fill_(5)
    lerp_average(average, model, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.num_batches_tracked == 5


def test_early_stopping_stops(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    validate = TeacherModule.validation_step

    def worse_every_epoch(self: TeacherModule, batch: Any, batch_idx: int) -> None:
        validate(self, batch, batch_idx)
        self.sums["loss"] = self.sums["count"] * self.global_step

    monkeypatch.setattr(TeacherModule, "validation_step", worse_every_epoch)
    recorder = Recorder()
    fit(replace(config, epochs=6, early_stopping=True, patience=2), recorder)
    assert len(recorder.records) == 3
