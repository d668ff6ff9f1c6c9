"""Reading one source: its annotation files, and the pictures that none of them governs."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from earcli.data.formats.columns import Keypoints
from earcli.data.formats.registry import SUFFIXES as LABEL_SUFFIXES
from earcli.data.images import SUFFIXES, UNREADABLE
from earcli.data.label_files import LabelFile, read_label_files
from earcli.data.left_out import LeftOut
from earcli.data.placement import MisfitError, are_fractions, fit_to_picture
from earcli.data.resolver import LABEL_FOLDERS, PictureResolver, name_key, spellings
from earcli.data.samples import NO_LABEL, WHOLE_IMAGE, Sample, SourceContents, SubjectRule
from earcli.data.walker import walk_files
from earcli.errors import LabelError


def _parent(path: str) -> str:
    return path.rpartition(os.sep)[0]


class SourceReader:
    """Adds the samples of one source to `contents`."""

    def __init__(
        self, source: Path, rule: SubjectRule, root_dir: Path | None, category: str | None, contents: SourceContents
    ) -> None:
        whole = source.is_dir() or source.suffix.lower() in (".yaml", ".yml")  # which describes a folder
        self.folder = (source if source.is_dir() else source.parent).resolve()
        self.only = None if whole else str(self.folder / source.name)
        if self.only is not None and self.folder.name.lower() in LABEL_FOLDERS:
            self.folder = self.folder.parent  # which has the images beside the labels
        self.rule, self.category, self.contents = rule, category, contents
        self.root_dir = None if root_dir is None else root_dir.resolve()
        alone = self.only is not None and self.only.lower().endswith(SUFFIXES)
        self.files = [] if alone else list(walk_files(self.folder, self._on_error, self._on_own))
        self.images = [path for path in self.files if path.lower().endswith(SUFFIXES)]
        self.resolver = PictureResolver(self._pictures_of_root() or self.images)
        self.governed: dict[str, str] = {}  # by folder, the file that governs it
        self.annotated: set[str] = set()
        self.changes: dict[str, Counter[str]] = defaultdict(Counter)  # by file, or folder of files for one image each

    def read(self, whole_pictures: bool) -> None:
        """Reads the annotation files, then adds the images that none of them governs, whole."""
        if self.only is None:
            self.contents.extensions.update(Path(path).suffix.lower() or "none" for path in self.files)
        else:
            self.contents.extensions[Path(self.only).suffix.lower()] += 1
        if not whole_pictures:
            stems = {path.rpartition(".")[0] for path in self.images}
            names = {name_key(path.rpartition(os.sep)[2]) for path in self.images}
            files = self.files if self.only is None else [self.only]
            self._add_label_files(list(read_label_files(files, stems, names, self._label, self._leave_out)))
        self._describe_changes()
        if self.only is None:
            self._add_whole_images()
            self._list_unreadable(self.files)
        elif not self._list_unreadable([self.only]) and not self.only.lower().endswith((*LABEL_SUFFIXES, ".txt")):
            self._add(self.only, WHOLE_IMAGE, "", None, self._label(_parent(self.only)))

    def _list_unreadable(self, paths: Sequence[str]) -> int:
        """Leaves out the images of formats that are not read; returns how many there are."""
        unreadable = [
            path for path in paths if path.lower().endswith(tuple(UNREADABLE)) and not path.lower().endswith(SUFFIXES)
        ]
        for path in unreadable:
            suffix = path[path.rindex(".") :]
            reason = f"{suffix} is not read; {UNREADABLE[suffix.lower()]}"
            self._leave_out(self._label(path), self._label(_parent(path)), reason)
        return len(unreadable)

    def _pictures_of_root(self) -> list[str]:
        if self.root_dir is None:
            return []
        files = walk_files(self.root_dir, self._on_error, lambda folder: None)
        return [path for path in files if path.lower().endswith(SUFFIXES)]

    def _add_label_files(self, files: Sequence[LabelFile]) -> None:
        wanted = self._wanted_categories(files)
        usable = 0
        for file in files:
            count = self._add_file(file, wanted)
            usable += count
            if not count and not file.one_picture:
                reason = next(
                    (item.reason for item in self.contents.left_out if item.source == file.label), "no labels"
                )
                raise LabelError(f"{file.label} has no label that can be used: {reason}. Repair or remove it.")
        if files and not usable:
            reason = next((item.reason for item in self.contents.left_out), "they are empty")
            raise LabelError(
                f"None of {len(files)} label files can be used, first {files[0].label}: {reason}. Repair or remove "
                "them."
            )

    def _wanted_categories(self, files: Sequence[LabelFile]) -> set[str] | None:
        """The names of annotations that are ears; None for all.

        Raises:
            LabelError: There are several names and none was chosen, or a chosen one is not there.
        """
        counts = Counter(name for file in files for name in file.content.categories or () if name)
        listed = ", ".join(f"{name} ({count})" for name, count in counts.most_common(8))
        if self.category is None:
            if len(counts) > 1:
                raise LabelError(f"The labels have several categories: {listed}. Choose the ears with `category`.")
            return None
        wanted = {name.strip() for name in self.category.split(",")}
        if missing := sorted(wanted - set(counts)):
            raise LabelError(f"No label has the `category` {', '.join(missing)}; there are {listed or 'no names'}.")
        return wanted

    def _add_file(self, file: LabelFile, wanted: set[str] | None) -> int:
        """Adds the samples of a file; returns how many there are, reviewed images without an ear included."""
        content = file.content
        self._govern(str(file.path.parent), file)
        places = self._locate_all(file)
        fractions, count = are_fractions(content, file.path), 0
        changes = self.changes[f"{_parent(file.label)}/" if file.one_picture else file.label]
        for row, name in enumerate(content.paths):
            path = places.get(name)
            if path is None:
                continue
            if wanted is not None and content.categories and content.categories[row] not in wanted:
                continue
            try:
                box, keypoints, change = fit_to_picture(content, row, Path(path), fractions)
            except MisfitError as error:
                self._leave_out(self._label(path), file.label, str(error))
                continue
            changes[change] += 1
            count += 1
            subject = content.subjects[row] if content.subjects else ""
            source = content.sources[row] if content.sources else ""
            self._add(path, box, subject, keypoints, source or file.label, content.side(row), change)
        empty = [places[name] for name in content.empty if name in places]
        self.contents.empty += empty
        return count + len(empty)

    def _describe_changes(self) -> None:
        for name, counts in self.changes.items():
            self.contents.notes += [
                f"{name}: {count} of {counts.total()} labels {change}" for change, count in counts.items() if change
            ]

    def _locate_all(self, file: LabelFile) -> dict[str, str]:
        """The images by the names in a file; names that stand for none, or for one together, are left out."""
        content = file.content
        places: dict[str, str] = {}
        for name in dict.fromkeys((*content.paths, *content.empty, *content.unlabeled)):
            try:
                places[name] = self._resolve(file, name)
            except ValueError as error:
                self._leave_out(name, file.label, str(error))
        shared = Counter(places.values())
        for name, path in list(places.items()):
            if shared[path] > 1:
                self._leave_out(name, file.label, f"{shared[path]} names in the file stand for {self._label(path)}")
                del places[name]
            self.annotated.add(path)
            self._govern(_parent(path), file)
        for name in content.unlabeled:
            if name in places:
                self._leave_out(self._label(places[name]), file.label, NO_LABEL)
        return places

    def _govern(self, folder: str, file: LabelFile) -> None:
        self.governed.setdefault(folder, file.label)

    def _add_whole_images(self) -> None:
        for image in self.images:
            if image in self.annotated:
                continue
            governor = self._governor(image)
            if governor is None:
                self._add(image, WHOLE_IMAGE, "", None, self._label(_parent(image)))
            else:
                self._leave_out(self._label(image), governor, f"{NO_LABEL} that governs its folder")

    def _governor(self, image: str) -> str | None:
        """The annotation file that governs an image, if any: one in a folder above it, or of an image beside it."""
        folder = _parent(image)
        while True:
            if folder in self.governed:
                return self.governed[folder]
            if folder == str(self.folder) or not folder:
                return None
            folder = _parent(folder)

    def _label(self, path: str) -> str:
        """A path from the name of the source on, with slashes."""
        return os.path.relpath(path, self.folder.parent).replace(os.sep, "/")

    def _on_error(self, error: OSError) -> None:
        self._leave_out(self._label(str(error.filename)), "", f"cannot be read ({error.strerror})")

    def _on_own(self, folder: str) -> None:
        self._leave_out(self._label(folder), "", "a folder of results that ear wrote")

    def _add(
        self,
        path: str,
        box: Sequence[float],
        subject: str,
        keypoints: Keypoints | None,
        source: str,
        side: str = "",
        change: str = "",
    ) -> None:
        below = os.path.relpath(path, self.folder).replace(os.sep, "/")
        subject = subject or self.rule(below)
        sample = Sample(path, self._label(path), tuple(box), subject, keypoints, source, side, change)
        self.contents.samples.append(sample)

    def _leave_out(self, path: str, source: str, reason: str) -> None:
        self.contents.left_out.append(LeftOut(path, source, reason))

    def _resolve(self, file: LabelFile, name: str) -> str:
        """The image that an annotation names.

        Raises:
            ValueError: There is no such image; the message is the reason.
        """
        start, boundary = (self.root_dir, self.root_dir) if self.root_dir else (file.path.parent, self.folder)
        leaves = False
        for spelled in dict.fromkeys((name, *spellings(name))):
            path = os.path.normpath(start / spelled)
            if os.path.commonpath([boundary, path]) != str(boundary):
                leaves = True
                continue
            try:
                if Path(path).is_file():
                    return path
            except (OSError, ValueError) as error:
                raise ValueError("the path is not a valid file name") from error
        if file.one_picture and "." not in name:
            return self.resolver.find_by_stem(file.path, name)
        try:
            return self.resolver.find(name)
        except ValueError as error:
            if leaves:
                raise ValueError(f"the path leaves {boundary}; set another root folder to allow it") from error
            raise
