"""No file that `ear` reads runs code, is changed, or ends in any error other than an EarError.

docs/SECURITY.md states the guarantees. Most files are read in a subprocess (`mutating.py`), which measures memory and
time; crafted pickles whose only attack is the memory, time or stack of the process are not covered."""

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

import pytest
from corpus import good, npy, read, text
from hypothesis import given, settings
from hypothesis import strategies as st
from running import HELPERS

from earcli.checkpoints.runs import RunFolder
from earcli.data.images import BadPictureError, read_picture
from earcli.data.labels import read_labels
from earcli.data.manifest import read_manifest
from earcli.errors import EarError

HARMLESS = [
    "archive: a tensor without numbers behind it",  # one number, expanded; it fits no network
    "picture: tif: a tag of billions",  # Pillow leaves out a tag whose bytes are not there
]


settings.register_profile("quiet", derandomize=True, deadline=None, database=None, max_examples=150)


settings.load_profile("quiet")


def read_apart(*arguments: object) -> dict[str, Any]:
    """What `mutating.py` says."""
    script = HELPERS / "mutating.py"
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
