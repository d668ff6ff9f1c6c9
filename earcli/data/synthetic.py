"""Ears that the program draws, with known anatomy, pose and light: something to try everything on.

An ear is a height field over the plane of the head, built of ridges (helix, antihelix, tragus) and hollows (concha,
scapha), lit by one lamp. In ear units x runs from the face (−1) to the back of the head (1), y from the top of the
ear (−1) to the lobe (1).
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earcli.data.cache import Progress
from earcli.data.manifest import write_manifest
from earcli.errors import RunError

Array = NDArray[np.float32]

WIDTH, HEIGHT = 160, 208
VAL_SHARE = 0.2
BOX_MARGIN = 0.06

LANDMARKS = (
    "helix_root",
    "helix_front",
    "helix_top",
    "helix_back_upper",
    "helix_back",
    "helix_back_lower",
    "lobe_back",
    "lobe_bottom",
    "lobe_front",
    "tragus",
    "intertragic_notch",
    "antitragus",
    "antihelix_lower",
    "antihelix_middle",
    "antihelix_fork",
    "superior_crus",
    "inferior_crus",
)

OUTLINE = ((-0.5, -0.2), (-0.62, -0.45), (-0.55, -0.76), (-0.22, -0.97), (0.22, -0.98), (0.6, -0.8), (0.82, -0.45),
           (0.82, -0.05), (0.68, 0.3), (0.46, 0.58), (0.3, 0.82), (0.06, 0.98), (-0.2, 0.96), (-0.38, 0.76),
           (-0.46, 0.45), (-0.52, 0.1))  # fmt: skip
HELIX = ((-0.12, -0.05), (-0.34, -0.16), (-0.5, -0.38), (-0.47, -0.7), (-0.2, -0.88), (0.18, -0.89), (0.52, -0.73),
         (0.72, -0.42), (0.73, -0.05), (0.6, 0.27), (0.42, 0.5))  # fmt: skip
ANTIHELIX = ((0.02, 0.42), (0.2, 0.36), (0.36, 0.18), (0.42, -0.08), (0.34, -0.3))
SUPERIOR_CRUS = ((0.34, -0.3), (0.28, -0.5), (0.14, -0.7))
INFERIOR_CRUS = ((0.34, -0.3), (0.14, -0.45), (-0.16, -0.47))
TRAGUS, ANTITRAGUS, NOTCH, CONCHA = (-0.4, 0.14), (0.0, 0.42), (-0.22, 0.36), (-0.02, 0.06)


@dataclass(frozen=True)
class Factors:
    """What varies from ear to ear. Shape and pose factors are drawn uniformly; 0 is the average unless said otherwise.

    Attributes:
        aspect: width by length, −1 narrow to 1 wide.
        roundness: −1 pointed top to 1 round top.
        lobe: −1 short lobe to 1 long lobe.
        helix_width: −1 thin rim to 1 broad rim.
        helix_height: −1 flat rim to 1 raised rim.
        antihelix: −1 faint to 1 strong.
        concha: −1 shallow to 1 deep.
        tragus: −1 small to 1 large.
        tilt: degrees that the ear leans back.
        size: length of the ear as a share of the picture's height.
        shift_x, shift_y: of the ear's centre, as shares of the picture.
        left: the left ear (True) faces left, as a picture of a person's left side shows it.
        light_azimuth: degrees around the ear, 0 from the back of the head, 90 from above.
        light_elevation: degrees above the plane of the head.
        light_strength: 1 is normal.
        warmth: −1 bluish to 1 yellowish light.
        skin: 0 light to 1 dark.
        hair: 0 light to 1 dark.
        hair_cover: 0 short hair to 1 hair over the top of the ear.
    """

    aspect: float
    roundness: float
    lobe: float
    helix_width: float
    helix_height: float
    antihelix: float
    concha: float
    tragus: float
    tilt: float
    size: float
    shift_x: float
    shift_y: float
    left: bool
    light_azimuth: float
    light_elevation: float
    light_strength: float
    warmth: float
    skin: float
    hair: float
    hair_cover: float


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
    curves = {name: _bend(np.array(points), factors) for name, points in _curves().items()}
    height, inside = _relief(x, y, curves, factors)
    image = _paint(x, y, height, inside, factors, rng)
    if not factors.left:
        image = image[:, ::-1]
    outline = to_picture(_spline(curves["outline"], closed=True))
    landmarks = to_picture(_landmarks(curves))
    if not factors.left:
        outline[:, 0], landmarks[:, 0] = WIDTH - 1 - outline[:, 0], WIDTH - 1 - landmarks[:, 0]
    low, high = outline.min(0), outline.max(0)
    margin = BOX_MARGIN * (high - low)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, (WIDTH, HEIGHT))
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    left, top, width, height_ = (round(float(v), 1) for v in (*low, *(high - low)))
    return SyntheticEar(pixels, landmarks, (left, top, width, height_))


def _placement(
    factors: Factors,
) -> tuple[Callable[[Array, Array], tuple[Array, Array]], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Maps between pixels and ear units, for an ear that faces left."""
    half = factors.size * HEIGHT / 2
    centre = np.array([WIDTH * (0.5 + factors.shift_x), HEIGHT * (0.5 + factors.shift_y)])
    angle = np.radians(factors.tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.array([half * 0.74 * (1 + 0.12 * factors.aspect), half])

    def to_ear(px: Array, py: Array) -> tuple[Array, Array]:
        dx, dy = px - centre[0], py - centre[1]
        u = (turn[0, 0] * dx + turn[1, 0] * dy) / scale[0]
        v = (turn[0, 1] * dx + turn[1, 1] * dy) / scale[1]
        return u.astype(np.float32), v.astype(np.float32)

    def to_picture(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points * scale) @ turn.T + centre)

    return to_ear, to_picture


