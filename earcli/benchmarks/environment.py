"""Facts about machine and installation, for bug reports."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import torchvision

from earcli import __version__
from earcli.checkpoints.pretrained import cached_path
from earcli.config.fields import RESNETS
from earcli.config.teacher import TrainConfig

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "pytorch-lightning",
    "torchmetrics",
    "numpy",
    "pillow",
    "onnx",
    "onnxruntime",
)


def environment(config: TrainConfig) -> dict[str, str]:
    """Versions, hardware, precision, free disk space, and whether ImageNet weights are cached, by name.

    Args:
        config: The configuration whose precision and backbone are reported; its precision is not `auto`.
    """
    urls = {"vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1.url}
    if config.encoder in RESNETS:
        urls = {config.encoder: torchvision.models.get_model_weights(config.encoder).DEFAULT.url, **urls}
    weights = [f"{name} {'cached' if cached_path(url).is_file() else 'not cached'}" for name, url in urls.items()]
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "ear": __version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "CUDA devices": ", ".join(gpus) or "none",
        "processors": f"{os.cpu_count()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "precision": config.precision,
        "free disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB in the working folder",
        "ImageNet weights": ", ".join(weights),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
