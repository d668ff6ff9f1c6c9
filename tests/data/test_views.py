"""Views of labeled pictures: what is labeled stays where it is seen, however the view is varied."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from earcli.data.augmentation import STRENGTHS
from earcli.data.labels import Labels, read_labels
from earcli.data.views import boxes_to_picture, expand_boxes, render_views, to_picture, view_dataset

STRONG = STRENGTHS["strong"]


def test_margins_are_cut_at_the_picture_and_whole_pixels() -> None:
    boxes = np.array([[10.0, 20.0, 40.0, 60.0], [0.0, 0.0, 100.0, 100.0], [np.nan] * 4])
    sizes = np.array([[100, 100], [100, 100], [80, 90]])
    assert expand_boxes(boxes, 0.25, sizes).tolist() == [[0, 5, 60, 90], [0, 0, 100, 100], [0, 0, 80, 90]]
    assert expand_boxes(boxes, None, sizes)[0].tolist() == [0, 0, 100, 100]


@pytest.fixture
def dotted(tmp_path: Path) -> Labels:
    """Dark pictures with three bright discs, which are the points, and a box around them."""
    folder = tmp_path / "dots"
    folder.mkdir()
    rows, columns = np.mgrid[0:200, 0:160]
    points = np.array([[60.0, 70.0, 2], [100.0, 80.0, 2], [75.0, 130.0, 1]])
    lines = ["version: 1", "n_points: 3", "{", *(f"{x + 1} {y + 1}" for x, y, _ in points), "}"]
    for number in range(8):
        image = np.full((200, 160, 3), 20, np.uint8)
        for (x, y, _), color in zip(points, np.eye(3), strict=True):
            image[(columns - x) ** 2 + (rows - y) ** 2 <= 36] = color * 235 + 20
        Image.fromarray(image).save(folder / f"{number}.png")
        (folder / f"{number}.pts").write_text("\n".join(lines))
    labels = read_labels(folder)
    boxes = np.tile([40.0, 50.0, 80.0, 100.0], (8, 1))
    return replace(labels, manifest=replace(labels.manifest, boxes=boxes))


def test_points_go_with_the_picture_however_it_is_turned_zoomed_shifted_and_flipped(
    dotted: Labels, tmp_path: Path
) -> None:
    dataset, kept = view_dataset(dotted, 128, 0.25, vary=True, folder=tmp_path / "cache", workers=1)
    assert dataset.manifest is kept.manifest  # of which a bad batch is written
    assert dataset.pixels.shape == (8, 256, 256, 3)
    batch = dataset[np.arange(8)]
    plain = replace(STRONG, brightness=0, contrast=0, color=0)
    images, target = render_views(batch, 128, plain, torch.Generator().manual_seed(3))
    assert target.labeled.all()
    for image, points in zip(images, target.points * 128, strict=True):
        for channel, (x, y) in enumerate(points.tolist()):
            bright = image[channel] > 0.2
            rows, columns = torch.nonzero(bright, as_tuple=True)
            assert columns.float().mean() + 0.5 == pytest.approx(x, abs=0.6)
            assert rows.float().mean() + 0.5 == pytest.approx(y, abs=0.6)
    assert (target.points[:, 0, 0] > target.points[:, 1, 0]).any(), "no flip"
    assert (target.points[:, 0, 0] < target.points[:, 1, 0]).any(), "all flipped"


def test_targets_are_not_rounded_under_mixed_precision(dotted: Labels, tmp_path: Path) -> None:
    dataset, _ = view_dataset(dotted, 64, 0.25, vary=True, folder=tmp_path / "cache", workers=1)
    targets = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            targets.append(render_views(dataset[np.arange(8)], 64, STRONG, torch.Generator().manual_seed(3))[1].points)
    assert torch.equal(*targets)


def test_a_box_goes_with_its_ear_as_the_ellipse_in_it(dotted: Labels, tmp_path: Path) -> None:
    folder = Path(dotted.manifest.root)
    rows, columns = np.mgrid[0:200, 0:160]
    ellipse = ((columns + 0.5 - 80) / 40) ** 2 + ((rows + 0.5 - 100) / 50) ** 2 <= 1
    for name in dotted.manifest.paths:
        Image.fromarray(np.where(ellipse[..., None], 230, 20).astype(np.uint8).repeat(3, 2)).save(folder / name)
    dataset, _ = view_dataset(dotted, 128, 0.25, vary=True, folder=tmp_path / "cache", workers=1)
    plain = replace(STRONG, brightness=0, contrast=0, color=0)
    images, target = render_views(dataset[np.arange(8)], 128, plain, torch.Generator().manual_seed(1))
    for image, (x, y, width, height) in zip(images[:, 0], (target.boxes * 128).tolist(), strict=True):
        rows_, columns_ = torch.nonzero(image > 0, as_tuple=True)
        assert columns_.min() == pytest.approx(x, abs=1.5)
        assert rows_.min() == pytest.approx(y, abs=1.5)
        assert columns_.max() + 1 == pytest.approx(x + width, abs=1.5)
        assert rows_.max() + 1 == pytest.approx(y + height, abs=1.5)


def test_what_is_shown_for_validation_is_the_crop_that_pillow_makes(dotted: Labels, tmp_path: Path) -> None:
    dataset, _ = view_dataset(dotted, 64, 0.25, vary=False, folder=tmp_path / "cache", workers=1)
    with Image.open(dotted.manifest.locate(0)) as picture:
        crop = picture.crop((20, 25, 140, 175)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(dataset.pixels[0], np.asarray(crop))
    batch = dataset[np.arange(2)]
    images, target = render_views(batch, 64, None)
    assert images.shape == (2, 3, 64, 64)
    back = to_picture(target.points, batch["window"])
    assert back[0].numpy() == pytest.approx(dotted.points[0, :, :2], abs=1e-3)
    assert boxes_to_picture(target.boxes, batch["window"])[0].tolist() == pytest.approx([40, 50, 80, 100], abs=1e-3)


def test_a_point_that_leaves_the_view_or_has_no_label_is_not_learned(dotted: Labels, tmp_path: Path) -> None:
    points = dotted.points.copy()
    points[:, 1, 2] = 0
    unlabeled = replace(dotted, points=points)
    dataset, _ = view_dataset(unlabeled, 64, 0.0, vary=True, folder=tmp_path / "cache", workers=1)
    batch = dataset[np.arange(8)]
    _, target = render_views(batch, 64, replace(STRONG, shift=0.6), torch.Generator().manual_seed(0))
    inside = ((target.points >= 0) & (target.points <= 1)).all(2)
    assert torch.equal(target.labeled[:, [0, 2]], inside[:, [0, 2]])
    assert not inside.all()
    assert not target.labeled[:, 1].any()


def test_the_view_of_a_whole_picture_shows_all_of_it(dotted: Labels, tmp_path: Path) -> None:
    dataset, _ = view_dataset(dotted, 64, None, vary=True, folder=tmp_path / "cache", workers=1)
    assert dataset.columns["window"][0].tolist() == [0, 0, 160, 200]
    assert dataset.columns["view"][0].tolist() == [0, 0, 1, 1]
