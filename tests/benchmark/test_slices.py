"""Which studies belong to which slice."""

from benchmark.schema import Reference, Study
from benchmark.slices import RULES, labelled_by, slices


def pair(i, labels=None, findings="Clear.", **attributes):
    label_sets = {"chexpert": labels} if labels is not None else {}
    return Study(f"s{i}", f"p{i}", "test", attributes=attributes), Reference(f"s{i}", f"p{i}", findings, "", label_sets)


def of(*pairs, copied=None):
    """Numbers of the studies of each slice, by its name."""
    found = slices([study for study, _ in pairs], [reference for _, reference in pairs], copied)
    return {each.name: sorted(int(study[1:]) for study in each.studies) for each in found}


def test_labels():
    found = of(
        pair(0, {"No Finding": 1.0}),
        pair(1, {"Edema": 1.0, "Pneumonia": -1.0, "Fracture": 0.0}),
        pair(2, {"Edema": 1.0, "Support Devices": 1.0}),
        pair(3),
    )
    assert found["normal"] == [0] and found["abnormal"] == [1, 2] and found["unlabelled"] == [3]
    assert found["finding:Edema"] == [1, 2] and found["finding:Support Devices"] == [2]
    assert not {"finding:Pneumonia", "finding:Fracture", "finding:No Finding"} & set(found)


def test_without_labels_the_rules_read_the_reports():
    found = of(pair(0, findings="The lungs are clear."), pair(1, findings="Small left pleural effusion."))
    assert found["normal"] == [0] and found["abnormal"] == found["finding:Pleural Effusion"] == [1]
    assert labelled_by([pair(0)[1]]) == RULES and labelled_by([pair(0, {})[1]]) == "chexpert"


def test_attributes_and_ages():
    found = of(
        pair(0, view="PA", age="17"), pair(1, view="AP", age="18"), pair(2, view="PA", age="80"), pair(3, age="")
    )
    assert found["view:PA"] == [0, 2] and found["view:AP"] == [1] and found["view:not stated"] == [3]
    assert {name: members for name, members in found.items() if name.startswith("age")} == {
        "age:0-17 years": [0], "age:18-39 years": [1], "age:80+ years": [2],
        "age:not stated": [3],
    }  # fmt: skip


def test_ages_of_many_years_are_still_bands():
    found = of(*(pair(i, age=str(i)) for i in range(100)))
    assert [len(found[f"age:{band} years"]) for band in ("0-17", "18-39", "40-59", "60-79", "80+")] == [
        18,
        22,
        20,
        20,
        20,
    ]


def test_an_identifier_is_no_slice():
    assert not [name for name in of(*(pair(i, room=f"r{i}") for i in range(30))) if name.startswith("room")]


def test_length_of_the_report():
    found = of(pair(0, findings="a " * 20), pair(1, findings="a " * 21), pair(2, findings="a " * 81))
    assert found["length:0-20 words"] == [0] and found["length:21-40 words"] == [1] and found["length:81+ words"] == [2]


def test_copies():
    found = of(pair(0), pair(1), copied=[True, False])
    assert found["copied from training"] == [0] and found["not copied from training"] == [1]


def test_a_slice_of_all_studies_is_none():
    assert of(pair(0, view="PA"), pair(1, view="PA")) == {}
