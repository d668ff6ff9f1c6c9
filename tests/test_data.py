"""From picture files to batches."""

import errno
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from earcli.config.teacher import TrainConfig
from earcli.data import cache
from earcli.data.augmentation import STRENGTHS, augment
from earcli.data.batches import EpochBatches, crop_dataset
from earcli.data.cache import load_crops
from earcli.data.images import BadPictureError, quiet_decoding, read_crop, read_picture
from earcli.data.manifest import Manifest, write_manifest
from earcli.data.pixels import StoredPixels
from earcli.data.uncached import decode_crops
from earcli.errors import DataError, RunError
from earcli.reporting.reporter import SILENT
from earcli.tasks.train import _read_sets
from earcli.training.memory import resident_memory

WHOLE = np.full(4, np.nan)


def gradient(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8)).convert(mode)


def manifest(folder: Path, boxes: list[Any] | None = None) -> Manifest:
    paths = sorted(p.name for p in folder.iterdir() if p.suffix in (".png", ".jpg"))
    rows = [WHOLE if box is None else np.array(box, float) for box in (boxes or [None] * len(paths))]
    return Manifest(paths, np.stack(rows), None, folder)


# -- one picture


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image = gradient(mode)
    image.save(path)
    picture = read_picture(path)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(image.convert("RGB")))


def test_16_bit_gray_keeps_its_high_byte(tmp_path: Path) -> None:
    values = (np.arange(60 * 40).reshape(40, 60) * 20).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    pixels = np.asarray(read_picture(tmp_path / "x.png"))
    np.testing.assert_array_equal(pixels[..., 0], values >> 8)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "x.png")
    assert (np.asarray(read_picture(tmp_path / "x.png")) == 255).all()


def test_exif_orientation_is_applied_before_the_box(tmp_path: Path) -> None:
    image, exif = gradient(), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "x.png", exif=exif)
    upright = image.transpose(Image.Transpose.ROTATE_270)
    assert read_picture(tmp_path / "x.png").size == (40, 60)
    crop = read_crop(tmp_path / "x.png", np.array([0.0, 0, 40, 20]), 32)
    np.testing.assert_array_equal(
        crop, np.asarray(upright.crop((0, 0, 40, 20)).resize((32, 32), Image.Resampling.BILINEAR))
    )


def test_a_box_that_reaches_over_the_border_is_cut(tmp_path: Path) -> None:
    gradient().save(tmp_path / "x.png")
    cut = read_crop(tmp_path / "x.png", np.array([-10.0, 10, 30, 100]), 64)
    expected = gradient().crop((0, 10, 20, 40)).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(cut, np.asarray(expected))


def bad_pictures(folder: Path) -> dict[str, tuple[Path, list[float]]]:
    """Files that cannot be used, by the reason that must be given."""
    everything = [0.0, 0, 10, 10]
    gradient().save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    gradient().save(folder / "x.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "x.jpg").read_bytes()[:600])
    (folder / "cut.png").write_bytes(whole[:100])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    Image.new("1", (20_000, 10_000)).save(folder / "bomb.png")
    (folder / "folder.png").mkdir()
    good = folder / "good.png"
    return {
        "no such file": (folder / "missing.png", everything),
        "unreadable (OSError": (folder / "truncated.jpg", everything),
        "unreadable": (folder / "cut.png", everything),
        "empty file": (folder / "empty.png", everything),
        "not a picture": (folder / "text.png", everything),
        "limit": (folder / "bomb.png", everything),
        "not a regular file": (folder / "folder.png", everything),
        "lies outside the picture of 60×40": (good, [60, 0, 5, 5]),
        "box of 0×5 pixels is empty": (good, [0, 0, 0, 5]),
        "box of -4×5 pixels is empty": (good, [9, 0, -4, 5]),
        "not finite": (good, [0, 0, np.inf, 5]),
    }


def test_a_bad_picture_says_why(tmp_path: Path) -> None:
    for reason, (path, box) in bad_pictures(tmp_path).items():
        with quiet_decoding(), pytest.raises(BadPictureError) as caught:
            read_crop(path, np.array(box, float), 32)
        assert reason in str(caught.value)


# -- the cache


def fill(folder: Path, count: int) -> None:
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{index:03d}.png")


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


def test_without_a_cache_come_the_same_crops_and_nothing_is_written(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / "007.png").write_text("no picture")
    before = sorted(tmp_path.iterdir())
    seen: list[tuple[str, int, int]] = []
    crops = decode_crops(manifest(tmp_path), 32, 2, lambda *args: seen.append(args))
    assert sorted(tmp_path.iterdir()) == before
    assert seen == [("checking pictures", 20, 20)]
    cached = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    assert (crops.skipped, crops.manifest.paths) == (cached.skipped, cached.manifest.paths)
    assert crops.pixels.shape == cached.pixels.shape
    for which in (3, slice(5, 9), np.array([12, 0, 12]), slice(19, None)):
        np.testing.assert_array_equal(crops.pixels[which], cached.pixels[which])
    batches = [crop_dataset(c)[np.array([2, 0])]["pixels"] for c in (crops, cached)]
    assert torch.equal(*batches)
    (tmp_path / "003.png").unlink()
    with pytest.raises(DataError, match=r"003\.png could be read at the start, but no longer: no such file"):
        crops.pixels[:5]


def test_without_a_cache_too_many_bad_pictures_stop(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    for index in range(2):
        (tmp_path / f"{index:03d}.png").write_text("no picture")
    with pytest.raises(DataError, match="2 of 20 pictures cannot be used"):
        decode_crops(manifest(tmp_path), 32, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_reading_a_large_set_does_not_make_the_process_large(tmp_path: Path) -> None:
    shape = (2**11, 64, 64, 3)
    expected = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "x").write_bytes(expected.tobytes())
    pixels = StoredPixels(tmp_path / "x", shape)
    before = resident_memory(torch.device("cpu"))
    for index in range(len(pixels)):
        np.testing.assert_array_equal(pixels[index], expected[index])
    assert resident_memory(torch.device("cpu")) - before < expected.nbytes / 4
    with pytest.raises(ValueError, match="bytes, expected"):
        StoredPixels(tmp_path / "x", (5, 64, 64, 3))


def stored(folder: Path, count: int = 6) -> tuple[StoredPixels, np.ndarray]:
    wanted = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    (folder / "x").write_bytes(wanted.tobytes())
    return StoredPixels(folder / "x", wanted.shape), wanted


@pytest.mark.parametrize("everywhere", [True, False], ids=["as Windows reads", "as others read"])
def test_stored_pixels_are_indexed_as_an_array_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    if everywhere:
        monkeypatch.delattr(os, "preadv", raising=False)
    pixels, wanted = stored(tmp_path)
    indices = [0, -1, np.int64(3), slice(None), slice(1, 5, 2), slice(9, 12), [4, 0, 0], np.array([[5, 1], [2, 3]])]
    for which in [*indices, np.arange(6)[::-1], wanted[:, 0, 0, 0] > 99, np.array([], int)]:
        np.testing.assert_array_equal(pixels[which], wanted[which])
    with pytest.raises(IndexError):
        pixels[6]


def test_a_cache_that_is_cut_while_it_is_read_is_an_error_and_no_crash(tmp_path: Path) -> None:
    pixels, wanted = stored(tmp_path)
    os.truncate(tmp_path / "x", 4 * 8 * 8 * 3 + 7)
    np.testing.assert_array_equal(pixels[:4], wanted[:4])
    with pytest.raises(DataError, match=r"x, the pixel cache, .* truncated\). Check its disk"):
        pixels[:]


def test_a_cache_whose_disk_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    pixels = stored(tmp_path)[0]
    monkeypatch.setattr(os, "preadv", fail, raising=False)
    with pytest.raises(DataError, match=r"x, the pixel cache, .* \(Input/output error\)"):
        pixels[2]


def test_another_process_opens_the_same_file(tmp_path: Path) -> None:
    wanted = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    (tmp_path / "x").write_bytes(wanted.tobytes())
    sent = pickle.dumps(StoredPixels(tmp_path / "x", wanted.shape))
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent)[:], wanted)


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


