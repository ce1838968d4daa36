"""The baselines that ignore the images. BLEU's expected values come from pycocoevalcap."""

import json
import random
from pathlib import Path

import pytest
from pycocoevalcap.bleu.bleu import Bleu

from benchmark import registry
from benchmark.contracts import Dataset, Example, TrainingJob
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Reference, Study

BASELINES = ("best-constant", "most-frequent", "random-train", "second-reader")
SETTINGS = GenerationSettings()
WORDS = "the lungs are clear no effusion or pneumothorax heart size is normal mild edema left right".split()


def example(number, findings, impression):
    study, patient = f"s{number}", f"p{number}"
    return Example(Study(study, patient, "train"), Reference(study, patient, findings, impression))


def job(output, train, validation=(), seed=0, second=None):
    return TrainingJob(
        train=train,
        validation=validation,
        second_readings=second or {},
        preset="default",
        options={},
        seed=seed,
        device="cpu",
        output=output,
        tokenize=lambda texts: [text.lower().replace(".", "").split() for text in texts],
        report=print,
    )


def trained(name, output, *arguments, **named):
    plugin = registry.MODELS.load(name)
    plugin.train(job(output, *arguments, **named))
    return plugin.load(output, "cpu")


def texts(model, n=3, seeds=None):
    studies = [Study(f"s{i}", f"p{i}", "test") for i in range(n)]
    return [report.text for report in model.generate(studies, SETTINGS, seeds or list(range(n)))]


def reports(*pairs):
    return [example(i, findings, impression) for i, (findings, impression) in enumerate(pairs)]


# --- most-frequent ----------------------------------------------------------------------------------------------


def test_most_frequent_repeats_the_commonest_report(tmp_path):
    train = reports(("A.", "X."), ("B.", "Y."), ("B.", "Y."), ("A.", "Y."))
    assert texts(trained("most-frequent", tmp_path, train)) == ["Findings: B. Impression: Y."] * 3


def test_most_frequent_counts_whole_reports_after_white_space_and_passes_over_halves(tmp_path):
    train = reports(
        ("Only.", ""), ("Only.", ""), ("Only.", ""), ("", "Y."), ("A  b.", "X."), ("A\n b.", "X."), ("C.", "Y.")
    )
    assert texts(trained("most-frequent", tmp_path, train), 1) == ["Findings: A b. Impression: X."]


@pytest.mark.parametrize("order", [1, -1])
def test_a_tie_goes_to_the_first_in_the_alphabet_whatever_the_order(tmp_path, order):
    train = reports(("C.", "X."), ("B.", "Y."), ("C.", "X."), ("B.", "Y."), ("A.", "X."))[::order]
    assert texts(trained("most-frequent", tmp_path, train), 1) == ["Findings: B. Impression: Y."]


# --- random-train -----------------------------------------------------------------------------------------------


def test_random_train_draws_with_the_seed_of_the_study_alone(tmp_path):
    train = reports(*((f"Finding {i}.", "X.") for i in range(50)))
    model = trained("random-train", tmp_path, train)
    seeds = list(range(100, 120))
    drawn = texts(model, 20, seeds)
    alone = [model.generate([Study("other", "p", "test")], SETTINGS, [seed])[0].text for seed in reversed(seeds)]
    assert drawn == alone[::-1]
    expected = [f"Findings: Finding {random.Random(seed).choice(range(50))}. Impression: X." for seed in seeds]
    assert drawn == expected
    assert len(set(drawn)) > 5


def test_random_train_draws_as_often_as_reports_occur(tmp_path):
    train = reports(*([("Common.", "X.")] * 3), ("Rare.", "X."), ("Half.", ""))
    drawn = texts(trained("random-train", tmp_path, train), 400)
    assert set(drawn) == {"Findings: Common. Impression: X.", "Findings: Rare. Impression: X."}
    # Binomial(400, 3/4): mean 300, standard deviation 8.7.
    assert 260 < drawn.count("Findings: Common. Impression: X.") < 340


# --- best-constant ----------------------------------------------------------------------------------------------


def sentences(n, seed):
    generator = random.Random(seed)
    return [generator.choices(WORDS, k=generator.randint(1, 25)) for _ in range(n)]


def coco_bleu4(candidate, references):
    ids = range(len(references))
    expected, written = ({i: [" ".join(references[i])] for i in ids}, {i: [" ".join(candidate)] for i in ids})
    return Bleu(4).compute_score(expected, written, verbose=0)[0][3]


@pytest.mark.parametrize("seed", range(4))
def test_constant_bleu4_is_that_of_the_coco_toolkit(seed):
    constant_bleu4 = registry.MODELS.load("best-constant").train.__globals__["constant_bleu4"]
    references = sentences(12, seed)
    candidates = [*sentences(15, seed + 100), *references[:5], ["the"] * 6, ["unseen"], ["edema", "edema"], []]
    found = constant_bleu4(candidates, references)
    for candidate, score in zip(candidates, found, strict=True):
        if candidate:  # the toolkit splits an empty text into one empty word
            assert score == pytest.approx(coco_bleu4(candidate, references), rel=0, abs=1e-9)
    assert found[-1] == pytest.approx(0, abs=1e-9)
    assert max(found) > 0.01


