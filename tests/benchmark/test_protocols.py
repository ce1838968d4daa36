"""What protocols do to texts, on invented ones, and what they say of themselves."""

import json
from pathlib import Path

import pytest

from benchmark import protocols, score
from benchmark.contracts import MetricContext, Unavailable
from benchmark.protocols import _cleaners, _r2gengpt

CASES = Path(__file__).parents[3] / "shared" / "cleaner_cases.json"
NAMES = protocols.names()
CLEANERS = {
    "r2gen_mimic": protocols.load("r2gen-mimic").clean,
    "r2gen_iu": protocols.load("r2gen-iu").clean,
    "r2gengpt_mimic": protocols.load("r2gengpt").clean,
    "r2gengpt_iu": protocols.load("r2gengpt-iu").clean,
    "vilmedic_r2gen": protocols.load("vilmedic").clean,
    "cxr_report_metric_prep_joined": protocols.load("cxr-report-metric").clean,
}
TRAINING = ["The lungs are clear."] * 10 + ["The heart is large."] * 3 + ["Rare finding."]


def fitted(name):
    return protocols.load(name).fitted(TRAINING)


# --- cleaning ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CASES.exists(), reason="the peers' own output is not in ../shared")
def test_cleaners_are_the_peers_own_character_by_character():
    cases = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        for name, clean in CLEANERS.items():
            if name in case:
                assert clean(case["input"]) == case[name], (name, case["input"])
    assert len(cases) > 10


@pytest.mark.parametrize(
    ("text", "mimic", "iu", "gpt"),
    [
        ("Clear lungs.", "clear lungs .", "clear lungs .", "clear lungs ."),
        ("A: <b> = 2 @ x", "a b  2  x .", "a b  2  x .", "a : <b> = 2 @ x ."),
        ("Side-by-side 1.5 cm", "side-by-side 15 cm .", "side-by-side 15 cm .", "side-by-side 15 cm ."),
        ("One\ntwo", "one two .", "one\ntwo .", "one two ."),
        ("a....b", "ab .", "ab .", "ab ."),
        (" 2. Clear. 6. Rest", *[" . clear . 6 . rest ."] * 3),
        ("?!", " .", " .", " ."),
    ],
)
def test_the_sentence_cleaner(text, mimic, iu, gpt):
    """Worked out by hand from the description of the peers' regular expressions."""
    assert CLEANERS["r2gen_mimic"](text) == mimic
    assert CLEANERS["r2gen_iu"](text) == CLEANERS["r2gengpt_iu"](text) == iu
    assert CLEANERS["r2gengpt_mimic"](text) == gpt


@pytest.mark.parametrize("text", ["", "..", "?!", "  ", "\n"])
def test_of_nothing_vilmedic_leaves_nothing(text):
    assert CLEANERS["vilmedic_r2gen"](text) == "" and CLEANERS["r2gen_mimic"](text) == " ."


def test_the_other_cleaners():
    assert _cleaners.cxr_report_metric("A  3.5 cm Mass.\nClear") == "a 3 .5 cm mass .\nclear"
    assert _cleaners.spaces("a  b   c\n d") == "a b c\n d"
    from nltk.tokenize import wordpunct_tokenize

    text = "The T-spine's 3.5 cm node -- (new), naïve_text!?"
    assert protocols.load("vilmedic-ifcc").clean(text) == " ".join(wordpunct_tokenize(text.lower()))


# --- vocabulary and cut -----------------------------------------------------------------------------------------


def test_r2gen_writes_rare_words_alike_in_both_texts():
    protocol = fitted("r2gen-iu")
    assert protocol.hypothesis("The heart is enlarged.") == "the heart is <unk> ."
    assert protocol.reference("Rare heart.") == "<unk> heart ."
    assert fitted("r2gen-mimic").reference("The heart is clear.") == "the <unk> <unk> clear ."


@pytest.mark.parametrize(("name", "kept"), [("r2gen-iu", 59), ("r2gen-mimic", 99), ("vilmedic", 98)])
def test_references_are_cut_and_hypotheses_are_not(name, kept):
    long = "clear " * 150
    assert len(fitted(name).reference(long).split()) == kept
    assert len(fitted(name).hypothesis(long).split()) == 151


def test_vilmedic_drops_words_that_training_never_had():
    protocol = fitted("vilmedic")
    assert protocol.hypothesis("The unseen heart is rare.") == "the heart is rare ."
    assert protocol.reference("Unseen.") == "."


@pytest.mark.parametrize("name", [name for name in NAMES if protocols.load(name).NEEDS_TRAINING_TEXTS])
def test_a_vocabulary_is_needed_and_stands_in_the_signature(name):
    bare = protocols.load(name)
    with pytest.raises(Unavailable, match="--training-texts"):
        bare.reference("clear")
    one, other = bare.fitted(TRAINING), bare.fitted([*TRAINING, *["Another word."] * 10])
    assert len({bare.signature, one.signature, other.signature}) == 3
    assert one.signature == bare.fitted(TRAINING[::-1]).signature
    assert bare.vocabulary is None


