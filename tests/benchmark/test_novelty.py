"""Copies of training texts and new n-grams, on texts small enough to count by hand."""

import numpy as np
import pytest

from benchmark.novelty import TrainingTexts
from benchmark.schema import Prediction, Reference
from benchmark.sections import split_output

TRAINING = [
    Reference("a", "p", "The lungs are clear and well expanded.", "Normal."),
    Reference("b", "p", "The lungs are clear.", ""),
    Reference("c", "p", "", "No change."),
]


def written(*texts):
    return [Prediction(f"s{i}", text, *split_output(text)) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def known():
    return TrainingTexts.of(TRAINING)


def test_what_is_kept_is_sorted_and_once(known):
    assert [len(known.reports), len(known.findings), len(known.impressions)] == [3, 2, 2]
    grams = {"findings the lungs are", "the lungs are clear", "lungs are clear and", "are clear and well",
             "clear and well expanded", "and well expanded impression", "well expanded impression normal"}  # fmt: skip
    assert len(known.ngrams) == len(grams)
    for values in (known.reports, known.ngrams):
        assert values.dtype == np.uint64 and (np.diff(values.astype(object)) > 0).all()


def test_copies_are_told_whatever_their_case_spaces_and_points(known):
    copy, other = "findings:  the lungs are clear", "Findings: The lungs are dark."
    assert known.describe(written(copy))["copied_from_training_share"] == 1
    assert known.describe(written(copy, other))["copied_from_training_share"] == 0.5


def test_a_section_alone_is_a_copy_too_with_or_without_a_heading(known):
    alone = [Prediction("s", "The lungs are clear and well expanded.", "The lungs are clear and well expanded.", ""),
             Prediction("s", "Impression: Normal.", "", "Normal.")]  # fmt: skip
    for prediction in alone:
        found = known.describe([prediction])
        assert found["copied_from_training_share"] == 1 and not found["novel_4gram_share"]
    # Findings of one report over the impression of another are no report that was there
    assert (
        known.describe(written("Findings: The lungs are clear. Impression: Normal."))["copied_from_training_share"] == 0
    )


def test_new_ngrams_are_counted(known):
    # of `findings the lungs are` and `the lungs are dark` the second is new
    assert known.describe(written("Findings: the lungs are dark."))["novel_4gram_share"] == 0.5
    assert known.describe(written("Findings: The lungs are clear."))["novel_4gram_share"] == 0
    assert known.describe(written("One."))["novel_4gram_share"] is None


def test_references_that_stand_in_training(known):
    here = Reference("x", "p", "The lungs are clear.", "Something new.")
    elsewhere = Reference("y", "p", "Normal.", "Normal.")  # an impression of training, but no findings of it
    impression_alone = Reference("z", "p", "", "No change.")
    assert known.copied([here, elsewhere, impression_alone]) == [True, False, True]


def test_saved_and_loaded(known, tmp_path):
    assert TrainingTexts.load(tmp_path) is None
    known.save(tmp_path)
    again = TrainingTexts.load(tmp_path)
    assert again is not None and (again.ngrams == known.ngrams).all()
    assert again.copied(TRAINING) == [True, True, True]


def test_no_training_texts_at_all(tmp_path):
    empty = TrainingTexts.of([])
    empty.save(tmp_path)
    again = TrainingTexts.load(tmp_path)
    assert again.describe(written("The lungs are clear today.")) == {
        "copied_from_training_share": 0, "novel_4gram_share": 1
    }  # fmt: skip
