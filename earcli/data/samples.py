"""Samples: what sources say of ears."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from earcli.data.formats.columns import Keypoints
from earcli.data.left_out import LeftOut

SubjectRule = Callable[[str], str]
"""From the path of an image below its source, with slashes, to a subject; "" if it is unknown."""
WHOLE_IMAGE = (float("nan"),) * 4
NO_LABEL = "no label in the file"


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
        side: `left`, `right`, or "" where the side of the ear is not known.
        change: What was done to the label to fit it to the image, such as "scaled by 0.5"; "" for nothing.
    """

    path: str
    label: str
    box: tuple[float, ...]
    subject: str
    keypoints: Keypoints | None
    source: str
    side: str = ""
    change: str = ""


@dataclass
class SourceContents:
    """What the sources contain.

    Attributes:
        samples: The samples of all sources, in the order of the sources.
        left_out: What cannot be used.
        empty: Absolute paths of images that were reviewed and show no ear.
        notes: What was done to the labels of a file, a line each.
        extensions: The number of files with each extension.
    """

    samples: list[Sample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extensions: Counter[str] = field(default_factory=Counter)
