"""Synthetic ears with known anatomy, pose and light, for tests and first steps.

An ear is a height field over the plane of the head, built of ridges (helix, antihelix, tragus) and hollows (concha,
scapha), lit by one light source.
"""

import csv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earcli.data.cache import Progress
from earcli.data.formats.coco import write_coco
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.manifest import write_manifest
from earcli.errors import DataError
from earcli.files import atomic_folder
from earcli.synthetic.anatomy import (
    HEIGHT,
    LANDMARKS,
    WIDTH,
    Array,
    Factors,
    deform_curves,
    height_map,
    landmarks,
    spline,
)
from earcli.synthetic.shading import render
from earcli.untrusted.files import read_bounded

FACTORS_BYTES = 256 << 20
VAL_FRACTION = 0.2
BOX_MARGIN = 0.06


def draw_factors(rng: np.random.Generator) -> Factors:
    """Samples the factors of one ear.

    >>> draw_factors(np.random.default_rng(0)).left
    False
    """

    def shape() -> float:
        return float(rng.uniform(-1, 1))

    return Factors(
        aspect=shape(),
        roundness=shape(),
        lobe=shape(),
        helix_width=shape(),
        helix_height=shape(),
        antihelix=shape(),
        concha=shape(),
        tragus=shape(),
        tilt=float(rng.uniform(-12, 18)),
        size=float(rng.uniform(0.72, 0.82)),
        shift_x=float(rng.uniform(-0.03, 0.03)),
        shift_y=float(rng.uniform(-0.03, 0.03)),
        left=bool(rng.integers(2)),
        light_azimuth=float(rng.uniform(20, 160)),
        light_elevation=float(rng.uniform(35, 65)),
        light_strength=float(rng.uniform(0.75, 1.2)),
        warmth=shape(),
        skin=float(rng.beta(1.2, 1.8)),
        hair=float(rng.beta(2, 1)),
        hair_cover=float(rng.uniform(0, 1)),
    )


@dataclass(frozen=True)
class SyntheticEar:
    """An image of an ear and its annotation.

    Attributes:
        image: (208, 160, 3) uint8.
        landmarks: (17, 2), x and y in pixels, in the order of `LANDMARKS`.
        box: x, y, width, height in pixels; the bounding box of the outline with a margin of 6%.
    """

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    box: tuple[float, float, float, float]


def draw_ear(factors: Factors, rng: np.random.Generator) -> SyntheticEar:
    """Renders an ear; `rng` determines strands of hair, skin texture and camera noise.

    >>> rng = np.random.default_rng(0)
    >>> draw_ear(draw_factors(rng), rng).image.shape
    (208, 160, 3)
    """
    to_ear, to_image = _coordinate_maps(factors)
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = to_ear(xs, ys)  # (H, W) each, in ear units
    curves = deform_curves(factors)
    height, inside = height_map(x, y, curves, factors)
    image = render(x, y, height, inside, factors, rng)
    if not factors.left:
        image = image[:, ::-1]
    outline = to_image(spline(curves["outline"], closed=True))
    points = to_image(landmarks(curves))
    if not factors.left:
        outline[:, 0], points[:, 0] = WIDTH - 1 - outline[:, 0], WIDTH - 1 - points[:, 0]
    low, high = outline.min(0), outline.max(0)
    margin = BOX_MARGIN * (high - low)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, (WIDTH, HEIGHT))
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    left, top, width, height_ = (round(float(v), 1) for v in (*low, *(high - low)))
    return SyntheticEar(pixels, points, (left, top, width, height_))


def _coordinate_maps(
    factors: Factors,
) -> tuple[Callable[[Array, Array], tuple[Array, Array]], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """The maps from pixels to ear units and back, for an ear that faces left."""
    half = factors.size * HEIGHT / 2
    center = np.array([WIDTH * (0.5 + factors.shift_x), HEIGHT * (0.5 + factors.shift_y)])
    angle = np.radians(factors.tilt)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.array([half * 0.74 * (1 + 0.12 * factors.aspect), half])

    def to_ear(px: Array, py: Array) -> tuple[Array, Array]:
        dx, dy = px - center[0], py - center[1]
        u = (rotation[0, 0] * dx + rotation[1, 0] * dy) / scale[0]
        v = (rotation[0, 1] * dx + rotation[1, 1] * dy) / scale[1]
        return u.astype(np.float32), v.astype(np.float32)

    def to_image(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points * scale) @ rotation.T + center)

    return to_ear, to_image


def write_set(folder: Path, count: int, seed: int, progress: Progress | None = None) -> None:
    """Renders a labeled dataset into a new or empty folder, atomically.

    Writes `images/`, `factors.csv`, and for training and validation `train_teacher.npy`, `train_landmarks.coco.json`,
    `val_teacher.npy`, `val_landmarks.coco.json`.

    Args:
        folder: The new folder.
        count: Images, of which a fifth is for validation.
        seed: Image i depends on (seed, i) only.
        progress: Called after each image.

    Raises:
        RunError: The folder is not empty, or cannot be written.
    """
    with atomic_folder(folder) as temporary:
        _write_into(temporary, count, seed, progress)


def read_factors(folder: Path, paths: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The factors by name, (N,) each, from the `factors.csv` of a synthetic dataset; empty if there is none.

    Args:
        folder: The dataset.
        paths: The N images, named as in the manifests of the dataset.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / "factors.csv"
    try:
        lines = read_bounded(path, FACTORS_BYTES).decode("utf-8").splitlines()
        rows = {row["image_path"]: row for row in csv.DictReader(lines)}
        if any(name not in rows for name in paths):
            return {}
        numbers = {"True": 1.0, "False": 0.0}
        return {
            f.name: np.array([numbers[v] if (v := rows[name][f.name]) in numbers else float(v) for name in paths])
            for f in fields(Factors)
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} is damaged ({error}), expected a file of ear synth. Recreate the dataset, or move the file."
        ) from error


def _write_into(folder: Path, count: int, seed: int, progress: Progress | None) -> None:
    (folder / "images").mkdir()
    names = [f"images/ear_{index:05d}.jpg" for index in range(count)]

    def one(index: int) -> tuple[Factors, SyntheticEar]:
        rng = np.random.default_rng((seed, index))
        factors = draw_factors(rng)
        ear = draw_ear(factors, rng)
        Image.fromarray(ear.image).save(folder / names[index], quality=95)
        return factors, ear

    results = []
    with ThreadPoolExecutor() as pool:  # numpy releases the GIL
        for done, result in enumerate(pool.map(one, range(count)), 1):
            results.append(result)
            if progress is not None:
                progress("drawing ears", done, count)
    boxes = [ear.box for _, ear in results]
    held_out = round(count * VAL_FRACTION)
    for name, part in (("train", slice(held_out, None)), ("val", slice(held_out))):
        write_manifest(folder / f"{name}_teacher.npy", names[part], boxes[part])
        keypoints: list[Keypoints | None] = [_keypoints(ear) for _, ear in results[part]]
        columns = Columns(names[part], np.array(boxes[part]).reshape(-1, 4), keypoints=keypoints)
        write_coco(folder / f"{name}_landmarks.coco.json", columns, [(WIDTH, HEIGHT)] * len(keypoints))
    with (folder / "factors.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_path", *(f.name for f in fields(Factors))])
        writer.writerows([name, *asdict(factors).values()] for name, (factors, _) in zip(names, results, strict=True))


def _keypoints(ear: SyntheticEar) -> Keypoints:
    visible = np.full((len(LANDMARKS), 1), 2.0)
    return Keypoints(tuple(LANDMARKS), np.hstack([ear.landmarks.round(2), visible]))
