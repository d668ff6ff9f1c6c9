"""`ear embed`: compute embeddings of pictures."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.tasks.embed import EmbedResult
from earcli.tasks.embed import embed as task


@command(task, arguments=("sources",), short={"output": ("--output", "-o")})
def embed(console: Console, result: EmbedResult) -> None:
    print_line(f"{result.count} ears, {result.dimensions} numbers each: {result.output}", console)
    if result.clusters_folder is not None:
        print_line(f"a contact sheet per cluster, the most typical first: {result.clusters_folder}", console)
