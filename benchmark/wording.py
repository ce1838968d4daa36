"""Names for people and for files."""

from __future__ import annotations

import re

HEADINGS = {
    **{f"bleu_{n}": f"BLEU-{n}" for n in range(1, 5)},
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "rouge_l_coco": "ROUGE-L (coco)",
    "cider": "CIDEr",
    "bertscore_f1": "BERTScore F1",
    "bertscore_p": "BERTScore precision",
    "bertscore_r": "BERTScore recall",
}
"""Of metrics, by key; others are shown by their key."""


def heading(key: str) -> str:
    """A metric's name for people."""
    return HEADINGS.get(key, key.replace("_", " "))


def file_name(*parts: str) -> str:
    """A file's name that is safe in any folder and any link."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(parts)).lstrip(".") or "_"
