"""The shape of synthetic ears: curves deformed by the factors, and the height map built from them.

In ear units x runs from the face (−1) to the back of the head (1), y from the top of the ear (−1) to the lobe (1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Curves = dict[str, NDArray[np.float64]]

WIDTH, HEIGHT = 160, 208  # of the images, in pixels

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


LIGHT_FACTORS = ("light_azimuth", "light_elevation", "light_strength", "warmth", "skin", "hair", "hair_cover")
"""The factors of appearance; all others are factors of shape or pose."""


@dataclass(frozen=True)
class Factors:
    """The factors of variation of one ear. Those of shape lie in [-1, 1], and 0 is the average.

    Attributes:
        aspect: Ratio of width to length, −1 narrow to 1 wide.
        roundness: −1 pointed top to 1 round top.
        lobe: −1 short lobe to 1 long lobe.
        helix_width: −1 thin rim to 1 broad rim.
        helix_height: −1 flat rim to 1 raised rim.
        antihelix: −1 faint to 1 strong.
        concha: −1 shallow to 1 deep.
        tragus: −1 small to 1 large.
        tilt: Backward rotation of the ear, in degrees.
        size: Length of the ear as a fraction of the image's height.
        shift_x: Horizontal offset of the ear's center, as a fraction of the image's width.
        shift_y: Vertical offset of the ear's center, as a fraction of the image's height.
        left: Whether it is a left ear, nearest faces left in a photo of a person's left side.
        light_azimuth: Direction of the light in degrees, 0 from the back of the head, 90 from above.
        light_elevation: Elevation of the light above the plane of the head, in degrees.
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


def deform_curves(factors: Factors) -> Curves:
    """The control points of each curve, (K, 2) in ear units, deformed by the shape factors."""
    base = {
        "outline": OUTLINE,
        "helix": HELIX,
        "antihelix": ANTIHELIX,
        "superior": SUPERIOR_CRUS,
        "inferior": INFERIOR_CRUS,
        "spots": (TRAGUS, ANTITRAGUS, NOTCH, CONCHA),
    }
    return {name: _deform(np.array(points), factors) for name, points in base.items()}


def _deform(points: NDArray[np.float64], factors: Factors) -> NDArray[np.float64]:
    x, y = points[:, 0].copy(), points[:, 1].copy()
    y = np.where(y > 0.5, 0.5 + (y - 0.5) * (1 + 0.35 * factors.lobe), y)
    top = np.clip(-y - 0.4, 0, None)
    x = x * (1 + 0.45 * factors.roundness * top)
    return np.stack([x, y], 1)


def spline(points: NDArray[np.float64], *, closed: bool = False, per_piece: int = 12) -> NDArray[np.float64]:
    """A densely sampled Catmull-Rom spline (Catmull and Rom 1974) through control points (K, 2).

    Args:
        points: (K, 2).
        closed: Whether the last point connects to the first.
        per_piece: Samples per pair of control points.

    >>> spline(np.array([[0.0, 0.0], [1.0, 1.0]]), per_piece=4).shape
    (5, 2)
    """
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    p = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0, 1, per_piece, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        cubic = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
        pieces.append(cubic / 2)
    return np.concatenate([*pieces, points[:1] if closed else points[-1:]])


def _nearest(x: Array, y: Array, curve: NDArray[np.float64]) -> tuple[Array, Array, Array]:
    """For each pixel: distance to a sampled curve in ear units, position along it (0 to 1), side (1 right, −1 left)."""
    best = np.full(x.shape, np.inf, np.float32)
    nearest = np.zeros(x.shape, np.intp)
    for index, (cx, cy) in enumerate(curve.astype(np.float32)):
        d = (x - cx) ** 2 + (y - cy) ** 2
        is_closer = d < best
        best[is_closer], nearest[is_closer] = d[is_closer], index
    step = np.gradient(curve, axis=0)[nearest].astype(np.float32)
    offset = np.stack([x, y], -1) - curve[nearest].astype(np.float32)
    # distance to the tangent: the distance to the nearest sample would show the samples as beads
    position = ((offset * step).sum(-1) / (step**2).sum(-1)).clip(-0.5, 0.5)
    normal = offset - position[..., None] * step
    side = np.sign(step[..., 0] * offset[..., 1] - step[..., 1] * offset[..., 0])
    along = ((nearest + position) / (len(curve) - 1)).clip(0, 1)
    return np.linalg.norm(normal, axis=-1), along, side


def _ridge(x: Array, y: Array, control: NDArray[np.float64], width: float, fade: tuple[float, float]) -> Array:
    """A Gaussian ridge along a curve: `fade[0]` of its full height at the start, `fade[1]` at the end."""
    distance, along, _ = _nearest(x, y, spline(control))
    level = np.maximum(fade[0] + (fade[1] - fade[0]) * along, np.sin(np.pi * along))
    return np.asarray(level * np.exp(-((distance / width) ** 2) / 2), np.float32)


def soft_step(values: Array, softness: float) -> Array:
    """The logistic function: 0 far below 0, 1 far above, in ear units."""
    return np.asarray(0.5 * (1 + np.tanh(values / (2 * softness))))  # exp would overflow


def _spot(x: Array, y: Array, center: NDArray[np.float64], rx: float, ry: float) -> Array:
    return np.asarray(np.exp(-(((x - center[0]) / rx) ** 2 + ((y - center[1]) / ry) ** 2) / 2), np.float32)


def height_map(x: Array, y: Array, curves: Curves, f: Factors) -> tuple[Array, Array]:
    """The height of each pixel, and the fraction of it that is ear (0 to 1).

    Args:
        x: Of each pixel in ear units, (H, W).
        y: Of each pixel in ear units, (H, W).
        curves: See `deform_curves`.
        f: The factors.
    """
    outline = spline(curves["outline"], closed=True)
    distance, _, side = _nearest(x, y, outline)
    inside = soft_step(side * distance, 0.018)  # the outline runs clockwise
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
    # the front of the ear is attached to the cheek, its back stands off the head
    root = soft_step(-(x + 0.42 + 0.1 * y), 0.05)
    stand = inside * (1 - 0.75 * root * (1 - helix))
    return (height * stand).astype(np.float32), inside.astype(np.float32)


def landmarks(curves: Curves) -> NDArray[np.float64]:
    """(17, 2) in ear units, in the order of `LANDMARKS`."""
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
