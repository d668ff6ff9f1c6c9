"""What `ear prepare` excludes."""

from typing import NamedTuple


class LeftOut(NamedTuple):
    """An image or annotation that is excluded.

    Attributes:
        path: The image, from the name of its source on; "" for an annotation that names none.
        source: The annotation file or folder.
        reason: Why it is excluded.
    """

    path: str
    source: str
    reason: str
