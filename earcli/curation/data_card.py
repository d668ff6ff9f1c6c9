"""The files that `ear prepare` leaves: manifests of both sides, what was left out, and a card that describes them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.prepare import Prepared, Wishes
from earcli.curation.scan import Facts
from earcli.data.formats.columns import Columns
from earcli.data.manifest import write_columns
from earcli.data.uncached import crop_or_gray
from earcli.files import relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image
from earcli.reporting.tables import markdown_table as table

SHEET_SIDE = 96
SHEET_COLUMNS = 12
SHEET_ROWS = 3
SHOWN = 30


def write_prepared(folder: Path, final: Path, prepared: Prepared, wishes: Wishes) -> list[str]:
    """Writes everything into `folder`, with picture paths relative to `final`, where it will lie.

    Returns:
        The names of the manifests.
    """
    names = []
    for side, rows in (("train", np.flatnonzero(~prepared.held_out)), ("val", np.flatnonzero(prepared.held_out))):
        columns = _columns(prepared, rows, final)
        kinds = [".npy", ".csv"]
        if columns.keypoints is not None or wishes.task != "teacher":
            kinds.append(".coco.json")
        for kind in kinds:
            names.append(f"{side}_{wishes.task}{kind}")
            write_columns(folder / names[-1], columns, [prepared.facts[row].size for row in rows])
    rows_out = ((item.path, item.source, item.reason) for item in prepared.left_out)
    write_csv(folder / "left_out.csv", ("path", "source", "reason"), rows_out)
    save_image(folder / "contact_sheet.png", _contact_sheet(prepared, wishes.seed))
    (folder / "data_card.md").write_text(
        data_card(prepared, wishes, names), encoding="utf-8", errors="backslashreplace"
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
    for title, side in (("train", ~prepared.held_out), ("validation", prepared.held_out)):
        drawn = np.sort(rng.permutation(np.flatnonzero(side))[: SHEET_ROWS * SHEET_COLUMNS])
        chosen = [prepared.samples[index] for index in drawn]
        crops = [crop_or_gray(Path(sample.path), np.array(sample.box), SHEET_SIDE)[0] for sample in chosen]
        rows += [
            (title if not start else "", crops[start : start + SHEET_COLUMNS])
            for start in range(0, len(crops), SHEET_COLUMNS)
        ]
    return labeled_rows(rows, SHEET_SIDE)


def data_card(prepared: Prepared, wishes: Wishes, names: Sequence[str]) -> str:
    """Markdown that says what the set holds, where it came from, and how it was divided."""
    sides = {"train": np.flatnonzero(~prepared.held_out), "validation": np.flatnonzero(prepared.held_out)}
    samples, facts = prepared.samples, prepared.facts
    counted = {
        "ears": {side: len(rows) for side, rows in sides.items()},
        "picture files": {side: len({samples[r].path for r in rows}) for side, rows in sides.items()},
        "people known": {side: len({samples[r].subject for r in rows} - {""}) for side, rows in sides.items()},
        "with key points": {side: sum(samples[r].keypoints is not None for r in rows) for side, rows in sides.items()},
    }
    layouts = Counter(sample.keypoints.names for sample in samples if sample.keypoints)
    largest = int(np.unique(prepared.groups, return_counts=True)[1].max())
    parts = [
        "# Data card\n",
        f"Prepared for the task *{wishes.task}*: {', '.join(f'`{name}`' for name in names)}.\n",
        table(["", *sides], ([what, *by_side.values()] for what, by_side in counted.items())),
        f"## How it was divided\n\nA share of {wishes.split:g} trains, drawn with seed {wishes.seed}. "
        f"Ears of one subject ({prepared.subjects} are known), of one file, and ears that look the same "
        f"({prepared.lookalikes} look like another) stay on one side; the largest such group has {largest} ears.\n",
        "## Sizes\n",
        _sizes(facts),
        "## Files\n",
        table(["format", "ears"], Counter(fact.format for fact in facts).most_common()),
        f"{sum(fact.orientation != 1 for fact in facts)} are turned by their EXIF tag; boxes are in upright pixels.\n",
        "## Sources\n",
        _first(["source", "ears"], sorted(Counter(sample.source for sample in samples).items())),
    ]
    if layouts:
        parts += ["## Key points\n", table(["points", "ears"], [(", ".join(k), n) for k, n in layouts.most_common()])]
    parts += [f"## Left out\n\n{len(prepared.left_out)}; `left_out.csv` lists them all.\n"]
    if prepared.left_out:
        parts.append(_first(["what", "why"], [(item.path or item.source, item.reason) for item in prepared.left_out]))
    return "\n".join([*parts, "## Some of them\n", "![ears of both sides](contact_sheet.png)\n"])


def _sizes(facts: Iterable[Facts]) -> str:
    crops = np.array([fact.crop for fact in facts])
    rows = []
    for name, values in (("width", crops[:, 0]), ("height", crops[:, 1]), ("shorter side", crops.min(1))):
        rows.append((name, values.min(), f"{np.median(values):g}", values.max()))
    return table(["crop, pixels", "least", "median", "most"], rows)


def _first(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    shown = table(header, rows[:SHOWN])
    return shown if len(rows) <= SHOWN else f"{shown}\nand {len(rows) - SHOWN} more.\n"