# -- batches


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    first, again, second = (np.concatenate(list(EpochBatches(20, 4, seed=3, epoch=e))) for e in (0, 0, 1))
    assert sorted(first) == list(range(20))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != second.tolist()


def test_training_drops_a_partial_batch_and_validation_keeps_it() -> None:
    assert [len(b) for b in EpochBatches(10, 4, seed=0)] == [4, 4]
    assert np.concatenate(list(EpochBatches(10, 4))).tolist() == list(range(10))


def test_a_start_in_the_middle_gives_the_rest_of_the_same_order() -> None:
    whole, rest = list(EpochBatches(20, 4, seed=0, epoch=5)), list(EpochBatches(20, 4, seed=0, epoch=5, start=2))
    np.testing.assert_array_equal(np.stack(whole[2:]), np.stack(rest))


@pytest.mark.parametrize("seed", [None, 0])
def test_processes_share_each_batch_without_overlap(seed: int | None) -> None:
    parts = [np.concatenate(list(EpochBatches(24, 4, seed=seed, epoch=1, rank=r, world_size=3))) for r in range(3)]
    assert sorted(np.concatenate(parts)) == list(range(24))
    whole = list(EpochBatches(24, 12, seed=seed, epoch=1))
    for number in range(2):
        shared = np.concatenate([part[number * 4 : number * 4 + 4] for part in parts])
        assert sorted(shared) == sorted(whole[number])


def test_a_batch_is_pixels_and_subjects_of_its_samples(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    crops = load_crops(manifest(tmp_path), 32, tmp_path / "cache", 2)
    batch = crop_dataset(crops)[np.array([3, 1])]
    assert batch["pixels"].shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(batch["pixels"][0].permute(1, 2, 0), crops.pixels[3])
    assert batch["subject"].tolist() == [-1, -1]


# -- augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_augmentation_depends_on_the_generator_alone_and_stays_in_range(strength: str) -> None:
    images = torch.rand(8, 3, 64, 64, generator=generator()) * 2 - 1
    first, again, other = (augment(images, STRENGTHS[strength], generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.abs().max() <= 1


def test_none_changes_nothing() -> None:
    images = torch.rand(2, 3, 64, 64)
    assert augment(images, STRENGTHS["none"], generator()) is images


def test_pictures_of_one_batch_are_varied_apart_and_about_half_are_flipped() -> None:
    ramp = torch.linspace(-0.8, 0.8, 64).expand(64, 3, 64, 64)
    result = augment(ramp, STRENGTHS["light"], generator())
    flipped = result[:, 0, 32, 0] > result[:, 0, 32, -1]
    assert 16 < flipped.sum() < 48
    assert len({round(float(v), 4) for v in result.mean((1, 2, 3))}) > 60


def test_light_augmentation_keeps_the_ear_where_it_is() -> None:
    images = torch.full((32, 3, 64, 64), -0.5)
    images[:, :, 24:40, 24:40] = 0.5
    result = augment(images, STRENGTHS["light"], generator())
    assert (result[:, :, 29:35, 29:35].mean((1, 2, 3)) > result[:, :, :8, :8].mean((1, 2, 3)) + 0.5).all()
