"""CheXbert, RadGraph and RadCliQ on small weights in the published formats.

Expected annotations and scores are what the packages f1chexbert and radgraph gave (see `tiny_annotators.py`).
"""

import importlib.util
import json
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark import hub, labeler, protocols, registry
from benchmark.annotators import REPOSITORY
from benchmark.annotators.chexbert import CLASSES, CheXbert
from benchmark.annotators.once import annotate_once
from benchmark.annotators.radgraph import MODELS, RadGraph, words_of_first, words_of_xl
from benchmark.contracts import MetricContext, Unavailable
from benchmark.metrics import _encoder
from benchmark.metrics._radcliq import radcliq

SPEC = importlib.util.spec_from_file_location("tiny_annotators", Path(__file__).with_name("tiny_annotators.py"))
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)
EXPECTED = json.loads(tiny.CASES.read_text(encoding="utf-8"))
HYPOTHESES, REFERENCES = tiny.pairs()
NAMES = ["chexbert", "chexbert-certain", "chexbert-uncertain", "semb-score", "radgraph"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def context(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    return MetricContext(extra={"folders": folders})


def metric(name, context, **options):
    return registry.METRICS.load(name)(context, **options)


def corpus(metric, hypotheses=HYPOTHESES, references=REFERENCES):
    return {key: float(value) for key, value in metric.aggregate(metric.rows(hypotheses, references).sum(0)).items()}


# --- what the packages give -------------------------------------------------------------------------------------


def test_chexbert_reads_as_f1chexbert(context):
    read = annotate_once(CheXbert(context), tiny.TEXTS)
    values = {"": 0, 1: 1, 0: 2, -1: 3}
    for case in EXPECTED["chexbert"]:
        found = read[case["text"]]
        assert list(found.outcomes.values()) == [values[label] for label in case["labels"]]
        np.testing.assert_allclose(found.vector, case["vector"], atol=1e-5)
    assert len({tuple(reading.outcomes.values()) for reading in read.values()}) > 3
    assert set(CLASSES) == set(labeler.CLASSES)


@pytest.mark.parametrize("classes", ["14", "5"])
def test_chexbert_f1_is_that_of_f1chexbert(context, classes):
    """With scikit-learn's averages and its 0 for what is undefined, as vilmedic and RadEval have it."""
    found = corpus(metric("chexbert-uncertain", context, undefined="zero"))
    report = EXPECTED["chexbert_f1"][classes]
    for average, row in (("micro", "micro avg"), ("macro", "macro avg"), ("weighted", "weighted avg")):
        assert found[f"chexbert_uncertain_{average}_{classes}"] == pytest.approx(report[row]["f1-score"], abs=1e-12)
    example = report["samples avg"]["f1-score"]
    assert found[f"chexbert_uncertain_example_{classes}"] == pytest.approx(example, abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_radgraph_is_that_of_the_package(context, model):
    read = annotate_once(RadGraph(model, context), tiny.TEXTS)
    for text, graph in zip(tiny.TEXTS, EXPECTED[model]["graphs"], strict=True):
        expected = [
            (entity["tokens"], entity["label"], tuple((name, int(other) - 1) for name, other in entity["relations"]))
            for entity in graph.values()
        ]
        assert [(entity.tokens, entity.label, entity.relations) for entity in read[text]] == expected
    scored = metric("radgraph", context, model=model)
    rows = scored.rows(HYPOTHESES, REFERENCES)
    np.testing.assert_allclose(rows[:, :3].T, EXPECTED[model]["each"], atol=1e-12)
    found = corpus(scored)
    assert [found[key] for key in scored.KEYS[:3]] == pytest.approx(EXPECTED[model]["mean"], abs=1e-12)
    assert len(set(np.round(list(found.values()), 6))) == 4


def test_radgraph_of_cxr_report_metric_is_the_mean_of_entity_and_relation_f1(context):
    graphs = dict(zip(tiny.TEXTS, EXPECTED["radgraph"]["graphs"], strict=True))

    def facts(text):
        graph = graphs[text]
        named = {number: (entity["tokens"], entity["label"]) for number, entity in graph.items()}
        linked = {(named[n], named[o], r) for n, entity in graph.items() for r, o in entity["relations"]}
        return set(named.values()), linked

    def f1(one, other):
        hits = len(one & other)
        return 0.0 if not hits else 2 / (len(one) / hits + len(other) / hits)

    texts = [*tiny.TEXTS[1:], tiny.TEXTS[0]]
    expected = [sum(map(f1, facts(h), facts(r))) / 2 for h, r in zip(texts, tiny.TEXTS, strict=True)]
    rows = metric("radgraph", context, model="radgraph").rows(texts, tiny.TEXTS)
    np.testing.assert_allclose(rows[:, 3], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "first", "xl"),
    [
        ("Tube/line (3.5 cm): ends.", "Tube / line ( 3 . 5 cm ) : ends .", "Tube / line ( 3 . 5 cm ): ends ."),
        ("5%, (new).", "5% , ( new ) .", "5 % , ( new ) ."),
        ("T-spine 'x'.\\nNext", "T-spine 'x' . \\nNext", "T - spine ' x '. Next"),
    ],
)
def test_words(text, first, xl):
    """By hand from the package's `preprocess_reports`; texts with these signs are among the cases too."""
    assert " ".join(words_of_first(text)) == first
    assert " ".join(words_of_xl(text)) == xl


# --- SembScore and RadCliQ --------------------------------------------------------------------------------------


def test_semb_score_is_the_cosine_of_the_vectors(context):
    vectors = {case["text"]: np.array(case["vector"]) for case in EXPECTED["chexbert"]}
    one, other = tiny.TEXTS[:2]
    cosine = vectors[one] @ vectors[other] / np.linalg.norm(vectors[one]) / np.linalg.norm(vectors[other])
    rows = metric("semb-score", context).rows([one, one, "", "?"], [other, one, one, one])
    np.testing.assert_allclose(rows[:, 0], [cosine, 1, 0, 0], atol=1e-6)


@pytest.fixture
def with_encoder(folders, context):
    """MiniLM in the place of distilroberta-base, which the hub alone has."""
    try:
        minilm = _encoder.find("").folder
    except Unavailable as reason:
        pytest.skip(str(reason))
    return MetricContext(extra={"folders": {**folders, "distilroberta-base": minilm}})


def test_radcliq_is_made_of_its_components(with_encoder):
    """As the protocol cxr-report-metric computes them beside it."""
    metrics = {type(m).__module__.rpartition(".")[2]: m for m in protocols.load("rexrank").metrics(with_encoder)}
    spaced = [" ".join(tokens) for tokens in protocols.load("rexrank").tokenize([*HYPOTHESES, *REFERENCES])]
    graph, words, semb = (metrics[n].rows(HYPOTHESES, REFERENCES) for n in ("radgraph", "bertscore", "semb_score"))
    bleu = metrics["sentence_bleu"].rows(spaced[: len(HYPOTHESES)], spaced[len(HYPOTHESES) :])
    rows = metrics["radcliq"].rows(HYPOTHESES, REFERENCES)
    for column, version in enumerate(("v0", "v1")):
        expected = radcliq(graph[:, 3], words[:, 0], semb[:, 0], bleu[:, 0], version)
        np.testing.assert_allclose(rows[:, column], expected, atol=1e-6)
    alike = [i for i, (h, r) in enumerate(zip(HYPOTHESES, REFERENCES, strict=True)) if h == r]
    np.testing.assert_allclose(rows[alike, 1], -1.4407, atol=1e-4)
    assert not metrics["radcliq"].HIGHER_IS_BETTER and "radgraph:" in metrics["radcliq"].signature
    empty = metrics["radcliq"].rows([""], REFERENCES[:1])
    np.testing.assert_allclose(empty, [[radcliq(0, 0, 0, 0, "v0"), radcliq(0, 0, 0, 0, "v1"), 1]])


# --- what all metrics have in common ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_contract(context, name):
    scored = metric(name, context)
    rows = scored.rows(HYPOTHESES, REFERENCES)
    assert tuple(scored.aggregate(rows.sum(0))) == scored.KEYS and rows.dtype == float
    turned = scored.rows(HYPOTHESES[::-1], REFERENCES[::-1])[::-1]
    np.testing.assert_allclose(turned, rows, atol=1e-12)
    assert corpus(scored, [], []) == corpus(scored, ["", "?!"], ["Clear.", "Clear."]) == dict.fromkeys(scored.KEYS, 0.0)
    best, with_empty = corpus(scored, REFERENCES, REFERENCES), corpus(scored, [*HYPOTHESES[:-1], ""], REFERENCES)
    assert all(value <= best[key] + 1e-9 for key, value in corpus(scored).items())
    assert all(value <= best[key] + 1e-9 for key, value in with_empty.items())
    assert f"{scored.annotator.name}-1-" in scored.signature and len(scored.annotator.hash) == 12
    assert not scored.IN_DEFAULT


def test_the_rule_for_uncertain_labels(context):
    counts = {name: metric(name, context).rows(HYPOTHESES, REFERENCES)[:, :42].sum() for name in NAMES[:3]}
    assert counts["chexbert-certain"] < counts["chexbert"] < counts["chexbert-uncertain"]
    assert len({metric(name, context).signature for name in NAMES[:3]}) == 3


def test_a_text_of_very_many_words(context):
    text = "the heart is normal " * 5000
    assert corpus(metric("chexbert", context), [text], ["no effusion"])
    assert corpus(metric("radgraph", context), [text], ["no effusion"])["radgraph_simple"] <= 1


# --- once per text ----------------------------------------------------------------------------------------------


def test_a_text_is_annotated_once_and_not_kept(context, tmp_path, monkeypatch):
    for annotator in (CheXbert(context), RadGraph("radgraph", context)):
        before = annotate_once(annotator, [*tiny.TEXTS, *tiny.TEXTS, "", "?!"])
        assert list(before) == tiny.TEXTS
        monkeypatch.setattr(type(annotator), "annotate", lambda self, texts: pytest.fail("read again"))
        after = annotate_once(
            type(annotator)(*([annotator.name] if annotator.name == "radgraph" else []), context), tiny.TEXTS
        )
        assert str(after) == str(before)
    for path in (tmp_path / "results" / "cache" / "annotations").iterdir():
        content = path.read_bytes()
        assert not any(text.encode() in content for text in tiny.TEXTS) and b"lungs" not in content


def test_other_weights_are_another_cache(context, folders, tmp_path):
    other = tmp_path / "other"
    tiny.write_radgraph(other, "radgraph", more={"_unused": tiny.values("x", 2)})
    one = RadGraph("radgraph", context)
    two = RadGraph("radgraph", MetricContext(extra={"folders": {**folders, REPOSITORY: str(other)}}))
    assert one.identity != two.identity


def test_a_killed_run_goes_on(context, monkeypatch):
    done = []
    original = CheXbert.annotate

    def annotate(self, texts):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(list(texts))
        return original(self, texts)

    monkeypatch.setattr(CheXbert, "BATCH", 2)
    monkeypatch.setattr(CheXbert, "annotate", annotate)
    with pytest.raises(KeyboardInterrupt):
        annotate_once(CheXbert(context), tiny.TEXTS)
    done.clear()
    monkeypatch.setattr(CheXbert, "BATCH", 32)
    annotate_once(CheXbert(context), tiny.TEXTS)
    assert len(done) == 1 and len(done[0]) == len(tiny.TEXTS) - 4


WRITER = """
import sys
from benchmark.annotators.once import annotate_once

class Same:
    WHAT, BATCH, identity = "Same", 2, "same-1"
    def annotate(self, texts):
        return [text.encode() for text in texts]
    def decode(self, text, stored):
        assert stored == text.encode()
        return len(stored)

found = annotate_once(Same(), [f"text {i}" for i in range(int(sys.argv[1]), int(sys.argv[1]) + 150)])
assert len(found) == 150
"""


def test_two_processes_share_a_cache(context, tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", WRITER, start]) for start in ("0", "75")]
    assert [process.wait(60) for process in both] == [0, 0]
    cache = sqlite3.connect(tmp_path / "results" / "cache" / "annotations" / "same-1.sqlite")
    assert cache.execute("SELECT count(*) FROM annotations").fetchone() == (225,)
    assert cache.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_cache_is_named(context, tmp_path):
    path = tmp_path / "results" / "cache" / "annotations" / f"{CheXbert(context).identity}.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 100)
    with pytest.raises(Unavailable, match=r"cache .*sqlite cannot be used.*remove it"):
        annotate_once(CheXbert(context), ["clear"])


# --- what is missing or unsafe ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "radcliq"])
def test_missing_weights_are_one_sentence(tmp_path, name):
    scored = metric(name, MetricContext(extra={"folders": {REPOSITORY: str(tmp_path)}}))
    with pytest.raises(Unavailable, match=rf"bench fetch \w+.*--model-folder {REPOSITORY}=FOLDER"):
        _ = scored.signature


def test_a_missing_tokenizer_is_named(context, folders, tmp_path):
    bare = MetricContext(extra={"folders": {**folders, tiny.BASE: str(tmp_path)}})
    for annotator in (CheXbert(bare), RadGraph("radgraph", bare)):
        with pytest.raises(Unavailable, match=f"tokenizer of {tiny.BASE}"):
            annotator.annotate(["clear"])


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    "content", [pickle.dumps({"model_state_dict": Harm()}, protocol=2), b"", b"text"], ids=["harm", "empty", "text"]
)
def test_damaged_and_harmful_weights_are_refused(folders, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chexbert.pth").write_bytes(content)
    (tmp_path / "radgraph.tar.gz").write_bytes(content)
    bad = MetricContext(extra={"folders": {**folders, REPOSITORY: str(tmp_path)}})
    for annotator in (CheXbert(bad), RadGraph("radgraph", bad)):
        with pytest.raises(Unavailable, match="cannot be loaded"):
            annotator.annotate(["clear"])
    assert not (tmp_path / "harmed").exists()


# --- the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    paths = tmp_path / "hypotheses.jsonl", tmp_path / "references.jsonl"
    for path, texts in zip(paths, (HYPOTHESES, REFERENCES), strict=True):
        lines = [json.dumps({"study_id": str(i), "text": text}) for i, text in enumerate(texts)]
        path.write_text("\n".join(lines))
    return paths


def test_bench_score_reports_them_or_says_why_not(files, folders, tmp_path, call_bench):
    hypotheses, references = files
    found = {}
    for place, given in (
        ("with", [f"--model-folder={key}={value}" for key, value in folders.items()]),
        ("without", []),
    ):
        out = tmp_path / f"{place}.json"
        status, _, said = call_bench(
            tmp_path / "results", "score", hypotheses, "--references", references, "--protocol", "radeval",
            "--json", out, *given,
        )  # fmt: skip
        assert status == 0, said
        found[place] = json.loads(out.read_text())["metrics"]
    key = "chexbert_uncertain_weighted_14"
    expected = EXPECTED["chexbert_f1"]["14"]["weighted avg"]["f1-score"]
    assert found["with"][key]["value"] == pytest.approx(expected) and found["with"][key]["low"] is not None
    assert "undefined:zero" in found["with"][key]["signature"]
    assert found["with"]["radgraph_partial"]["value"] == pytest.approx(EXPECTED["radgraph-xl"]["mean"][1])
    for each in (key, "radgraph_partial", "radcliq_v1"):
        assert found["without"][each]["value"] is None and "bench fetch" in found["without"][each]["reason"]
    assert found["without"]["bleu_4"]["value"] is not None


def test_fetch_tells_what_there_is(tmp_path, monkeypatch, call_bench):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    status, out, _ = call_bench(tmp_path, "fetch", "--list", "--json")
    listed = {item["name"]: item for item in json.loads(out)["items"]}
    assert status == 0 and json.loads(out)["cache"] == str(tmp_path / "hub")
    assert len(listed) == len(json.loads(out)["items"]), "something is listed twice"
    assert {"chexbert", "radgraph", "radgraph-xl", "distilroberta-base", "roberta-large", "gpt2"} <= set(listed)
    assert {item["here"] for item in listed.values()} == {"no"} and "rexrank" in listed["radgraph"]["read by"]
    status, _, said = call_bench(tmp_path, "fetch", "rexrnk")
    assert status == 1 and "Did you mean rexrank" in said
    status, _, said = call_bench(tmp_path, "fetch", "chexbert")
    assert status == 1 and f"{REPOSITORY} could not be downloaded" in said and "Traceback" not in said


def test_what_was_fetched_is_found(folders, tmp_path, monkeypatch, call_bench):
    """The hub is a folder here; its client's own cache layout is the real one."""

    def snapshot_download(hub_id, allow_patterns, cache_dir):
        place = Path(cache_dir) / f"models--{hub_id.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text("c0ffee")
        snapshot = place / "snapshots" / "c0ffee"
        snapshot.mkdir(parents=True, exist_ok=True)
        for pattern in allow_patterns:
            for path in Path(folders[hub_id]).glob(pattern):
                (snapshot / path.name).write_bytes(path.read_bytes())
        return str(snapshot)

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert call_bench(tmp_path, "fetch", "radgraph")[0] == 0
    assert hub.folder(tiny.BASE, {}) is not None  # the transformer that the archive names
    assert call_bench(tmp_path, "fetch", "semb-score")[0] == 0
    _, _, said = call_bench(tmp_path, "fetch", "chexbert", "radgraph")
    assert said.count("here already") == 2
    assert corpus(metric("radgraph", MetricContext(), model="radgraph"))["radgraph_simple"] > 0
    checks = {check["name"]: check for check in json.loads(call_bench(tmp_path, "doctor", "--json")[1])}
    assert checks["chexbert"]["ok"] and not checks["radgraph-xl"]["ok"]
    assert checks["radgraph-xl"]["remedy"] == "bench fetch radgraph-xl"
