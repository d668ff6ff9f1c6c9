"""Writes a prepared dataset: manifests of both parts, what was left out, and a data card."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.preparation import Prepared, PrepareOptions
from earcli.curation.scan import PictureFacts
from earcli.data.formats.columns import Columns
from earcli.data.manifest import write_columns
from earcli.data.uncached import crop_or_gray
from earcli.files import relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image
from earcli.reporting.tables import markdown_table

SHEET_SIDE = 96
SHEET_COLUMNS = 12
SHEET_ROWS = 3
SHOWN = 30


def write_prepared(folder: Path, final: Path, prepared: Prepared, options: PrepareOptions) -> list[str]:
    """Writes everything into `folder`, with picture paths relative to `final`, the folder's later path.

    Returns:
        The names of the manifests.
    """
    names = []
    for part, rows in (("train", np.flatnonzero(~prepared.held_out)), ("val", np.flatnonzero(prepared.held_out))):
        columns = _columns(prepared, rows, final)
        kinds = [".npy", ".csv"]
        if columns.keypoints is not None or options.task != "teacher":
            kinds.append(".coco.json")
        for kind in kinds:
            names.append(f"{part}_{options.task}{kind}")
            write_columns(folder / names[-1], columns, [prepared.facts[row].size for row in rows])
    rows_out = ((item.path, item.source, item.reason) for item in prepared.left_out)
    write_csv(folder / "left_out.csv", ("path", "source", "reason"), rows_out)
    save_image(folder / "contact_sheet.png", _contact_sheet(prepared, options.seed))
    (folder / "data_card.md").write_text(
        data_card(prepared, options, names), encoding="utf-8", errors="backslashreplace"
    )
    return names


def _columns(prepared: Prepared, rows: NDArray[np.int64], final: Path) -> Columns:
    samples = [prepared.samples[row] for row in rows]
    keypoints = [sample.keypoints for sample in samples]
    subjects = [sample.subject for sample in samples]
    return Columns(
        [relative_posix(sample.path, final) for sample in samples],
        np.array([sample.box for sample in samples]).reshape(-1, 4),
        subjects if any(subjects) else None,
        keypoints=keypoints if any(keypoints) else None,
        checksums=[prepared.facts[row].checksum for row in rows],
        sources=[sample.source for sample in samples],
    )


def _contact_sheet(prepared: Prepared, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    rows = []
    for title, part in (("train", ~prepared.held_out), ("validation", prepared.held_out)):
        drawn = np.sort(rng.permutation(np.flatnonzero(part))[: SHEET_ROWS * SHEET_COLUMNS])
        chosen = [prepared.samples[index] for index in drawn]
        crops = [crop_or_gray(Path(sample.path), np.array(sample.box), SHEET_SIDE)[0] for sample in chosen]
        rows += [
            (title if not start else "", crops[start : start + SHEET_COLUMNS])
            for start in range(0, len(crops), SHEET_COLUMNS)
        ]
    return labeled_rows(rows, SHEET_SIDE)


def data_card(prepared: Prepared, options: PrepareOptions, names: Sequence[str]) -> str:
    """Markdown that describes the dataset: contents, sources, split."""
    rows_of = {"train": np.flatnonzero(~prepared.held_out), "validation": np.flatnonzero(prepared.held_out)}
    samples, facts = prepared.samples, prepared.facts
    counted = {
        "ears": {part: len(rows) for part, rows in rows_of.items()},
        "picture files": {part: len({samples[r].path for r in rows}) for part, rows in rows_of.items()},
        "known people": {part: len({samples[r].subject for r in rows} - {""}) for part, rows in rows_of.items()},
        "with keypoints": {part: sum(samples[r].keypoints is not None for r in rows) for part, rows in rows_of.items()},
    }
    layouts = Counter(sample.keypoints.names for sample in samples if sample.keypoints)
    largest = int(np.unique(prepared.groups, return_counts=True)[1].max())
    parts = [
        "# Data card\n",
        f"Prepared for the task *{options.task}*: {', '.join(f'`{name}`' for name in names)}.\n",
        markdown_table(["", *rows_of], ([what, *by_part.values()] for what, by_part in counted.items())),
        f"## Split\n\nA fraction of {options.split:g} is for training, with seed {options.seed}. "
        f"Ears of one subject ({prepared.subjects} known), of one file, and near-duplicates "
        f"({prepared.lookalikes} ears) stay in one part; the largest such group has {largest} ears.\n",
        "## Sizes\n",
        _sizes(facts),
        "## Files\n",
        markdown_table(["format", "ears"], Counter(fact.format for fact in facts).most_common()),
        f"{sum(fact.orientation != 1 for fact in facts)} are rotated by their EXIF tag; boxes are in upright pixels.\n",
        "## Sources\n",
        _first(["source", "ears"], sorted(Counter(sample.source for sample in samples).items())),
    ]
    if layouts:
        parts += [
            "## Keypoints\n",
            markdown_table(["points", "ears"], [(", ".join(k), n) for k, n in layouts.most_common()]),
        ]
    parts += [f"## Left out\n\n{len(prepared.left_out)}; `left_out.csv` lists them all.\n"]
    if prepared.left_out:
        parts.append(
            _first(["item", "reason"], [(item.path or item.source, item.reason) for item in prepared.left_out])
        )
    return "\n".join([*parts, "## Examples\n", "![ears of both parts](contact_sheet.png)\n"])


def _sizes(facts: Iterable[PictureFacts]) -> str:
    crops = np.array([fact.crop for fact in facts])
    rows = []
    for name, values in (("width", crops[:, 0]), ("height", crops[:, 1]), ("shorter side", crops.min(1))):
        rows.append((name, values.min(), f"{np.median(values):g}", values.max()))
    return markdown_table(["crop, pixels", "minimum", "median", "maximum"], rows)


def _first(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    shown = markdown_table(header, rows[:SHOWN])
    return shown if len(rows) <= SHOWN else f"{shown}\nand {len(rows) - SHOWN} more.\n"
