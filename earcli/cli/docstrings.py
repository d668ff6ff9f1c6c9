"""Help texts from the Google-style docstring of a task."""

import inspect
import re
from collections.abc import Callable
from typing import Any

ENTRY = re.compile(r"(?m)^ {4}(\w+): ((?:.+\n?)(?: {5,}.+\n?)*)")


def summary_of(task: Callable[..., Any]) -> str:
    """The first paragraph of a task's docstring, which is the help of its command."""
    return " ".join(inspect.cleandoc(task.__doc__ or "").split("\n\n", 1)[0].split())


def helps_of(task: Callable[..., Any]) -> dict[str, str]:
    """The entries of the `Args:` section of a Google-style docstring, by parameter."""
    text = inspect.cleandoc(task.__doc__ or "")
    section = re.search(r"(?ms)^Args:\n(.*?)(?=^\w|\Z)", text)
    return {name: " ".join(entry.split()) for name, entry in ENTRY.findall(section[1])} if section else {}
