"""Turns the knobs of a configuration into Typer options, so that no flag is written twice."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from earcli.config.fields import Knobs, flag

Checkpoint = Annotated[
    str,
    typer.Option("--checkpoint", help="A teacher: a file, or last.ckpt or best of the newest run."),
]
AnyCheckpoint = Annotated[
    str,
    typer.Option("--checkpoint", help="A teacher or detector: a file, or last.ckpt or best of the newest run."),
]
DetectorCheckpoint = Annotated[
    str,
    typer.Option("--checkpoint", help="A detector: a file, or last.ckpt or best of the newest run that trained one."),
]
RunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of all runs.")]
ReadManifest = Annotated[
    Path | None,
    typer.Option("--manifest", help="Manifest of the pictures. By default the run's validation set."),
]
RootDir = Annotated[
    Path | None,
    typer.Option("--root-dir", help="Folder that relative paths start from. By default the run's, or the manifest's."),
]
SourceRootDir = Annotated[
    Path | None,
    typer.Option("--root-dir", help="Folder that a manifest's relative paths start from; by default its own."),
]
TrainManifest = Annotated[
    Path | None,
    typer.Option("--train-manifest", help="Manifest of the pictures to compare with. By default the run's."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder of the results. By default in the run folder.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="So many pictures only, drawn by --seed.")]
Subject = Annotated[
    Literal["column", "folder", "none"],
    typer.Option("--subject", help="Who is on a picture: what the manifest says, the name of its folder, or unknown."),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Pictures in a batch.")]
NumWorkers = Annotated[int, typer.Option("--num-workers", min=1, help="Threads that decode pictures.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is drawn at random.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", help="Where the model runs; auto is CUDA if any.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON; everything else goes to stderr.")]
"""The options that commands share which read pictures with a trained teacher."""

Command = Callable[..., None]


def given(ctx: typer.Context, name: str) -> bool:
    """Whether a flag was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def with_knobs(*kinds: type[Knobs], resumable_only: bool = False) -> Callable[[Command], Command]:
    """Adds the knobs of configurations to a command, which receives those that were given as the dict `knobs`.

    The command's first parameter must be `ctx: typer.Context`. A knob that several kinds have is one option.
    """
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    # of a knob that several kinds have, the first one's default and help are shown
    every = {f.name: (f, group.__doc__) for kind in reversed(kinds) for group in kind.GROUPS for f in fields(group)}
    chosen = [(f, panel) for f, panel in every.values() if f.metadata["resumable"] or not resumable_only]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.name != "knobs"]
        options = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=f.default,
                annotation=Annotated[
                    hints[f.name],
                    typer.Option(
                        flag(f.name),
                        help=f.metadata["help"],
                        rich_help_panel=panel,
                        parser=_number_or(f.metadata["words"]) if f.metadata["words"] else None,
                        metavar="|".join(["INTEGER", *f.metadata["words"]]) if f.metadata["words"] else None,
                    ),
                ],
            )
            for f, panel in chosen
        ]

        @functools.wraps(command)
        def wrapper(ctx: typer.Context, **values: Any) -> None:
            knobs = {}
            for f, _ in chosen:
                value = values.pop(f.name)
                if given(ctx, f.name):
                    knobs[f.name] = value
            command(ctx, **values, knobs=knobs)

        extended = signature.replace(parameters=[*own, *options])
        wrapper.__signature__ = extended  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in extended.parameters.values()}
        return wrapper

    return decorate


def _number_or(words: Mapping[str, int]) -> Callable[[Any], int]:
    """Reads an integer, or a word that stands for one."""

    def read(value: Any) -> int:
        try:
            return words[value] if value in words else int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a valid integer or {', '.join(words)}.") from None

    return read
