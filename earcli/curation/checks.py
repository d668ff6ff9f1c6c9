"""Faults that one sample has by itself."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earcli.curation.boxes import looks_like_corners, looks_like_sizes, overhang
from earcli.curation.findings import Finding, Side
from earcli.curation.scan import Facts

# docs/data.md says what each of these was measured on
LEAST_SIDE = 32
LEAST_CONTRAST = 3.0
LEAST_SHARPNESS = 0.2
MOST_OVERHANG = 0.05
UPRIGHT = (0, 1)  # 0 is no valid tag, but cameras write it


def sample_findings(number: int, side: Side) -> Iterator[Finding]:
    """Everything about single samples of one manifest, key points apart."""
    for row, facts in enumerate(side.facts):
        for kind, detail, severity in _faults(side, row, facts):
            yield Finding(kind, number, row, detail, severity)


def _faults(side: Side, row: int, facts: Facts) -> Iterator[tuple[str, str, float]]:
    box, size = side.manifest.boxes[row], facts.size
    convention = _convention(side, row)
    if convention:
        yield "box-convention", convention, 0.0
    elif facts.fault:
        yield facts.fault, facts.detail, 0.0
    elif not np.isnan(box[0]) and (share := overhang(box, size)) > MOST_OVERHANG:
        yield "box-overhang", f"{share:.0%} of box {_show(box)} is outside {size[0]}×{size[1]} pixels", share
    checksums = side.manifest.checksums
    if checksums and checksums[row] and facts.checksum and checksums[row].lower() != facts.checksum:
        yield "changed", f"checksum is {facts.checksum[:12]}…, was {checksums[row][:12]}…", 0.0
    if facts.format:
        yield from _file_faults(Path(side.manifest.paths[row]), facts)
    if not facts.fault:
        yield from _crop_faults(facts)


def _convention(side: Side, row: int) -> str:
    box, size = side.manifest.boxes[row], side.facts[row].size
    if size == (0, 0) or not np.isfinite(box).all():
        return ""
    if looks_like_corners(box, size):
        return f"box {_show(box)} fits {size[0]}×{size[1]} pixels only as xmin, ymin, xmax, ymax"
    if looks_like_sizes(box, size):
        return f"box {_show(box)} fits {size[0]}×{size[1]} pixels only if x, y, width, height were read as corners"
    return ""


def _file_faults(path: Path, facts: Facts) -> Iterator[tuple[str, str, float]]:
    if facts.orientation not in UPRIGHT:
        yield "turned", f"EXIF orientation {facts.orientation}; boxes count in upright pixels", 0.0
    named = Image.registered_extensions().get(path.suffix.lower(), "")
    # MPO is what phones write as .jpg
    if named != facts.format and (named, facts.format) != ("JPEG", "MPO"):
        yield "extension", f"{facts.format} in a file called {path.suffix or 'without extension'}", 0.0


def _crop_faults(facts: Facts) -> Iterator[tuple[str, str, float]]:
    width, height = facts.crop
    if min(width, height) < LEAST_SIDE:
        yield "tiny", f"crop of {width}×{height} pixels", -float(min(width, height))
    if facts.contrast < LEAST_CONTRAST:
        yield "constant", f"standard deviation {facts.contrast:.1f} of 255 gray values", -facts.contrast
    elif facts.sharpness < LEAST_SHARPNESS:
        yield "blurred", f"sharpness {facts.sharpness:.2f}, wanted {LEAST_SHARPNESS}", -facts.sharpness


def _show(box: NDArray[np.float64]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
