"""Several processes train like one: the same gradients, weights, figures and files."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any

import gathering
import numpy as np
import pytest
import several
import torch
import torch.distributed as dist
from fitting import fit, weights
from gathering import SUBJECTS, network, samples
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from earcli.checkpoints.runs import RunFolder
from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import AnyRunConfig, TrainConfig
from earcli.data.augmentation import STRENGTHS, augment
from earcli.data.batches import EpochBatches
from earcli.data.manifest import read_manifest
from earcli.errors import ConfigError
from earcli.losses.latent import nt_xent
from earcli.losses.perceptual import random_vgg
from earcli.models.encoder import Posterior
from earcli.models.vae import EarVAE
from earcli.randomness import SharedGenerator
from earcli.training import trainer
from earcli.training.teacher import TeacherModule


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 7])
def test_ranks_share_validation_samples_without_overlap_in_equally_many_batches(count: int, world: int) -> None:
    shares = [list(EpochBatches(count, 2, rank=rank, world_size=world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(np.concatenate([batch for share in shares for batch in share])) == list(range(count))


@pytest.mark.parametrize("total", [8, 7])
def test_augmentation_and_noise_do_not_depend_on_the_world_size(total: int) -> None:
    images = torch.rand(total, 3, 16, 16) * 2 - 1
    posterior = Posterior(torch.zeros(total, 5), torch.zeros(total, 5))

    def drawn(rows: slice, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        varied = augment(images[rows], STRENGTHS["strong"], generator.manual_seed(3))
        return varied, Posterior(posterior.mu[rows], posterior.logvar[rows]).sample(generator)

    alone = drawn(slice(None), torch.Generator())
    cpu = torch.device("cpu")
    for rank in range(3):
        share = drawn(slice(rank, None, 3), SharedGenerator(cpu, total, rank, 3))
        for whole, part in zip(alone, share, strict=True):
            torch.testing.assert_close(part, whole[rank::3])


def test_processes_agree_and_gather_with_the_gradient_of_the_whole_loss(tmp_path: Path) -> None:
    command = [sys.executable, gathering.__file__]
    started = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    model = network()
    z = model(samples())
    loss = nt_xent(z, z.flip(1), SUBJECTS)
    loss.backward()
    for rank in range(2):
        results = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(results["z"], z)
        assert results["subjects"].tolist() == SUBJECTS.tolist()
        assert results["flags"].tolist() == (SUBJECTS > 0).tolist()
        torch.testing.assert_close(results["loss"], loss)
        torch.testing.assert_close(results["gradients"], [p.grad for p in model.parameters()])
        torch.testing.assert_close(results["none of one"], samples()[:1])
        assert {name: value.tolist() for name, value in results["added"].items()} == {"a": 3, "b": [1, 1]}
        assert results["collected"] == [0, 0, 1]
        assert results["highest"] == 15
        assert results["earliest"].tolist() == [3, 2]
        assert results["known"].tolist() == [4, 2]
        assert results["nowhere"].tolist() == [-1, -1]


@pytest.mark.parametrize("cuda", [True, False])
def test_batch_norms_are_synchronized_on_cuda_alone(
    config: TrainConfig, cuda: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(trainer, "Trainer", lambda **arguments: given.update(arguments))
    trainer.make_trainer(config, [])
    assert given["sync_batchnorm"] is cuda


@pytest.mark.parametrize("strategy", ["fsdp", "ddp_spawn", "bogus"])
def test_a_strategy_that_cannot_serve_is_refused(config: TrainConfig, strategy: str) -> None:
    with pytest.raises(ConfigError, match=f"`strategy` must be auto or ddp, got {strategy}"):
        fit(replace(config, strategy=strategy))


def test_constants_are_not_broadcast(config: TrainConfig) -> None:
    module = TeacherModule(replace(config, ema_decay=0.9), 1, vgg=random_vgg(torch.Generator()))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        sent = {buffer.data_ptr() for buffer in DistributedDataParallel(module).modules_buffers}
    finally:
        dist.destroy_process_group()
    buffers = {name: buffer.data_ptr() for name, buffer in module.named_buffers()}
    constant = {name for name in buffers if name.startswith("objective.") or "skeleton" in name or "laterality" in name}
    assert len(constant) > 8
    assert sent == {pointer for name, pointer in buffers.items() if name not in constant}


@pytest.fixture
def config(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """Two epochs of two steps, with all terms that use random numbers or other samples; subjects are known."""
    for name in ("train", "val"):
        manifest = read_manifest(getattr(config, f"{name}_manifest"))
        count = len(manifest)
        content = {
            "image_paths": [str(manifest.locate(row)) for row in range(count)],
            "bboxes": [list(box) for box in manifest.boxes],
            "subjects": [f"person {row % 3}" for row in range(count)],
        }
        np.save(tmp_path / f"{name}.npy", np.array(content, dtype=object))
    return replace(
        config,
        train_manifest=tmp_path / "train.npy",
        val_manifest=tmp_path / "val.npy",
        lr=1e-5,  # AdamW amplifies rounding errors of the smallest gradients
        augment="light",
        contrastive_weight=1.0,
        ema_decay=0.9,
        kl_anneal_threshold_psnr=1.0,
        kl_anneal_epochs=1,
        limit_val=5,
    )


def start(config: AnyRunConfig, *command: object, **environment: str) -> subprocess.Popen[str]:
    """Starts `several.py` in a process that starts the others."""
    names = ("RANK", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    config.run_dir.mkdir(parents=True, exist_ok=True)
    file = config.run_dir / "config.yaml"
    file.write_text(config.to_yaml())
    words = [str(word) for word in command] or ["train", "--config", str(file)]
    return subprocess.Popen(
        [sys.executable, several.__file__, *words],
        env=inherited | {"OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """Its output on stdout and stderr."""
    try:
        output = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code, output
    return output


def on_two(config: TrainConfig) -> TrainConfig:
    return replace(config, batch_size=config.batch_size // 2, devices="2", strategy="ddp", run_dir=config.run_dir / "2")


def only_run(config: AnyRunConfig) -> RunFolder:
    assert [path.name for path in (config.run_dir / config.run_name).iterdir()] == ["version_0"]
    return RunFolder(config.run_dir / config.run_name / "version_0")


def rows(run: RunFolder) -> list[dict[str, float]]:
    with run.metrics.open() as file:
        records = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    return [{k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")} for row in records]


def tensors(run: RunFolder) -> dict[str, Tensor]:
    return {name: value.double() for name, value in weights(run).items()}


def assert_alike(one: RunFolder, other: RunFolder) -> None:
    """Compares weights, averages, moments and all figures of all epochs, up to rounding."""
    for (name, a), (_, b) in zip(*(tensors(run).items() for run in (one, other)), strict=True):
        # the gradient of what a softmax ignores is rounding error
        assert (a - b).norm() <= 1e-4 * a.norm() + 2e-8, name
    for a_row, b_row in zip(rows(one), rows(other), strict=True):
        assert a_row == pytest.approx(b_row, rel=2e-5)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norms in eval, as `several.py` has them."""
    for name in ("__init__", "train"):
        monkeypatch.setattr(EarVAE, name, getattr(EarVAE, name))  # to be given back
    several.freeze(EarVAE)


