"""What may leave the machine. The repository is a real one, made here."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmark import aggregates, evaluate, licence, opening
from benchmark import train as training
from benchmark.contracts import MetricContext
from benchmark.errors import UserError
from benchmark.registry import DATASETS, MODELS
from benchmark.schema import GenerationSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".gitignore").write_text("results/*\n!results/scores/\nkept-out/\n")
    return folder


@pytest.fixture(scope="module")
def mimic(tmp_path_factory):
    """The phantom read as MIMIC-CXR, whose licence then holds. Fewer than ten patients in validation, more in test."""
    root = tmp_path_factory.mktemp("data") / "mimic"
    DATASETS.load("phantom").provide(root, n_train=12, n_validate=4, n_test=24, long_side=64)
    return opening.open_dataset("mimic-cxr", root, None, root)


@pytest.mark.parametrize(
    ("path", "tracked"),
    [("a.json", True), ("new/folder", True), ("results/runs/x", False), ("results/scores/x.json", True),
     ("kept-out", False), ("kept-out/deep/x", False)],
)  # fmt: skip
def test_git_is_asked(repository, path, tracked):
    assert licence.tracked_by_git(repository / path) is tracked


def test_outside_a_repository_nothing_is_tracked(tmp_path):
    assert not licence.tracked_by_git(tmp_path / "x")


def test_runs_and_checkpoints_of_this_repository_are_ignored():
    for folder in ("runs", "checkpoints", "data", "cache", "generated"):
        assert not licence.tracked_by_git(ROOT / "results" / folder / "x"), folder
    assert licence.tracked_by_git(ROOT / "results" / "scores" / "phantom-val" / "x.json")


def test_a_run_or_a_checkpoint_is_not_written_where_git_would_track_it(mimic, repository):
    plugin = MODELS.load("most-frequent")
    recipe = training.Recipe("most-frequent", "default", mimic.name, 0, {})
    with pytest.raises(UserError, match="report texts of mimic-cxr in a place that git tracks"):
        training.train(plugin, recipe, mimic, repository / "out", device="cpu")
    checkpoint = training.train(plugin, recipe, mimic, repository / "results", device="cpu")
    selection = evaluate.select(mimic, "val", None)
    with pytest.raises(UserError, match="report texts and values of single studies of mimic-cxr"):
        evaluate.write_reports(
            "most-frequent", mimic, selection, GenerationSettings(), repository / "out", checkpoint=checkpoint
        )
    assert not (repository / "out").exists()
    untracked = ["git", "-C", str(repository), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(untracked, capture_output=True, text=True).stdout == "?? .gitignore\n"


def test_the_phantom_may_be_anywhere(repository):
    licence.keep_out_of_git(DATASETS.load("phantom")(repository), licence.WORDS.keys(), repository / "x")


@pytest.fixture(scope="module")
def scored(mimic, tmp_path_factory):
    """Results folder of a baseline run on both splits."""
    from benchmark import score

    results = tmp_path_factory.mktemp("results")
    metrics = [m for m in score.load_metrics(MetricContext()) if score.metric_name(m) in ("rouge_l", "rouge_l_coco")]
    for split in ("val", "test"):
        selection = evaluate.select(mimic, split, None)
        run = evaluate.write_reports("most-frequent", mimic, selection, GenerationSettings(), results)
        evaluate.score_run(run, selection, results, MetricContext(), metrics)
    return results


def test_scores_of_fewer_than_ten_patients_stay_in_the_run_folder(mimic, scored):
    assert len({study.patient_id for study in mimic.studies("validate")}) < licence.MIN_PATIENTS
    assert len(list(scored.glob("runs/mimic-cxr/*/*/*/scores.json"))) == 2
    assert not (scored / "scores" / "mimic-cxr-val").exists()
    (path,) = (scored / "scores" / "mimic-cxr-test").glob("*.json")
    content = aggregates.read(path)
    run_scores = json.loads(next(scored.glob("runs/mimic-cxr/test/*/*/scores.json")).read_text())
    few = [name for name, section in run_scores["sections"].items() if section["n_patients"] < licence.MIN_PATIENTS]
    assert content["suppressed"] == few and set(content["sections"]) == set(run_scores["sections"]) - set(few)
    for name, section in content["sections"].items():
        every = run_scores["sections"][name]["slices"]
        assert section["slices"].keys() | set(section["suppressed"]) == every.keys()
        assert section["suppressed"] and all(
            s["n_patients"] >= licence.MIN_PATIENTS for s in section["slices"].values()
        )


def test_what_leaves_holds_no_text_and_no_id(mimic, scored):
    (path,) = (scored / "scores" / "mimic-cxr-test").glob("*.json")
    public = path.read_text()
    for study, reference in zip(mimic.studies("test"), mimic.references("test"), strict=True):
        for secret in (study.study_id, study.patient_id, study.views[0].image_id, reference.findings):
            assert not secret or secret not in public
    # What it wrote is text of the data set, too
    (predictions,) = scored.glob("runs/mimic-cxr/test/*/*/predictions.jsonl")
    assert json.loads(predictions.read_text().splitlines()[0])["text"] not in public


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        # Patients in the slice and beside it.
        ({"sex:F": (9, 500), "sex:M": (500, 9)}, ["sex:F", "sex:M"]),  # the whole less the men would be the women
        ({"sex:F": (10, 500), "sex:M": (500, 10)}, []),
        ({"age:0": (3, 92), "age:1": (12, 83), "age:2": (80, 15), "sex:F": (80, 15)}, ["age:0", "age:1"]),
        # Seven patients may be all of the eleven: some were there at two ages.
        ({"age:0": (4, 87), "age:1": (7, 84), "age:2": (80, 11)}, ["age:0", "age:1", "age:2"]),
        ({"finding:Edema": (97, 3), "finding:Fracture": (20, 80)}, ["finding:Edema"]),
    ],
    ids=str,
)
def test_with_a_slice_of_few_patients_goes_what_would_give_it_away(counts, hidden):
    slices = {
        name: {"attribute": name.partition(":")[0], "n_patients": here, "n_patients_beside": beside}
        for name, (here, beside) in counts.items()
    }
    assert licence.suppressed_slices((), slices) == hidden
    assert licence.suppressed_slices(("values",), slices) == []


@pytest.mark.parametrize(("n", "may_leave", "expected"), [(9, (), ["few"]), (10, (), []), (9, ("values",), [])])
def test_slices_of_few_patients_are_suppressed(n, may_leave, expected):
    slices = {"few": {"n_patients": n}, "many": {"n_patients": 500}}
    assert licence.suppressed(may_leave, slices) == expected


def test_pages_and_exports_are_refused(mimic):
    with pytest.raises(UserError, match=r"The page would hold pictures and report texts of mimic-cxr"):
        licence.refuse_publication(mimic, frozenset({"images", "texts"}), "The page", private=True)


def test_no_difference_of_what_leaves_is_of_few_patients():
    """Three of forty patients have no sex on record, one has both, and a finding is absent in four."""
    from benchmark import protocols, score, slices
    from benchmark.schema import Reference, Study

    sexes = ["", "", "", *["F", "M"] * 18, "F"]
    studies = [Study(f"s{i}", f"p{i % 40}", "test", attributes={"sex": sex}) for i, sex in enumerate([*sexes, "M"])]
    references = [
        Reference(study.study_id, study.patient_id, "Clear.", "", {"a": {"Edema": float(i > 3)}})
        for i, study in enumerate(studies)
    ]
    groups = slices.slices(studies, references)
    scored = score.score_pairs(
        [s.study_id for s in studies], [s.patient_id for s in studies], ["Clear."] * len(studies),
        [r.findings for r in references], protocol=protocols.load("default"),
        metrics=score.load_metrics(MetricContext(), ["rouge-l-coco"]), slices=groups,
    )  # fmt: skip
    left = aggregates.slices_to_leave((), scored.to_dict()["slices"])
    patient = {s.study_id: s.patient_id for s in studies}
    every = frozenset(patient)
    shown = [each for each in groups if each.name in left["slices"]]
    assert {"finding:Edema", "sex:not stated"} <= set(left["suppressed"]) and "sex:M" in left["slices"]
    sexed = [each.studies for each in shown if each.attribute == "sex"]
    for rest in [*(every - each.studies for each in shown), every.difference(*sexed)]:
        assert not 0 < len({patient[study] for study in rest}) < licence.MIN_PATIENTS
