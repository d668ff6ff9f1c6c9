"""Collecting samples from folders and annotation files in any mix and layout: the one way in for all commands."""

from collections.abc import Sequence
from pathlib import Path

from earcli.data.images import SUFFIXES
from earcli.data.samples import SourceContents, SubjectRule
from earcli.data.source_reader import SourceReader
from earcli.errors import DataError


def collect_samples(
    sources: Sequence[Path],
    rule: SubjectRule,
    root_dir: Path | None = None,
    category: str | None = None,
    whole_pictures: bool = False,
) -> SourceContents:
    """Collects the samples of every source.

    An annotation file governs the images in its folder, below it, and in the folders of the images that it names: what
    it does not label there is left out. Elsewhere an image without annotation is one ear.

    Args:
        sources: Folders, which are searched recursively, and annotation files.
        rule: Gives the subject of an image without one.
        root_dir: Folder that paths in annotations are relative to and confined to. By default they are relative to the
            folder of the annotation file and confined to the source.
        category: The name of the annotations that are ears; several are separated by commas.
        whole_pictures: Whether to ignore all annotations and take every image for an ear.

    Raises:
        DataError: A source does not exist, or none contains an image.
        LabelError: A file that looks like labels cannot be used, or has several categories.
    """
    contents = SourceContents()
    for source in sources:
        if not source.exists():
            raise DataError(f"{source} does not exist. Give folders of images, or annotation files.")
        SourceReader(source, rule, root_dir, category, contents).read(whole_pictures)
    if not contents.samples and not contents.empty:
        seen = ", ".join(f"{ext} ({n})" for ext, n in contents.extensions.most_common(8)) or "no files"
        left_out = contents.left_out
        why = f" First of {len(left_out)} reasons: {left_out[0].reason}." if left_out else ""
        raise DataError(
            f"No images in {', '.join(map(str, sources))}: expected {' '.join(SUFFIXES)} or annotation files, "
            f"got {seen}.{why}"
        )
    return contents
