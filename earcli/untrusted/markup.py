"""JSON and XML files from elsewhere, with a limit on size and on nesting."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from earcli.errors import ManifestError
from earcli.untrusted.files import read_bounded

MAX_VALUES = 20_000_000
"""Lists and objects in one JSON file, or elements in one XML file."""


def read_json(path: Path, limit: int) -> Any:
    """The content of a JSON file of at most `limit` bytes.

    Raises:
        ManifestError: The file is too large or not JSON; the message names the line.
    """
    try:
        text = read_bounded(path, limit)
        if text.count(b"[") + text.count(b"{") > MAX_VALUES:
            raise ManifestError(f"{path} has more than {MAX_VALUES:,} lists and objects. Split it into several files.")
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Fix that line.") from error
    except (ValueError, RecursionError, OSError) as error:
        raise ManifestError(f"{path} is not JSON ({type(error).__name__}: {error}). Export it again.") from error


def read_xml(path: Path, limit: int) -> ElementTree.Element:
    """The root element of an XML file of at most `limit` bytes, without entity declarations.

    Raises:
        ManifestError: The file is too large, declares entities, or is not XML.
    """
    try:
        text = read_bounded(path, limit)
        if b"\0" in text:
            raise ManifestError(f"{path} is not XML in UTF-8. Save it as UTF-8.")
        if b"<!ENTITY" in text:
            raise ManifestError(f"{path} declares XML entities, which may expand without limit. Export it without.")
        if text.count(b"<") > MAX_VALUES:
            raise ManifestError(f"{path} has more than {MAX_VALUES:,} elements. Split it into several files.")
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as error:  # LookupError: an unknown encoding
        raise ManifestError(f"{path} is not XML ({error}). Export it again.") from error
