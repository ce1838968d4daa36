"""What the text baselines share: one file of reports as their checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.contracts import Example, Model
from benchmark.errors import UserError
from benchmark.schema import scored_section

from ._text import report_text

FILE = "reports.json"


def training_reports(examples: Sequence[Example]) -> list[str]:
    """Texts of the reports that have every section of the data set: only those can be right in each.

    Raises UserError where there is none.
    """
    section = scored_section([example.reference for example in examples])
    texts = [report_text(example) for example in examples if example.reference.section(section)]
    if not texts:
        raise UserError("No training report has findings or impression, so there is none to repeat.")
    return texts


class TextBaseline(Model):
    """A model that ignores the images."""

    INSTANT = True
    NEEDS_IMAGES = False
    KIND: str
    """Written into the checkpoint, so that one baseline does not load another's."""
    CONTENT: type = str
    """What the checkpoint holds: one report, a list of reports, or reports by study."""

    def __init__(self, content: Any):
        self.content = content

    @classmethod
    def save(cls, output: Path, content: Any) -> None:
        output.mkdir(parents=True, exist_ok=True)
        (output / FILE).write_text(json.dumps({"model": cls.KIND, "content": content}, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> TextBaseline:
        try:
            data = json.loads((checkpoint / FILE).read_text("utf-8"))
            kind, content = data["model"], data["content"]
        except FileNotFoundError:
            raise UserError(f"{checkpoint} is no checkpoint of {cls.KIND}: it has no {FILE}.") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(cls._damaged(checkpoint)) from None
        if kind != cls.KIND:
            raise UserError(f"{checkpoint} is a checkpoint of {kind}, not of {cls.KIND}.")
        if not isinstance(content, cls.CONTENT):
            raise UserError(cls._damaged(checkpoint))
        return cls(content)

    @classmethod
    def _damaged(cls, checkpoint: Path) -> str:
        return f"{checkpoint / FILE} is damaged. Train {cls.KIND} again with --fresh."
