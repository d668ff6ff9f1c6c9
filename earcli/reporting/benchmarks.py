"""Tables of what `ear bench train` and `ear bench data` measured. Plain data in, rows or Markdown out."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = list[tuple[str, ...]]


def step_rows(result: Mapping[str, Any]) -> dict[tuple[str, ...], Rows]:
    """The rows of each table by its headings, from what `earcli.benchmarks.training_step.bench_train` returns."""
    step = result["step_ms"]
    peak = result["peak_gflops"]["convolution 32" if result["precision"] == "32" else "convolution bf16"]
    speed: Rows = [
        ("images/s", f"{result['images_per_second']:.2f}"),
        ("GFLOP a step", f"{result['gflop_per_step']:.0f}"),
        ("GFLOP/s", f"{result['gflops']:.0f}"),
        *((f"GFLOP/s, {name} alone", f"{value:.0f}") for name, value in result["peak_gflops"].items()),
        ("share of the convolution's", f"{result['gflops'] / peak:.0%}"),
        ("waiting for data", f"{result['data_wait']:.1%}"),
        ("first step, s", f"{result['first_step_s']:.1f}"),
        ("loader, images/s of one core", f"{result['loader']['images_per_second']:.0f}"),
    ]
    tables: dict[tuple[str, ...], Rows] = {
        ("phase", "ms", "share"): [
            *((name, f"{ms:.1f}", f"{ms / step:.1%}") for name, ms in result["phases_ms"].items()),
            ("step", f"{step:.1f}", ""),
        ],
        ("term alone, forward and backward", "ms"): [(name, f"{ms:.1f}") for name, ms in result["terms_ms"].items()],
        ("memory", "MiB"): [(name, f"{size:.0f}") for name, size in result["memory_mib"].items()],
        ("speed", ""): speed,
    }
    if "naive" in result:
        naive, loader = result["naive"], result["loader"]
        pairs = [
            ("step, images/s", result["images_per_second"], naive["images_per_second"]),
            ("loader, images/s of one core", loader["images_per_second"], loader["naive_images_per_second"]),
        ]
        tables[("against the straightforward way", "ear", "straightforward", "ratio")] = [
            (name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}") for name, ours, theirs in pairs
        ]
    return tables


def title(result: Mapping[str, Any]) -> str:
    vgg = "no VGG16" if result["vgg16"] is None else f"VGG16 {result['vgg16']}"
    return (
        f"preset {result['preset']}, {result['image_size']} px, batch {result['batch_size']}, {result['precision']}, "
        f"{vgg}; {result['device']}, {result['threads']} threads, torch {result['torch']}"
    )


def step_markdown(result: Mapping[str, Any]) -> str:
    return "\n".join([title(result), "", *(_markdown(*pair) for pair in step_rows(result).items())])


SET_HEADINGS = ("pictures", "build, s", "MiB, building", "second start, s", "loader, images/s", "MiB, after an epoch")


def set_rows(result: Mapping[str, Any]) -> Rows:
    """A row for each set that `earcli.benchmarks.loader.measure_sets` measured."""
    return [
        (
            f"{one['images']:,}",
            f"{one['build_s']:.1f}",
            f"{one['build_mib']:.0f}",
            f"{one['start_s']:.2f}",
            f"{one['images_per_second']:.0f}",
            f"{one['epoch_mib']:.0f}",
        )
        for one in result["sets"]
    ]


def set_markdown(result: Mapping[str, Any]) -> str:
    about = f"{result['image_size']} px, batch {result['batch_size']}, {result['num_workers']} threads that decode"
    return "\n".join([about, "", _markdown(SET_HEADINGS, set_rows(result))])


def _markdown(headings: Sequence[str], rows: Rows) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])