# --- tokens, units, sections ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if not protocols.load(name).NEEDS_MODEL])
def test_an_empty_report_has_no_token(name):
    protocol = fitted(name)
    assert [protocol.hypothesis(text) for text in ("", " \n")] == ["", ""]
    assert protocol.tokenize([""]) == [[]]


def test_what_each_metric_reads_of_a_report():
    text = "Clear  Lungs.\n"
    assert protocols.load("radeval").reference(text) == text
    metric = protocols.load("cxr-report-metric")
    assert metric.reference(text) == text and metric.tokenize([text]) == [["clear", "lungs", ".\n"]]
    assert protocols.load("cxrmate").reference(text) == text
    assert protocols.load("cxrmate").tokenize([text]) == [["clear", "lungs"]]


def test_rexrank_joins_sections_and_names_the_missing():
    rexrank, plain = protocols.load("rexrank"), protocols.load("cxr-report-metric")
    assert rexrank.reference_text("report", "Clear.", "") == "Findings: Clear. Impression: None"
    assert rexrank.reference_text("report", "", "Normal.") == "Findings: None Impression: Normal."
    assert (
        rexrank.reference_text("report", "", "") == "" and rexrank.reference_text("findings", "Clear.", "") == "Clear."
    )
    assert plain.reference_text("report", "Clear.", "") == "" and plain.joined("Clear.", "Normal.") == "Clear. Normal."


def test_units():
    rows = {name: [protocols.load(name).rows(images) for images in (1, 2, 5, 6)] for name in NAMES}
    assert rows["r2gen-mimic"] == rows["r2gengpt"] == [1, 2, 5, 6]
    assert rows["r2gen-iu"] == [0, 1, 0, 0] and rows["cxrmate"] == [1, 1, 1, 0]
    assert all(rows[name] == [1, 1, 1, 1] for name in ("default", "vilmedic", "rexrank", "radeval", "r2gengpt-iu"))


# --- R2GenGPT's tokenizer ---------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """A tokenizer of one word a token, in the place of Llama's."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "the", "lungs", "are", "clear", ".", "and"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path / "llama")
    return {_r2gengpt.TOKENIZER: str(tmp_path / "llama")}


def test_r2gengpt_cuts_with_a_tokenizer_that_is_here(folders):
    protocol = protocols.load("r2gengpt", folders)
    assert protocol.reference("The lungs are clear.") == "the lungs are clear ."
    assert len(protocol.reference("clear " * 150).split()) == 100
    assert len(protocols.load("r2gengpt-iu", folders).reference("clear " * 150).split()) == 60
    assert protocol.hypothesis("<unk>The lungs<unk> are clear.") == "the lungs are clear ."
    assert protocol.hypothesis("<unk>") == ""
    assert "unavailable" not in protocol.signature
    found = score.score_pairs(
        ["a"], ["a"], ["The lungs are clear."], ["The lungs are clear."],
        protocol=protocol, metrics=score.load_metrics(MetricContext(), ["bleu"]), draws=0,
    )  # fmt: skip
    assert found.metrics["bleu_4"].value == pytest.approx(1, abs=1e-6) and not found.refused


@pytest.mark.parametrize("given", [{}, {_r2gengpt.TOKENIZER: "no-such-folder"}])
def test_r2gengpt_without_the_tokenizer_refuses_all_metrics(given):
    protocol = protocols.load("r2gengpt", given)
    found = score.score_pairs(
        ["a"], ["a"], ["clear"], ["clear"], protocol=protocol, metrics=protocol.metrics(MetricContext())
    )
    assert "--model-folder meta-llama/Llama-2-7b-chat-hf=FOLDER" in found.refused
    assert {metric.value for metric in found.metrics.values()} == {None}
    assert {metric.reason for metric in found.metrics.values()} == {found.refused}
    assert "vocabulary:unavailable" in found.protocol


# --- signatures and descriptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_describes_itself(name):
    protocol = protocols.load(name)
    facts = protocol.describe()
    json.dumps(facts)
    assert (facts["name"], protocol.version) == (name, 1) and protocol.TARGET in protocol.sections
    assert all(facts[key] for key in ("source", "unit", "cleaning", "tokens", "metrics", "signature"))
    assert protocol.signature.startswith(f"protocol:{name}|version:1|") and " " not in protocol.signature
    metrics = protocol.metrics(MetricContext())
    assert len(metrics) == len(facts["metrics"]) and len({key for m in metrics for key in m.KEYS}) > 1


def test_no_two_numbers_of_different_making_share_a_signature():
    long = set()
    for name in NAMES:
        for metric in protocols.load(name).metrics(MetricContext()):
            try:
                long.add((f"{fitted(name).signature} {metric.signature}", name, score.metric_name(metric)))
            except Unavailable:
                continue
    assert len({each[0] for each in long}) == len({score.short_signature(each[0]) for each in long}) == len(long)
    assert {name for _, name, _ in long} == set(NAMES)


def test_the_short_signature():
    first = score.short_signature("protocol:r2gen-iu|version:1|cut:59 bleu|order:4|level:corpus")
    assert first.startswith("r2gen-iu.v1|bleu|") and len(first.rpartition("|")[2]) == 8
    assert first != score.short_signature("protocol:r2gen-iu|version:1|cut:60 bleu|order:4|level:corpus")
    assert score.short_signature("") == ""
