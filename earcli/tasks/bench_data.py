"""Measuring pixel cache and loader."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from earcli.benchmarks.report import Benchmark, Table
from earcli.config.fields import at_least, image_side, require
from earcli.reporting.reporter import SILENT, Reporter

SYNTHETIC_EARS = 200
COLUMNS = {
    "images": ("images", ",.0f"),
    "build_s": ("build, s", ".1f"),
    "build_mib": ("MiB, building", ".0f"),
    "start_s": ("second start, s", ".2f"),
    "images_per_second": ("loader, images/s", ".0f"),
    "epoch_mib": ("MiB, after an epoch", ".0f"),
}


def bench_data(
    *,
    manifest: str | Path | None = None,
    root_dir: str | Path | None = None,
    counts: Sequence[int] = (1_000, 15_029, 150_000),
    image_size: int = 64,
    batch_size: int = 32,
    num_workers: int = 4,
    output: str | Path | None = None,
    reporter: Reporter = SILENT,
) -> Benchmark:
    """Measure the cost of images as a data set grows: building and reopening the cache, images/s, memory.

    Args:
        manifest: Manifest of the images; by default synthetic ears.
        root_dir: Folder that relative paths are resolved against; by default the manifest's.
        counts: Images per set, which repeats images as often as necessary; repeat for several sets. The cache of a
            set takes 3 bytes per pixel in the temporary folder: 1.8 GB for 150,000 crops of 64 pixels.
        image_size: Side of the crops in pixels.
        batch_size: Images per batch.
        num_workers: Threads that decode images.
        output: Folder for data.json and data.md; by default they are not written.
        reporter: Receives progress.

    Returns:
        The parameters, and as `sets` the figures of `earcli.benchmarks.loader.measure_sets`.

    Raises:
        ConfigError: A value is out of range.
        ManifestError: The manifest cannot be read.
        DataError: More than 5% of the images cannot be used.

    Example:
        >>> earcli.bench_data(counts=[500])["sets"][0]["images_per_second"]  # doctest: +SKIP
        18146.0
    """
    for count in counts:
        require(at_least(1), counts=count)
    require(image_side, image_size=image_size)
    require(at_least(1), batch_size=batch_size, num_workers=num_workers)
    from earcli.benchmarks.loader import measure_sets
    from earcli.data.manifest import read_manifest
    from earcli.files import check_writable
    from earcli.synthetic.dataset import write_set

    folder = None if output is None else Path(output)
    if folder is not None:
        check_writable(folder)
    with TemporaryDirectory() as temporary:
        if manifest is None:
            write_set(Path(temporary) / "ears", SYNTHETIC_EARS, 0, reporter.progress)
            manifest = Path(temporary) / "ears" / "train_teacher.npy"
        images = read_manifest(Path(manifest), None if root_dir is None else Path(root_dir))
        sets = measure_sets(images, counts, image_size, batch_size, num_workers, Path(temporary), reporter.progress)
    table = Table(
        [heading for heading, _ in COLUMNS.values()],
        [[format(figures[name], form) for name, (_, form) in COLUMNS.items()] for figures in sets],
    )
    parameters = {"image_size": image_size, "batch_size": batch_size, "num_workers": num_workers}
    title = f"{image_size} px, batch {batch_size}, {num_workers} decoding threads"
    result = Benchmark(title, {**parameters, "sets": sets}, [table], folder)
    result.write("data")
    return result
