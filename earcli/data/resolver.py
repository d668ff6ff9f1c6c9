"""From the names of pictures in annotation files to files, however the tool that wrote them spells them."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""
LABEL_FOLDERS = ("labels", "annotations", "annotation", "xmls")


class PictureResolver:
    """The pictures below some folder, by name.

    Args:
        pictures: Absolute paths of files.
    """

    def __init__(self, pictures: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in pictures:
            name = path.rpartition(os.sep)[2]
            self._by_name[name_key(name)].append(path)
            self._by_stem[_normal(name.rpartition(".")[0])].append(path)

    def find(self, name: str) -> str:
        """The picture that a name stands for, although no file lies at that path.

        Percent-encoding, Unicode composition, backslashes, the case of the suffix and the prefixes of tools make no
        difference. The last folder of the name must be that of the picture, and there must be only one such picture.

        Raises:
            ValueError: There is none, or several; the message is the reason.
        """
        reason = "no such file"
        for spelled in spellings(name):
            *folders, last = spelled.split("/")
            candidates = self._by_name.get(name_key(last), [])
            agreeing = [path for path in candidates if not folders or _normal(folders[-1]) == _folder(path)]
            if len(agreeing) == 1:
                return agreeing[0]
            if len(agreeing) > 1:
                reason = f"not at that path, and {len(agreeing)} images have that name"
            elif candidates and reason == "no such file":
                reason = f"not at that path; the image of that name is in {_folder(candidates[0])}, not {folders[-1]}"
        raise ValueError(reason)

    def find_by_stem(self, file: Path, name: str) -> str:
        """The picture of a label file for one picture: beside it, in the folder that mirrors its own, or the only one.

        Args:
            file: The label file, such as `labels/train/a.txt` for `images/train/a.jpg`.
            name: The stem of the picture.

        Raises:
            ValueError: There is none, or several; the message is the reason.
        """
        candidates = self._by_stem.get(_normal(name), [])
        for wanted in (str(file.parent), *_mirrored(file.parent)):
            inside = [path for path in candidates if path.rpartition(os.sep)[0] == wanted]
            if inside:
                candidates = inside
                break
        if len(candidates) == 1:
            return candidates[0]
        raise ValueError(f"{len(candidates)} images of that name, expected one" if candidates else NO_TWIN)


NO_TWIN = "no image with that name is beside it"


def spellings(name: str) -> Iterator[str]:
    """The paths that a name may stand for, as relative paths with slashes, the most literal first.

    >>> list(spellings("images/0%20ear.png"))
    ['images/0%20ear.png', 'images/0 ear.png']
    >>> list(spellings("/data/local-files/?d=set/a.png"))[-1]
    'set/a.png'
    """
    literal = name.replace("\\", "/").lstrip("/")
    tried = [literal]
    if "://" in name or name.startswith("/data/"):  # Label Studio's uploads, local files and cloud storage
        served = name.partition("?d=")[2] or name.partition("://")[2].partition("?")[0] or name
        tried += [served, unquote(served)]
        if "?d=" not in name:
            tried += [unquote(served).rpartition("/")[2]]
    tried.append(unquote(literal))
    bare = [path.rpartition("/")[2] for path in tried]
    tried += [UPLOAD_PREFIX.sub("", name) for name in bare if UPLOAD_PREFIX.match(name)]
    yield from dict.fromkeys(path for path in tried if path and not path.endswith("/"))


def _mirrored(folder: Path) -> Iterator[str]:
    """`images/train` for `labels/train`, and `images` for `labels`; the picture folders beside a label folder."""
    parts = folder.parts
    for index in range(len(parts) - 1, 0, -1):
        if parts[index].lower() in LABEL_FOLDERS:
            for images in ("images", "Images", "JPEGImages", "data"):
                yield str(Path(*parts[:index], images, *parts[index + 1 :]))
            yield str(Path(*parts[:index], *parts[index + 1 :]))
            return


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def name_key(name: str) -> str:
    """A name without the differences that systems make in the same name: Unicode composition, case of the suffix."""
    stem, dot, suffix = name.rpartition(".")
    return _normal(stem) + dot + suffix.lower()


def _folder(path: str) -> str:
    return _normal(path.replace(os.sep, "/").rpartition("/")[0].rpartition("/")[2])
