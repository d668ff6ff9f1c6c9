"""Collecting samples from folders, annotation files and manifests in any mix and layout."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earcli.curation.left_out import LeftOut
from earcli.curation.subjects import SubjectRule
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.pts import read_pts
from earcli.data.images import SUFFIXES
from earcli.data.manifest import READERS, read_columns
from earcli.errors import DataError, ManifestError

ANNOTATIONS = ("*.npy", "*_annotations.csv", "*.coco.json")
WHOLE_IMAGE = (float("nan"),) * 4


@dataclass(frozen=True, slots=True)
class Sample:
    """One ear as one source describes it.

    Attributes:
        path: The absolute path of the image.
        label: The path to show: from the name of the source on, with slashes.
        box: x, y, width, height in pixels; NaN if the source has none.
        subject: The person; "" if unknown.
        keypoints: None if the source has none.
        source: The annotation file, or the folder of an image without annotation.
    """

    path: str
    label: str
    box: tuple[float, ...]
    subject: str
    keypoints: Keypoints | None
    source: str


@dataclass
class SourceContents:
    """What the sources contain.

    Attributes:
        samples: The samples of all sources, in the order of the sources.
        left_out: What cannot be used.
        extensions: The number of files with each extension.
    """

    samples: list[Sample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    extensions: Counter[str] = field(default_factory=Counter)


def collect_samples(sources: Sequence[Path], rule: SubjectRule, root_dir: Path | None = None) -> SourceContents:
    """Collects the samples of every source.

    Args:
        sources: Folders, which are searched recursively, and annotation files.
        rule: Gives the subject of an image without one.
        root_dir: Folder that paths in annotations are relative to and confined to. By default they are relative to the
            folder of the annotation file and confined to the source.

    Raises:
        DataError: A source does not exist, or none contains an image.
    """
    contents = SourceContents()
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} does not exist. Give folders of images, or .npy, .csv and COCO .json files.")
        _SourceReader(source, rule, root_dir, contents).read()
    if not contents.samples:
        seen = ", ".join(f"{ext} ({n})" for ext, n in contents.extensions.most_common(8)) or "no files"
        left_out = contents.left_out
        why = f" First of {len(left_out)} reasons: {left_out[0].reason}." if left_out else ""
        raise DataError(
            f"No images in {', '.join(map(str, sources))}: expected {' '.join(SUFFIXES)} or {' '.join(ANNOTATIONS)}, "
            f"got {seen}.{why}"
        )
    return contents


def _walk(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """All files below a folder, sorted, except hidden ones. Links are followed; a folder is visited once."""
    visited = set()
    for parent, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (f"{parent}{os.sep}{name}" for name in sorted(names) if not name.startswith("."))


def _parent(path: str) -> str:
    return path.rpartition(os.sep)[0]


class _SourceReader:
    """Adds the samples of one source to `contents`."""

    def __init__(self, source: Path, rule: SubjectRule, root_dir: Path | None, contents: SourceContents) -> None:
        self.folder = (source if source.is_dir() else source.parent).resolve()
        self.is_file = not source.is_dir()
        self.rule, self.contents = rule, contents
        self.root_dir = None if root_dir is None else root_dir.resolve()
        self.files = [str(self.folder / source.name)] if self.is_file else list(_walk(self.folder, self._on_error))
        self.images = [path for path in self.files if path.lower().endswith(SUFFIXES)]
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_stem: dict[str, list[str]] = defaultdict(list)
        for path in self.images:
            self.by_name[path.rpartition(os.sep)[2]].append(path)
            self.by_stem[path.rpartition(".")[0]].append(path)

    def read(self) -> None:
        """Reads the annotation files, then adds the images that none of them governs, whole."""
        self.contents.extensions.update(Path(path).suffix.lower() or "none" for path in self.files)
        annotated: set[str] = set()
        governed: dict[str, str] = {}  # by folder, why its images without annotation are excluded
        for path in map(Path, self.files):
            if path.suffix.lower() == ".pts":
                annotated |= self._read_pts(path)
            elif self._is_annotation(path):
                named = self._read_annotations(path)
                if named is None:
                    governed[str(path.parent)] = f"{path.name} beside it cannot be read"
                else:
                    annotated |= named
                    reason = f"{self._label(str(path))} names other images in its folder, but not this one"
                    governed |= dict.fromkeys(map(_parent, named), reason)
        for image in self.images:
            folder = _parent(image)
            if image not in annotated and folder in governed:
                self._leave_out(self._label(image), self._label(folder), governed[folder])
            elif image not in annotated:
                self._add(image, WHOLE_IMAGE, "", None, self._label(folder))

    def _is_annotation(self, path: Path) -> bool:
        return any(map(path.match, ANNOTATIONS)) or (self.is_file and path.suffix.lower() in READERS)

    def _label(self, path: str) -> str:
        """A path from the name of the source on, with slashes."""
        return os.path.relpath(path, self.folder.parent).replace(os.sep, "/")

    def _on_error(self, error: OSError) -> None:
        self._leave_out(self._label(str(error.filename)), "", f"cannot be read ({error.strerror})")

    def _add(self, path: str, box: Sequence[float], subject: str, keypoints: Keypoints | None, source: str) -> None:
        below = os.path.relpath(path, self.folder).replace(os.sep, "/")
        sample = Sample(path, self._label(path), tuple(box), subject or self.rule(below), keypoints, source)
        self.contents.samples.append(sample)

    def _leave_out(self, path: str, source: str, reason: str) -> None:
        self.contents.left_out.append(LeftOut(path, source, reason))

    def _read_annotations(self, file: Path) -> set[str] | None:
        """Adds the samples of a file; returns the images that it names, or None if it cannot be read."""
        label = self._label(str(file))
        try:
            columns = read_columns(file, lambda reason: self._leave_out("", label, reason))
        except ManifestError as error:
            self._leave_out("", label, str(error))
            return None
        named = set()
        for row, name in enumerate(columns.paths):
            try:
                path = self._resolve(file, name)
            except ValueError as error:
                self._leave_out(name, label, str(error))
                continue
            named.add(path)
            self._add_row(path, columns, row, label)
        return named

    def _add_row(self, path: str, columns: Columns, row: int, label: str) -> None:
        subject = columns.subjects[row] if columns.subjects else ""
        keypoints = columns.keypoints[row] if columns.keypoints else None
        source = columns.sources[row] if columns.sources else ""
        self._add(path, columns.boxes[row].tolist(), subject, keypoints, source or label)

    def _resolve(self, file: Path, name: str) -> str:
        """The image that an annotation names: at that path, or else the only one of that name in the source.

        Raises:
            ValueError: There is no such image; the message is the reason.
        """
        start, boundary = (self.root_dir, self.root_dir) if self.root_dir else (file.parent, self.folder)
        path = os.path.normpath(start / name)
        if os.path.commonpath([boundary, path]) != str(boundary):
            raise ValueError(f"the path leaves {boundary}; set another root folder to allow it")
        try:
            if Path(path).is_file():
                return path
        except (OSError, ValueError) as error:
            raise ValueError("the path is not a valid file name") from error
        candidates = self.by_name.get(name.replace("\\", "/").rpartition("/")[2], [])
        if len(candidates) != 1:
            reason = f"not beside it, and {len(candidates)} images have that name"
            raise ValueError(reason if candidates else "no such file")
        return candidates[0]

    def _read_pts(self, file: Path) -> set[str]:
        """Adds the images beside a `.pts` file; returns them, usable or not."""
        label = self._label(str(file))
        images = self.by_stem.get(str(file.with_suffix("")), [])
        if not images:
            self._leave_out("", label, "no image with that name is beside it")
        for image in images:
            try:
                self._add(image, WHOLE_IMAGE, "", read_pts(file), label)
            except ManifestError as error:
                self._leave_out(self._label(image), label, str(error))
        return set(images)
