"""What every training on images begins with: examples that have a report, images that can be read, and data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.schema import Study

from ._data import Augmentation, ReportDataset, study_pictures
from ._text import report_text


def with_text(
    examples: Sequence[Example],
    name: str,
    job: TrainingJob,
    text: Callable[[Example], str] = report_text,
    wanted: str = "findings or an impression",
) -> list[Example]:
    """The examples that have the text a model is to write, called what is `wanted`; says how many have not."""
    chosen = [example for example in examples if text(example).strip()]
    if not chosen:
        raise UserError(f"No report of the {name} split has {wanted}.")
    if missing := len(examples) - len(chosen):
        job.report(f"Left out of {name}: {missing} studies whose report has no {wanted.replace('an ', '')}.")
    return chosen


def open_images(
    job: TrainingJob, studies: Sequence[Study], geometry: Geometry, views: int
) -> Callable[[Path], np.ndarray]:
    """The job's way to the first `views` views of these studies, once it is sure that some can be read: a wrong folder
    should show at once.
    """
    if views < 1:
        raise UserError(f"views is {views}; a study's report needs at least one image.")
    if geometry.size < 1:
        raise UserError(f"image_size is {geometry.size}; an image needs at least one pixel.")
    first = [study_pictures(study, views, geometry.read) for study in studies[:20]]
    if not any(pictures.images for pictures in first):
        raise UserError(
            f"No image of the first {len(first)} training studies can be read. The first: {first[0].errors[0]}"
        )
    return job.images([view.path for study in studies for view in study.views[:views]], geometry)


def report_datasets(
    job: TrainingJob,
    examples: Mapping[str, Sequence[Example]],
    read: Callable[[Path], np.ndarray],
    token_ids: Mapping[str, Sequence[list[int]]],
    given: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, ReportDataset]:
    """The data sets `train`, whose images are augmented, and `validation`, from what each holds of every example.

    `token_ids` and `given` as in `ReportDataset`.
    """
    options = job.options
    augmented = Augmentation(*(options[key] for key in ("degrees", "shift", "scale", "contrast")))
    return {
        name: ReportDataset(
            studies=[example.study for example in chosen],
            token_ids=token_ids[name],
            read=read,
            views=options["views"],
            seed=job.seed,
            augmentation=augmented if name == "train" else Augmentation(),
            given=given[name] if given else (),
        )
        for name, chosen in examples.items()
    }
