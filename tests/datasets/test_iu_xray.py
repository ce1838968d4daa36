"""IU X-Ray in its three forms: on small invented copies, and on the real texts where they are at hand.

The real ones are CC BY-NC-ND: they are read where they lie and nothing of them stands here.
"""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmark import registry
from benchmark.errors import UserError

Dataset = registry.DATASETS.load("iu-xray")
FORMS = ("r2gen", "kaggle", "openi")

STUDIES = {
    1: ("CXR1_1_IM-0001", "train", "Findings one.", "Impression one.", "Cardiomegaly/mild;Catheters, Indwelling/right"),
    2: ("CXR2_IM-0652", "val", "Findings two.", "Impression two.", "normal"),
    3: ("CXR3_IM-1384-2001", "test", "Findings three.", "", "No Indexing"),
    4: (None, None, "", "Impression four.", "normal"),
    5: (None, None, "Findings five.", "Impression five.", "normal"),
    6: (None, None, "Findings six.", "Impression six.", "normal"),
}
"""By number: R2Gen's id and split, texts, MeSH. 4 has no findings, 5 one image, 6 is in no split of R2Gen's."""
VIEWS = {"1001": "Lateral", "2001": "Frontal"}


def views_of(number):
    return dict(list(VIEWS.items())[: 1 if number == 5 else 2])


def annotation(root, **changes):
    entries = {"train": [], "val": [], "    ": []}
    for study, split, findings, _, _ in STUDIES.values():
        if study:
            entry = {
                "id": study,
                "report": findings,
                "image_path": [f"{study}/0.png", f"{study}/1.png"],
                "split": split,
            }
            entries["    " if split == "test" else split].append(entry | changes)
    (root / "annotation.json").write_text(json.dumps(entries))


def kaggle(root):
    reports, projections = (
        ["uid,MeSH,Problems,image,indication,comparison,findings,impression"],
        ["uid,filename,projection"],
    )
    for number, (_, _, findings, impression, mesh) in STUDIES.items():
        indication = "#NAME?" if number == 2 else "Cough"
        reports.append(f'{number},"{mesh}",{mesh.partition("/")[0]},Chest,{indication},None.,{findings},{impression}')
        projections += [f"{number},{number}_IM-9-{at}.dcm.png,{view}" for at, view in views_of(number).items()]
    (root / "indiana_reports.csv").write_text("\n".join(reports))
    (root / "indiana_projections.csv").write_text("\n".join(projections))


def xml(number, images=None):
    _, _, findings, impression, mesh = STUDIES[number]
    sections = {"COMPARISON": "None.", "INDICATION": "Cough", "FINDINGS": findings, "IMPRESSION": impression}
    prefix = "CXR1_1" if number == 1 else f"CXR{number}"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{number}"/><Abstract>'
        + "".join(f'<AbstractText Label="{name}">{text}</AbstractText>' for name, text in sections.items())
        + f"</Abstract><MeSH>{''.join(f'<major>{code}</major>' for code in mesh.split(';'))}</MeSH>"
        + "".join(f'<parentImage id="{prefix}_IM-9-{at}"/>' for at in views_of(number))
        + "</eCitation>"
    ).encode()


def openi(root):
    (root / "ecgen-radiology").mkdir()
    for number in STUDIES:
        (root / "ecgen-radiology" / f"{number}.xml").write_bytes(xml(number))


def archive(root, names=None):
    with tarfile.open(root / "NLMCXR_reports.tgz", "w:gz") as file:
        for name, content in (names or {f"ecgen-radiology/{n}.xml": xml(n) for n in STUDIES}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "iu"
    folder.mkdir()
    return folder


def images(root, form, skip=()):
    for number, (study, *_) in STUDIES.items():
        for order, at in enumerate(VIEWS):
            prefix = "CXR1_1" if number == 1 else f"CXR{number}"
            name = {
                "r2gen": f"images/{study}/{order}.png",
                "kaggle": f"images/images_normalized/{number}_IM-9-{at}.dcm.png",
                "openi": f"NLMCXR_png/{prefix}_IM-9-{at}.png",
            }[form]
            if (number, order) not in skip and (study or form != "r2gen"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), 10 * number).save(root / name)


def opened(root, form=None, **options):
    return Dataset(root, None, options | ({"layout": form} if form else {}))


def texts(data):
    return {
        split: [
            (r.study_id, r.patient_id, r.findings, r.impression, dict(r.label_sets)) for r in data.references(split)
        ]
        for split in data.splits
    }