@pytest.mark.usefixtures("frozen")
@pytest.mark.slow
def test_two_processes_train_as_one_does_on_the_same_whole_batch(config: TrainConfig) -> None:
    """The last batch of validation is one picture, so rank 1 has none."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [start(on_two(config), RANK=rank, LOCAL_RANK=rank, **torchrun) for rank in "01"]
    one, _ = fit(config)
    stdout, stderr = finish(processes[0])
    assert stderr == ""
    assert [stdout.count(part) for part in ("run folder", "\nepoch 0", "\nepoch 1", "validation PSNR")] == [2, 1, 1, 1]
    assert finish(processes[1]) == ("", "")
    assert_alike(one, only_run(on_two(config)))


@pytest.mark.slow
@pytest.mark.usefixtures("frozen")
def test_fewer_samples_to_validate_on_than_processes_and_low_memory(config: TrainConfig) -> None:
    few = replace(config, limit_val=1, low_memory=True)
    process = start(on_two(few))
    one, _ = fit(few)
    finish(process)
    assert_alike(one, only_run(on_two(few)))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_of_two_stops_in_mid_epoch_and_resumes_exactly(config: TrainConfig, rank: int) -> None:
    two = on_two(config)
    finish(start(two))
    stopped = replace(two, run_dir=two.run_dir / "stopped")
    stdout, _ = finish(start(stopped, STOP=f"1,0,{rank}"), 128 + signal.SIGTERM)
    assert "stopped; continue with: ear resume" in stdout
    run = only_run(stopped)
    assert torch.load(run.last, weights_only=True)["ear"]["sums"]["count"] == 2  # one batch of each rank
    _, stderr = finish(start(stopped, "resume", run.last, "--devices", 1), 1)
    assert stderr.startswith("error: The run had a total of 2 processes and would now have 1")
    assert stderr.count("\n") == 1
    finish(start(stopped, "resume", run.last))
    assert_alike(only_run(two), run)


@pytest.mark.slow
def test_a_detector_learns_on_two_what_it_learns_on_one(ears: Path, teacher: Path, tmp_path: Path) -> None:
    """Ears have different numbers of points here, so the mean of the ranks' means would differ."""
    labels = json.loads((ears / "train_landmarks.coco.json").read_text())
    for number, annotation in enumerate(labels["annotations"]):
        annotation["keypoints"][2 : 3 * (number % 5) : 3] = [0] * (number % 5)
    labels["images"] = [{**image, "file_name": str(ears / image["file_name"])} for image in labels["images"]]
    (tmp_path / "train.json").write_text(json.dumps(labels))
    config = FinetuneConfig(
        checkpoint=str(teacher),
        train_manifest=tmp_path / "train.json",
        val_manifest=ears / "val_landmarks.coco.json",
        run_dir=tmp_path / "1",
        lr=1e-5,
        epochs=2,
        epoch_steps=2,
        batch_size=4,
        labels=6,
        precision="32",
        num_workers=2,
    )
    finish(start(config, "finetune", "--config", config.run_dir / "config.yaml"))
    two = replace(config, batch_size=2, devices="2", strategy="ddp", run_dir=tmp_path / "2")
    finish(start(two, "finetune", "--config", two.run_dir / "config.yaml"))
    assert_alike(only_run(config), only_run(two))


@pytest.mark.slow
def test_a_bad_loss_in_one_process_stops_both_with_one_line(config: TrainConfig) -> None:
    _, stderr = finish(start(on_two(config), BAD="1,0,1"), 1)
    assert stderr.startswith("error: The loss became NaN or infinite in step 2")
    assert stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("parent", [True, False])
def test_a_process_that_is_killed_takes_the_other_with_it(config: TrainConfig, parent: bool) -> None:
    long = replace(on_two(config), epochs=1000)
    process = start(long)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch 0"):
        pass
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    if parent:
        process.kill()
    else:
        os.kill(int(child), signal.SIGKILL)
    _, stderr = finish(process, -signal.SIGKILL if parent else 1)
    assert parent or stderr.startswith("error: Another process of this run ended")
    state = Path(f"/proc/{child}/stat")
    deadline = time.monotonic() + 60
    while state.exists() and state.read_text().split(") ")[1][0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.1)
