"""`ear search`: find similar ears in an index of embeddings."""

from rich.console import Console

from earcli.cli.command import command
from earcli.reporting.console import print_line
from earcli.reporting.tables import print_table
from earcli.tasks.search import SHEET_QUERIES, Identification, SearchResult
from earcli.tasks.search import search as task

RANKS = (1, 5, 10, 20)


@command(task, arguments=("queries",), short={"output": ("--output", "-o"), "k": ("-k",)})
def search(console: Console, result: SearchResult) -> None:
    for query in result.queries[:SHEET_QUERIES]:
        named = any(hit["subject"] for hit in query["neighbors"])
        rows = [
            [str(rank), f"{hit['distance']:.4f}", *([hit["subject"] or ""] if named else []), hit["path"]]
            for rank, hit in enumerate(query["neighbors"], 1)
        ]
        header = ["", "distance", *(["subject"] if named else []), "picture"]
        print_table(console, header, rows, title=query["query"])
    if result.identification is not None:
        print_table(console, ("", "measured"), _identification_rows(result.identification))
    print_line(f"contact sheet {result.sheet}", console)


def _identification_rows(result: Identification) -> list[tuple[str, str]]:
    ranks = [rank for rank in RANKS if rank <= len(result.cmc)]
    return [
        ("people, pictures", f"{result.people}, {result.pictures}"),
        *(("rank-1" if rank == 1 else f"among the first {rank}", f"{result.cmc[rank - 1]:.1%}") for rank in ranks),
        ("AUC", f"{result.auc:.3f}"),
        ("EER", f"{result.eer:.1%}"),
        (
            f"{'sampled pairs' if result.sampled else 'pairs'} of one, of two people",
            f"{result.genuine:,}, {result.impostor:,}",
        ),
    ]
