"""The Kaggle copy of MIMIC-CXR: cells, pairing and augmented texts, on the phantom written in that form."""

import pandas as pd
import pytest

from benchmark.errors import UserError
from benchmark.registry import DATASETS

MIMIC = DATASETS.load("mimic-cxr")


def kaggle_with(root, change, options=None):
    """The validation table after `change` was let loose on it."""
    path = root / "mimic_cxr_aug_validate.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = change(table)
    table.to_csv(path, index=False)
    return MIMIC(root, None, options)


def with_cells(at=0, **cells):
    def change(table):
        for column, cell in cells.items():
            table.loc[at, column] = cell
        return table

    return change


@pytest.mark.parametrize("column", ["image", "text", "AP"])
@pytest.mark.parametrize("cell", ["[{[]: 1}]", "[1, 2]", "[['x']]", "['a' * 9]", "[b'a']", "[" * 400, "[" + "-" * 9999])
def test_kaggle_a_cell_that_is_no_list_of_texts_is_counted(column, cell, copy):
    data = kaggle_with(copy("kaggle"), with_cells(**{column: cell}))
    assert data.unassigned() == {"row cannot be read": ["mimic_cxr_aug_validate.csv, row 2"]}


def test_kaggle_a_cell_that_is_too_long_is_not_parsed(copy):
    data = kaggle_with(copy("kaggle"), with_cells(text="['" + "a" * 1_000_000 + "']"))
    assert data.unassigned() == {"row cannot be read": ["mimic_cxr_aug_validate.csv, row 2"]}


@pytest.mark.parametrize("path", ["../{}", "/etc/{}", "files/p19/p19999999/s50000001/a.jpg", "elsewhere.jpg"])
def test_kaggle_a_path_that_cannot_be_is_counted(path, copy):
    root = copy("kaggle")
    table = pd.read_csv(root / "mimic_cxr_aug_validate.csv", dtype=str)
    first = table["image"][0].strip("[]'").split("'")[0]
    data = kaggle_with(root, with_cells(image=str([path.format(first)])))
    assert data.unassigned() == {"row cannot be read": ["mimic_cxr_aug_validate.csv, row 2"]}


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        (["Findings: One. Impression: Two."], ("One.", "Two.")),
        (["Findings:  Impression: ", "Findings: One. Impression: Two."], ("One.", "Two.")),
        (["Findings: One. Impression: ", None], ("One.", "")),
        (["Findings: One.", "Findings: Other."], "report cannot be paired with certainty"),
        (["Findings:  Impression: "], "report has neither findings nor impression"),
        ([], "report has neither findings nor impression"),
    ],
)
@pytest.mark.parametrize("pairing", ["certain", "order"])
def test_kaggle_one_study_and_one_real_text_are_certain(texts, outcome, pairing, copy):
    root = copy("kaggle")
    found = MIMIC(root).studies("validate")[0]

    def change(table):
        (at,) = [at for at, cell in enumerate(table["image"]) if found.study_id in cell]
        return with_cells(at, text=str(texts))(table)

    data = kaggle_with(root, change, {"pairing": pairing})
    used = {reference.study_id: reference for reference in data.references("validate")}
    if isinstance(outcome, str):
        assert found.study_id in data.left_out("validate")[outcome]
    else:
        assert (used[found.study_id].findings, used[found.study_id].impression) == outcome


def test_kaggle_augmented_texts_have_names_of_their_own_and_are_certain(copy):
    root = copy("kaggle")
    path = root / "mimic_cxr_aug_train.csv"
    options = {"augmented": "yes", "pairing": "order"}
    certain = {study.study_id for study in MIMIC(root).studies("train")}
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["text_augment"] = str(["Findings: A.", "Findings:  Impression: ", "Findings: B. Impression: C."])
    table.to_csv(path, index=False)
    data = MIMIC(root, None, options)
    examples = data.augmented("train")
    assert data.name == "mimic-cxr-kaggle-by-order-augmented"
    assert {e.study.study_id for e in examples} == {f"{study}-augmented-{k}" for study in certain for k in (1, 2)}
    texts = {(e.study.study_id[-1], e.reference.findings, e.reference.impression) for e in examples}
    assert texts == {("1", "A.", ""), ("2", "B.", "C.")}
    assert all(view.path.is_file() for e in examples for view in e.study.views)
    assert {e.study.study_id for e in examples}.isdisjoint(r.study_id for r in data.references("train"))


def test_kaggle_a_patient_who_stands_twice_is_named(copy):
    data = kaggle_with(copy("kaggle"), lambda table: pd.concat([table, table[:1]]))
    with pytest.raises(
        UserError, match=r"aug_validate\.csv, row \d+: the patient \d+ stands there twice, first in row 2"
    ):
        data.studies("validate")


def test_kaggle_one_table_alone_will_do(copy):
    root = copy("kaggle")
    expected = list(MIMIC(root).references("validate"))
    (root / "mimic_cxr_aug_train.csv").unlink()
    data = MIMIC(root)
    assert [problem.fatal for problem in data.check()] == [False]
    assert data.splits == ("validate",) and list(data.references("validate")) == expected
