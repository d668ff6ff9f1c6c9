"""Finds the faults of a split, and writes them down."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.findings import KINDS, Finding, summarize
from earcli.curation.keypoint_shapes import find_points_outside, find_unusual_shapes
from earcli.curation.sample_checks import find_sample_faults
from earcli.curation.set_checks import find_set_faults
from earcli.curation.split_part import SplitPart
from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import write_columns
from earcli.errors import ConfigError, DataError
from earcli.files import atomic_write, relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image

SHEET_SIDE = 96
SHEET_COLUMNS = 10
CLEANED = "cleaned"


def find_faults(parts: Sequence[SplitPart]) -> list[Finding]:
    """All faults, in the order of `KINDS`, then by part and row."""
    findings = [Finding("row", part.index, -1, "", text) for part in parts for text in part.bad_rows]
    for part in parts:
        findings += [*find_sample_faults(part), *find_points_outside(part)]
    findings += [*find_unusual_shapes(parts), *find_set_faults(parts)]
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda item: (order[item.kind], item.part, item.row))


def write_check(folder: Path, parts: Sequence[SplitPart], findings: Sequence[Finding]) -> list[str]:
    """Writes `check.json`, `bad_files.csv` and, if there are faulty pictures to show, `worst.png`.

    Returns:
        The names of the files.

    Raises:
        RunError: The folder cannot be written.
    """
    rows = [(parts[f.part].path, f.row, f.path, f.kind, "yes" if f.harmful else "no", f.detail) for f in findings]
    header = ("manifest", "row", "path", "kind", "harmful", "detail")
    write_csv(folder / "bad_files.csv", header, rows)
    with atomic_write(folder / "check.json") as temporary:
        content = summarize([part.path for part in parts], [len(part.manifest) for part in parts], findings)
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    sheet = _worst_sheet(parts, findings)
    if sheet is None:
        (folder / "worst.png").unlink(missing_ok=True)  # of an earlier check
        return ["check.json", "bad_files.csv"]
    save_image(folder / "worst.png", sheet)
    return ["check.json", "bad_files.csv", "worst.png"]


def write_cleaned(folder: Path, parts: Sequence[SplitPart], findings: Sequence[Finding]) -> list[Path]:
    """Writes each manifest without its harmful samples to `folder/cleaned`, under the same name and in its format.

    Raises:
        ConfigError: Two manifests have the same name, or a cleaned one would replace one that was checked.
        DataError: Nothing would be left.
        RunError: The folder cannot be written.
    """
    targets = [folder / CLEANED / part.path.name for part in parts]
    checked = {part.path.resolve() for part in parts}
    if len(set(targets)) < len(targets) or checked & {target.resolve() for target in targets}:
        raise ConfigError(f"`drop` would write one of {', '.join(map(str, targets))} twice. Give another `output`.")
    bad = {(f.part, f.row) for f in findings if f.harmful}
    for part, target in zip(parts, targets, strict=True):
        kept = [row for row in range(len(part.manifest)) if (part.index, row) not in bad]
        if not kept:
            raise DataError(f"`drop` would leave nothing of {part.path}: all {len(part.manifest)} ears are harmful.")
        chosen = part.manifest.subset(kept)
        # relative paths are resolved against the folder of the new manifest
        paths = [relative_posix(chosen.locate(i).absolute(), target.parent) for i in range(len(chosen))]
        write_columns(target, replace(chosen, paths=paths), [part.facts[row].size for row in kept])
    return targets


def _worst_sheet(parts: Sequence[SplitPart], findings: Sequence[Finding]) -> NDArray[np.uint8] | None:
    """A row of crops, the most severe first, for every kind with pictures that can be shown."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.row >= 0:
            by_kind[finding.kind].append(finding)
    rows = []
    with quiet_decoding():
        for kind, members in by_kind.items():
            members.sort(key=lambda item: -item.severity)
            crops = [_read_crop(parts[f.part], f.row) for f in members[:SHEET_COLUMNS]]
            if readable := [crop for crop in crops if crop is not None]:
                rows.append((f"{kind}: {KINDS[kind].meaning} ({len(members)})", readable))
    return labeled_rows(rows, SHEET_SIDE) if rows else None


def _read_crop(part: SplitPart, row: int) -> NDArray[np.uint8] | None:
    """The crop; the whole picture if the box is faulty; None if the picture is."""
    for box in (part.manifest.boxes[row], np.full(4, np.nan)):
        try:
            return read_crop(part.manifest.locate(row), box, SHEET_SIDE)
        except BadPictureError:
            continue
    return None
