"""No file that `ear` reads runs code, is changed, or ends in any error other than an EarError.

docs/SECURITY.md states the guarantees. Most files are read in a subprocess (`mutating.py`), which measures memory and
time; crafted pickles whose only attack is the memory, time or stack of the process are not covered.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpus import good, npy, picture, read, text
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ear, fails

from earcli.analysis.prediction import Prediction
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.data.images import BadPictureError, read_picture
from earcli.data.labels import read_labels
from earcli.data.manifest import Manifest, read_manifest, write_columns
from earcli.errors import CheckpointError, EarError, ManifestError
from earcli.files import escape_formula
from earcli.reporting.html import ReportTable, write_report
from earcli.reporting.markdown import escape
from earcli.tasks.prediction_files import PredictionWriter

HARMLESS = [
    "archive: a tensor without numbers behind it",  # one number, expanded; it fits no network
    "picture: tif: a tag of billions",  # Pillow leaves out a tag whose bytes are not there
]
settings.register_profile("quiet", derandomize=True, deadline=None, database=None, max_examples=150)
settings.load_profile("quiet")


def read_apart(*arguments: object) -> dict[str, Any]:
    """What `mutating.py` says."""
    script = Path(__file__).with_name("mutating.py")
    result = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_hostile_files_are_refused_and_damaged_ones_give_results_or_errors(tmp_path: Path) -> None:
    found = read_apart(tmp_path, 12, 1)
    assert found["failures"] == []
    assert found["read"] == HARMLESS
    assert found["hostile"] > 150
    assert all(counts.get("errors", 0) for counts in found["damaged"].values())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_thousands_of_damaged_files_give_results_or_errors(tmp_path: Path, seed: int) -> None:
    found = read_apart(tmp_path, 500, seed)
    assert found["failures"] == []
    assert {name: sum(counts.values()) for name, counts in found["damaged"].items()} == dict.fromkeys(good(), 500)
    assert all(counts.get("errors", 0) and counts.get("results", 0) for counts in found["damaged"].values())


# -- what is no file


@pytest.fixture
def ten_seconds() -> Iterator[None]:
    """A test that waits for ever fails."""
    # no OSError, which a reader would take for the file's
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for ever"))
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def in_place_of_a_file(path: Path) -> Iterator[str]:
    """Puts what is no file at a path, one after the other."""
    os.mkfifo(path)
    yield "a pipe"
    path.unlink()
    for target in ("/dev/zero", "/dev/stdin", path):
        path.symlink_to(target)
        yield f"a link to {target}"
        path.unlink()
    path.mkdir()
    yield "a folder"
    path.rmdir()
    yield "nothing"


@pytest.mark.parametrize("name", sorted(good()))
@pytest.mark.usefixtures("ten_seconds")
def test_pipes_devices_and_loops_of_links_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(good()["w.safetensors"])
    for _ in in_place_of_a_file(tmp_path / name):
        with pytest.raises(EarError, match=r"\A.*\Z"):
            read(tmp_path / name)


@pytest.mark.usefixtures("ten_seconds")
def test_a_manifest_may_name_pipes_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "m.csv").write_text("filename,x,y,w,h\npipe.png,1,2,3,4\nzero.png,1,2,3,4\n")
    manifest = read_manifest(tmp_path / "m.csv")
    for index in range(2):
        with pytest.raises(BadPictureError, match="not a regular file"):
            read_picture(manifest.locate(index))
    with pytest.raises(EarError, match="2 of 2 labels"):
        read_labels(tmp_path / "m.csv")
    assert RunFolder(tmp_path).kind == "teacher"
    os.mkfifo(tmp_path / "hparams.yaml")
    assert RunFolder(tmp_path).kind == "teacher"


def test_a_picture_of_more_bytes_than_any_has_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.webp").open("wb") as file:
        file.write(picture("webp"))
        file.truncate(513 << 20)  # sparse: takes no room
    with pytest.raises(BadPictureError, match="over the limit"):
        read_picture(tmp_path / "a.webp")


def test_a_program_that_pillow_would_run_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", None)  # Ghostscript
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(BadPictureError, match="not a picture"):
        read_picture(tmp_path / "a.png")


# -- where paths lead


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../etc/passwd", "a/../../x", "..\\x", "a\0.jpg", "C:\\key", "\\\\host\\key"]
)
@pytest.mark.parametrize("kind", [".csv", ".npy", ".coco.json"])
def test_a_name_that_leaves_its_folder_must_be_a_pictures(tmp_path: Path, name: str, kind: str) -> None:
    boxes = np.array([[1.0, 2, 3, 4]] * 4)
    names = [name, "../raw/a.JPG", "/raw/b.png", "folder/without ending"]
    write_columns(tmp_path / f"m{kind}", Manifest(names, boxes), [(9, 9)] * 4)
    refused: list[str] = []
    assert read_manifest(tmp_path / f"m{kind}", on_bad_row=refused.append).paths == names[1:]
    assert len(refused) == 1
    with pytest.raises(ManifestError, match=r"leaves its folder|is not a valid file name"):
        read_manifest(tmp_path / f"m{kind}")


@pytest.mark.parametrize("kind", [".csv", ".coco.json"])
def test_a_name_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.coco.json").write_text(
        json.dumps(
            {"images": [{"id": 0, "file_name": "\ud800.jpg"}], "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]}
        )
    )
    with pytest.raises(ManifestError, match="is not a valid file name"):
        read_manifest(tmp_path / "m.coco.json")


def test_what_is_named_after_a_picture_stays_in_its_folder(tmp_path: Path) -> None:
    names = ["../a.jpg", f"{'x' * 250}.jpg", f"{'x' * 250}.JPG", "sub/../../a.jpg"]
    root = tmp_path / "raw" / "sub"
    root.mkdir(parents=True)
    (root / "sub").mkdir()
    for name in names:
        (root / name).resolve().write_bytes(picture("jpg"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "out").mkdir()
    (tmp_path / "cut").mkdir()
    manifest = Manifest(names, np.full((4, 4), np.nan), root=root)
    predictions = [Prediction(row, (48, 32), np.array([1.0, 2, 20, 20]), 0.9, np.zeros((0, 3))) for row in range(4)]
    PredictionWriter(tmp_path / "out", tmp_path / "cut", manifest, (), 0.5).write(predictions)
    assert len(list((tmp_path / "cut").iterdir())) == len(list((tmp_path / "out" / "pictures").iterdir())) == 4
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all({"out", "cut"} & set(path.parts) for path in after - before.keys())
    assert all(path.read_bytes() == content for path, content in before.items())


# -- what is written


SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def test_a_report_shows_hostile_names_as_text(tmp_path: Path) -> None:
    table = ReportTable(SCRIPT, [SCRIPT], [[SCRIPT, True, None]])
    write_report(tmp_path / "r.html", SCRIPT, {SCRIPT: SCRIPT}, [SCRIPT], [table], [])
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 8
    assert "49" not in page.split("<body>")[1]


def test_markdown_shows_hostile_names_as_text() -> None:
    for name in (SCRIPT, "[a](javascript:b)", "`x`", "| a | b", "a\nb\x1b[2J"):
        shown = escape(name)
        assert "\n" not in shown
        assert "\x1b" not in shown
        assert not any(f"{mark}" in shown.replace(f"\\{mark}", "") for mark in "<>[]`|")


# -- anything at all


@given(st.text())
def test_no_text_becomes_a_formula(value: str) -> None:
    cell = escape_formula(value)
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


STEPS = [b"N", b"]", b"}", b")", b"(", b"t", b"e", b"u", b"a", b"s", b"b", b"R", b"Q", b"\x85", b"\x86", b"\x87",
         b"\x88", b"\x93", b"\x94", b"K\x01", b"J\xff\xff\xff\x7f", b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"C\x01b",
         text("f8"), text("image_paths"), text("bboxes"), b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cos\nsystem\n",
         b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n", b"\x81", b"0", b"2",
         b"](K\x01K\x02K\x03K\x04e"]  # fmt: skip


@given(st.lists(st.sampled_from(STEPS), max_size=30))
def test_no_pickle_does_more_than_be_read(tmp_path_factory: pytest.TempPathFactory, steps: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "m.npy"
    for content in (
        b"".join(steps),
        b"}(" + text("image_paths") + b"".join(steps) + text("bboxes") + b"".join(steps) + b"u",
    ):
        path.write_bytes(npy(b"\x80\x04" + content + b"."))
        read_or_refuse(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "file_name", "image_id", "bbox", "keypoints", "category_id"]), inner)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3), JSON)
def test_no_annotation_does_more_than_be_read(
    tmp_path_factory: pytest.TempPathFactory, images: list[Any], annotations: list[Any], categories: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "m.json"
    content = {
        "images": [{"id": 0, "file_name": "a.jpg"}, *images],
        "annotations": annotations,
        "categories": categories,
    }
    path.write_text(json.dumps(content))
    read_or_refuse(path)


@given(st.lists(st.lists(st.text(max_size=4) | st.floats().map(str), min_size=4, max_size=6), max_size=4))
def test_no_table_does_more_than_be_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "m.csv"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file).writerows([["filename", "x", "y", "w", "h"], *rows])
    read_or_refuse(path)


@given(st.text(max_size=60))
def test_no_configuration_does_more_than_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "k.yaml"
    path.write_bytes(f"latent_dim: {text}\n".encode("utf-8", "surrogatepass"))
    read_or_refuse(path)


def read_or_refuse(path: Path) -> None:
    before = path.read_bytes()
    with suppress(EarError):
        read(path)
    assert path.read_bytes() == before


# -- checkpoints that a run cannot go on from


def test_a_flipped_bit_in_a_tensor_is_found(run: RunFolder, tmp_path: Path) -> None:
    content = bytearray(run.last.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        Checkpoint.open(tmp_path / "x.ckpt")


def lost(checkpoint: dict[str, Any], *keys: Any) -> None:
    for key in keys[:-1]:
        checkpoint = checkpoint[key]
    del checkpoint[keys[-1]]


DAMAGE = {
    "no epochs": lambda c: lost(c, "ear", "epochs_done"),
    "words for epochs": lambda c: c["ear"].update(epochs_done="two"),
    "no process at all": lambda c: c["ear"].update(processes=0),
    "words for processes": lambda c: c["ear"].update(processes="two"),
    "words for steps": lambda c: c["ear"].update(steps_per_epoch="two"),
    "no steps": lambda c: lost(c, "ear", "steps_per_epoch"),
    "sums of words": lambda c: c["ear"].update(sums={"loss": "x"}),
    "no optimizer": lambda c: c.update(optimizer_states=[]),
    "moments of another shape": lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(77)),
    "moments of words": lambda c: c["optimizer_states"][0]["state"].update({0: "x"}),
    "no groups": lambda c: lost(c["optimizer_states"][0], "param_groups"),
    "weights of another network": lambda c: c["hyper_parameters"].update(latent_dim=999),
    "progress of words": lambda c: c["loops"]["fit_loop"]["epoch_progress"]["current"].update(ready="x"),
    "no progress": lambda c: lost(c, "loops", "fit_loop", "epoch_progress"),
    "no parameters in the groups": lambda c: lost(c, "optimizer_states", 0, "param_groups", 0, "params"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_does_not_go_on_from_nonsense(run: RunFolder, damage: str) -> None:
    checkpoint = torch.load(run.last, weights_only=True)
    DAMAGE[damage](checkpoint)
    run.last.unlink()  # a link to the file that other tests share
    torch.save(checkpoint, run.last)
    fails(ear("resume", run.last, "--epochs", 4), "last.ckpt", "Take an older")
