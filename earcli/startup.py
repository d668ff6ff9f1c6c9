"""The start of a run: what it takes, part by part, which `--debug` shows; and which of its processes talks."""

import logging
import os
import time

STARTED = time.perf_counter()
LOGGER = logging.getLogger("earcli.startup")


def lap(name: str) -> None:
    """Says that a part of the start is done."""
    LOGGER.debug(name)


def first_process() -> bool:
    """Whether this process talks and counts, of all that train together: by what torchrun, Lightning or SLURM set."""
    ranks = ("RANK",) if "RANK" in os.environ else ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)
