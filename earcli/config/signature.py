"""Signatures of the tasks that take knobs as `**knobs`."""

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from earcli.config.fields import Knobs

Task = TypeVar("Task", bound=Callable[..., Any])


class _FromCheckpoint:
    """The default that the signature of `earcli.resume` shows."""

    def __repr__(self) -> str:
        return "<as in the checkpoint>"


FROM_CHECKPOINT = _FromCheckpoint()


@dataclass(frozen=True)
class KnobInfo:
    """One knob: its dataclass field, its type, and the title of its group."""

    field: Field[Any]
    type: Any
    group: str


def knobs_of(*kinds: type[Knobs], resumable_only: bool = False) -> dict[str, KnobInfo]:
    """The knobs of configurations by name; one that several kinds have is described by the first.

    Args:
        kinds: The configurations.
        resumable_only: Leaves out the knobs that must not change when a run is resumed.
    """
    result: dict[str, KnobInfo] = {}
    for kind in reversed(kinds):
        hints = get_type_hints(kind)
        for group in kind.GROUPS:
            result |= {item.name: KnobInfo(item, hints[item.name], group.TITLE) for item in fields(group)}
    return {name: info for name, info in result.items() if info.field.metadata["resumable"] or not resumable_only}


def with_knobs(*kinds: type[Knobs], resumable_only: bool = False) -> Callable[[Task], Task]:
    """Lists the knobs in the signature of a task that takes them as `**knobs`, for `help()` and editors.

    Args:
        kinds: The configurations whose knobs the task takes.
        resumable_only: Lists only the knobs that may change when a run is resumed.
    """

    def decorate(task: Task) -> Task:
        signature = inspect.signature(task)
        parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        for name, info in knobs_of(*kinds, resumable_only=resumable_only).items():
            default = FROM_CHECKPOINT if resumable_only else info.field.default
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=info.type)
            )
        task.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return task

    return decorate