def test_best_constant_is_the_best_by_brute_force(tmp_path):
    def of(lines):
        return reports(*((" ".join(line[::2]) + " a.", " ".join(line[1::2]) + " b.") for line in lines))

    train, validation = of(sentences(30, 1)), of(sentences(12, 2))
    (chosen,) = texts(trained("best-constant", tmp_path, train, validation), 1)
    tokenize = job(tmp_path, []).tokenize
    references = tokenize([f"{e.reference.findings} {e.reference.impression}" for e in validation])
    scores = {}
    for e in train:
        text = f"Findings: {e.reference.findings} Impression: {e.reference.impression}"
        (tokens,) = tokenize([f"{e.reference.findings} {e.reference.impression}"])
        scores[text] = coco_bleu4(tokens, references)
    assert sorted(scores.values())[-1] > 1.01 * sorted(scores.values())[-2]
    assert chosen == max(scores, key=scores.get)


def test_best_constant_passes_over_validation_reports_without_both_sections(tmp_path):
    train = reports(("no edema is seen here", "normal"), ("mild edema is seen here", "abnormal"))
    halves = reports(*([("mild edema is seen here", "")] * 5))
    whole = [example(9, "no edema is seen here", "normal")]
    assert texts(trained("best-constant", tmp_path, train, [*halves, *whole]), 1) == [
        "Findings: no edema is seen here Impression: normal"
    ]
    with pytest.raises(UserError, match="No validation report has the sections"):
        trained("best-constant", tmp_path, train, halves)


# --- second-reader ----------------------------------------------------------------------------------------------


def test_second_reader_repeats_the_other_reading_and_says_where_there_is_none(tmp_path):
    model = trained("second-reader", tmp_path, reports(("A.", "X.")), second={"s1": "Findings: ä.", "s2": ""})
    found = model.generate([Study(f"s{i}", "p", "test") for i in (2, 1, 3)], SETTINGS, [0, 0, 0])
    assert [report.text for report in found] == ["", "Findings: ä.", ""]
    assert [bool(report.error) for report in found] == [True, False, True]
    assert "second reader" in found[0].error


@pytest.mark.parametrize(("has", "fits"), [(True, True), (False, False)])
def test_second_reader_needs_a_data_set_that_has_one(has, fits):
    class Data(registry.DATASETS.load("mimic-cxr")):
        SECOND_READER = has

    reason = registry.MODELS.load("second-reader").skip(Data(Path("/")))
    assert (reason == "") == fits
    assert issubclass(Data, Dataset)


# --- all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["best-constant", "most-frequent", "random-train"])
def test_training_without_a_report_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="No training report has findings or impression"):
        trained(name, tmp_path, reports(("", ""), ("", "")), reports(("A.", "X.")))


@pytest.mark.parametrize("name", ["best-constant", "most-frequent", "random-train"])
@pytest.mark.parametrize(("pair", "text"), [(("A b c d.", ""), "Findings: A b c d."), (("", "X."), "Impression: X.")])
def test_data_of_one_section_give_that_section(tmp_path, name, pair, text):
    """R2Gen's annotations have findings alone."""
    assert texts(trained(name, tmp_path, reports(pair, pair), reports(pair)), 1) == [text]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("other", BASELINES)
def test_a_baseline_refuses_the_checkpoint_of_another(tmp_path, name, other):
    pairs = reports(("A.", "X."), ("B.", "Y."))
    trained(other, tmp_path, pairs, pairs, second={"s0": "A."})
    plugin = registry.MODELS.load(name)
    if name == other:
        assert len(texts(plugin.load(tmp_path, "cpu"))) == 3
        return
    with pytest.raises(UserError, match=f"is a checkpoint of {other}, not of {name}"):
        plugin.load(tmp_path, "cpu")


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    "content", [b"", b'{"model": "', b"\xff\xfe", b"[]", b"5", b'{"content": "a"}', b'{"model": "x"}']
)
def test_a_baseline_refuses_a_damaged_file(tmp_path, name, content):
    (tmp_path / "reports.json").write_bytes(content)
    with pytest.raises(UserError, match=r"reports\.json is damaged"):
        registry.MODELS.load(name).load(tmp_path, "cpu")


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("content", [None, 5, True])
def test_a_baseline_refuses_a_file_of_another_shape(tmp_path, name, content):
    (tmp_path / "reports.json").write_text(json.dumps({"model": name, "content": content}))
    with pytest.raises(UserError, match=r"reports\.json is damaged"):
        registry.MODELS.load(name).load(tmp_path, "cpu")


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_refuses_a_folder_without_its_file(tmp_path, name):
    with pytest.raises(UserError, match="is no checkpoint of"):
        registry.MODELS.load(name).load(tmp_path / "missing", "cpu")
