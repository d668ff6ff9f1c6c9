"""Fixtures that several tests share. No test reaches a network or writes outside its own folder."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # expected values are those of a CPU

from planting import plant
from running import ear

from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest, write_manifest
from earcli.reporting.reporter import SILENT
from earcli.synthetic import dataset as synthetic
from earcli.synthetic.dataset import write_set


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None):  # which is how processes of one machine talk
            raise OSError("no network in tests")
        connect(self, address)

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 synthetic ears: 24 for training, 6 for validation."""
    return shared(tmp_path_factory, "ears", lambda folder: write_set(folder, 30, seed=7))


def shared(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Path:
    """A folder that the first worker which needs it makes for all of them. Read-only."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / name
    with FileLock(f"{base.parent}/{name}.lock"):
        if not (folder / ".made").exists():
            make(folder)
            (folder / ".made").touch()
    return folder


@pytest.fixture
def config(ears: Path, tmp_path: Path) -> TrainConfig:
    """A run that takes seconds: 8 pictures, 2 steps per epoch, fp32."""
    base = TrainConfig.resolve("tiny", {}, {})
    return replace(
        base,
        train_manifest=ears / "train_teacher.npy",
        val_manifest=ears / "val_teacher.npy",
        run_dir=tmp_path / "runs",
        latent_dim=8,
        skeleton_dim=3,
        limit_train=8,
        limit_val=4,
        batch_size=4,
        epochs=2,
        precision="32",
        num_workers=2,
    )


@pytest.fixture(scope="session")
def many_ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 140 synthetic ears: 70 for validation, enough for statistics, and 70 for training.

    Skin varies less than usual, and hair is constant: else the side of the head and the brightness of skin explain the
    same variance, and a principal component is an arbitrary mixture of both.
    """
    return shared(tmp_path_factory, "many", _draw_many)


def _draw_many(folder: Path) -> None:
    draw = synthetic.draw_factors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "draw_factors", lambda rng: replace(f := draw(rng), skin=0.2 + 0.3 * f.skin, hair=0.7))
        write_set(folder, 140, seed=7)
    sets = [read_manifest(folder / f"{name}_teacher.npy") for name in ("val", "train")]
    names = sets[0].paths + sets[1].paths
    boxes = np.concatenate([part.boxes for part in sets]).tolist()
    write_manifest(folder / "val_teacher.npy", names[:70], boxes[:70])
    write_manifest(folder / "train_teacher.npy", names[70:], boxes[70:])


