"""Pretrained weights of torchvision's and timm's networks: from a file, a cache, or a download. No file runs code."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from earcli.checkpoints.weights import check_fit
from earcli.config.fields import TIMM
from earcli.config.teacher import TrainConfig
from earcli.errors import WeightsError
from earcli.models.backbone import build_trunk
from earcli.models.timm_trunk import TimmTrunk, pretrained_facts
from earcli.untrusted.torch_files import read_safetensors, read_torch_file

CONNECT_SECONDS = 10
PRETRAINED = ("pretrained", "imagenet")
"""Values of `weights` that mean those which the authors of the network published."""


def read_trunk(config: TrainConfig) -> dict[str, Tensor] | None:
    """The weights that a trunk starts from, without a classifier, for `Backbone.load_backbone`; None for random ones.

    Args:
        config: Its `weights` are `pretrained` or `imagenet`, which mean the same, a `.pth` or `.safetensors` file, or
            `none`.

    Raises:
        ConfigError: There is no such encoder, or it takes no such size.
        WeightsError: The weights are missing and cannot be downloaded, are damaged, or do not fit.
    """
    encoder, source = config.encoder, config.weights
    with torch.device("meta"):
        build_trunk(encoder, config.image_size, config.encoder_size)
    if source == "none":
        return None
    if encoder.startswith(TIMM):
        return _read_timm_trunk(config)
    state = read_pretrained("weights", source, torchvision.models.get_model_weights(encoder).DEFAULT.url)
    with torch.device("meta"):
        expected = torchvision.models.get_model(encoder, weights=None).state_dict()
    # old files of torchvision lack the batch counters, which batch norm does not need
    ignored = ("fc.weight", "fc.bias", "num_batches_tracked")
    expected = {key: value for key, value in expected.items() if not key.endswith(ignored)}
    check_fit(state, expected, f"`weights` {source} does not fit {encoder}", WeightsError)
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def describe_license(encoder: str, source: str) -> str | None:
    """The license of the weights that `read_trunk` reads for `weights` of `source`; None for a file or random weights.

    >>> describe_license("resnet18", "pretrained")
    'pretrained weights of resnet18: bsd-3-clause, https://github.com/pytorch/vision'
    """
    if source not in PRETRAINED:
        return None
    if encoder.startswith(TIMM):
        facts = pretrained_facts(encoder)
        page = f"https://huggingface.co/{facts.hf_hub_id}" if facts.hf_hub_id else str(facts.url)
        return f"pretrained weights of {encoder}: {facts.license or 'unknown license'}, {page}"
    return f"pretrained weights of {encoder}: bsd-3-clause, https://github.com/pytorch/vision"


def _read_timm_trunk(config: TrainConfig) -> dict[str, Tensor]:
    """The pretrained weights of a timm model, by the names of `TimmTrunk.model`, with positions as for its size."""
    encoder, source = config.encoder, config.weights
    state = None if source in PRETRAINED else _read_state("weights", Path(source))
    try:
        if state is None:
            _check_hub(encoder)
        trunk = TimmTrunk(encoder, config.image_size, config.encoder_size, state, pretrained=state is None)
    except Exception as error:  # timm and its hub raise anything
        if state is not None:
            raise WeightsError(f"`weights` {source} does not fit {encoder} ({_reason(error)}).") from error
        raise WeightsError(
            f"`weights` {source}: those of {encoder} are not on this machine and cannot be downloaded "
            f"({_reason(error)}). {_where(encoder)}, or give `weights` a file or none."
        ) from error
    weights: dict[str, Tensor] = trunk.model.state_dict()
    return weights


def _check_hub(encoder: str) -> None:
    """Raise `OSError` where weights must come from a Hugging Face hub that does not answer.

    The hub's own client would try for most of a minute before it gave up.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    repository = pretrained_facts(encoder).hf_hub_id
    if not repository:
        return
    names = ("model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(repository, name), str) for name in names):
        return
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:  # an answer, if not a friendly one
        return


def _where(encoder: str) -> str:
    """Where timm looks for the weights of a model, as a request to put them there."""
    facts = pretrained_facts(encoder)
    if not facts.has_weights:
        return "timm has none for it: give the tag of weights that it has"
    if facts.hf_hub_id:
        return f"Download https://huggingface.co/{facts.hf_hub_id} into Hugging Face's cache (HF_HOME)"
    url = str(facts.url)
    return f"Download {url} to {cached_path(url)}"


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
    path = cached_path(url) if source in (*PRETRAINED, "none") else Path(source)
    return read_vgg(str(path)) if path.is_file() else None


def read_pretrained(parameter: str, source: str, url: str) -> dict[str, Tensor]:
    """A state dict from a `.pth` or `.safetensors` file, or for `pretrained` from torch's cache or `url`.

    Args:
        parameter: The name of the parameter that `source` was given for, for error messages.

    Raises:
        WeightsError: It is missing and cannot be downloaded, is damaged, or would run code.
    """
    return _read_state(parameter, _download(parameter, source, url) if source in PRETRAINED else Path(source))


def _read_state(parameter: str, path: Path) -> dict[str, Tensor]:
    """The state dict in a `.pth` or `.safetensors` file; see `read_pretrained`."""
    try:
        state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"`{parameter}` {path}: no such file. Give a .pth or .safetensors file.") from error
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


def _download(parameter: str, source: str, url: str) -> Path:
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
            f"`{parameter}` {source}: {path.name} is not on this machine and cannot be downloaded ({_reason(error)}). "
            f"Download {url} to {path}, or give `{parameter}` none."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return path


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]
