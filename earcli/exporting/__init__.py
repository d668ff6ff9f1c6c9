"""From a teacher to files that other programs read, and those files again."""

import os

# its builds tell their maker who runs what, unless they hear this before they are loaded
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
