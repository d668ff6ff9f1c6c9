"""From picture files to batches."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crops import WHOLE, fill, manifest
from numpy.typing import NDArray
from PIL import Image

from earcli.config.teacher import TrainConfig
from earcli.data import cache
from earcli.data.cache import load_crops
from earcli.data.images import read_crop
from earcli.data.manifest import write_manifest
from earcli.errors import DataError, RunError
from earcli.reporting.reporter import SILENT
from earcli.tasks.train import _read_sets


def test_the_cache_holds_what_reading_each_crop_gives(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    boxes = [None, [1, 2, 30, 30], None, [0, 0, 5, 5], None, None]
    table = manifest(tmp_path, boxes)
    seen: list[tuple[str, int, int]] = []
    crops = load_crops(table, 32, tmp_path / "cache", 2, lambda *args: seen.append(args))
    for index in range(6):
        np.testing.assert_array_equal(crops.pixels[index], read_crop(table.locate(index), table.boxes[index], 32))
    assert seen[-1] == ("decoding pictures", 6, 6)


def test_a_second_start_decodes_nothing_until_a_file_changes(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    decoded: list[tuple[str, int, int]] = []

    def load() -> int:
        decoded.clear()
        load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2, lambda *args: decoded.append(args))
        return len(decoded)

    assert (load(), load()) == (1, 0)
    Image.new("RGB", (9, 9)).save(tmp_path / "002.png")
    assert (load(), load()) == (1, 0)


DAMAGE = {
    "cut": ("pixels.u8", lambda content: content[:-1]),
    "one bit": ("pixels.u8", lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]),
    "zeros": ("pixels.u8", lambda content: bytes(len(content))),
    "facts cut": ("entry.json", lambda content: content[:-1]),
    "no facts": ("entry.json", lambda content: b"{}"),
}


NEEDS_VERIFY = ("one bit", "zeros")
"""Damage that keeps the size; with the modification time restored, only `verify` detects it."""


def load_pixels(folder: Path, *, verify: bool = False) -> NDArray[np.uint8]:
    return np.array(load_crops(manifest(folder), 32, folder / "cache", 2, verify=verify).pixels[:])


def damage_cache(folder: Path, damage: str, *, restore_time: bool) -> Path:
    """Damages a file of the only entry; with another modification time unless that is restored."""
    name, change = DAMAGE[damage]
    file = next((folder / "cache").glob(f"pixels-*/{name}"))
    status = file.stat()
    file.write_bytes(change(file.read_bytes()))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + (0 if restore_time else 10**9)))
    return file


@pytest.mark.parametrize("restore_time", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, damage: str, restore_time: bool) -> None:
    fill(tmp_path, 4)
    before = load_pixels(tmp_path)
    file = damage_cache(tmp_path, damage, restore_time=restore_time)
    if restore_time and damage in NEEDS_VERIFY:
        assert not np.array_equal(load_pixels(tmp_path), before)
        np.testing.assert_array_equal(load_pixels(tmp_path, verify=True), before)
    np.testing.assert_array_equal(load_pixels(tmp_path), before)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [file.parent.name]
    assert {p.name for p in file.parent.iterdir()} == {"pixels.u8", "entry.json", "lock"}


@pytest.mark.parametrize("verify", [True, False])
def test_a_run_verifies_its_cache_if_asked(tmp_path: Path, verify: bool) -> None:
    fill(tmp_path, 4)
    write_manifest(tmp_path / "set.npy", manifest(tmp_path).paths, [None] * 4)
    config = TrainConfig(
        image_size=64, train_manifest=tmp_path / "set.npy", val_manifest=tmp_path / "set.npy", run_dir=tmp_path / "runs"
    )
    before = np.array(_read_sets(config, SILENT)[0].pixels[:])
    file = next((tmp_path / "runs").glob(".cache/pixels-*/pixels.u8"))
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = np.array(_read_sets(replace(config, verify_cache=verify), SILENT)[0].pixels[:])
    assert np.array_equal(after, before) == verify


def test_an_intact_cache_with_another_modification_time_is_read_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 4)
    before = load_pixels(tmp_path)
    file = next((tmp_path / "cache").glob("pixels-*/pixels.u8"))
    os.utime(file, ns=(1, 1))
    monkeypatch.setattr(cache, "_write", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(load_pixels(tmp_path), before)
    monkeypatch.setattr(cache, "_checksum", lambda _: pytest.fail("read again"))
    np.testing.assert_array_equal(load_pixels(tmp_path), before)


TELLING = """
import sys, time
from pathlib import Path
from earcli.data.cache import load_crops
from earcli.data.manifest import read_manifest

folder, deadline = Path(sys.argv[1]), time.monotonic() + 60

def tell(what, done, total):
    print(what)
    (folder / what.split()[0]).touch()
    while what.startswith("decoding") and not (folder / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.01)

print(load_crops(read_manifest(folder / "set.npy"), 32, folder / "cache", 2, tell).pixels[:].sum())
"""


def test_of_two_processes_one_decodes_and_the_other_waits_for_it(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    write_manifest(tmp_path / "set.npy", [f"{index:03d}.png" for index in range(4)], [None] * 4)
    command = [sys.executable, "-c", TELLING, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0].splitlines() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    pixels = str(load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2).pixels[:].sum())
    assert said == [["decoding pictures", pixels], ["waiting for another run to decode", pixels]]


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    entry = next((tmp_path / "cache").iterdir())
    (entry / "entry.json").unlink()
    (entry / ".pixels.u8-abcd1234.tmp").mkdir()  # as `atomic_write` makes it
    (entry / ".pixels.u8-abcd1234.tmp" / "pixels.u8").write_bytes(b"half")
    load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    assert {p.name for p in entry.iterdir()} == {"pixels.u8", "entry.json", "lock"}


def test_bad_pictures_are_left_out_and_listed(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / "007.png").write_text("no picture")
    crops = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    assert [(s.index, s.path) for s in crops.skipped] == [(7, "007.png")]
    assert "not a picture" in crops.skipped[0].reason
    assert crops.manifest.paths == [f"{i:03d}.png" for i in range(20) if i != 7]
    np.testing.assert_array_equal(crops.pixels[7], read_crop(tmp_path / "008.png", WHOLE, 32))


@pytest.mark.parametrize("bad", [2, 20])
def test_more_than_one_bad_picture_in_twenty_stops(tmp_path: Path, bad: int) -> None:
    fill(tmp_path, 20)
    for index in range(bad):
        (tmp_path / f"{index:03d}.png").write_text("no picture")
    with pytest.raises(DataError, match=rf"{bad} of 20 pictures cannot be used .* 000.png: not a picture"):
        load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)


def test_a_cache_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        load_crops(manifest(tmp_path), 32, tmp_path / "file" / "cache", 2)
