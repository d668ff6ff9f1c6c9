"""Faults of single samples: file, box, checksum and crop."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from earcli.curation.box_geometry import format_box, looks_like_corners, looks_like_sizes, overhang
from earcli.curation.findings import Finding
from earcli.curation.scan import PictureFacts
from earcli.curation.split_part import SplitPart

# docs/data.md says how these thresholds were chosen
MIN_SIDE = 32
MIN_CONTRAST = 3.0
MIN_SHARPNESS = 0.2
MAX_OVERHANG = 0.05
UPRIGHT = (0, 1)  # 0 is not a valid orientation, but cameras write it


def find_sample_faults(part: SplitPart) -> Iterator[Finding]:
    """All faults of single samples of one manifest, except those of keypoints."""
    for row, facts in enumerate(part.facts):
        yield from _find_box_faults(part, row)
        expected = part.manifest.checksums[row] if part.manifest.checksums else ""
        if expected and facts.checksum and expected.lower() != facts.checksum:
            yield part.finding("changed", row, f"checksum is {facts.checksum[:12]}…, expected {expected[:12]}…")
        if facts.format:
            yield from _find_file_faults(part, row)
        if not facts.fault:
            yield from _find_crop_faults(part, row)


def _find_box_faults(part: SplitPart, row: int) -> Iterator[Finding]:
    box, facts = part.manifest.boxes[row], part.facts[row]
    size = f"{facts.size[0]}×{facts.size[1]} pixels"
    convention = _other_convention(part, row)
    if convention:
        yield part.finding("box-convention", row, f"box {format_box(box)} fits {size} only {convention}")
    elif facts.fault:
        yield part.finding(facts.fault, row, facts.detail)
    elif not np.isnan(box[0]) and (outside := overhang(box, facts.size)) > MAX_OVERHANG:
        yield part.finding("box-overhang", row, f"{outside:.0%} of box {format_box(box)} is outside {size}", outside)


def _other_convention(part: SplitPart, row: int) -> str:
    """How a box must be read so that it fits its image; "" if it already fits, or fits in no convention."""
    box, size = part.manifest.boxes[row], part.facts[row].size
    if size == (0, 0) or not np.isfinite(box).all():
        return ""
    if looks_like_corners(box, size):
        return "as xmin, ymin, xmax, ymax"
    return "if x, y, width, height were read as corners" if looks_like_sizes(box, size) else ""


def _find_file_faults(part: SplitPart, row: int) -> Iterator[Finding]:
    facts, suffix = part.facts[row], Path(part.manifest.paths[row]).suffix
    if facts.orientation not in UPRIGHT:
        detail = f"EXIF orientation {facts.orientation}; boxes must be in pixels of the rotated image"
        yield part.finding("turned", row, detail)
    expected = Image.registered_extensions().get(suffix.lower(), "")
    # phones write MPO into files named .jpg
    if expected != facts.format and (expected, facts.format) != ("JPEG", "MPO"):
        yield part.finding("extension", row, f"{facts.format} in a file with extension {suffix or '(none)'}")


def _find_crop_faults(part: SplitPart, row: int) -> Iterator[Finding]:
    facts: PictureFacts = part.facts[row]
    width, height = facts.crop
    if min(width, height) < MIN_SIDE:
        yield part.finding("tiny", row, f"crop of {width}×{height} pixels", -min(width, height))
    if facts.contrast < MIN_CONTRAST:
        detail = f"standard deviation {facts.contrast:.1f} of gray values 0 to 255"
        yield part.finding("constant", row, detail, -facts.contrast)
    elif facts.sharpness < MIN_SHARPNESS:
        detail = f"sharpness {facts.sharpness:.2f}, expected at least {MIN_SHARPNESS}"
        yield part.finding("blurred", row, detail, -facts.sharpness)
