"""Which view an image of MIMIC-CXR shows: what is stated, then its code, then its procedure. Tables are invented."""

import pytest

from benchmark.datasets._mimic_tables import Tables, view_of_code, view_of_procedure


@pytest.mark.parametrize(
    ("description", "view"),
    [
        ("CHEST (PORTABLE AP)", "AP"),
        ("DX CHEST PORT AP", "AP"),
        ("chest (pa)", "PA"),
        ("CHEST (LAT)", "LATERAL"),
        ("CHEST (LATERAL VIEW ONLY)", "LATERAL"),
        ("CHEST (PA AND LAT)", ""),
        ("CHEST (AP, LAT AND OBLIQUES)", ""),
        ("CHEST (LAT DECUB ONLY)", ""),
        ("CHEST (SINGLE VIEW)", ""),
        ("CHEST PORT. LINE PLACEMENT", ""),
        ("ABDOMEN (AP)", ""),
        ("CHEST (APICAL)", ""),
        ("", ""),
    ],
)
def test_a_procedure_tells_the_view_where_it_names_exactly_one_of_the_chest(description, view):
    assert view_of_procedure(description) == view


@pytest.mark.parametrize(
    ("meaning", "view"),
    [
        (" Postero-Anterior", "PA"),
        ("antero-posterior", "AP"),
        ("lateral", "LATERAL"),
        ("left lateral", "LL"),
        ("x", ""),
    ],
)
def test_a_view_code(meaning, view):
    assert view_of_code(meaning) == view


@pytest.mark.parametrize(
    ("stated", "code", "procedure", "view"),
    [
        ("LATERAL", "antero-posterior", "CHEST (PORTABLE AP)", "LATERAL"),
        ("", "lateral", "CHEST (PORTABLE AP)", "LATERAL"),
        ("", "", "CHEST (PORTABLE AP)", "AP"),
        ("", "unheard of", "CHEST (PA)", "PA"),
        ("", "", "CHEST (PA AND LAT)", ""),
        ("L5 S1", "postero-anterior", "CHEST (PA)", "L5 S1"),
    ],
)
def test_what_is_stated_goes_before_the_code_and_the_code_before_the_procedure(tmp_path, stated, code, procedure, view):
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv").write_text(
        "dicom_id,PerformedProcedureStepDescription,ViewPosition,ViewCodeSequence_CodeMeaning\n"
        f"a,{procedure},{stated},{code}\n"
    )
    assert Tables(tmp_path).positions == {"a": view}
