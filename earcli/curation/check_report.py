"""Writing what `ear check` leaves: findings, a sheet of the worst crops, and cleaned manifests."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.curation.findings import KINDS, Finding
from earcli.curation.split_part import SplitPart
from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import write_columns
from earcli.errors import DataError
from earcli.files import atomic_write, relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image

SHEET_SIDE = 96
SHEET_COLUMNS = 10


def write_report(
    folder: Path, parts: Sequence[SplitPart], findings: Sequence[Finding], summary: Mapping[str, Any]
) -> list[Path]:
    """Writes `check.json`, `bad_files.csv` and, if a finding has an image, `worst.png`.

    Args:
        folder: Folder to write to.
        parts: The parts of the split.
        findings: Their faults.
        summary: The content of `check.json`.

    Returns:
        The files.

    Raises:
        RunError: The folder cannot be written.
    """
    files = [folder / "check.json", folder / "bad_files.csv"]
    with atomic_write(files[0]) as temporary:
        temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    header = ("manifest", "row", "path", "kind", "harmful", "detail")
    rows = [(parts[f.part].path, f.row, f.path, f.kind, "yes" if f.harmful else "no", f.detail) for f in findings]
    write_csv(files[1], header, [(str(path), *cells) for path, *cells in rows])
    worst = folder / "worst.png"
    sheet = _worst_crops(parts, findings)
    if sheet is None:
        worst.unlink(missing_ok=True)  # of an earlier check
        return files
    save_image(worst, sheet)
    return [*files, worst]


def _worst_crops(parts: Sequence[SplitPart], findings: Sequence[Finding]) -> NDArray[np.uint8] | None:
    """A row of the most severe crops for each kind; None if no crop can be read."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.row >= 0:
            by_kind[finding.kind].append(finding)
    rows = []
    with quiet_decoding():
        for kind, members in by_kind.items():
            members.sort(key=lambda finding: -finding.severity)
            candidates = [_read_crop(parts[f.part], f.row) for f in members[:SHEET_COLUMNS]]
            if crops := [crop for crop in candidates if crop is not None]:
                rows.append((f"{kind}: {KINDS[kind].meaning} ({len(members)})", crops))
    return labeled_rows(rows, SHEET_SIDE) if rows else None


def _read_crop(part: SplitPart, row: int) -> NDArray[np.uint8] | None:
    """The crop, or the whole image if the box is at fault, or None if it cannot be read."""
    for box in (part.manifest.boxes[row], np.full(4, np.nan)):
        try:
            return read_crop(part.manifest.locate(row), box, SHEET_SIDE)
        except BadPictureError:
            continue
    return None


def write_cleaned(parts: Sequence[SplitPart], findings: Sequence[Finding], targets: Sequence[Path]) -> None:
    """Writes each manifest without its harmful samples. Labels that were scaled are written in pixels.

    Args:
        parts: The parts of the split.
        findings: Their faults.
        targets: The manifest to write for each part, in the format of its extension.

    Raises:
        DataError: Nothing would be left of a manifest.
        RunError: A target cannot be written.
    """
    harmful = {(finding.part, finding.row) for finding in findings if finding.harmful and finding.kind != "scaled"}
    for part, target in zip(parts, targets, strict=True):
        kept = [row for row in range(len(part.manifest)) if (part.index, row) not in harmful]
        if not kept:
            raise DataError(
                f"Dropping harmful ears would leave nothing of {part.path}: all {len(part.manifest)} are harmful."
            )
        manifest = part.manifest.subset(kept)
        # relative to the folder of the new manifest
        paths = [relative_posix(manifest.locate(i).absolute(), target.parent) for i in range(len(manifest))]
        write_columns(target, replace(manifest, paths=paths), [part.facts[row].size for row in kept])
