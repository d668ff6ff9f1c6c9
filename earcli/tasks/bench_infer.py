"""Measuring the encoder in PyTorch and ONNX."""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from earcli.benchmarks.report import Benchmark, Table
from earcli.config.fields import at_least, one_of, require
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.exporting.runtime import Floats
    from earcli.tasks.export_inputs import ExportInputs

NAMES = {"torch": "PyTorch", "compile": "torch.compile", "onnx": "ONNX fp32", "int8": "ONNX int8"}
BACKENDS = tuple(NAMES)


def bench_infer(
    checkpoint: str | Path = "best",
    *,
    backends: Sequence[str] = BACKENDS,
    batch_sizes: Sequence[int] = (1, 8, 32),
    seconds: float = 6.0,
    threads: int | None = None,
    manifest: str | Path | None = None,
    root_dir: str | Path | None = None,
    run_dir: str | Path = "runs",
    output: str | Path | None = None,
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> Benchmark:
    """Measure the encoder's speed, memory, size and parity: torch, torch.compile, ONNX fp32 and int8.

    Args:
        checkpoint: A teacher: a file, a run's folder, or last.ckpt or best of the newest run.
        backends: torch, compile, onnx or int8; repeat for several.
        batch_sizes: Images per batch; repeat for several.
        seconds: Time for each backend at each batch size.
        threads: Threads of one operator; by default the available cores.
        manifest: Crops to encode and to calibrate int8 with; by default the run's sets.
        root_dir: Folder that relative paths are resolved against; by default the run's, or the manifest's.
        run_dir: Folder of all runs.
        output: Folder for infer.json and infer.md; by default bench/ in the run folder.
        num_workers: Threads that decode images.
        reporter: Receives progress, and the reason why a backend is left out.

    Returns:
        `speed`, a dict for each batch size and backend, and `backends`: bytes of peak memory and of the file, and the
        largest relative error and smallest cosine of the posterior means, compared with PyTorch's.

    Raises:
        ConfigError: A value is invalid.
        CheckpointError: The checkpoint is missing, damaged, or not a teacher's.
        ManifestError: A manifest cannot be read.
        ExportError: An exported file does not compute the same as the checkpoint.

    Example:
        >>> result = earcli.bench_infer(backends=["torch", "onnx"], batch_sizes=[1])  # doctest: +SKIP
        >>> result["backends"]["onnx"]["cosine"]  # doctest: +SKIP
        1.0
    """
    for backend in backends:
        require(one_of(*BACKENDS), backends=backend)
    for size in batch_sizes:
        require(at_least(1), batch_sizes=size)
    require(at_least(0.01), seconds=seconds)
    require(at_least(1), threads=threads, num_workers=num_workers)
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.files import check_writable
    from earcli.tasks.export_inputs import prepare_export

    source = Checkpoint.open(checkpoint, "teacher", run_dir=run_dir)
    folder = source.results_folder(output, "bench")
    check_writable(folder)
    backends = [name for name in BACKENDS if name in backends]
    inputs = prepare_export(
        source,
        "encoder",
        calibrate="int8" in backends,
        manifest=manifest,
        root_dir=root_dir,
        num_workers=num_workers,
    )
    threads = threads or _count_cores()
    with TemporaryDirectory() as temporary:
        paths = _export_encoder(source, backends, inputs, Path(temporary), reporter)
        figures = _measure(paths, source.path, inputs.parity, sorted(set(batch_sizes)), seconds, threads, reporter)
    machine = f"{_describe_machine()}, {threads} threads"
    figures = {"checkpoint": str(source.path), "machine": machine, "images": len(inputs.parity), **figures}
    title = f"{machine}; {source.path.name}, {len(inputs.parity)} images"
    result = Benchmark(title, figures, [_speed_table(figures), _parity_table(figures)], folder)
    result.write("infer")
    return result


def _export_encoder(
    checkpoint: "Checkpoint", backends: Sequence[str], inputs: "ExportInputs", folder: Path, reporter: Reporter
) -> dict[str, Path]:
    """The file that each backend loads; ONNX files are exported and checked on the images."""
    from earcli.exporting.export import export_part
    from earcli.exporting.metadata import ExportMetadata

    paths = {}
    for number, name in enumerate(backends):
        reporter.progress("exporting", number, len(backends))
        if name in ("torch", "compile"):
            paths[name] = checkpoint.path
            continue
        paths[name] = folder / f"{name}.onnx"
        export_part(
            inputs.part,
            ExportMetadata.of(checkpoint, inputs.part.name, "fp32" if name == "onnx" else "int8"),
            paths[name],
            parity_inputs=inputs.parity,
            calibration_inputs=inputs.calibration,
            decode=inputs.decode,
        )
    return paths


def _measure(
    paths: Mapping[str, Path],
    checkpoint: Path,
    images: "Floats",
    batch_sizes: Sequence[int],
    seconds: float,
    threads: int,
    reporter: Reporter,
) -> dict[str, Any]:
    """Measures the backends, each of which loads its file of `paths`."""
    from earcli.benchmarks.inference import Worker, measure_speed, torch_encoder
    from earcli.exporting.export import count_bytes
    from earcli.exporting.parity import compare_outputs

    reference = torch_encoder(checkpoint, threads, compiled=False)(images)
    backends, left_out, workers = {}, {}, {}
    with ExitStack() as stack:
        for number, (name, path) in enumerate(paths.items()):
            reporter.progress("comparing", number, len(paths))
            worker = stack.enter_context(Worker(name, path, threads))
            try:
                parity = compare_outputs(worker.encode(images), reference)
            except Exception as error:  # torch.compile needs a C++ compiler, and fails in many ways without one
                if name != "compile":
                    raise
                left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                reporter.note(f"without {name}: {left_out[name]}")
                continue
            workers[name] = worker
            backends[name] = {
                "file_bytes": count_bytes(path),
                "relative_error": parity.relative,
                "cosine": parity.cosine,
            }
        speed = measure_speed(workers, images, batch_sizes, seconds, reporter.progress)
        for name, worker in workers.items():
            backends[name]["peak_memory_bytes"] = worker.peak_memory()
    return {"backends": backends, "left_out": left_out, "speed": [row._asdict() for row in speed]}


def _speed_table(figures: dict[str, Any]) -> Table:
    """Speed by encoder and batch size; the ratio is that to PyTorch's images/s at the same batch size."""
    eager = {row["batch"]: row["images_per_second"] for row in figures["speed"] if row["backend"] == "torch"}
    rows = [
        (
            NAMES[row["backend"]],
            str(row["batch"]),
            f"{row['images_per_second']:.1f}",
            f"{row['images_per_second'] / eager[row['batch']]:.2f}" if eager else "",
            f"{row['median_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
        )
        for row in figures["speed"]
    ]
    return Table(("encoder", "batch", "images/s", "ratio", "median ms", "p95 ms"), rows)


def _parity_table(figures: dict[str, Any]) -> Table:
    rows = [
        (
            NAMES[name],
            f"{values['peak_memory_bytes'] / 1e6:.0f}",
            f"{values['file_bytes'] / 1e6:.1f}",
            f"{values['relative_error']:.1e}",
            f"{values['cosine']:.6f}",
        )
        for name, values in figures["backends"].items()
    ]
    return Table(("encoder", "peak memory MB", "file MB", "relative error", "minimum cosine"), rows)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _describe_machine() -> str:
    """The processor, and the versions that matter."""
    import onnxruntime
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
