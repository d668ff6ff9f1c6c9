"""Plain failures, as docs/reliability.md lists them: what disks, clocks, shells and terminals can do to a command."""

import ast
import errno
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from running import ear, fails

import earcli
from earcli.analysis.prediction import Prediction
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.cli.command import show_stop
from earcli.cli.streams import Outlet, resilient_stream
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Skipped, load_crops
from earcli.data.embeddings import Embeddings, EncoderInfo, write_embeddings
from earcli.data.manifest import Manifest, read_manifest
from earcli.data.uncached import crop_or_gray
from earcli.errors import InterruptedTraining, RunError, is_out_of_memory
from earcli.files import check_writable, write_csv
from earcli.reporting.console import TEACHER_COLUMNS, ConsoleReporter, print_line
from earcli.reporting.tables import print_table
from earcli.tasks.inputs import cache_folder
from earcli.tasks.prediction_files import PredictionWriter

EAR = Path(sys.executable).with_name("ear")
PACKAGE = Path(earcli.__file__).parent
SMALL = ["--preset", "tiny", "--latent-dim", "8", "--limit-train", "4", "--limit-val", "2", "--batch-size", "2",
         "--precision", "32", "--epochs", "2"]  # fmt: skip
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither such names nor such files")

# -- a data folder or a picture that goes away


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
    files = PredictionWriter(tmp_path / "out", None, manifest, ("tip",), 0.5)
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


# -- a clock that jumps


def test_a_clock_that_jumps_back_changes_nothing(unplug: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1e9 - 86400 * next(ticks))
    done = train(unplug, "--epochs", 1)
    assert done.exit_code == 0, done.output
    header, row = (unplug.parent / "runs/ear_vae/version_0/metrics.csv").read_text().splitlines()
    speed = dict(zip(header.split(","), row.split(","), strict=True))
    assert 0 < float(speed["images_per_second"]) < 1e5
    assert 0 <= float(speed["data_wait"]) <= 1


# -- folders that cannot be written


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


def test_no_folder_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    fails(ear("synth", tmp_path / "ears"), "No usable temporary directory", "set TMPDIR")


@posix
def test_a_working_folder_that_is_gone_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    fails(ear("synth", "ears"), "working folder is gone", "Change to another")


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


def test_the_cache_of_a_run_that_cannot_be_written_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs" / "ear_vae" / "version_0" / "checkpoints" / "last.ckpt"
    checkpoint = Checkpoint(path, "teacher", TrainConfig(), {})
    (tmp_path / "runs").mkdir()
    assert cache_folder(checkpoint, tmp_path / "mine") == tmp_path / "runs"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache_folder(checkpoint, tmp_path / "mine") == tmp_path / "mine"


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


# -- names and encodings

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


def test_the_command_that_goes_on_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    path = "my 'runs'/耳 $(x)/last.ckpt"
    show_stop(InterruptedTraining(2, Path(path)))
    assert shlex.split(capsys.readouterr().out.partition("continue with: ")[2]) == ["ear", "resume", path]


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


def test_onnxruntime_is_told_to_report_nothing() -> None:
    code = "import earcli.exporting, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


# -- an output that nobody reads, that is full, or that is not there


def pipe(encoding: str = "utf-8") -> tuple[int, io.TextIOWrapper]:
    read, write = os.pipe()
    return read, open(write, "w", encoding=encoding)  # noqa: PTH123


def test_a_reader_that_goes_away_does_not_stop_a_writer() -> None:
    read, stream = pipe()
    with stream, resilient_stream(stream) as out:
        out.write("one\n")
        out.flush()
        assert os.read(read, 100) == b"one\n"
        os.close(read)
        for _ in range(3):
            out.write("more\n" * 10000)
            out.flush()


def test_a_character_that_an_output_lacks_becomes_a_question_mark() -> None:
    read, stream = pipe("ascii")
    with stream, resilient_stream(stream) as out:
        out.write("3 × 4 − \udcff")
    assert os.read(read, 100) == b"3 ? 4 ? ?"
    os.close(read)


def test_an_output_that_cannot_be_written_is_an_error_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (tmp_path / "log").open("w") as file, resilient_stream(file) as out, monkeypatch.context() as patch:
        patch.setattr(Outlet, "write", full)
        out.write("x")
        with pytest.raises(OSError, match="No space left"):
            out.flush()


