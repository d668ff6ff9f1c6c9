"""Plain failures, as docs/reliability.md lists them: what disks, clocks, shells and terminals can do to a command."""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import EAR, ear, fails, posix

import earcli
from earcli.analysis.prediction import Prediction
from earcli.data.cache import Skipped, load_crops
from earcli.data.embeddings import Embeddings, EncoderInfo, write_embeddings
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.uncached import crop_or_gray
from earcli.errors import RunError, is_out_of_memory
from earcli.files import check_writable, write_csv
from earcli.reporting.console import ConsoleReporter
from earcli.tasks.prediction_files import PredictionWriter

PACKAGE = Path(earcli.__file__).parent


SMALL = ["--preset", "tiny", "--latent-dim", "8", "--limit-train", "4", "--limit-val", "2", "--batch-size", "2",
         "--precision", "32", "--epochs", "2"]  # fmt: skip


@pytest.fixture
def unplug(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the drawn ears whose pictures go away, to `away`, after a batch of the second epoch."""
    shutil.copytree(ears, tmp_path / "disk")
    batches = []

    def note(self: ConsoleReporter, activity: str, done: int, total: int) -> None:
        batches.append(activity)
        if activity == "training" and batches.count("training") % 4 == 3:  # there are four in a run
            (tmp_path / "disk" / "images").rename(tmp_path / "away")

    monkeypatch.setattr(ConsoleReporter, "progress", note)
    return tmp_path / "disk"


def train(folder: Path, *more: object) -> Any:
    sets = ["--train-manifest", folder / "train_teacher.npy", "--val-manifest", folder / "val_teacher.npy"]
    return ear("train", *SMALL, *sets, "--run-dir", folder.parent / "runs", *more)


def trained_state(run: Path) -> dict[str, Any]:
    content = torch.load(run / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    return {**content["state_dict"], "epochs": torch.tensor(content["ear"]["epochs_done"])}


def test_a_data_folder_unplugged_in_mid_epoch_stops_only_a_run_without_a_cache_which_then_resumes(unplug: Path) -> None:
    done = train(unplug)
    assert done.exit_code == 0, done.output
    away, images, runs = unplug.parent / "away", unplug / "images", unplug.parent / "runs"
    assert away.is_dir()
    away.rename(images)
    fails(train(unplug, "--no-cache", "--run-name", "bare"), ".jpg could be read at the start", "no such file")
    assert away.is_dir()
    assert trained_state(runs / "bare")["epochs"] == 1
    last = runs / "bare" / "version_0" / "checkpoints" / "last.ckpt"
    fails(ear("resume", last), "pictures cannot be used", "no such file")
    away.rename(images)
    done = ear("resume", last)
    assert done.exit_code == 0, done.output
    straight, resumed = trained_state(runs / "ear_vae"), trained_state(runs / "bare")
    assert straight.keys() == resumed.keys()
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []


def test_a_picture_that_goes_away_before_it_is_drawn_is_left_out(tmp_path: Path) -> None:
    long = "x" * 251 + ".png"
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        Image.new("RGB", (40, 40)).save(folder / long)
    manifest = Manifest(["gone.png", long, f"other/{long}"], np.full((3, 4), np.nan), root=tmp_path)
    (tmp_path / "out").mkdir()
    files = PredictionWriter(tmp_path / "out", tmp_path / "out", None, manifest, ("tip",), 0.5)
    predictions = [
        Prediction(row, (40, 40), np.array([1.0, 1, 9, 9]), 0.9, np.array([[2.0, 2, 1]])) for row in range(3)
    ]
    files.write(predictions)
    assert files.skipped == [Skipped(0, "gone.png", "no such file")]
    assert (len(files.predictions), files.ears) == (2, 2)
    assert "gone.png,no such file" in (tmp_path / "out" / "skipped.csv").read_text()
    gray, reason = crop_or_gray(tmp_path / "gone.png", np.full(4, np.nan), 8)
    assert reason == "no such file"
    assert gray.shape == (8, 8, 3)


def test_a_clock_that_jumps_back_changes_nothing(unplug: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1e9 - 86400 * next(ticks))
    done = train(unplug, "--epochs", 1)
    assert done.exit_code == 0, done.output
    header, row = (unplug.parent / "runs/ear_vae/version_0/metrics.csv").read_text().splitlines()
    speed = dict(zip(header.split(","), row.split(","), strict=True))
    assert 0 < float(speed["images_per_second"]) < 1e5
    assert 0 <= float(speed["data_wait"]) <= 1


@posix
def test_without_a_usable_home_nothing_is_said(unplug: Path) -> None:
    """Also with a locale that knows ASCII only, and with a name that no encoding knows."""
    shutil.copy(unplug / "images" / "ear_00000.jpg", os.fsencode(unplug) + b"/\xff \xd7.jpg")
    write_csv(unplug / "odd.csv", ["image_path"], [[path.name] for path in unplug.glob("*.jpg")])
    home = unplug / "odd.csv"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    nowhere = {"HOME": str(home), "XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none"}
    command = [EAR, "check", unplug / "odd.csv", "-o", unplug / "report é"]
    done = subprocess.run(command, env={**nowhere, **ascii_only}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 ears, 0 findings" in done.stdout
    assert done.stdout.isascii()


PLACED = {
    "check": ["check", "set.npy", "-o"],
    "embed": ["embed", "set.npy", "-o"],
    "search": ["search", "--index", "set.npz", "-o"],
    "train": ["train", "--preset", "tiny", "--train-manifest", "set.npy", "--val-manifest", "set.npy", "--run-dir"],
    "finetune": ["finetune", "--train-manifest", "set.npy", "--val-manifest", "set.npy", "--run-dir"],
    "bench data": ["bench", "data", "-o"],
    "bench train": ["bench", "train", "--preset", "tiny", "-o"],
}


@pytest.mark.parametrize("command", PLACED)
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, command: str) -> None:
    """The other files that these commands name do not exist, which they would say next."""
    (tmp_path / "file").touch()
    ending = {"embed": "x.npz", "search": "x.png"}.get(command, "x")
    fails(ear(*PLACED[command], tmp_path / "file" / "folder" / ending), "file/folder", "cannot be written")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_name_that_no_folder_can_have_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be written \(File name too long\)"):
        check_writable(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        ImportError("libtorch_python.so: failed to map segment from shared object"),
    ],
)
def test_memory_that_runs_out_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr("earcli.synthetic.dataset.write_set", fail)
    fails(ear("synth", tmp_path / "ears"), "Memory ran out", "smaller batch")
    assert not is_out_of_memory(RuntimeError("another"))


NAMES = [b"a\xff.jpg", "أذن.jpg".encode(), "耳 👂.jpg".encode(), "\u00e9.jpg".encode(), "e\u0301.jpg".encode(),
         b"-q'\".jpg", b"new\nline.jpg", b"x" * 251 + b".jpg", "耳".encode() * 83 + b".jpg", b"=1+1.jpg",
         b"[bold]$(x);.jpg"]  # fmt: skip


@posix
def test_files_may_have_any_name(ears: Path, tmp_path: Path) -> None:
    folder = tmp_path / "all 'my' 耳"
    folder.mkdir()
    pictures = sorted((ears / "images").iterdir())
    for picture, name in zip(pictures, NAMES, strict=False):
        shutil.copy(picture, os.fsencode(folder) + b"/" + name)
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xfe\n.jpg")).write_text("no picture")
    made = ear("prepare", folder, "-o", tmp_path / "made")
    assert made.exit_code == 0, made.output
    assert "bad��.jpg: not a picture" in made.stdout
    found = []
    for side in ("train", "val"):
        for ending in ("npy", "csv"):
            checked = ear("check", tmp_path / "made" / f"{side}_teacher.{ending}", "-o", tmp_path / "report")
            assert "0 findings" in checked.output
        manifest = read_manifest(tmp_path / "made" / f"{side}_teacher.npy")
        load_crops(manifest, 32, tmp_path / "cache", 2)
        found += [os.fsencode(manifest.locate(row).resolve().name) for row in range(len(manifest))]
    assert sorted(found) == sorted(NAMES)
    paths = [os.fsdecode(name) for name in NAMES]
    embeddings = Embeddings(
        np.zeros((len(paths), 2), np.float32),
        paths,
        np.full((len(paths), 4), np.nan),
        [""] * len(paths),
        None,
        EncoderInfo("0", paths[0], "encoder", "fp32", 64),
    )
    for ending in (".npz", ".csv", ".parquet"):
        write_embeddings(folder / os.fsdecode(b"v\xff" + ending.encode()), embeddings)


@posix
def test_a_run_folder_that_libraries_cannot_name_is_refused(ears: Path, tmp_path: Path) -> None:
    shutil.copytree(ears, tmp_path / "ears")
    fails(train(tmp_path / "ears", "--run-name", os.fsdecode(b"\xff")), "not UTF-8")


BINARY = ("Image.open", "os.open", "archive.open", "Checkpoint.open", "cls.open")


def test_no_file_is_read_or_written_in_the_encoding_of_the_locale() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = ast.unparse(node.func)
            if name not in ("open", "read_text", "write_text", "fdopen") or owner.endswith(BINARY):
                continue
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if "encoding" not in {k.arg for k in node.keywords} and not any("b" in mode for mode in modes):
                wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []


@pytest.mark.slow
def test_training_goes_on_when_nobody_reads_it(ears: Path, tmp_path: Path) -> None:
    sets = f"--train-manifest {ears}/train_teacher.npy --val-manifest {ears}/val_teacher.npy --run-dir {tmp_path}/runs"
    line = f"{EAR} train {' '.join(SMALL)} {sets} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert trained_state(tmp_path / "runs" / "ear_vae")["epochs"] == 2


def test_no_module_needs_a_library_that_windows_lacks() -> None:
    lacking = {"resource", "fcntl", "pwd", "grp", "termios", "posix"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not lacking & set(names), path


POOR = """
import sys, os, importlib, pkgutil
for name in ("resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("fork", "preadv", "pread", "sched_getaffinity", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
import earcli
for module in pkgutil.walk_packages(earcli.__path__, "earcli."):
    importlib.import_module(module.name)
"""


@pytest.mark.slow
def test_every_module_can_be_imported_where_a_system_is_poor() -> None:
    done = subprocess.run([sys.executable, "-c", POOR], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
