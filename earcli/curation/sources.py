"""Collects samples from folders, annotation files and manifests in any mixture."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earcli.curation.left_out import LeftOut
from earcli.data.formats.columns import Columns, Keypoints
from earcli.data.formats.pts import read_pts
from earcli.data.images import SUFFIXES
from earcli.data.manifest import READERS, read_columns
from earcli.errors import ConfigError, DataError, ManifestError

ANNOTATIONS = ("*.npy", "*_annotations.csv", "*.coco.json")
WHOLE = (float("nan"),) * 4

SubjectRule = Callable[[str], str]
"""Maps a picture's path relative to its source, with slashes, to a subject; "" where unknown."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One ear as described by one source.

    Attributes:
        path: absolute.
        label: the path from the source's own name on, for display.
        box: x, y, width, height in pixels; NaN where the source has none.
    """

    path: str
    label: str
    box: tuple[float, ...]
    subject: str
    keypoints: Keypoints | None
    source: str


@dataclass
class SourceContents:
    """The contents of all sources.

    Attributes:
        samples: the samples of every source, in the order of the sources.
        left_out: what cannot be used.
        extensions: number of files by extension.
    """

    samples: list[Sample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    extensions: Counter[str] = field(default_factory=Counter)


def subject_rule(text: str) -> SubjectRule:
    """Parses a rule: `none`, `folder`, or a regular expression whose first group is the subject.

    Raises:
        ConfigError: the expression is not valid, or has no group.
    """
    if text == "none":
        return lambda path: ""
    if text == "folder":
        return lambda path: path.rpartition("/")[0].rpartition("/")[2]
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"`subject` {text!r} is not a regular expression ({error}). Give folder or none.") from error
    if not pattern.groups:
        raise ConfigError(f"`subject` {text!r} has no group. Put the subject in parentheses: '([0-9]+)_'.")

    def rule(path: str) -> str:
        match = pattern.search(path)
        return (match[1] or "") if match else ""

    return rule


def collect_samples(sources: Sequence[Path], rule: SubjectRule, root_dir: Path | None = None) -> SourceContents:
    """Collects the samples of every source.

    Args:
        sources: folders, or annotation files.
        rule: how subjects are derived from paths.
        root_dir: folder that paths in annotations are resolved against and must not leave. For None they are resolved
            against the annotation's own folder and must not leave their source.

    Raises:
        DataError: a source does not exist, or no source has a picture.
    """
    contents = SourceContents()
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} does not exist. Give folders of pictures, or .npy, .csv and COCO .json files.")
        _SourceReader(source, rule, root_dir, contents).read()
    if not contents.samples:
        extensions = ", ".join(f"{ext} ({n})" for ext, n in contents.extensions.most_common(8)) or "no files"
        left_out = contents.left_out
        reason = f" First of {len(left_out)} reasons: {left_out[0].reason}." if left_out else ""
        raise DataError(
            f"No picture found in {', '.join(map(str, sources))}: expected {' '.join(SUFFIXES)} and "
            f"{' '.join(ANNOTATIONS)}, found {extensions}.{reason}"
        )
    return contents


def _walk(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """Every file below a folder, sorted, without hidden ones. Links are followed; a folder is entered once."""
    entered = set()
    for path, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (f"{path}{os.sep}{name}" for name in sorted(names) if not name.startswith("."))


class _SourceReader:
    """Reads one source into the contents of all."""

    def __init__(self, source: Path, rule: SubjectRule, root_dir: Path | None, contents: SourceContents) -> None:
        self.folder = (source if source.is_dir() else source.parent).resolve()
        self.named_by_user = not source.is_dir()
        self.rule, self.contents = rule, contents
        self.root_dir = None if root_dir is None else root_dir.resolve()
        self.files = (
            [str(self.folder / source.name)] if self.named_by_user else list(_walk(self.folder, self._unreadable))
        )
        self.pictures = [name for name in self.files if name.lower().endswith(SUFFIXES)]
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.pictures:
            self.by_name[name.rpartition(os.sep)[2]].append(name)
            self.by_stem[name.rpartition(".")[0]].append(name)

    def read(self) -> None:
        """Reads annotations first: a picture that one of them names is not added as a whole picture as well."""
        self.contents.extensions.update(Path(name).suffix.lower() or "none" for name in self.files)
        annotated: set[str] = set()
        governed: dict[str, str] = {}  # why the other pictures of a folder are not whole ears
        for path in map(Path, self.files):
            if path.suffix.lower() == ".pts":
                annotated |= self._points(path)
            elif any(path.match(p) for p in ANNOTATIONS) or (self.named_by_user and path.suffix.lower() in READERS):
                named = self._annotations(path)
                if named is None:
                    governed[str(path.parent)] = f"{path.name} beside it cannot be read"
                else:
                    annotated |= named
                    reason = f"{self._label(str(path))} names others in its folder, but not this one"
                    governed |= dict.fromkeys((name.rpartition(os.sep)[0] for name in named), reason)
        for name in self.pictures:
            folder = name.rpartition(os.sep)[0]
            if name not in annotated and folder in governed:
                self._leave_out(self._label(name), self._label(folder), governed[folder])
            elif name not in annotated:
                self._add(name, WHOLE, "", None, self._label(folder))

    def _label(self, path: str) -> str:
        """The path of a file from the source's own name on, with slashes."""
        return os.path.relpath(path, self.folder.parent).replace(os.sep, "/")

    def _unreadable(self, error: OSError) -> None:
        self._leave_out(self._label(str(error.filename)), "", f"cannot be read ({error.strerror})")

    def _add(self, path: str, box: Sequence[float], subject: str, points: Keypoints | None, source: str) -> None:
        inside = os.path.relpath(path, self.folder).replace(os.sep, "/")
        label = self._label(path)
        self.contents.samples.append(Sample(path, label, tuple(box), subject or self.rule(inside), points, source))

    def _leave_out(self, path: str, source: str, reason: str) -> None:
        self.contents.left_out.append(LeftOut(path, source, reason))

    def _annotations(self, file: Path) -> set[str] | None:
        """Adds the samples of an annotation file; returns the pictures that it names, or None if it cannot be read."""
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
        points = columns.keypoints[row] if columns.keypoints else None
        source = columns.sources[row] if columns.sources else ""
        self._add(path, columns.boxes[row].tolist(), subject, points, source or label)

    def _resolve(self, file: Path, name: str) -> str:
        """The picture that an annotation names: relative to it, or else the only one of that name in the source."""
        start, fence = (self.root_dir, self.root_dir) if self.root_dir else (file.parent, self.folder)
        path = os.path.normpath(start / name)
        if os.path.commonpath([fence, path]) != str(fence):
            raise ValueError(f"the path leaves {fence}; give `root_dir` if that is intended")
        try:
            if Path(path).is_file():
                return path
        except (OSError, ValueError) as error:
            raise ValueError("the path is not a file name") from error
        same = self.by_name.get(name.replace("\\", "/").rpartition("/")[2], [])
        if len(same) != 1:
            raise ValueError(f"no such file, and {len(same)} pictures have that name" if same else "no such file")
        return same[0]

    def _points(self, file: Path) -> set[str]:
        """Adds the picture beside a `.pts` file, and returns it, usable or not."""
        label = self._label(str(file))
        beside = self.by_stem.get(str(file.with_suffix("")), [])
        if not beside:
            self._leave_out("", label, "no picture of that name is beside it")
        for name in beside:
            try:
                self._add(name, WHOLE, "", read_pts(file), label)
            except ManifestError as error:
                self._leave_out(self._label(name), label, str(error))
        return set(beside)
