"""Evaluation-centred benchmark for chest X-ray report generation.

For Python code, `from benchmark import load_model, score`: see `benchmark.api`.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load_model`, imported when it is asked for, so that `import benchmark` loads nothing else."""
    if name == "load_model":
        from benchmark.api import load_model

        return load_model
    raise AttributeError(f"module 'benchmark' has no attribute '{name}'")