# --- forms ------------------------------------------------------------------------------------------------------


def test_annotation_wins_and_the_others_complete_it(root):
    annotation(root)
    kaggle(root)
    openi(root)
    data = opened(root)
    assert (data.name, data.splits, data.check()) == ("iu-xray", ("train", "val", "test"), [])
    assert texts(data) == {
        "train": [
            ("CXR1_1_IM-0001", "CXR1", "Findings one.", "Impression one.",
             {"mesh": {"Cardiomegaly": 1.0, "Support Devices": 1.0}}),
        ],
        "val": [("CXR2_IM-0652", "CXR2", "Findings two.", "Impression two.", {"mesh": {"No Finding": 1.0}})],
        "test": [("CXR3_IM-1384-2001", "CXR3", "Findings three.", "", {})],
    }  # fmt: skip
    (study,) = data.studies("val")
    assert study.context == {"indication": "Cough", "comparison": "None."}
    assert [(view.path, view.position, view.image_id) for view in study.views] == [
        (root / "images" / "CXR2_IM-0652" / f"{at}.png", "", f"CXR2_IM-0652/{at}") for at in (0, 1)
    ]


def test_the_three_forms_agree_study_by_study(root):
    annotation(root)
    kaggle(root)
    archive(root)
    forms = [opened(root, form) for form in FORMS]
    assert [data.name for data in forms] == ["iu-xray", "iu-xray-kaggle", "iu-xray-openi"]
    assert texts(forms[0]) == texts(forms[1]) == texts(forms[2])
    for data in forms:
        assert data.unassigned() == {
            "report has no findings": ["CXR4"],
            "fewer than two images": ["CXR5"],
            "not in R2Gen's split": ["CXR6"],
        }


@pytest.mark.parametrize("write", [kaggle, openi, archive])
def test_without_annotation_there_is_one_split_of_the_same_studies(root, write):
    write(root)
    data = opened(root)
    assert data.splits == ("all",) and data.check() == []
    assert [study.study_id for study in data.studies("all")] == ["CXR1", "CXR2", "CXR3", "CXR6"]
    assert data.unassigned() == {"report has no findings": ["CXR4"], "fewer than two images": ["CXR5"]}
    assert any("annotation.json" in sentence for sentence in data.limits)
    assert data.canonical_id("CXR2_IM-0652") == data.canonical_id("2") == "CXR2"
    with pytest.raises(UserError, match="all"):
        data.resolve_split("test")


def test_annotation_alone_holds_findings_alone(root):
    annotation(root)
    data = opened(root)
    assert [r.findings + r.impression for s in data.splits for r in data.references(s)] == [
        "Findings one.", "Findings two.", "Findings three."]  # fmt: skip
    assert data.unassigned() == {} and data.studies("test")[0].context == {}
    assert any("indiana_reports.csv" in sentence for sentence in data.limits)


def test_the_folder_and_the_archive_are_the_same(root, tmp_path):
    openi(root)
    other = tmp_path / "other"
    other.mkdir()
    archive(other)
    assert list(opened(root).references("all")) == list(opened(other).references("all"))


def test_only_report_files_of_an_archive_are_read(root):
    names = {f"ecgen-radiology/{n}.xml": xml(n) for n in (1, 2)} | {"../3.xml": xml(3), "ecgen-radiology/x.xml": b"<"}
    archive(root, names)
    assert [study.study_id for study in opened(root).studies("all")] == ["CXR1", "CXR2"]
    assert [path.name for path in root.parent.iterdir()] == ["iu"], "nothing is unpacked"


