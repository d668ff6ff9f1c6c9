"""Ears that the program draws, with known anatomy, pose and light: something to try everything on.

An ear is a height field over the plane of the head, built of ridges (helix, antihelix, tragus) and hollows (concha,
scapha), lit by one lamp.
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
from earcli.synthetic.anatomy import HEIGHT, LANDMARKS, WIDTH, Array, Factors, bent_curves, landmarks, relief, spline
from earcli.synthetic.shading import paint
from earcli.untrusted.files import read_bounded

FACTORS_BYTES = 256 << 20
VAL_SHARE = 0.2
BOX_MARGIN = 0.06


def draw_factors(rng: np.random.Generator) -> Factors:
    """Factors of one random ear."""

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
    """One drawing.

    Attributes:
        image: (208, 160, 3) uint8.
        landmarks: (17, 2), x and y in pixels, in the order of `LANDMARKS`.
        box: x, y, width, height in pixels, around the outline with a small margin.
    """

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    box: tuple[float, float, float, float]


def draw_ear(factors: Factors, rng: np.random.Generator) -> SyntheticEar:
    """Draws an ear; `rng` decides on what no factor names: hair, skin texture, camera noise."""
    to_ear, to_picture = _placement(factors)
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = to_ear(xs, ys)  # ear units of every pixel
    curves = bent_curves(factors)
    height, inside = relief(x, y, curves, factors)
    image = paint(x, y, height, inside, factors, rng)
    if not factors.left:
        image = image[:, ::-1]
    outline = to_picture(spline(curves["outline"], closed=True))
    points = to_picture(landmarks(curves))
    if not factors.left:
        outline[:, 0], points[:, 0] = WIDTH - 1 - outline[:, 0], WIDTH - 1 - points[:, 0]
    low, high = outline.min(0), outline.max(0)
    margin = BOX_MARGIN * (high - low)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, (WIDTH, HEIGHT))
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    left, top, width, height_ = (round(float(v), 1) for v in (*low, *(high - low)))
    return SyntheticEar(pixels, points, (left, top, width, height_))


def _placement(
    factors: Factors,
) -> tuple[Callable[[Array, Array], tuple[Array, Array]], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Maps between pixels and ear units, for an ear that faces left."""
    half = factors.size * HEIGHT / 2
    center = np.array([WIDTH * (0.5 + factors.shift_x), HEIGHT * (0.5 + factors.shift_y)])
    angle = np.radians(factors.tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.array([half * 0.74 * (1 + 0.12 * factors.aspect), half])

    def to_ear(px: Array, py: Array) -> tuple[Array, Array]:
        dx, dy = px - center[0], py - center[1]
        u = (turn[0, 0] * dx + turn[1, 0] * dy) / scale[0]
        v = (turn[0, 1] * dx + turn[1, 1] * dy) / scale[1]
        return u.astype(np.float32), v.astype(np.float32)

    def to_picture(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points * scale) @ turn.T + center)

    return to_ear, to_picture


def write_set(folder: Path, count: int, seed: int, progress: Progress | None = None) -> None:
    """Draws a labeled set into a new or empty folder, which appears whole or not at all.

    Writes `images/` and for training and validation `train_teacher.npy`, `train_landmarks.coco.json`,
    `val_teacher.npy`, `val_landmarks.coco.json`; `factors.csv` has both.

    Raises:
        RunError: the folder has something in it, or cannot be written.
    """
    with atomic_folder(folder) as temporary:
        _write_into(temporary, count, seed, progress)


def read_factors(folder: Path, paths: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The factors of pictures by name, (N,) each, from the `factors.csv` of a drawn set; empty where there is none.

    Args:
        paths: as the set's manifests name the pictures.

    Raises:
        DataError: the file is there and damaged.
    """
    place = folder / "factors.csv"
    try:
        lines = read_bounded(place, FACTORS_BYTES).decode("utf-8").splitlines()
        rows = {row["image_path"]: row for row in csv.DictReader(lines)}
        if any(path not in rows for path in paths):
            return {}
        numbers = {"True": 1.0, "False": 0.0}
        return {
            f.name: np.array([numbers[v] if (v := rows[path][f.name]) in numbers else float(v) for path in paths])
            for f in fields(Factors)
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{place} is not what ear synth writes ({error}). Draw the set anew, or move the file."
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

    drawn = []
    with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter lock
        for done, result in enumerate(pool.map(one, range(count)), 1):
            drawn.append(result)
            if progress is not None:
                progress("drawing ears", done, count)
    boxes = [ear.box for _, ear in drawn]
    held_out = round(count * VAL_SHARE)
    for name, part in (("train", slice(held_out, None)), ("val", slice(held_out))):
        write_manifest(folder / f"{name}_teacher.npy", names[part], boxes[part])
        keypoints: list[Keypoints | None] = [_keypoints(ear) for _, ear in drawn[part]]
        columns = Columns(names[part], np.array(boxes[part]).reshape(-1, 4), keypoints=keypoints)
        write_coco(folder / f"{name}_landmarks.coco.json", columns, [(WIDTH, HEIGHT)] * len(keypoints))
    with (folder / "factors.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_path", *(f.name for f in fields(Factors))])
        writer.writerows([name, *asdict(factors).values()] for name, (factors, _) in zip(names, drawn, strict=True))


def _keypoints(ear: SyntheticEar) -> Keypoints:
    visible = np.full((len(LANDMARKS), 1), 2.0)
    return Keypoints(tuple(LANDMARKS), np.hstack([ear.landmarks.round(2), visible]))
