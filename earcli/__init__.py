"""Learn the anatomy of the human ear from unlabeled pictures and transfer it to other models.

Every command of `ear` is a function here: `ear train --preset small` is `earcli.train(preset="small")`. The functions
return their results and print nothing unless they are given a reporter; whatever a user can fix is raised as an
`EarError`. Everything is imported on first use, because torch and Lightning take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.errors import EarError, InterruptedTraining
    from earcli.models.detector import EarDetector
    from earcli.models.vae import EarVAE
    from earcli.reporting.console import ConsoleReporter
    from earcli.tasks.bench_data import bench_data
    from earcli.tasks.bench_infer import bench_infer
    from earcli.tasks.bench_train import bench_train
    from earcli.tasks.check import check
    from earcli.tasks.compare_init import compare_init
    from earcli.tasks.eigenears import eigenears
    from earcli.tasks.embed import embed
    from earcli.tasks.evaluate import evaluate
    from earcli.tasks.export import export
    from earcli.tasks.finetune import finetune
    from earcli.tasks.predict import predict
    from earcli.tasks.prepare import prepare
    from earcli.tasks.resume import resume
    from earcli.tasks.search import search
    from earcli.tasks.selftest import selftest
    from earcli.tasks.synth import synth
    from earcli.tasks.train import train

__version__ = "0.1.0"
__all__ = [
    "Checkpoint",
    "ConsoleReporter",
    "EarDetector",
    "EarError",
    "EarVAE",
    "InterruptedTraining",
    "__version__",
    "bench_data",
    "bench_infer",
    "bench_train",
    "check",
    "compare_init",
    "eigenears",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "predict",
    "prepare",
    "resume",
    "search",
    "selftest",
    "synth",
    "train",
]

_CLASSES = {
    "Checkpoint": "checkpoints.checkpoint",
    "ConsoleReporter": "reporting.console",
    "EarDetector": "models.detector",
    "EarError": "errors",
    "EarVAE": "models.vae",
    "InterruptedTraining": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'earcli' has no attribute {name!r}")
    value = getattr(import_module(f"earcli.{_CLASSES.get(name, f'tasks.{name}')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
