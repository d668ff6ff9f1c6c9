"""What a run does from its start to its first step, part by part; `--debug` shows how long each takes."""

import logging
import time

STARTED = time.perf_counter()
LOGGER = logging.getLogger("earcli.start")


def lap(name: str) -> None:
    """Says that a part of the start is done."""
    LOGGER.debug(name)
