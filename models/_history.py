"""The course of a training: one row an epoch, and what has run up in the epoch that goes on."""

from __future__ import annotations

import csv
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmark import processes

COLUMNS = ("epoch", "train_loss", "validation_loss", "learning_rate", "seconds")


@dataclass
class History:
    """Kept in every step checkpoint, so that a resumed training writes what an undisturbed one does.

    `seconds` adds up the time of every process that worked on the epoch, validation included; work that a kill undid
    is not counted.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    loss_sum: float = 0.0
    """Of the epoch that goes on, over its targets so far."""
    targets: int = 0
    seconds: float = 0.0
    step_loss: float = 0.0
    """Mean loss of the latest step."""
    select_by: str = "validation_loss"
    """The column by which the best epoch is chosen."""
    higher_is_better: bool = False
    _since: float = field(default_factory=time.monotonic, repr=False)

    def add(self, loss_sum: float, targets: int) -> None:
        self.loss_sum += loss_sum
        self.targets += targets
        self.step_loss = loss_sum / max(targets, 1)

    @property
    def train_loss(self) -> float:
        """Mean over the targets of this epoch so far."""
        return self.loss_sum / max(self.targets, 1)

    def close_epoch(self, validation_loss: float, learning_rate: float, score: float | None = None) -> dict[str, Any]:
        """End the epoch; returns its row. `score` is the value of `select_by` where that is not the loss."""
        self._tick()
        values = (len(self.rows) + 1, self.train_loss, validation_loss, learning_rate, round(self.seconds, 1))
        row = dict(zip(COLUMNS, values, strict=True))
        self.rows.append(row if score is None else {**row, self.select_by: score})
        self.loss_sum, self.targets, self.seconds = 0.0, 0, 0.0
        return self.rows[-1]

    @property
    def best_epoch(self) -> int:
        """The epoch best in `select_by`, the first of equals; 0 before any."""
        sign = -1 if self.higher_is_better else 1
        return min(self.rows, key=lambda row: sign * row[self.select_by])["epoch"] if self.rows else 0

    def is_over(self, epochs: int, patience: int) -> bool:
        """Whether all epochs are done, or the last `patience` of them (0: however many) brought none that is better."""
        n = len(self.rows)
        return n >= epochs or 0 < patience <= n - self.best_epoch

    def save(self, path: Path) -> None:
        self._tick()
        values = {key: value for key, value in asdict(self).items() if not key.startswith("_")}
        write_atomically(path, json.dumps(values))

    @classmethod
    def read(cls, path: Path) -> History:
        return cls(**json.loads(path.read_text("utf-8")))

    def write_csv(self, path: Path) -> None:
        """The whole table anew, so that no epoch can stand in it twice."""
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(self.rows[0]) if self.rows else COLUMNS)
            table.writeheader()
            table.writerows(self.rows)
        os.replace(temporary, path)

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now


def write_atomically(path: Path, text: str) -> None:
    """Whole or not at all, also where several processes write it together."""
    temporary = path.with_name(f".{path.name}.{processes.rank()}.tmp")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)
