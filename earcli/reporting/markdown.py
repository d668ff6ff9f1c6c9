"""Markdown that shows any text literally."""

import re

from earcli.reporting.console import printable

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$])")


def escape(text: object) -> str:
    r"""Text that Markdown shows literally; control characters and undecodable bytes become �.

    >>> print(escape("a|b_c"))
    a\|b\_c
    """
    return SPECIAL.sub(r"\\\1", printable(str(text)))
