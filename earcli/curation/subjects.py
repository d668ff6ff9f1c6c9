"""Which person an image shows, by its path."""

import re

from earcli.data.samples import SubjectRule
from earcli.errors import ConfigError


def parse_subject_rule(subject: str) -> SubjectRule:
    r"""A rule from its text: `none`, `folder`, or a regular expression whose first group is the subject.

    Raises:
        ConfigError: The expression is invalid, or has no group.

    >>> parse_subject_rule("folder")("left/kim/1.jpg")
    'kim'
    >>> parse_subject_rule(r"(\d+)_\d+\.jpg")("left/012_3.jpg")
    '012'
    """
    if subject == "none":
        return lambda path: ""
    if subject == "folder":
        return lambda path: path.rpartition("/")[0].rpartition("/")[2]
    try:
        pattern = re.compile(subject)
    except re.error as error:
        raise ConfigError(
            f"`subject` must be folder, none or a regular expression, got {subject!r} ({error})."
        ) from error
    if not pattern.groups:
        raise ConfigError(f"`subject` {subject!r} has no group. Put the subject in parentheses: '([0-9]+)_'.")

    def rule(path: str) -> str:
        match = pattern.search(path)
        return (match[1] or "") if match else ""

    return rule
