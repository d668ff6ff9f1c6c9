"""Reading weights that others wrote: training checkpoints and pretrained networks. No file runs code."""

import hashlib
import pickle
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import torchvision
from torch import Tensor, nn

from earcli.checkpoints.runs import Kind
from earcli.config.fields import Knobs
from earcli.errors import CheckpointError, ConfigError, DamagedError, WeightsError
from earcli.untrusted.pickles import ForbiddenError
from earcli.untrusted.torch_files import read_safetensors, read_torch_file

CONNECT_SECONDS = 10
AnyKnobs = TypeVar("AnyKnobs", bound=Knobs)
MODEL_PREFIX, AVERAGE_PREFIX = "model.", "average."


def kind_of(hyper_parameters: Mapping[str, Any]) -> Kind:
    """What a run with these knobs trained."""
    return "detector" if "landmarks" in hyper_parameters else "teacher"


def read_checkpoint(path: str | Path, wanted: Kind | None = "teacher") -> dict[str, Any]:
    """Reads a checkpoint that `ear train` or `ear finetune` wrote.

    Args:
        wanted: the kind that it must be of; None takes any.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, not one of `ear`'s, or would run code.
    """
    path = Path(path)
    try:
        checkpoint = read_torch_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist. Give --checkpoint a file, last.ckpt or best.") from error
    except (ForbiddenError, pickle.UnpicklingError) as error:
        reason = f" ({error})" if isinstance(error, ForbiddenError) else ""
        raise CheckpointError(
            f"{path} holds more than tensors and plain values{reason}, and none of it was run. "
            "Only checkpoints that ear wrote can be read."
        ) from error
    except Exception as error:  # a damaged file can raise anything
        raise DamagedError(f"{path} is damaged or no checkpoint ({_reason(error)}). Take an older one.") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise CheckpointError(f"{path} is not a checkpoint of ear: it has no state_dict and hyper_parameters.")
    state = checkpoint["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is damaged: its state_dict holds more than weights. Take an older one.")
    if not isinstance(checkpoint["hyper_parameters"], dict) or "latent_dim" not in checkpoint["hyper_parameters"]:
        raise CheckpointError(f"{path} is not a teacher's checkpoint: its hyper-parameters lack latent_dim.")
    kind = kind_of(checkpoint["hyper_parameters"])
    if wanted not in (kind, None):
        maker = {"teacher": "ear train", "detector": "ear finetune"}[wanted]
        raise CheckpointError(f"{path} is a {kind}'s checkpoint, wanted a {wanted}'s. Give one that {maker} wrote.")
    return checkpoint


def checkpoint_config(checkpoint: Mapping[str, Any], path: str | Path, kind: type[AnyKnobs]) -> AnyKnobs:
    """The configuration of the run that wrote a checkpoint; knobs that it did not know yet have their defaults.

    Raises:
        CheckpointError: it has knobs or values that this version does not know.
    """
    try:
        return kind.from_dict(checkpoint["hyper_parameters"], str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error} Another version of ear wrote this checkpoint: use that one.") from error


def model_state(checkpoint: Mapping[str, Any], path: str | Path, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a training checkpoint that count: the average where one was kept, else the last ones.

    Raises:
        CheckpointError: they do not fit the model, or are not finite.
    """
    state = checkpoint["state_dict"]
    prefix = AVERAGE_PREFIX if any(key.startswith(AVERAGE_PREFIX) for key in state) else MODEL_PREFIX
    result = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    check_fit(result, model.state_dict(), f"{path} does not hold the teacher that it describes", CheckpointError)
    for key, value in result.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} holds NaN or infinity in {key}. Take an older checkpoint.")
    return result


def fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits that tell weights apart, whichever file they came from: a part of their SHA-256."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if value.is_floating_point():  # batch norm's counters say nothing about what is computed
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def read_trunk(resnet_version: str, source: str) -> dict[str, Tensor] | None:
    """The state dict of a torchvision ResNet without its classifier, from `imagenet` or a file; None for `none`.

    Raises:
        WeightsError: the weights are missing and cannot be fetched, are damaged, or do not fit.
    """
    if source == "none":
        return None
    state = read_pretrained("--weights", source, torchvision.models.get_model_weights(resnet_version).DEFAULT.url)
    with torch.device("meta"):
        wanted = torchvision.models.get_model(resnet_version, weights=None).state_dict()
    # old files of torchvision do not count batches; batch norm does without
    ignored = ("fc.weight", "fc.bias", "num_batches_tracked")
    wanted = {key: value for key, value in wanted.items() if not key.endswith(ignored)}
    check_fit(state, wanted, f"--weights {source} does not fit {resnet_version}", WeightsError)
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def read_vgg(source: str) -> dict[str, Tensor] | None:
    """The state dict of torchvision's `vgg16` from `imagenet` or a file; None for `none`.

    Raises:
        WeightsError: the weights are missing and cannot be fetched, or are damaged.
    """
    if source == "none":
        return None
    return read_pretrained("--perceptual-weights", source, torchvision.models.VGG16_Weights.IMAGENET1K_V1.url)


def vgg_at_hand(source: str) -> dict[str, Tensor] | None:
    """`read_vgg` where it takes no download, else None; for `none` too, VGG16 from torch's cache where it is there."""
    url = torchvision.models.VGG16_Weights.IMAGENET1K_V1.url
    path = _cached(url) if source in ("imagenet", "none") else Path(source)
    return read_vgg(str(path)) if path.is_file() else None


def read_pretrained(option: str, source: str, url: str) -> dict[str, Tensor]:
    """A state dict from a `.pth` or `.safetensors` file, or for `imagenet` from torch's cache or its address.

    Raises:
        WeightsError: it is missing and cannot be fetched, is damaged, or would run code.
    """
    path = _fetch(option, url) if source == "imagenet" else Path(source)
    try:
        state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{option} {source}: no such file. Give imagenet, none, or a .pth or .safetensors file."
        ) from error
    except Exception as error:  # a damaged file can raise anything
        raise WeightsError(
            f"{option}: {path} is damaged or holds more than tensors ({_reason(error)}). Fetch it anew."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{option}: {path} must hold a state dict, names to tensors.")
    return state


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]


def _cached(url: str) -> Path:
    """Where torch keeps the file of `url`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _fetch(option: str, url: str) -> Path:
    """The file of `url` in torch's cache, downloaded when it is not there."""
    path = _cached(url)
    if path.is_file():
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)  # torch's download sets none, and would wait for ever
    try:
        urllib.request.urlopen(url).close()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1])
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise WeightsError(
            f"{option} imagenet: {path.name} is not on this machine and cannot be fetched ({_reason(error)}). "
            f"Download {url} to {path}, or give {option} none."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return path


def check_fit(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    what: str,
    error: type[CheckpointError | WeightsError],
) -> None:
    """Raises `error` when weights are missing or have another shape than wanted; `what` is how its message begins."""
    missing = [key for key in wanted if key not in state]
    if missing:
        raise error(f"{what}: {len(missing)} of {len(wanted)} weights are missing, such as {missing[0]}.")
    for key, value in wanted.items():
        if state[key].shape != value.shape:
            found, need = tuple(state[key].shape), tuple(value.shape)
            raise error(f"{what}: {key} is {found}, wanted {need}.")
