"""Export a model to files that other programs run, and run them."""

import os

# disable ONNX Runtime telemetry; it reads this variable when it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
