"""Tests of `earcli/checkpoints/safetensors_folder.py`."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from earcli.checkpoints.safetensors_folder import load_teacher, read_folder
from earcli.errors import CheckpointError
from earcli.models.vae import EarVAE

FACTS = {"latent_dim": 4, "image_size": 64, "encoder": "resnet18", "part": "vae", "note": "mine"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = EarVAE(4, 64, "resnet18")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    describe(tmp_path)
    return tmp_path


def describe(folder: Path, **facts: object) -> None:
    (folder / "config.json").write_text(json.dumps({**FACTS, **facts}))


def test_a_folder_gives_back_its_architecture_facts_and_weights(folder: Path) -> None:
    content = read_folder(folder)
    assert (content.config.latent_dim, content.config.image_size, content.config.encoder) == (4, 64, "resnet18")
    assert content.config.freeze_layers == 0
    earlier = {"skeleton_dim": 0, "side": "mixed", "encoder_size": 0, "input_stats": "none"}  # what they lack
    assert content.metadata == {**FACTS, **earlier}
    weights = load_file(folder / "model.safetensors")
    assert content.state.keys() == weights.keys()
    assert all(torch.equal(content.state[name], value) for name, value in weights.items())


def test_the_teacher_has_the_weights_of_the_folder(folder: Path) -> None:
    model = load_teacher(folder)
    assert not model.training
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"part": "encoder"}, "holds only the encoder. Export the whole teacher"),
        ({"latent_dim": 5}, r"does not hold the teacher that it describes: \S+ is \(4, .* expected \(5, "),
        ({"encoder": "resnet34"}, "does not hold the teacher that it describes: .* weights are missing"),
        ({"latent_dim": "many"}, "latent_dim must be of type int, got 'many'. Export again."),
    ],
)
def test_a_folder_that_is_no_whole_teacher_is_refused(folder: Path, facts: dict[str, object], message: str) -> None:
    describe(folder, **facts)
    with pytest.raises(CheckpointError, match=message):
        load_teacher(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, "\x80"])
def test_a_configuration_that_ear_did_not_write_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged or was not written by ear\. Export again\."):
        read_folder(folder)


def test_weights_that_are_missing_or_cut_off_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged .*Export again\."):
        read_folder(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors\. Give a local folder"):
        read_folder(folder)
