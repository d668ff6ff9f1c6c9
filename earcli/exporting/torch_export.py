"""Write and run `.pt2` archives of `torch.export`."""

import json
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, Runner

METADATA_NAME = "ear.json"


def write_archive(part: Part, path: Path, metadata: ExportMetadata) -> None:
    """Writes a part as a `torch.export` archive with a dynamic batch size.

    `torch.export.load(path).module()` runs it.

    Raises:
        OSError: The file cannot be written.
    """
    program = torch.export.export(
        part.module, (part.example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    content = BytesIO()  # writing to a file directly, torch aborts the process if the disk is full
    torch.export.save(program, content, extra_files={METADATA_NAME: json.dumps(metadata.to_text(), indent=2)})
    path.write_bytes(content.getbuffer())


def open_archive(path: Path) -> Runner:
    """Loads an archive that `write_archive` wrote. Trusted files only: torch reads it."""
    return module_runner(torch.export.load(path).module())


def module_runner(module: nn.Module) -> Runner:
    """Wraps a module that returns tensors by name; it runs on the CPU without gradients."""

    def run(batch: Floats) -> dict[str, Floats]:
        with torch.inference_mode():
            return {name: value.numpy() for name, value in module(torch.from_numpy(batch)).items()}

    return run
