"""From studies to reports: what every model that reads images does before and after its own writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Report, Study

from ._data import Pictures, study_pictures


def write_reports(
    studies: Sequence[Study],
    views: int,
    read: Callable[[Path], np.ndarray],
    write: Callable[[Sequence[int], Sequence[Pictures]], Sequence[Report]],
) -> list[Report]:
    """A report for each study, by `write` for those of which an image can be read: their places and their pictures.

    At most the first `views` views are read. One that cannot be read is left out and named; it is its study's error
    where there is no other.
    """
    pictures = [study_pictures(study, views, read) for study in studies]
    reports = {i: Report("", error=each.errors[0]) for i, each in enumerate(pictures) if not each.images}
    seen = [i for i in range(len(studies)) if i not in reports]
    written = write(seen, [pictures[i] for i in seen]) if seen else []
    for i, report in zip(seen, written, strict=True):
        reports[i] = replace(report, unread=tuple(pictures[i].errors))
    return [reports[i] for i in range(len(studies))]


def refuse_sampled_beams(settings: GenerationSettings) -> None:
    """Raises UserError for sampling with beams."""
    if settings.do_sample and settings.num_beams > 1:
        raise UserError("Sampling and beam search exclude each other: set num_beams to 1, or do_sample to false.")


def to_report(tokenizer: PreTrainedTokenizerFast, ids: list[int], prompt: Sequence[int] = ()) -> Report:
    """The report of the tokens before the first end token, behind those of a `prompt`."""
    end = tokenizer.eos_token_id
    truncated = end not in ids
    ids = ids if truncated else ids[: ids.index(end)]
    text = str(tokenizer.decode([*prompt, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return Report(text.strip(), n_tokens=len(ids), truncated=truncated)