@pytest.fixture(scope="session")
def trained(many_ears: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A briefly trained run: 16 learned dimensions, a skeleton of 12, 51 steps. Read-only: write into `run`."""
    folder = shared(tmp_path_factory, "trained", lambda folder: _train(many_ears, folder / "runs"))
    return RunFolder(next((folder / "runs").glob("*/version_0")))


def _train(many_ears: Path, run_dir: Path) -> None:
    from earcli.analysis.laterality import fit_laterality, mirror_right_ears
    from earcli.analysis.skeleton import fit_skeleton
    from earcli.training.loop import Pretrained, train_teacher

    config = replace(
        TrainConfig.resolve("tiny", {}, {}),
        train_manifest=many_ears / "train_teacher.npy",
        val_manifest=many_ears / "val_teacher.npy",
        run_dir=run_dir,
        latent_dim=16,
        skeleton_dim=12,
        batch_size=4,
        epochs=3,
        contrastive_weight=0.0,
        precision="32",
        ema_decay=0.5,
    )
    train, val = (
        load_crops(read_manifest(path), 64, config.run_dir / ".cache", 2)
        for path in (config.train_manifest, config.val_manifest)
    )
    laterality = fit_laterality(train.pixels, train.manifest.side_numbers(), seed=0)
    train, val = (mirror_right_ears(laterality, crops).crops for crops in (train, val))
    skeleton = fit_skeleton(train.pixels, config.skeleton_dim, flips=False, seed=0)
    train_teacher(config, train, val, Pretrained(None, None, skeleton, laterality), SILENT)


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the trained run, in `tmp_path / "runs"`. Its files are hard links: replace, never modify one."""
    shutil.copytree(trained.path.parents[1], tmp_path / "runs", copy_function=os.link)
    return RunFolder(tmp_path / "runs" / trained.path.relative_to(trained.path.parents[1]))


@pytest.fixture(scope="session")
def teacher(ears: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint in a run folder; every layer has an effect, batch norms have statistics of ears."""
    import torch

    from earcli.analysis.laterality import fit_laterality
    from earcli.analysis.skeleton import fit_skeleton
    from earcli.data.batches import as_images
    from earcli.data.decoding import sample_crops
    from earcli.data.manifest import read_manifest
    from earcli.models.vae import EarVAE
    from earcli.training.checkpoint_io import write_checkpoint

    sets = {"train_manifest": ears / "train_teacher.npy", "val_manifest": ears / "val_teacher.npy"}
    config = TrainConfig.resolve("tiny", {}, {**sets, "latent_dim": 8, "skeleton_dim": 3})
    torch.manual_seed(0)
    model = EarVAE.untrained(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)  # zero at first, which would hide errors of an export
    torch.nn.init.normal_(model.encoder.logvar_head.weight, std=0.01)
    sample = sample_crops(read_manifest(config.train_manifest), config.image_size, 24, 2)
    model.skeleton.set_basis(fit_skeleton(sample, config.skeleton_dim, flips=False, seed=0))
    model.laterality.load_state_dict(fit_laterality(sample, np.zeros(24, np.int8), seed=0).state_dict())
    pixels = torch.from_numpy(sample)
    with torch.no_grad():
        for _ in range(8):
            model(as_images(pixels.permute(0, 3, 1, 2)))
    path = tmp_path_factory.mktemp("runs") / "ear_vae" / "version_0" / "checkpoints"
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    path = path / "ear_vae-epoch=000-val_loss=1.0000.ckpt"
    write_checkpoint({"state_dict": state, "hyper_parameters": config.to_dict()}, path)
    return path


@pytest.fixture
def real_ears() -> Iterator[Path]:
    folder = Path(os.environ.get("EAR_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "earvn"
    if not folder.is_dir():
        pytest.skip("needs real ear images: set EAR_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "ears"
    write_set(folder, 60, seed=1)
    return folder


@pytest.fixture(scope="session")
def faulty(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty") / "set"
    plant(folder, sorted((drawn / "images").iterdir())).write()
    return folder


@pytest.fixture(scope="session")
def detector(ears: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a detector that has hardly learned. Not to be written into."""
    folder = tmp_path_factory.mktemp("detector") / "runs"
    sets = ("--train-manifest", ears / "train_landmarks.coco.json", "--val-manifest", ears / "val_landmarks.coco.json")
    steps = ("--epochs", 2, "--epoch-steps", 2, "--batch-size", 4, "--precision", 32)
    result = ear("finetune", "--checkpoint", teacher, *sets, *steps, "--run-dir", folder)
    assert result.exit_code == 0, result.output
    assert "24 labeled training ears, 6 validation ears; 17 landmarks" in result.stdout
    assert f"teacher {teacher}" in result.stdout
    assert "epoch 1  train_loss" in result.stdout
    assert "NME" in result.stdout
    return folder


@pytest.fixture(scope="session")
def people(ears: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn ears as a folder per person, with a file that is no picture and one that is broken."""
    folder = tmp_path_factory.mktemp("people") / "set"
    for number, name in enumerate(read_manifest(ears / "val_teacher.npy").paths):
        person = folder / f"person {number % 3}"
        person.mkdir(parents=True, exist_ok=True)
        (person / Path(name).name).write_bytes((ears / name).read_bytes())
    (folder / "person 0" / "notes.txt").write_text("no picture")
    (folder / "person 1" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="session")
def index(teacher: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "ears.npz"
    result = ear("embed", people, "--checkpoint", teacher, "-o", path, "--subject", "folder", "--clusters", 2)
    assert result.exit_code == 0, result.output
    assert "broken.jpg: " in result.stdout
    assert "6 ears, 11 numbers each" in result.stdout
    return path
