"""`ear bench infer`: PyTorch and ONNX beside each other."""

import json
import os
import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from earcli.cli import options
from earcli.errors import ConfigError

if TYPE_CHECKING:
    from earcli.exporting.runtime import Floats
    from earcli.reporting.console import ProgressBar
    from earcli.tasks.sources import Teacher


def infer(
    checkpoint: options.Checkpoint = "best",
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", help="torch, compile, onnx or int8; give it again for more; by default all four."),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch-size", min=1, help="Pictures in a batch; give it again for more; by default 1, 8, 32."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.01, help="Time for each backend at each batch size.")
    ] = 6.0,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of one operator; by default the cores there are.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Crops to encode and to calibrate int8 on; by default the run's sets."),
    ] = None,
    root_dir: options.RootDir = None,
    run_dir: options.RunDir = Path("runs"),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for infer.json and infer.md; by default the run's bench/."),
    ] = None,
    num_workers: options.NumWorkers = 4,
    as_json: options.AsJson = False,
) -> None:
    """Measure the encoder's speed, memory, size and parity: torch, torch.compile, ONNX fp32 and int8."""
    from rich.console import Console

    from earcli.benchmarks.inference import BACKENDS
    from earcli.files import atomic_write, check_writable
    from earcli.reporting.console import ProgressBar
    from earcli.reporting.tables import bench_facts, bench_markdown, bench_speeds, show_rows
    from earcli.tasks.sources import load_teacher

    unknown = sorted(set(backend or ()) - set(BACKENDS))
    if unknown:
        raise ConfigError(f"--backend must be one of {', '.join(BACKENDS)}, got {unknown[0]!r}.")
    console = Console(stderr=as_json)
    teacher = load_teacher(checkpoint, run_dir, "cpu")
    folder = teacher.results(output, "bench")
    check_writable(folder)
    chosen = [name for name in BACKENDS if name in (backend or BACKENDS)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProgressBar(console) as progress, TemporaryDirectory() as temporary:
        images, paths = prepare(teacher, chosen, (manifest, root_dir), num_workers, Path(temporary), progress)
        result = measure(teacher, images, paths, sorted(set(batch or (1, 8, 32))), seconds, threads or cores, progress)
    with atomic_write(folder / "infer.json") as path:
        path.write_text(json.dumps(result, indent=2), encoding="utf-8")
    with atomic_write(folder / "infer.md") as path:
        path.write_text(bench_markdown(result), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    show_rows(console, bench_speeds(result))
    console.print()
    show_rows(console, bench_facts(result))
    for name, reason in result["left_out"].items():
        console.print(f"without {name}: {reason}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{result['checkpoint']}; {result['machine']}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{folder}: infer.json, infer.md", soft_wrap=True, highlight=False, markup=False)


def prepare(
    teacher: "Teacher",
    chosen: list[Any],
    own: tuple[Path | None, Path | None],
    workers: int,
    folder: Path,
    progress: "ProgressBar",
) -> tuple["Floats", dict[Any, Path]]:
    """Real images to encode, and what each backend loads; ONNX files are exported anew, with their proof.

    Raises:
        ExportError: an export does not compute what the checkpoint computes.
    """
    from earcli.checkpoints.weights import fingerprint
    from earcli.cli.export import real_inputs
    from earcli.exporting.export import Precision, export_part
    from earcli.exporting.metadata import Facts
    from earcli.exporting.parts import make_part

    part = make_part(teacher.model, "encoder")
    inputs = real_inputs(teacher, part, own, "int8" in chosen, workers)
    paths = {}
    for number, name in enumerate(chosen):
        progress("exporting", number, len(chosen))
        if name in ("torch", "compile"):
            paths[name] = teacher.path
            continue
        precision = cast(Precision, "fp32" if name == "onnx" else name)
        paths[name] = folder / f"{name}.onnx"
        facts = Facts.of(teacher.config, teacher.path, fingerprint(teacher.model), part.name, precision)
        export_part(part, facts, "onnx", 20, paths[name], inputs, teacher.model.decoder)
    return inputs[0], paths


def measure(
    teacher: "Teacher",
    images: "Floats",
    paths: dict[Any, Path],
    batches: list[int],
    seconds: float,
    threads: int,
    progress: "ProgressBar",
) -> dict[str, Any]:
    """Everything about each backend, as plain values for JSON."""
    from earcli.benchmarks.inference import Worker, measure_speed, torch_encoder
    from earcli.exporting.export import bytes_of
    from earcli.exporting.parity import closeness

    reference = torch_encoder(teacher.path, threads, compiled=False)(images)
    workers = {name: Worker(name, path, threads) for name, path in paths.items()}
    parity = {}
    left_out = {}
    for number, (name, worker) in enumerate(list(workers.items())):
        progress("comparing", number, len(workers))
        try:
            parity[name] = closeness(worker.encode(images), reference)
        except Exception as error:  # torch.compile wants a C++ compiler, and fails in its own ways without
            if name != "compile":
                raise
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            workers.pop(name).close()
    speeds = measure_speed(workers, images, batches, seconds, progress)
    backends = {
        name: {
            "peak_memory_bytes": worker.peak_memory(),
            "file_bytes": bytes_of(paths[name]),
            "relative_error": parity[name].relative,
            "cosine": parity[name].cosine,
        }
        for name, worker in workers.items()
    }
    for worker in workers.values():
        worker.close()
    return {
        "checkpoint": str(teacher.path),
        "machine": f"{machine()}, {threads} threads",
        "images": len(images),
        "backends": backends,
        "left_out": left_out,
        "speed": [speed._asdict() for speed in speeds],
    }


def machine() -> str:
    """The processor, and the versions that matter."""
    import onnxruntime
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