def _curves() -> dict[str, tuple[tuple[float, float], ...]]:
    return {
        "outline": OUTLINE,
        "helix": HELIX,
        "antihelix": ANTIHELIX,
        "superior": SUPERIOR_CRUS,
        "inferior": INFERIOR_CRUS,
        "spots": (TRAGUS, ANTITRAGUS, NOTCH, CONCHA),
    }


def _bend(points: NDArray[np.float64], factors: Factors) -> NDArray[np.float64]:
    """Moves control points as the shape factors say."""
    x, y = points[:, 0].copy(), points[:, 1].copy()
    y = np.where(y > 0.5, 0.5 + (y - 0.5) * (1 + 0.35 * factors.lobe), y)
    top = np.clip(-y - 0.4, 0, None)
    x = x * (1 + 0.45 * factors.roundness * top)
    return np.stack([x, y], 1)


def _spline(points: NDArray[np.float64], *, closed: bool = False, per_piece: int = 12) -> NDArray[np.float64]:
    """A Catmull-Rom curve through control points (Catmull and Rom 1974), densely sampled."""
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    p = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0, 1, per_piece, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        cubic = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
        pieces.append(cubic / 2)
    return np.concatenate([*pieces, points[:1] if closed else points[-1:]])


def _nearest(x: Array, y: Array, curve: NDArray[np.float64]) -> tuple[Array, Array, Array]:
    """Of every pixel: distance to a sampled curve in ear units, place along it (0 to 1), side (1 right, −1 left)."""
    best = np.full(x.shape, np.inf, np.float32)
    which = np.zeros(x.shape, np.intp)
    for index, (cx, cy) in enumerate(curve.astype(np.float32)):
        d = (x - cx) ** 2 + (y - cy) ** 2
        closer = d < best
        best[closer], which[closer] = d[closer], index
    step = np.gradient(curve, axis=0)[which].astype(np.float32)
    offset = np.stack([x, y], -1) - curve[which].astype(np.float32)
    # between two samples the tangent stands in for the curve, or the samples would show as beads
    reach = ((offset * step).sum(-1) / (step**2).sum(-1)).clip(-0.5, 0.5)
    rest = offset - reach[..., None] * step
    side = np.sign(step[..., 0] * offset[..., 1] - step[..., 1] * offset[..., 0])
    along = ((which + reach) / (len(curve) - 1)).clip(0, 1)
    return np.linalg.norm(rest, axis=-1), along, side


def _ridge(x: Array, y: Array, control: NDArray[np.float64], width: float, fade: tuple[float, float]) -> Array:
    """A Gaussian ridge along a curve: `fade[0]` of its full height at the start, `fade[1]` at the end."""
    distance, along, _ = _nearest(x, y, _spline(control))
    level = np.maximum(fade[0] + (fade[1] - fade[0]) * along, np.sin(np.pi * along))
    return np.asarray(level * np.exp(-((distance / width) ** 2) / 2), np.float32)


def _spot(x: Array, y: Array, centre: NDArray[np.float64], rx: float, ry: float) -> Array:
    return np.asarray(np.exp(-(((x - centre[0]) / rx) ** 2 + ((y - centre[1]) / ry) ** 2) / 2), np.float32)


