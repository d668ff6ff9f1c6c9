"""Writing a teacher as a folder: weights, configuration, model card."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from earcli.checkpoints.safetensors_folder import CONFIG_NAME, WEIGHTS_NAME, read_folder
from earcli.exporting.metadata import Facts
from earcli.exporting.parts import Part, make_part
from earcli.exporting.runtime import Runner
from earcli.exporting.torch_export import module_runner
from earcli.models.vae import EarVAE
from earcli.reporting.markdown import escape

CARD_NAME = "README.md"
FILE_NAMES = (CONFIG_NAME, WEIGHTS_NAME, CARD_NAME)
CARD = """# Ear {part}

{subject} of a ResNet variational autoencoder that was trained, without labels, to reconstruct crops of human ears.

| | |
|---|---|
| pictures | one ear, {size}×{size} pixels, {channels}, {value_range} |
| resize | {resize} |
| latent vector | {latent} numbers, the posterior mean |
| trunk | {trunk} |
| weights | {count:,} numbers in {weights}, fingerprint {fingerprint} |
| from | {run} {checkpoint}, ear {version} |

{load}

It knows ears as they looked in its training set, and nothing else of a person. How well it reconstructs is told by
`ear evaluate`, not by this file.
"""
LOAD_ALL = """```python
from earcli import EarVAE

model = EarVAE.from_pretrained("{name}")  # a local folder; nothing is fetched
```"""
LOAD_PART = "`safetensors.torch.load_file` reads the weights; their names are those of `EarVAE`."


def write_folder(part: Part, folder: Path, facts: Facts) -> None:
    """Writes the weights of a part with what is needed to load them.

    Raises:
        OSError: the folder cannot be written.
    """
    state = {name: value.contiguous() for name, value in part.module.state_dict().items()}
    try:
        save_file(state, folder / WEIGHTS_NAME, metadata=facts.to_text())
    except SafetensorError as error:  # what it makes of a full disk
        raise OSError(str(error)) from error
    (folder / CONFIG_NAME).write_text(json.dumps(asdict(facts), indent=2), encoding="utf-8")
    card = CARD.format(
        part=part.name,
        subject="The whole" if part.name == "vae" else f"The part “{part.name}”",
        size=facts.image_size,
        channels=facts.channel_order,
        value_range=facts.value_range,
        resize=facts.resize,
        latent=facts.latent_dim,
        trunk=facts.resnet_version,
        count=sum(value.numel() for value in state.values()),
        weights=WEIGHTS_NAME,
        fingerprint=facts.fingerprint,
        run=escape(facts.run) or "a checkpoint outside a run folder:",
        checkpoint=escape(facts.checkpoint),
        version=facts.ear_version,
        load=LOAD_ALL.format(name=folder.name) if part.name == "vae" else LOAD_PART,
    )
    (folder / CARD_NAME).write_text(card, encoding="utf-8", errors="backslashreplace")


def open_folder(part: Part, folder: Path) -> Runner:
    """Runs what `write_folder` wrote, loaded into a model of its own."""
    if part.name == "vae":
        return module_runner(make_part(EarVAE.from_pretrained(folder), "vae").module)
    config = read_folder(folder).config
    loaded = make_part(EarVAE(config.latent_dim, config.image_size, config.resnet_version), part.name).module
    loaded.load_state_dict(load_file(folder / WEIGHTS_NAME))
    return module_runner(loaded)
