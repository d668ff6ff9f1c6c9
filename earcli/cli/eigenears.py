"""`ear eigenears`: the principal directions in which ears differ for a teacher."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.tasks.eigenears import EigenearsResult
from earcli.tasks.eigenears import eigenears as task

HEADER = ("PC", "explained", "light", "anatomy", "correlates with", "verdict")
STRONGEST = 2


@command(task, short={"output": ("--output", "-o"), "reach": ("--range",)})
def eigenears(console: Console, result: EigenearsResult) -> None:
    from earcli.reporting.tables import print_sections

    rows = [
        (
            f"{component.number}",
            f"{component.explained:.1%}",
            _percent(component.light),
            _percent(component.anatomy),
            _strongest(component.correlations),
            component.verdict or "–",
        )
        for component in result.components
    ]
    print_sections(console, HEADER, [("", rows)], optional=("correlates with",))
    for note in result.notes:
        print_line(note, console)
    names = ["eigenears_grid.png", "skeleton_grid.png", "variance.png", "pc_01.png"]
    pictures = ", ".join(name for name in names if (result.output / name).is_file())
    print_line(f"results {result.output}: {pictures} ..., eigenears.npz, eigenears.json", console)


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction:.0%}"


def _strongest(correlations: dict[str, float]) -> str:
    ranked = sorted(correlations.items(), key=lambda item: -abs(item[1]))
    return ", ".join(f"{name} {r:+.2f}" for name, r in ranked[:STRONGEST])