def _relief(x: Array, y: Array, curves: dict[str, NDArray[np.float64]], f: Factors) -> tuple[Array, Array]:
    """The height of every pixel, and how much it belongs to the ear (0 to 1)."""
    outline = _spline(curves["outline"], closed=True)
    distance, _, side = _nearest(x, y, outline)
    inside = 1 / (1 + np.exp(-side * distance / 0.018))  # the outline runs clockwise
    tragus, antitragus, notch, concha = curves["spots"]
    helix = _ridge(x, y, curves["helix"], 0.075 * (1 + 0.3 * f.helix_width), (0.55, 0.35))
    fold = _ridge(x, y, curves["antihelix"], 0.1, (0.8, 1.0))
    crura = np.maximum(
        _ridge(x, y, curves["superior"], 0.085, (1.0, 0.3)),
        _ridge(x, y, curves["inferior"], 0.06, (1.0, 0.4)),
    )
    bowl = _spot(x, y, concha, 0.25, 0.27)
    height = 0.16 + 0.1 * _spot(x, y, np.array([-0.08, 0.78]), 0.3, 0.22)
    height = height + (0.2 + 0.08 * f.helix_height) * helix
    height = height + (0.15 + 0.07 * f.antihelix) * np.maximum(fold, crura)
    height = height - (0.22 + 0.09 * f.concha) * bowl
    height = height + (0.17 + 0.05 * f.tragus) * _spot(x, y, tragus, 0.1, 0.12 * (1 + 0.2 * f.tragus))
    height = height + 0.1 * _spot(x, y, antitragus, 0.11, 0.07) - 0.08 * _spot(x, y, notch, 0.06, 0.07)
    # in front the ear grows out of the cheek, behind it stands off the head
    root = 1 / (1 + np.exp((x + 0.42 + 0.1 * y) / 0.05))
    stand = inside * (1 - 0.75 * root * (1 - helix))
    return (height * stand).astype(np.float32), inside.astype(np.float32)