def test_texts_may_lie_in_the_reports_root(root, tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    annotation(reports)
    images(root, "r2gen")
    data = Dataset(root, reports)
    assert data.has_images and [len(data.studies(split)) for split in data.splits] == [1, 1, 1]


@pytest.mark.parametrize("given", ["CXR3_IM-1384-2001", "CXR3", "3", " cxr3 ", "CXR3_IM-1384"])
def test_every_spelling_of_an_id_is_r2gens(root, given):
    annotation(root)
    assert opened(root).canonical_id(given) == "CXR3_IM-1384-2001"


def test_ids_of_no_study_stay(root):
    annotation(root)
    kaggle(root)
    data = opened(root)
    assert (data.canonical_id("anything"), data.canonical_id("4")) == ("anything", "CXR4")


def test_the_views_of_the_other_forms_are_frontal_first(root):
    kaggle(root)
    (study, *_) = opened(root, "kaggle").studies("all")
    assert [(view.position, view.image_id) for view in study.views] == [
        ("FRONTAL", "1_IM-9-2001"), ("LATERAL", "1_IM-9-1001")]  # fmt: skip
    assert study.attributes == {"view": "FRONTAL"}
    openi(root)
    assert [(v.position, v.image_id) for v in opened(root, "openi").studies("all")[0].views] == [
        (v.position, v.image_id) for v in study.views
    ]
    (root / "indiana_projections.csv").unlink()
    alone = opened(root, "openi")
    assert {view.position for view in alone.studies("all")[0].views} == {""}
    assert alone.studies("all")[0].attributes == {}
    assert any("indiana_projections.csv" in sentence for sentence in alone.limits)


# --- images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_without_an_image_folder_every_study_is_kept(root, form):
    for write in (annotation, kaggle, openi):
        write(root)
    data = opened(root, form)
    assert not data.has_images
    assert [len(data.studies(split)) for split in data.splits] == [1, 1, 1]


@pytest.mark.parametrize("form", FORMS)
def test_a_study_without_any_image_file_is_left_out(root, form):
    for write in (annotation, kaggle, openi):
        write(root)
    images(root, form, skip={(1, 0), (1, 1), (2, 1)})
    data = opened(root, form)
    assert data.has_images
    assert data.left_out("train") == {"image file missing": ["CXR1_1_IM-0001"]}
    assert "image file missing" in Dataset.DAMAGE
    (listed,), (used,) = data.listed("val"), data.studies("val")
    assert (len(listed.views), len(used.views)) == (2, 1)
    assert used.views[0].path.is_file()


@pytest.mark.parametrize("form", FORMS)
def test_the_form_whose_images_are_here_is_taken(root, form):
    for write in (annotation, kaggle, openi):
        write(root)
    images(root, form)
    data = opened(root)
    assert data.name == opened(root, form).name
    assert [study.study_id for study in data.studies("test")] == ["CXR3_IM-1384-2001"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg"])
def test_open_is_images_may_be_png_or_jpeg(root, suffix):
    openi(root)
    (root / "images").mkdir()
    for number in (1, 2, 3, 6):
        Image.new("L", (8, 8)).save(
            root / "images" / f"{'CXR1_1' if number == 1 else f'CXR{number}'}_IM-9-1001{suffix}"
        )
    data = opened(root)
    assert len(data.studies("all")) == 4 and data.dropped("all") == {}


def test_an_image_path_that_leads_out_is_damage(root):
    annotation(root, image_path=["../0.png", "1.png"])
    data = opened(root)
    assert data.left_out("train") == {"image path leads out of the folder": ["CXR1_1_IM-0001"]}
    assert set(data.left_out("train")) <= Dataset.DAMAGE


# --- damage -----------------------------------------------------------------------------------------------------


def test_a_report_that_is_no_xml_is_counted(root):
    openi(root)
    (root / "ecgen-radiology" / "2.xml").write_bytes(xml(2)[:-30])
    assert opened(root).unassigned()["report file is not XML"] == ["CXR2"]
    annotation(root)
    assert opened(root).left_out("val") == {"report file is not XML": ["CXR2_IM-0652"]}


def test_a_study_that_the_tables_lack_is_counted(root):
    annotation(root)
    kaggle(root)
    lines = (root / "indiana_reports.csv").read_text().splitlines()
    (root / "indiana_reports.csv").write_text("\n".join(line for line in lines if not line.startswith("2,")))
    (root / "indiana_projections.csv").write_text("uid,filename,projection\n1,1_a.png,Frontal\n")
    for form in ("r2gen", "kaggle"):
        (reason,) = opened(root, form).left_out("val")
        assert "not in the tables" in reason and reason in Dataset.DAMAGE


def test_an_unknown_split_is_counted(root):
    annotation(root, split="held out")
    data = opened(root)
    assert [list(data.listed(split)) for split in data.splits] == [[], [], []]
    (ids,) = data.unassigned().values()
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a JSON file"),
        (b"[]", "no lists of studies"),
        (b'{"train": [{"id": "CXR1"}]}', "entry 1 of 'train' lacks"),
        (b'{"train": [7]}', "entry 1 of 'train'"),
        (b'{"train": [{"id": "CXR1", "report": 1, "image_path": []}]}', "entry 1 of 'train'.*not text"),
        (b'{"train": [{"id": "a-b", "report": "", "image_path": [], "subject_id": 1}]}', "mimic-cxr --layout r2gen"),
        (b'{"train": [{"id": "x", "report": "", "image_path": []}]}', "not of IU X-Ray"),
        (b'{"val": [{"id": "CXR1", "report": "", "image_path": []}, {"id": "CXR1_a", "report": "", "image_path": []}]}',
         "CXR1_a twice"),
    ],
)  # fmt: skip
def test_a_bad_annotation_is_named(root, content, words):
    (root / "annotation.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        opened(root).studies("train")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("indiana_reports.csv", "uid\n1\n", "no column MeSH"),
        ("indiana_reports.csv", "uid,MeSH,indication,comparison,findings,impression\nx,,,,,\n", "row 2: the uid 'x'"),
        ("indiana_reports.csv", "uid,MeSH,indication,comparison,findings,impression\n1,,,,,\n1,,,,,\n", "row 3.*twice"),
        ("indiana_projections.csv", "uid,filename,projection\n1,a,Frontal\n,b,Frontal\n", "row 3: the uid ''"),
    ],
)
def test_a_bad_table_is_named_by_file_and_row(root, name, content, words):
    kaggle(root)
    (root / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}.*{words}"):
        opened(root).studies("all")