def test_a_closed_output_is_written_to_nowhere() -> None:
    with resilient_stream(None) as out:
        print("x", file=out)


@posix
def test_no_file_takes_the_place_of_a_closed_output() -> None:
    code = (
        "import os; from earcli.cli.streams import reopen_closed_streams; reopen_closed_streams(); os._exit(os.dup(0))"
    )
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code], check=False)
    assert done.returncode == 3  # the first number that is free


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([EAR, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: The output cannot be written (No space left on device). Free space there, or send it elsewhere."
    ]


def test_a_command_whose_reader_goes_away_ends_as_it_would_have() -> None:
    process = subprocess.Popen([EAR, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")


@pytest.mark.slow
def test_training_goes_on_when_nobody_reads_it(ears: Path, tmp_path: Path) -> None:
    sets = f"--train-manifest {ears}/train_teacher.npy --val-manifest {ears}/val_teacher.npy --run-dir {tmp_path}/runs"
    line = f"{EAR} train {' '.join(SMALL)} {sets} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert trained_state(tmp_path / "runs" / "ear_vae")["epochs"] == 2


# -- narrow terminals


def screen(tmp_path: Path, width: int, show: Callable[[Console], None]) -> list[str]:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        show(Console(file=file, width=width, force_terminal=True, color_system=None))
        file.seek(0)
        return file.read().splitlines()


ROWS = [("leak-copy", "18", "0", "12", "yes", "the same picture"), ("foreign", "7", "11", "3", "", "no picture")]
HEADER = ("found", "train_teacher", "val_teacher", "bad", "harmful", "meaning")


@pytest.mark.parametrize("width", [20, 40])
def test_no_figure_is_cut_in_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    def epoch(console: Console) -> None:
        record = {column.key: 1234 if column.spec == "d" else 0.125 for column in TEACHER_COLUMNS}
        ConsoleReporter(console).epoch(record)

    table = screen(tmp_path, width, lambda console: print_table(console, HEADER, ROWS))
    assert {"  train_teacher: 18", "  val_teacher: 11", "  bad: 12", "  harmful: yes"} <= set(table)
    assert {"leak-copy", "  val_teacher: 0", "foreign"} <= set(table)
    if width == 40:
        lines = screen(tmp_path, width, epoch)
        assert max(map(len, lines)) <= width
        assert all(text in "\n".join(lines) for text in ("epoch", "1234", "PSNR dB", "0.12", "SSIM", "0.125"))
        assert "…" not in "\n".join(lines)
    wide = screen(tmp_path, 100, lambda console: print_table(console, HEADER, ROWS))
    assert any("leak-copy" in line and "18" in line and "yes" in line for line in wide)


def test_a_note_is_one_line_whatever_name_it_holds(tmp_path: Path) -> None:
    lines = screen(tmp_path, 40, lambda console: print_line("bad\nname \udcff", console))
    assert lines == ["bad�name �"]


@pytest.mark.parametrize("columns", ["40", "1", "0"])
def test_help_names_every_option_whole_however_narrow(columns: str) -> None:
    done = subprocess.run(
        [EAR, "check", "--help"], env={**os.environ, "COLUMNS": columns}, capture_output=True, text=True, check=True
    )
    assert all(f" --{name} " in done.stdout for name in ("root-dir", "num-workers", "debug"))
    if columns == "40":
        assert max(map(len, done.stdout.splitlines())) <= 40


# -- other systems


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


SPAWNING = """
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from earcli.data.batches import EpochBatches, crop_dataset
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest

if __name__ == "__main__":
    dataset = crop_dataset(load_crops(read_manifest(Path(sys.argv[1])), 64, Path(sys.argv[2]), 2))
    order = EpochBatches(24, 5, seed=0)
    here = list(DataLoader(dataset, sampler=order, batch_size=None))
    spawned = list(
        DataLoader(dataset, sampler=order, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    )
    assert len(here) == len(spawned) == 4
    for one, other in zip(here, spawned):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
"""


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches(ears: Path, tmp_path: Path) -> None:
    """`ear` reads in its own process; who uses its data sets from a loader with workers gets the same."""
    (tmp_path / "script.py").write_text(SPAWNING, encoding="utf-8")
    command = [sys.executable, tmp_path / "script.py", ears / "train_teacher.npy", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
