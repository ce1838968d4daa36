"""Every metric against the library whose numbers it must give, and what all metrics have in common.

The sentences are invented. No expected number is written down here: each is computed by the reference library itself.
"""

import itertools
import sys

import numpy as np
import pytest

from benchmark import protocols, registry
from benchmark.contracts import MetricContext, Unavailable
from benchmark.errors import UserError
from benchmark.metrics import _encoder, _meteor_jar
from benchmark.metrics.bertscore import Metric as BertScore
from benchmark.metrics.meteor import Metric as Meteor

HEARTS = ["The heart is normal in size.", "Cardiomegaly is moderate.", "Heart size is mildly enlarged, unchanged."]
LUNGS = [
    "The lungs are clear.",
    "There is a 3.5 cm opacity in the right lower lobe.",
    "Patchy opacities at both bases may be atelectasis or pneumonia.",
    "Low lung volumes; no focal consolidation.",
]
PLEURA = [
    "No pleural effusion or pneumothorax.",
    "A small left effusion has increased.",
    "Tubes and lines are in place!",
]
REPORTS = [" ".join(parts) for parts in itertools.product(HEARTS, LUNGS, PLEURA)]
ODD = [
    ("", "The lungs are clear."),
    ("The lungs are clear.", "The lungs are clear."),
    ("?!", "No acute disease."),
    ("心影大小正常。", "Heart size is normal."),
    ("lungs 😀 ||| clear", "lungs ||| clear, naïve “quoted” text"),
    ("clear " * 300, "The lungs are clear."),
    ("Clear", "clear"),
]
PAIRS = [*zip(REPORTS, REPORTS[7:] + REPORTS[:7], strict=True), *ODD]
HYPOTHESES, REFERENCES = map(list, zip(*PAIRS, strict=True))
# Those that read weights of the hub are tested with small ones in test_clinical.py.
NAMES = [name for name in registry.METRICS.names() if not registry.METRICS.load(name).FETCH]


@pytest.fixture(scope="session")
def metrics(meteor):
    """By name; METEOR's process and BERTScore's encoder are started once."""
    found = {name: registry.METRICS.load(name)(MetricContext()) for name in NAMES}
    return {**found, "meteor": meteor}


@pytest.fixture
def metric(request, metrics):
    found = metrics[request.param]
    try:
        found.rows(["clear"], ["clear"])
    except Unavailable as reason:
        pytest.skip(str(reason))
    return found


every_metric = pytest.mark.parametrize("metric", NAMES, indirect=True)


@pytest.fixture(scope="session")
def tokenized():
    lines = [" ".join(tokens) for tokens in protocols.load("default").tokenize(HYPOTHESES + REFERENCES)]
    return lines[: len(PAIRS)], lines[len(PAIRS) :]


@pytest.fixture
def texts(metric, tokenized):
    """Hypotheses and references in the form that the metric takes."""
    return tokenized if metric.INPUT == "tokens" else (HYPOTHESES, REFERENCES)


@pytest.fixture(scope="session")
def known_rows():
    return {}


@pytest.fixture
def rows(metric, texts, known_rows):
    """The metric's rows of PAIRS, computed once."""
    if metric.KEYS not in known_rows:
        known_rows[metric.KEYS] = metric.rows(*texts)
    return known_rows[metric.KEYS]


def corpus(metric, hypotheses, references):
    values = metric.aggregate(metric.rows(hypotheses, references).sum(axis=0))
    return {key: float(value) for key, value in values.items()}


def coco(texts):
    """Texts in the form that pycocoevalcap takes."""
    hypotheses, references = texts
    return {i: [t] for i, t in enumerate(references)}, {i: [t] for i, t in enumerate(hypotheses)}


# --- agreement with the reference libraries ---------------------------------------------------------------------