def test_an_archive_cut_short_is_named(root):
    archive(root)
    path = root / "NLMCXR_reports.tgz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"NLMCXR_reports\.tgz cannot be read.*Fetch it again"):
        opened(root).studies("all")


def test_a_layout_that_is_not_here_or_unknown_is_refused(root):
    annotation(root)
    assert [problem.fatal for problem in opened(root, "kaggle").check()] == [True]
    assert "indiana_reports.csv" in opened(root, "kaggle").check()[0].what
    with pytest.raises(UserError, match="r2gen"):
        opened(root, "r2gem")


# --- the real texts ---------------------------------------------------------------------------------------------

REAL = Path(__file__).parents[3] / "shared" / "iu_xray"
real = pytest.mark.skipif(not REAL.exists(), reason="the IU X-Ray reports are not in ../shared/iu_xray")

CODED = {
    "No Finding": (1421, 310),
    "Enlarged Cardiomediastinum": (23, 2),
    "Cardiomegaly": (366, 31),
    "Lung Lesion": (116, 9),
    "Lung Opacity": (490, 57),
    "Edema": (42, 6),
    "Consolidation": (30, 2),
    "Pneumonia": (40, 2),
    "Atelectasis": (315, 39),
    "Pneumothorax": (26, 2),
    "Pleural Effusion": (151, 17),
    "Pleural Other": (54, 4),
    "Fracture": (83, 7),
    "Support Devices": (218, 23),
}
"""Positive reports of all 3,851 with an image, and of R2Gen's test split, as the project counted them before this code
was written (and compared them with the National Library of Medicine's own table)."""


@pytest.fixture(scope="module")
def real_forms():
    return {form: Dataset(REAL, None, {"layout": form}) for form in FORMS}


@real
def test_the_real_texts_are_the_same_in_all_forms(real_forms):
    for data in real_forms.values():
        assert data.check() == [] and not data.has_images
        assert {s: len(data.studies(s)) for s in data.splits} == {"train": 2069, "val": 296, "test": 590}
        assert not any(data.left_out(split) for split in data.splits)
        patients = [{study.patient_id for study in data.studies(split)} for split in data.splits]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 2955
        outside = sum(map(len, data.unassigned().values()))
        assert outside == (3851 if data.layout == "Kaggle's tables" else 3955) - 2955
    found = [texts(data) for data in real_forms.values()]
    assert found[0] == found[1] == found[2]


@real
def test_without_r2gens_file_the_set_is_the_same(real_forms, tmp_path):
    for name in ("indiana_reports.csv", "indiana_projections.csv"):
        (tmp_path / name).symlink_to(REAL / name)
    data = Dataset(tmp_path)
    expected = {study.patient_id for split in ("train", "val", "test") for study in real_forms["kaggle"].studies(split)}
    assert {study.patient_id for study in data.studies("all")} == expected


@real
def test_mesh_codes_as_chexpert_classes(real_forms):
    from benchmark.datasets._iu_mesh import labels
    from benchmark.datasets._iu_texts import read_tables

    sources = read_tables(REAL / "indiana_reports.csv", REAL / "indiana_projections.csv")
    everywhere = Counter(name for source in sources.values() for name in labels(source.mesh).get("mesh", {}))
    test = Counter(
        name for reference in real_forms["r2gen"].references("test") for name in reference.label_sets.get("mesh", {})
    )
    assert len(sources) == 3851
    assert {name: (everywhere[name], test[name]) for name in everywhere} == CODED
