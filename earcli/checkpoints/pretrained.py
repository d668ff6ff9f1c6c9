"""Pretrained weights of torchvision's networks: from a file, torch's cache, or a download. No file runs code."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from earcli.checkpoints.weights import check_fit
from earcli.errors import WeightsError
from earcli.untrusted.torch_files import read_safetensors, read_torch_file

CONNECT_SECONDS = 10


def read_trunk(resnet_version: str, source: str) -> dict[str, Tensor] | None:
    """The state dict of a torchvision ResNet without its classifier.

    Args:
        resnet_version: `resnet18` to `resnet152`.
        source: `imagenet`, a `.pth` or `.safetensors` file, or `none`, which gives None.

    Raises:
        WeightsError: The weights are missing and cannot be downloaded, are damaged, or do not fit.
    """
    if source == "none":
        return None
    state = read_pretrained("weights", source, torchvision.models.get_model_weights(resnet_version).DEFAULT.url)
    with torch.device("meta"):
        expected = torchvision.models.get_model(resnet_version, weights=None).state_dict()
    # old files of torchvision lack the batch counters, which batch norm does not need
    ignored = ("fc.weight", "fc.bias", "num_batches_tracked")
    expected = {key: value for key, value in expected.items() if not key.endswith(ignored)}
    check_fit(state, expected, f"`weights` {source} does not fit {resnet_version}", WeightsError)
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def read_vgg(source: str) -> dict[str, Tensor] | None:
    """The state dict of torchvision's `vgg16`; `source` is as in `read_trunk`.

    Raises:
        WeightsError: The weights are missing and cannot be downloaded, or are damaged.
    """
    if source == "none":
        return None
    return read_pretrained("perceptual_weights", source, torchvision.models.VGG16_Weights.IMAGENET1K_V1.url)


def read_cached_vgg(source: str) -> dict[str, Tensor] | None:
    """`read_vgg` without a download: None where the weights are neither a file nor in torch's cache.

    For `none` as well, the weights in torch's cache are used if they are there.
    """
    url = torchvision.models.VGG16_Weights.IMAGENET1K_V1.url
    path = cached_path(url) if source in ("imagenet", "none") else Path(source)
    return read_vgg(str(path)) if path.is_file() else None


def read_pretrained(parameter: str, source: str, url: str) -> dict[str, Tensor]:
    """A state dict from a `.pth` or `.safetensors` file, or for `imagenet` from torch's cache or `url`.

    Args:
        parameter: The name of the parameter that `source` was given for, for error messages.

    Raises:
        WeightsError: It is missing and cannot be downloaded, is damaged, or would run code.
    """
    path = _download(parameter, url) if source == "imagenet" else Path(source)
    try:
        state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"`{parameter}` {source}: no such file. Give imagenet, none, or a .pth or .safetensors file."
        ) from error
    except Exception as error:  # a damaged file can raise anything
        raise WeightsError(
            f"`{parameter}`: {path} is damaged or holds more than tensors ({_reason(error)}). Download it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"`{parameter}`: {path} must hold a state dict: tensors by name.")
    return state


def cached_path(url: str) -> Path:
    """The file in torch's cache for `url`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _download(parameter: str, url: str) -> Path:
    """The file of `url` in torch's cache, downloaded if it is not there yet."""
    path = cached_path(url)
    if path.is_file():
        return path
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)  # torch's download sets none, and would wait forever
    try:
        urllib.request.urlopen(url).close()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1])
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise WeightsError(
            f"`{parameter}` imagenet: {path.name} is not on this machine and cannot be downloaded ({_reason(error)}). "
            f"Download {url} to {path}, or give `{parameter}` none."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return path


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]
