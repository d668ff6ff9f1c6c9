"""Tests of `earcli/data/images.py`."""

from pathlib import Path

import numpy as np
import pytest
from corpus import picture
from PIL import Image

from earcli.data import images
from earcli.data.images import BadPictureError, quiet_decoding, read_crop, read_picture
from earcli.errors import DataError


def gradient(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8)).convert(mode)


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
    Image.new("1", (20_001, 10_000)).save(folder / "bomb.png")
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


def test_the_limit_of_pixels_is_a_knob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "max_pixels", images.max_pixels.__wrapped__)
    monkeypatch.setenv("EAR_MAX_PIXELS", "2399")
    with pytest.raises(BadPictureError, match="60×40 pixels are over the limit of 2399, which EAR_MAX_PIXELS raises"):
        read_picture(tmp_path / "a.png")
    monkeypatch.setenv("EAR_MAX_PIXELS", "2400")
    assert read_picture(tmp_path / "a.png").size == (60, 40)
    monkeypatch.setenv("EAR_MAX_PIXELS", "many")
    with pytest.raises(DataError, match="EAR_MAX_PIXELS is 'many', expected a number of pixels"):
        read_picture(tmp_path / "a.png")


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
