"""Writing what `ear prepare` leaves: manifests of both parts, a list of what is left out, and a data card."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.preparation import PreparedSet, PrepareOptions
from earcli.curation.scan import PictureFacts
from earcli.data.formats.columns import Columns
from earcli.data.manifest import write_columns
from earcli.data.samples import Sample
from earcli.data.uncached import crop_or_gray
from earcli.files import relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image
from earcli.reporting.tables import markdown_table

SHEET_SIDE = 96
SHEET_COLUMNS = 12
SHEET_ROWS = 3
MAX_ROWS = 30


def write_prepared(folder: Path, final: Path, prepared: PreparedSet, options: PrepareOptions) -> list[str]:
    """Writes manifests, card, contact sheet and `left_out.csv`.

    Args:
        folder: Folder to write to.
        final: Where the folder will be moved; image paths are relative to it.
        prepared: The set.
        options: How it was prepared.

    Returns:
        The names of the manifests.
    """
    names = []
    for part, is_member in (("train", ~prepared.is_validation), ("val", prepared.is_validation)):
        rows = np.flatnonzero(is_member)
        columns = _to_columns(prepared, rows, final)
        formats = [".npy", ".csv"]
        if columns.keypoints is not None or options.task != "teacher":
            formats.append(".coco.json")
        for suffix in formats:
            names.append(f"{part}_{options.task}{suffix}")
            write_columns(folder / names[-1], columns, [prepared.facts[row].size for row in rows])
    write_csv(folder / "left_out.csv", ("path", "source", "reason"), prepared.left_out)
    save_image(folder / "contact_sheet.png", _contact_sheet(prepared, options.seed))
    card = data_card(prepared, options, names)
    (folder / "data_card.md").write_text(card, encoding="utf-8", errors="backslashreplace")
    return names


def _to_columns(prepared: PreparedSet, rows: NDArray[np.int64], final: Path) -> Columns:
    samples = [prepared.samples[row] for row in rows]
    keypoints = [sample.keypoints for sample in samples]
    subjects, sides = [sample.subject for sample in samples], [sample.side for sample in samples]
    return Columns(
        [relative_posix(sample.path, final) for sample in samples],
        np.array([sample.box for sample in samples]).reshape(-1, 4),
        subjects if any(subjects) else None,
        keypoints=keypoints if any(keypoints) else None,
        checksums=[prepared.facts[row].checksum for row in rows],
        sources=[sample.source for sample in samples],
        sides=sides if any(sides) else None,
    )


def _contact_sheet(prepared: PreparedSet, seed: int) -> NDArray[np.uint8]:
    """Random crops of both parts."""
    rng = np.random.default_rng(seed)
    sheet = []
    for title, is_member in (("train", ~prepared.is_validation), ("validation", prepared.is_validation)):
        chosen = np.sort(rng.permutation(np.flatnonzero(is_member))[: SHEET_ROWS * SHEET_COLUMNS])
        samples = [prepared.samples[index] for index in chosen]
        crops = [crop_or_gray(Path(sample.path), np.array(sample.box), SHEET_SIDE)[0] for sample in samples]
        for start in range(0, len(crops), SHEET_COLUMNS):
            sheet.append(("" if start else title, crops[start : start + SHEET_COLUMNS]))
    return labeled_rows(sheet, SHEET_SIDE)


def data_card(prepared: PreparedSet, options: PrepareOptions, names: Sequence[str]) -> str:
    """Markdown about the content, origin and split of a set with manifests `names`."""
    samples, facts, left_out = prepared.samples, prepared.facts, prepared.left_out
    layouts = Counter(sample.keypoints.names for sample in samples if sample.keypoints)
    largest = int(np.unique(prepared.groups, return_counts=True)[1].max())
    parts = [
        "# Data card\n",
        f"Prepared for the task *{options.task}*: {', '.join(f'`{name}`' for name in names)}.\n",
        _count_table(prepared),
        f"## Split\n\nA fraction of {options.split:g} is for training, drawn with seed {options.seed}. Ears of one "
        f"subject ({prepared.subjects} are known), ears in one file, and near-duplicates ({prepared.lookalikes} ears "
        f"have one) stay in one part; the largest group of such ears has {largest}.\n",
        "## Sizes\n",
        _size_table(facts),
        "## Files\n",
        markdown_table(["format", "ears"], Counter(fact.format for fact in facts).most_common()),
        f"{sum(fact.orientation != 1 for fact in facts)} are rotated by an EXIF tag; boxes are in pixels of the "
        "rotated image.\n",
        "## Sources\n",
        _shortened(["source", "ears"], sorted(Counter(sample.source for sample in samples).items())),
    ]
    if layouts:
        rows = [(", ".join(layout), count) for layout, count in layouts.most_common()]
        parts += ["## Keypoints\n", markdown_table(["keypoints", "ears"], rows)]
    parts.append(f"## Left out\n\n{len(left_out)}; `left_out.csv` lists all of them.\n")
    if left_out:
        parts.append(_shortened(["path", "reason"], [(item.path or item.source, item.reason) for item in left_out]))
    return "\n".join([*parts, "## Examples\n", "![ears of both parts](contact_sheet.png)\n"])


def _count_table(prepared: PreparedSet) -> str:
    """The numbers of ears, files, subjects and keypoints in both parts."""
    counts: dict[str, Callable[[list[Sample]], int]] = {
        "ears": len,
        "image files": lambda samples: len({sample.path for sample in samples}),
        "known subjects": lambda samples: len({sample.subject for sample in samples} - {""}),
        "with keypoints": lambda samples: sum(sample.keypoints is not None for sample in samples),
    }
    pairs = list(zip(prepared.samples, prepared.is_validation, strict=True))
    train = [sample for sample, is_validation in pairs if not is_validation]
    val = [sample for sample, is_validation in pairs if is_validation]
    return markdown_table(["", "train", "validation"], ([name, f(train), f(val)] for name, f in counts.items()))


def _size_table(facts: Iterable[PictureFacts]) -> str:
    crops = np.array([fact.crop for fact in facts])
    rows = []
    for name, values in (("width", crops[:, 0]), ("height", crops[:, 1]), ("shorter side", crops.min(1))):
        rows.append((name, values.min(), f"{np.median(values):g}", values.max()))
    return markdown_table(["crop, pixels", "min", "median", "max"], rows)


def _shortened(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    table = markdown_table(header, rows[:MAX_ROWS])
    return table if len(rows) <= MAX_ROWS else f"{table}\nand {len(rows) - MAX_ROWS} more.\n"