def _soften(values: Array, factor: int) -> Array:
    """A blur: shrink, then stretch."""
    image = Image.fromarray(values)
    small = image.resize((max(values.shape[1] // factor, 2), max(values.shape[0] // factor, 2)), Image.Resampling.BOX)
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Smooth noise of that many bumps, about −1 to 1."""
    coarse = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def _paint(x: Array, y: Array, height: Array, inside: Array, f: Factors, rng: np.random.Generator) -> Array:
    """Lights the relief and adds skin and hair, (H, W, 3) in [0, 1]."""
    pixels = f.size * HEIGHT / 2  # one ear unit
    dy, dx = np.gradient(height * pixels)
    azimuth, elevation = np.radians(f.light_azimuth), np.radians(f.light_elevation)
    lamp = np.array([np.cos(azimuth) * np.cos(elevation), -np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    normal_length = np.sqrt(dx**2 + dy**2 + 1)
    lambert = ((-dx * lamp[0] - dy * lamp[1] + lamp[2]) / normal_length).clip(0, 1)
    hollow = (_soften(height, 10) - height).clip(0, None) + 0.5 * (_soften(height, 26) - height).clip(0, None)
    behind = _soften(inside, 12) * (1 - inside)  # the ear's shadow on the head
    open_sky = np.exp(-6.5 * hollow - 1.1 * behind)
    light = f.light_strength * (0.36 * open_sky + 0.75 * lambert * np.sqrt(open_sky))
    skin = np.array([0.95, 0.78, 0.68]) * (1 - f.skin) + np.array([0.42, 0.27, 0.2]) * f.skin
    flush = np.stack([np.zeros_like(hollow), -0.35 * hollow, -0.4 * hollow], -1)
    mottle = 1 + 0.02 * _noise(rng, 26, 20) + 0.015 * _noise(rng, 104, 80)
    image = (skin + flush) * (light * mottle)[..., None]
    half = (-dx * lamp[0] - dy * lamp[1] + lamp[2] + 1) / (normal_length * np.linalg.norm(lamp + np.array([0, 0, 1])))
    image = image + (0.13 * f.light_strength * half.clip(0, 1) ** 40 * open_sky)[..., None]
    image = _add_hair(image, x, y, inside, f, rng)
    image = image * (1 + 0.07 * f.warmth * np.array([1, 0.1, -1]))
    return (image + 0.008 * rng.standard_normal(image.shape)).astype(np.float32)


def _add_hair(
    image: NDArray[np.float64], x: Array, y: Array, inside: Array, f: Factors, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Hair behind and above the ear, and locks over its top."""
    sweep = x * 0.8 + y * 0.35 + 0.25 * np.sin(1.5 * y + rng.uniform(0, 6)) + 0.04 * _noise(rng, 5, 4)
    lines = rng.standard_normal(420).astype(np.float32)
    position = ((sweep + 3) * 70) % 419
    low = position.astype(int)
    strands = lines[low] * (1 - (position - low)) + lines[low + 1] * (position - low)
    tone = np.array([0.72, 0.55, 0.34]) * (1 - f.hair) + np.array([0.07, 0.055, 0.05]) * f.hair
    sheen = 0.75 + 0.16 * strands + 0.25 * np.exp(-(((y + 0.4 + 0.4 * x) / 0.35) ** 2))
    hair = tone * (f.light_strength * sheen.clip(0.25, 1.6))[..., None]
    edge = 0.05 * strands + 0.06 * _noise(rng, 9, 7)
    line = np.maximum(x - 0.6 + 0.3 * y.clip(0), -(y + 0.62 + 0.5 * (x + 0.5).clip(-1, 0.6) ** 2))
    backdrop = 1 / (1 + np.exp(-(line + edge) / 0.03)) * (1 - inside)
    locks = 1 / (1 + np.exp((y + 1.12 - 0.42 * f.hair_cover + 0.3 * x + 2.2 * edge) / 0.025))
    cover = np.maximum(backdrop, locks)[..., None]
    return np.asarray(image * (1 - cover) + hair * cover)


def _landmarks(curves: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    outline, helix, antihelix = curves["outline"], curves["helix"], curves["antihelix"]
    tragus, antitragus, notch, _ = curves["spots"]
    points = {
        "helix_root": helix[0],
        "helix_front": outline[1],
        "helix_top": (outline[3] + outline[4]) / 2,
        "helix_back_upper": outline[5],
        "helix_back": outline[7],
        "helix_back_lower": outline[8],
        "lobe_back": outline[10],
        "lobe_bottom": outline[11],
        "lobe_front": outline[13],
        "tragus": tragus,
        "intertragic_notch": notch,
        "antitragus": antitragus,
        "antihelix_lower": antihelix[2],
        "antihelix_middle": antihelix[3],
        "antihelix_fork": antihelix[4],
        "superior_crus": curves["superior"][-1],
        "inferior_crus": curves["inferior"][-1],
    }
    return np.stack([points[name] for name in LANDMARKS])


def write_set(folder: Path, count: int, seed: int, progress: Progress | None = None) -> None:
    """Draws a labelled set into a new or empty folder, which appears whole or not at all.

    Writes `images/`, `train_teacher.npy`, `val_teacher.npy`, `_annotations.coco.json` and `factors.csv`.

    Raises:
        RunError: the folder has something in it, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder} is not empty. Give a new folder; ear synth overwrites nothing.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write_into(temporary, count, seed, progress)
            temporary.chmod(0o755)  # mkdtemp lets nobody else in
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Give another folder.") from error


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
    with (folder / "factors.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_path", *(f.name for f in fields(Factors))])
        writer.writerows([name, *asdict(factors).values()] for name, (factors, _) in zip(names, drawn, strict=True))
    coco = _coco(names, [ear for _, ear in drawn])
    (folder / "_annotations.coco.json").write_text(json.dumps(coco), encoding="utf-8")


def _coco(names: list[str], ears: list[SyntheticEar]) -> dict[str, Any]:
    """The key-point format of COCO (cocodataset.org/#format-data); visibility 2 is "labelled and visible"."""
    annotations = []
    for index, ear in enumerate(ears):
        keypoints = [value for x, y in ear.landmarks.round(2).tolist() for value in (x, y, 2)]
        annotations.append(
            {
                "id": index,
                "image_id": index,
                "category_id": 1,
                "bbox": list(ear.box),
                "area": round(ear.box[2] * ear.box[3], 1),
                "iscrowd": 0,
                "num_keypoints": len(LANDMARKS),
                "keypoints": keypoints,
            }
        )
    return {
        "images": [{"id": i, "file_name": n, "width": WIDTH, "height": HEIGHT} for i, n in enumerate(names)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "ear", "keypoints": list(LANDMARKS), "skeleton": []}],
    }
