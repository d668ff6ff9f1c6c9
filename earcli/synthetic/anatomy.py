"""The shape of drawn ears: curves that bend with the factors, and the relief that they make.

In ear units x runs from the face (−1) to the back of the head (1), y from the top of the ear (−1) to the lobe (1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Curves = dict[str, NDArray[np.float64]]

WIDTH, HEIGHT = 160, 208  # of the pictures, in pixels

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
"""The factors that change how an ear looks and not its shape or pose."""


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
        shift_x, shift_y: of the ear's center, as shares of the picture.
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


def bent_curves(factors: Factors) -> Curves:
    """The control points of every curve, (K, 2) in ear units, moved as the shape factors say."""
    straight = {
        "outline": OUTLINE,
        "helix": HELIX,
        "antihelix": ANTIHELIX,
        "superior": SUPERIOR_CRUS,
        "inferior": INFERIOR_CRUS,
        "spots": (TRAGUS, ANTITRAGUS, NOTCH, CONCHA),
    }
    return {name: _bend(np.array(points), factors) for name, points in straight.items()}


def _bend(points: NDArray[np.float64], factors: Factors) -> NDArray[np.float64]:
    x, y = points[:, 0].copy(), points[:, 1].copy()
    y = np.where(y > 0.5, 0.5 + (y - 0.5) * (1 + 0.35 * factors.lobe), y)
    top = np.clip(-y - 0.4, 0, None)
    x = x * (1 + 0.45 * factors.roundness * top)
    return np.stack([x, y], 1)


def spline(points: NDArray[np.float64], *, closed: bool = False, per_piece: int = 12) -> NDArray[np.float64]:
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
    distance, along, _ = _nearest(x, y, spline(control))
    level = np.maximum(fade[0] + (fade[1] - fade[0]) * along, np.sin(np.pi * along))
    return np.asarray(level * np.exp(-((distance / width) ** 2) / 2), np.float32)


def soft_step(values: Array, softness: float) -> Array:
    """The logistic function: 0 far below 0, 1 far above, in ear units."""
    return np.asarray(0.5 * (1 + np.tanh(values / (2 * softness))))  # exp would overflow


def _spot(x: Array, y: Array, center: NDArray[np.float64], rx: float, ry: float) -> Array:
    return np.asarray(np.exp(-(((x - center[0]) / rx) ** 2 + ((y - center[1]) / ry) ** 2) / 2), np.float32)


def relief(x: Array, y: Array, curves: Curves, f: Factors) -> tuple[Array, Array]:
    """The height of every pixel, and how much it belongs to the ear (0 to 1)."""
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
    # in front the ear grows out of the cheek, behind it stands off the head
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
