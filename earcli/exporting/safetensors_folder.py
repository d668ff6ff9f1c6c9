"""Write a part as a folder of weights, configuration and model card."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from earcli.checkpoints.safetensors_folder import CONFIG_NAME, WEIGHTS_NAME, read_folder
from earcli.exporting.metadata import ExportMetadata
from earcli.exporting.parts import Part, make_part
from earcli.exporting.runtime import Runner
from earcli.exporting.torch_export import module_runner
from earcli.models.vae import EarVAE
from earcli.reporting.markdown import escape

CARD_NAME = "README.md"
FILE_NAMES = (CONFIG_NAME, WEIGHTS_NAME, CARD_NAME)
CARD = """# Ear {part}

{subject} of a ResNet variational autoencoder that was trained without labels to reconstruct crops of human ears.

| | |
|---|---|
| input | one ear, {size}×{size} pixels, {channels}, {value_range} |
| resize | {resize} |
| latent vector | {latent} dimensions, the posterior mean |
| trunk | {trunk} |
| weights | {count:,} numbers in {weights}, fingerprint {fingerprint} |
| source | {run} {checkpoint}, ear {version} |

{load}

The model represents ears like those of its training set, and nothing else of a person. `ear evaluate` measures how
well it reconstructs them.
"""
LOAD_MODEL = """```python
from earcli import EarVAE

model = EarVAE.from_pretrained("{name}")  # a local folder; nothing is downloaded
```"""
LOAD_WEIGHTS = "`safetensors.torch.load_file` reads the weights; their names are those of `EarVAE`."


def write_folder(part: Part, folder: Path, metadata: ExportMetadata) -> None:
    """Writes the weights of a part, its configuration and a model card.

    Raises:
        OSError: The folder cannot be written.
    """
    state = {name: value.contiguous() for name, value in part.module.state_dict().items()}
    try:
        save_file(state, folder / WEIGHTS_NAME, metadata=metadata.to_text())
    except SafetensorError as error:  # raised for a full disk
        raise OSError(str(error)) from error
    (folder / CONFIG_NAME).write_text(json.dumps(asdict(metadata), indent=2), encoding="utf-8")
    count = sum(value.numel() for value in state.values())
    card = _model_card(part.name, metadata, folder.name, count)
    (folder / CARD_NAME).write_text(card, encoding="utf-8", errors="backslashreplace")


def _model_card(part: str, metadata: ExportMetadata, name: str, count: int) -> str:
    return CARD.format(
        part=part,
        subject="The whole" if part == "vae" else f"The {part}",
        size=metadata.image_size,
        channels=metadata.channel_order,
        value_range=metadata.value_range,
        resize=metadata.resize,
        latent=metadata.skeleton_dim + metadata.latent_dim,
        trunk=metadata.encoder,
        count=count,
        weights=WEIGHTS_NAME,
        fingerprint=metadata.fingerprint,
        run=escape(metadata.run) or "a checkpoint outside a run folder:",
        checkpoint=escape(metadata.checkpoint),
        version=metadata.ear_version,
        load=LOAD_MODEL.format(name=name) if part == "vae" else LOAD_WEIGHTS,
    )


def open_folder(part: Part, folder: Path) -> Runner:
    """Loads what `write_folder` wrote into a new model."""
    if part.name == "vae":
        return module_runner(make_part(EarVAE.from_pretrained(folder), "vae").module)
    loaded = make_part(EarVAE.untrained(read_folder(folder).config), part.name).module
    loaded.load_state_dict(load_file(folder / WEIGHTS_NAME))
    return module_runner(loaded)
