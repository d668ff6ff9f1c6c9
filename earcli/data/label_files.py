"""The annotation files among the files of a source, and the samples in them."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from earcli.data.formats.columns import Columns
from earcli.data.formats.registry import PER_PICTURE, SUFFIXES, read_columns
from earcli.data.formats.yolo import YoloSet, read_data_yaml, read_yolo
from earcli.data.images import SUFFIXES as PICTURE_SUFFIXES
from earcli.data.images import UNREADABLE
from earcli.data.resolver import name_key
from earcli.errors import LabelError, ManifestError, UnknownFormatError
from earcli.untrusted.files import read_bounded

OWN_TABLES = re.compile(r"path,(source,)?reason$|image_path,aspect,roundness,|.*,e0,e1\b")
"""The headers of tables that `ear` writes and that hold no labels."""
SIDECARS = (".xmp", ".aae", ".thm", ".md5", ".sha256", ".mov", ".mp4", ".wav", ".html", ".pdf")
"""Suffixes of files that cameras and other software put beside a picture of the same name."""
TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".mat", ".pkl", ".pickle", ".h5", ".hdf5", ".tfrecord")
"""Suffixes of files whose text cannot be searched for the names of pictures."""
SEARCHED = 1 << 20
"""Bytes at the start of an unknown file in which names of pictures are looked for."""
PICTURE_NAME = re.compile(r"[^\t\r\n\"',;<>/\\|]+\.(?:jpe?g|png|webp|bmp|tiff?|gif|avif|hei[cf])", re.IGNORECASE)
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
"""A character in JSON."""
LABEL_WORD = re.compile(rb"[\"<](?:annotations?|bbox|bndbox|keypoints|shapes|regions|landmarks)\b")
"""What only labels have in JSON or XML."""

OnProblem = Callable[[str, str, str], None]
"""Called with the picture, the annotation file and the reason for each label that cannot be used."""


@dataclass(frozen=True)
class LabelFile:
    """An annotation file that was read.

    Attributes:
        path: The file.
        label: The path to show.
        content: What it holds.
        one_picture: Whether its format has one file for each picture.
    """

    path: Path
    label: str
    content: Columns
    one_picture: bool


def read_label_files(
    files: Sequence[str], stems: set[str], names: set[str], show: Callable[[str], str], on_problem: OnProblem
) -> Iterator[LabelFile]:
    """Reads every annotation file among the files of a source.

    Args:
        files: Absolute paths.
        stems: Absolute paths of all pictures without their suffix.
        names: The `name_key` of all pictures.
        show: The text that stands for a path.
        on_problem: Called for each row that cannot be used, and for each file of a per-picture format.

    Raises:
        LabelError: Files look like labels but are in no known format, or a file of labels cannot be read.
    """
    yolo_sets = _read_yolo_sets(files)
    picture_stems = {name.rpartition(".")[0] for name in names}
    unknown: list[str] = []
    for path in files:
        kind = os.path.splitext(path)[1].lower()  # noqa: PTH122 - Path is slow for a million files
        if kind in PICTURE_SUFFIXES or (kind == ".csv" and _is_own_table(path)):
            continue
        try:
            if kind in SUFFIXES:
                yield _read(Path(path), show, on_problem)
                continue
            may_be_yolo = kind == ".txt" and (_stem(path) in picture_stems or "labels" in show(path).split("/"))
            if may_be_yolo and (yolo := _yolo_set(path, show(path), yolo_sets)) is not None:
                yield _read_yolo(Path(path), yolo, show, on_problem)
                continue
        except UnknownFormatError:
            pass
        except ManifestError as error:
            if kind not in (".pts", ".txt"):
                raise LabelError(f"{error}") from error
            on_problem("", show(path), str(error))
            yield LabelFile(Path(path), show(path), _nothing(), True)
            continue
        if _looks_like_labels(path, stems, names):
            unknown.append(show(path))
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise LabelError(
            f"Found {len(unknown)} label files of a kind that ear does not read ({', '.join(unknown[:3])}{more}). "
            "Export COCO JSON, or remove them."
        )


def _read(path: Path, show: Callable[[str], str], on_problem: OnProblem) -> LabelFile:
    label = show(str(path))
    format_name, content = read_columns(path, lambda reason: on_problem("", label, reason))
    return LabelFile(path, label, content, format_name in PER_PICTURE)


def _read_yolo(path: Path, yolo: YoloSet, show: Callable[[str], str], on_problem: OnProblem) -> LabelFile:
    label = show(str(path))
    content = read_yolo(path, yolo, lambda reason: on_problem("", label, reason))
    return LabelFile(path, label, content, True)


def _read_yolo_sets(files: Sequence[str]) -> dict[Path, YoloSet]:
    """What each `data.yaml` says, by its folder. Other YAML files may be of any kind.

    Raises:
        LabelError: One of that name cannot be used.
    """
    sets: dict[Path, YoloSet] = {}
    for path in map(Path, files):
        if path.suffix.lower() not in (".yaml", ".yml"):
            continue
        try:
            sets[path.parent] = read_data_yaml(path)
        except ManifestError as error:
            if path.stem.lower() in ("data", "dataset"):
                raise LabelError(f"{error}") from error
    return sets


def _yolo_set(path: str, label: str, sets: Mapping[Path, YoloSet]) -> YoloSet | None:
    """What describes a `.txt` file: the nearest above it, the only one, or none beyond that it lies in `labels`.

    Raises:
        LabelError: There are several, and none is above it.
    """
    for folder in Path(path).parents:
        if folder in sets:
            return sets[folder]
    distinct = list(sets.values())
    if distinct and any(item != distinct[0] for item in distinct):
        raise LabelError(f"{label} lies below none of {len(distinct)} data.yaml. Put each beside its own labels.")
    return distinct[0] if distinct else YoloSet({}, None) if "labels" in label.split("/") else None


def _is_own_table(path: str) -> bool:
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            return OWN_TABLES.match(file.readline(1 << 16).strip()) is not None
    except OSError:
        return False  # which is reported where it is read


def _stem(path: str) -> str:
    return name_key(path.rpartition(os.sep)[2]).rpartition(".")[0]


def _looks_like_labels(path: str, stems: set[str], names: set[str]) -> bool:
    """Whether a file lies beside the picture of its name, or names pictures of the source."""
    stem, suffix = os.path.splitext(path)  # noqa: PTH122
    if stem in stems:
        return suffix.lower() not in SIDECARS and suffix.lower() not in UNREADABLE
    if suffix.lower() in TABLES:
        return True
    if suffix.lower() not in (".json", ".xml", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".jsonl", ".ndjson"):
        return False
    try:
        text = read_bounded(Path(path), 256 << 20)[:SEARCHED]
    except (OSError, ValueError):
        return False
    if suffix.lower() in (".json", ".xml") and LABEL_WORD.search(text):
        return True
    plain = ESCAPE.sub(lambda match: chr(int(match[1], 16)), unquote(text.decode("utf-8", "replace")))
    found = [name for text in PICTURE_NAME.findall(plain) for name in (text.strip(), text.split()[-1])]
    mentioned = {name_key(name) for name in found} & names
    return len(mentioned) > (1 if suffix.lower() == ".txt" else 0)  # prose may give an example


def _nothing() -> Columns:
    import numpy as np

    return Columns([], np.empty((0, 4)))
