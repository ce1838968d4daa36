"""`python -m benchmark`, for those who cannot call `bench`."""

import sys
from pathlib import Path

# `python -m` puts the working folder first on the path. In the repository that folder holds our datasets/, which would
# hide Hugging Face's package of that name from transformers; `bench` never has it there.
_here = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _here]

from benchmark.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