def test_bleu_is_that_of_pycocoevalcap(metrics, tokenized):
    from pycocoevalcap.bleu.bleu import Bleu

    expected, _ = Bleu(4).compute_score(*coco(tokenized), verbose=0)
    found = corpus(metrics["bleu"], *tokenized)
    assert [found[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(expected, abs=1e-12)


def test_rouge_l_is_that_of_rouge_score(metrics):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    expected = [scorer.score(reference, hypothesis)["rougeL"].fmeasure for hypothesis, reference in PAIRS]
    np.testing.assert_allclose(metrics["rouge-l"].rows(HYPOTHESES, REFERENCES)[:, 0], expected)
    assert corpus(metrics["rouge-l"], HYPOTHESES, REFERENCES)["rouge_l"] == pytest.approx(np.mean(expected))


def test_rouge_l_coco_is_that_of_pycocoevalcap(metrics, tokenized):
    from pycocoevalcap.rouge.rouge import Rouge

    mean, expected = Rouge().compute_score(*coco(tokenized))
    np.testing.assert_allclose(metrics["rouge-l-coco"].rows(*tokenized)[:, 0], expected, atol=1e-12)
    assert corpus(metrics["rouge-l-coco"], *tokenized)["rouge_l_coco"] == pytest.approx(mean)


def test_cider_is_that_of_pycocoevalcap(metrics, tokenized):
    from pycocoevalcap.cider.cider import Cider

    mean, expected = Cider().compute_score(*coco(tokenized))
    np.testing.assert_allclose(metrics["cider"].rows(*tokenized)[:, 0], expected, atol=1e-12)
    assert corpus(metrics["cider"], *tokenized)["cider"] == pytest.approx(mean)


def test_meteor_is_that_of_the_jar(meteor, coco_meteor, tokenized):
    """The jar's own aggregate, and its own score of each pair."""
    total, expected = coco_meteor.compute_score(*coco(tokenized))
    rows = meteor.rows(*tokenized)
    np.testing.assert_allclose(meteor.aggregate(rows)["meteor"], expected, atol=1e-9)
    assert float(meteor.aggregate(rows.sum(axis=0))["meteor"]) == pytest.approx(total, abs=1e-9)


def test_meteor_of_a_corpus_matched_whole_but_once(meteor, coco_meteor):
    """A pair matched whole in one chunk adds no chunk, but its words still count where another pair is broken."""
    whole, broken = ["the lungs are clear"] * 3, ["clear are lungs"]
    expected, _ = coco_meteor.compute_score(*coco((whole + broken, ["the lungs are clear"] * 4)))
    assert corpus(meteor, whole + broken, ["the lungs are clear"] * 4)["meteor"] == pytest.approx(expected, abs=1e-9)
    assert corpus(meteor, whole, whole)["meteor"] == 1.0


@pytest.mark.parametrize("metric", ["bertscore"], indirect=True)
def test_bertscore_is_that_of_bert_score(metric, rows):
    from bert_score import score

    filled = [i for i, hypothesis in enumerate(HYPOTHESES) if hypothesis][::2]
    expected = score(
        [HYPOTHESES[i] for i in filled],
        [REFERENCES[i] for i in filled],
        model_type=str(metric.encoder.folder),
        num_layers=metric.layer,
        device="cpu",
    )
    for column, values in zip((1, 2, 0), expected, strict=True):
        np.testing.assert_allclose(rows[filled, column], values.numpy(), atol=1e-5)
    np.testing.assert_array_equal(rows[HYPOTHESES.index("")], [0, 0, 0, 1])


# --- what all metrics have in common ----------------------------------------------------------------------------


@every_metric
def test_rows_and_values(metric, rows):
    assert rows.dtype == np.float64 and len(rows) == len(PAIRS)
    assert np.isfinite(rows).all()
    values = metric.aggregate(rows.sum(axis=0))
    assert tuple(values) == metric.KEYS
    assert all(np.isfinite(value) for value in values.values())


@every_metric
def test_signature_is_of_its_own_and_has_no_path(metric):
    assert metric.signature.count("|") >= 3 and ":" in metric.signature
    assert not any(mark in metric.signature for mark in (" ", "/home", "site-packages"))


@every_metric
def test_order_does_not_matter(metric, texts, rows):
    order = np.random.default_rng(0).permutation(len(PAIRS))
    turned = [[side[i] for i in order] for side in texts]
    np.testing.assert_allclose(metric.rows(*turned), rows[order], atol=1e-6)


@every_metric
def test_any_leading_shape(metric, rows):
    single = metric.aggregate(rows)
    for key, values in metric.aggregate(rows[:42].reshape(2, 3, 7, -1)).items():
        assert values.shape == (2, 3, 7)
        np.testing.assert_array_equal(values.ravel(), single[key][:42])
    alone = metric.aggregate(rows[3])
    assert all(float(alone[key]) == single[key][3] for key in metric.KEYS)


@every_metric
def test_nothing_is_0_and_not_nan(metric):
    assert corpus(metric, [], []) == dict.fromkeys(metric.KEYS, 0.0)
    empty = corpus(metric, ["", ""], ["the lungs are clear", "no effusion"])
    assert empty == dict.fromkeys(metric.KEYS, 0.0)
    assert corpus(metric, [""], [""]) == dict.fromkeys(metric.KEYS, 0.0)


@every_metric
def test_identical_text_gives_the_maximum(metric, texts, rows):
    references = texts[1][: len(REPORTS)]
    best = corpus(metric, references, references)
    top = 10.0 if metric.KEYS == ("cider",) else 1.0
    assert best == pytest.approx(dict.fromkeys(metric.KEYS, top), abs=1e-5)
    assert all(value <= best[key] for key, value in metric.aggregate(rows.sum(axis=0)).items())


@every_metric
def test_a_further_empty_hypothesis_never_raises_a_score(metric, texts):
    """CIDEr's further reference changes how rare words are, so there the same reference is scored with and without."""
    hypotheses, references = texts[0][:10], texts[1][:10]
    n = 10 if metric.KEYS == ("cider",) else 9
    with_empty = corpus(metric, [*hypotheses[:9], ""], references)
    without = corpus(metric, hypotheses[:n], references[:n])
    # A mean weighted by support gives the classes of the further reference more weight, and these may be the good ones.
    assert all(with_empty[key] <= without[key] for key in metric.KEYS if "_weighted_" not in key)


@every_metric
def test_one_pair(metric):
    values = corpus(metric, ["the lungs are clear"], ["the lungs are clear"])
    # CIDEr finds no word rarer than another in one report.
    assert values == pytest.approx(dict.fromkeys(metric.KEYS, 0.0 if metric.KEYS == ("cider",) else 1.0), abs=1e-5)


@every_metric
def test_texts_of_100_000_words(metric):
    long, short = "the heart is normal " * 25_000, "the heart is normal"
    values = corpus(metric, [long, short, "no effusion"], [short, long, "no effusion"])
    assert all(0 <= value <= 10 for value in values.values())


def test_importing_a_metric_is_cheap():
    """Nothing third-party but numpy is imported at a metric's head (`-X importtime` would show the rest)."""
    import subprocess

    code = (
        "import sys; from benchmark import registry, score\n"
        "from benchmark.contracts import MetricContext\n"
        "score.load_metrics(MetricContext())\n"
        "print([m for m in ('torch','transformers','bert_score','rouge_score','pycocoevalcap') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- METEOR's process -------------------------------------------------------------------------------------------

FAKE_JAR = """
import pathlib, sys
lives = pathlib.Path(sys.argv[1])
lives.write_text(str(int(lives.read_text() or 0) + 1) if lives.exists() else "1")
for line in sys.stdin:
    if "deadly" in line or ("once" in line and lives.read_text() == "1"):
        print("out of memory", file=sys.stderr)
        sys.exit(3)
    print("nonsense" if "nonsense" in line else " ".join(["1.0"] * 23), flush=True)
"""


@pytest.fixture
def fake_jar(monkeypatch, tmp_path):
    lives = tmp_path / "lives"
    monkeypatch.setattr(_meteor_jar, "_command", lambda: [sys.executable, "-c", FAKE_JAR, str(lives)])
    return lives


def test_a_process_that_dies_is_started_again_once(fake_jar):
    metric = Meteor(MetricContext())
    rows = metric.rows(["heart", "once", "lungs"], ["heart", "lungs", "lungs"])
    assert rows.shape == (3, 23) and fake_jar.read_text() == "2"


def test_a_process_that_dies_again_says_why(fake_jar):
    with pytest.raises(Unavailable, match="ended twice at the same report, saying: out of memory"):
        Meteor(MetricContext()).rows(["heart", "deadly"], ["heart", "heart"])
    assert fake_jar.read_text() == "2"


def test_a_process_that_dies_between_questions(fake_jar):
    metric = Meteor(MetricContext())
    rows = metric.rows(["heart"] * 3, ["lungs", "heart", "lungs"])
    process = metric._jar.start()
    process.kill()
    process.wait()
    np.testing.assert_array_equal(metric.rows(["heart"] * 3, ["lungs", "heart", "lungs"]), rows)
    assert fake_jar.read_text() == "2"


def test_more_questions_and_answers_than_pipes_hold(fake_jar):
    hypotheses = [f"heart {i} " * 50 for i in range(3000)]
    assert Meteor(MetricContext()).rows(hypotheses, hypotheses).shape == (3000, 23)


def test_java_killed_half_way_loses_nothing(meteor, tokenized, monkeypatch):
    """The real process, killed while it answers: another is asked the rest, and the rows are the same."""
    expected = meteor.rows(*tokenized)
    write, killed = _meteor_jar._write, meteor._jar.start()

    def write_half_and_kill(stream, questions):
        if killed.poll() is None:
            write(stream, questions[: len(questions) // 2])
            killed.kill()
        else:
            write(stream, questions)

    monkeypatch.setattr(_meteor_jar, "_write", write_half_and_kill)
    np.testing.assert_array_equal(meteor.rows(*tokenized), expected)
    assert killed.poll() is not None and meteor._jar.start().poll() is None


def test_an_answer_that_is_no_statistics(fake_jar):
    with pytest.raises(Unavailable, match="answered 'nonsense'"):
        Meteor(MetricContext()).rows(["nonsense"], ["heart"])


def test_no_process_before_it_is_needed_and_none_after(fake_jar):
    metric = Meteor(MetricContext())
    assert metric.signature and metric.rows([], []).shape == (0, 23)
    assert not fake_jar.exists()
    metric.rows(["heart"], ["heart"])
    process = metric._jar._process
    assert process is not None
    del metric
    assert process.poll() is not None


def test_line_ends_and_bars_cannot_break_the_conversation(meteor):
    rows = meteor.rows(["lungs ||| clear\nheart\r\nx", "clear"], ["lungs clear ||| heart", "clear"])
    assert rows[:, 0].tolist() == [4, 1] and rows[:, 1].tolist() == [3, 1]


# --- BERTScore's encoder ----------------------------------------------------------------------------------------


def rows_of_pair(**context):
    return BertScore(MetricContext(**context)).rows(["the lungs are clear"], ["lungs are clear"])


@pytest.fixture(scope="session")
def minilm():
    try:
        return _encoder.find("")
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_without_an_encoder_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(_encoder, "MINILM_PACKAGE", "no-such-package-here")
    with pytest.raises(Unavailable, match="install the package no-such-package-here, or name an encoder"):
        rows_of_pair()


def test_other_weights_in_the_package_are_refused(monkeypatch, minilm):
    monkeypatch.setattr(_encoder, "MINILM_SHA256", "0" * 64)
    with pytest.raises(Unavailable, match="are not those of"):
        rows_of_pair()


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(Unavailable, match="holds no encoder"):
        rows_of_pair(encoder=str(tmp_path))


def test_a_hub_id_that_cannot_be_had():
    with pytest.raises(Unavailable, match="'nobody/nothing' is neither a folder nor in the local cache"):
        rows_of_pair(encoder="nobody/nothing")


def test_a_folder_is_the_same_encoder_and_asks_no_network(monkeypatch, tmp_path, minilm):
    import socket

    def refuse(*_):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    folder = tmp_path / "t5-like-name"  # bert-score's own loader takes any path with `t5` in it for a T5.
    folder.symlink_to(minilm.folder)
    np.testing.assert_array_equal(rows_of_pair(encoder=str(folder)), rows_of_pair())


def test_the_layer_can_be_chosen_and_stands_in_the_signature(minilm):
    third = BertScore(MetricContext(extra={"bertscore_layer": 3}))
    last = BertScore(MetricContext())
    assert "|layer:3|" in third.signature and "|layer:6|" in last.signature
    assert "encoder:sentence-transformers/all-MiniLM-L6-v2|sha256:53aa51172d14|" in last.signature
    assert third.rows(["clear"], ["lungs"])[0, 0] != last.rows(["clear"], ["lungs"])[0, 0]
    with pytest.raises(Unavailable, match="has no layer 7, only 1 to 6"):
        rows_of_pair(extra={"bertscore_layer": 7})


def test_bf16_moves_a_mean_by_less_than_its_bound_and_says_so(metrics, minilm):
    full, reduced = metrics["bertscore"], BertScore(MetricContext(extra={"bertscore_precision": "bf16"}))
    expected, found = (corpus(metric, HYPOTHESES, REFERENCES) for metric in (full, reduced))
    assert found == pytest.approx(expected, abs=2e-4) and found != expected
    assert "|precision:bf16|" in reduced.signature and "precision" not in full.signature
    with pytest.raises(UserError, match="fp32 or bf16, not 'int8'"):
        BertScore(MetricContext(extra={"bertscore_precision": "int8"}))


def test_references_are_encoded_once_in_a_process(minilm, monkeypatch):
    from benchmark.metrics import _embeddings

    encoded = []
    embed = _embeddings.Embedder.embed
    monkeypatch.setattr(_embeddings.Embedder, "embed", lambda self, texts: encoded.extend(texts) or embed(self, texts))
    first, second = BertScore(MetricContext()), BertScore(MetricContext())
    first.rows(["one heart", "two lungs"], ["invented reference", "another one"])
    second.rows(["three ribs", "two lungs"], ["invented reference", "another one"])
    assert sorted(encoded) == sorted(
        ["another one", "invented reference", "one heart", "three ribs", "two lungs", "two lungs"]
    )
    monkeypatch.setattr(_embeddings, "KEPT", 0)
    np.testing.assert_array_equal(
        second.rows(["four"], ["not kept"]), BertScore(MetricContext()).rows(["four"], ["not kept"])
    )
    assert encoded.count("not kept") == 2
