"""Writing `.pt2` archives (torch.export), and running them."""

import json
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from earcli.exporting.metadata import Facts
from earcli.exporting.parts import Part
from earcli.exporting.runtime import Floats, Runner

FACTS_NAME = "ear.json"


def write_archive(part: Part, path: Path, facts: Facts) -> None:
    """Writes a part as a `torch.export` archive with a dynamic batch; `torch.export.load(path).module()` runs it.

    Raises:
        OSError: it cannot be written.
    """
    program = torch.export.export(
        part.module, (part.example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    content = BytesIO()  # torch's own writer of files ends the whole process where the disk is full
    torch.export.save(program, content, extra_files={FACTS_NAME: json.dumps(facts.to_text(), indent=2)})
    path.write_bytes(content.getbuffer())


def open_archive(path: Path) -> Runner:
    """Runs what `write_archive` wrote."""
    return module_runner(torch.export.load(path).module())


def module_runner(module: nn.Module) -> Runner:
    """Runs a module that returns tensors by name, without gradients."""

    def run(batch: Floats) -> dict[str, Floats]:
        with torch.inference_mode():
            return {name: value.numpy() for name, value in module(torch.from_numpy(batch)).items()}

    return run
