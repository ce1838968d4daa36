"""Small weights in the published formats of CheXbert and RadGraph, the same wherever they are made.

What the packages themselves make of them stands in `annotator_cases.json`; `python tiny_annotators.py` writes it anew
where f1chexbert 0.0.2 and radgraph 0.1.18 are installed, with the three calls that transformers 5 no longer has put
back (the packages' code is otherwise as published).
"""

import io
import json
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch

CASES = Path(__file__).with_name("annotator_cases.json")
BASE = "bert-base-uncased"
WORDS = (
    "the lung ##s are clear heart is enlarged moderate ##ly small left right pleural effusion no pneumo ##thorax edema "
    "a b possible pneumonia opacity at both base ##s tube ends above carina un ##changed 3 5 cm . , : ( ) / % ? ' - `"
).split()
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SHAPE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
LENGTH = 24
"""Pieces that the tiny RadGraph reads at once, so that a longer text is read in parts."""
WIDEST, FEATURES, HIDDEN = 4, 5, 16
ENTITIES = ["", "OBS-DP", "ANAT-DP", "OBS-DA", "OBS-U"]
RELATIONS = ["modify", "located_at", "suggestive_of"]
TEXTS = [
    "The lungs are clear.",
    "Moderately enlarged heart; small left pleural effusion.",
    "No pneumothorax. Possible pneumonia at both bases (unchanged).",
    "Opacity 3.5 cm above the carina, 5% larger; tube/line ends right.",
    "the heart is 'moderate'.\nUnchanged  edema?  :",
    "Clear",
    "😀 naïve /. opacity\\nat the base",
    "No edema or effusion. " * 9,
]


def values(name, *shape):
    """Numbers that depend on the tensor's name alone."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if "LayerNorm" in name:
        return torch.from_numpy(1 + 0.1 * drawn if name.endswith("weight") else 0.1 * drawn)
    if "_embeddings" in name:
        return torch.from_numpy(drawn * (2.0 if "word" in name else 0.1))
    if name.endswith("bias"):
        # Most spans are no entity, and few pairs of spans are related, as in real graphs.
        rare = 1.5 * ("ner_scorers" in name and ".1._module" in name) + 0.5 * ("relation_scorers" in name)
        return torch.from_numpy((0.1 * drawn - rare).astype(np.float32))
    return torch.from_numpy(drawn * 2.0 / shape[-1] ** 0.5)


def transformer(prefix):
    from transformers import BertConfig, BertModel

    config = BertConfig(**SHAPE, vocab_size=len(MARKS + WORDS))
    state = BertModel(config).state_dict()
    return {prefix + name: values(prefix + name, *tensor.shape) for name, tensor in state.items()}


def write_base(folder):
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(MARKS + WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512})
    )
    config = {**SHAPE, "model_type": "bert", "architectures": ["BertModel"], "vocab_size": len(MARKS + WORDS)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_chexbert(folder):
    tensors = transformer("bert.")
    for head in range(14):
        outcomes = 4 if head < 13 else 2
        for name, shape in (("weight", (outcomes, SHAPE["hidden_size"])), ("bias", (outcomes,))):
            tensors[f"linear_heads.{head}.{name}"] = values(f"linear_heads.{head}.{name}", *shape)
    tensors["bert.embeddings.position_ids"] = torch.arange(512)[None]
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 1, "model_state_dict": state}, folder / "chexbert.pth")


def radgraph_tensors(model):
    tensors = transformer("_embedder.token_embedder_bert._matched_embedder.transformer_model.")
    span = 2 * SHAPE["hidden_size"] + FEATURES
    shapes = {"_endpoint_span_extractor._span_width_embedding.weight": (WIDEST, FEATURES)}

    def forward(name, width, out=None):
        for layer, given in enumerate((width, HIDDEN)):
            shapes[f"{name}._linear_layers.{layer}.weight"] = (HIDDEN, given)
            shapes[f"{name}._linear_layers.{layer}.bias"] = (HIDDEN,)

    def last(name, out):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, HIDDEN), (out,)

    ner, relation = f"{model}__ner_labels", f"{model}__relation_labels"
    forward(f"_ner._ner_scorers.{ner}.0._module", span)
    last(f"_ner._ner_scorers.{ner}.1._module", len(ENTITIES) - 1)
    forward(f"_relation._mention_pruners.{relation}._scorer.0._module", span)
    last(f"_relation._mention_pruners.{relation}._scorer.1._module", 1)
    forward(f"_relation._relation_feedforwards.{relation}", 3 * span)
    last(f"_relation._relation_scorers.{relation}", len(RELATIONS))
    return tensors | {name: values(name.replace(f"{model}__", ""), *shape) for name, shape in shapes.items()}


def radgraph_config(model, base):
    bert = {"model_name": str(base), "max_length": LENGTH}
    none = {"spans_per_word": 0.3, "max_antecedents": 10, "coref_prop": 0}
    events = {"trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8, "loss_weights": {"trigger": 1}}
    return {
        "dataset_reader": {"token_indexers": {"bert": bert}, "max_span_width": WIDEST},
        "model": {
            "type": "dygie",
            "initializer": {},
            "module_initializer": {},
            "embedder": {"token_embedders": {"bert": bert}},
            "modules": {"coref": none, "ner": {}, "relation": {"spans_per_word": 0.5}, "events": events},
            "feature_size": FEATURES,
            "max_span_width": WIDEST,
            "target_task": "relation",
            "feedforward_params": {"num_layers": 2, "hidden_dims": HIDDEN, "dropout": 0.4},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
        },
    }


def radgraph_files(model, base, more=None):
    weights = io.BytesIO()
    torch.save(radgraph_tensors(model) | (more or {}), weights)
    return {
        "config.json": json.dumps(radgraph_config(model, base)).encode(),
        "weights.th": weights.getvalue(),
        "vocabulary/non_padded_namespaces.txt": b"*labels\n*tags\n",
        f"vocabulary/{model}__ner_labels.txt": "\n".join([*ENTITIES, ""]).encode(),
        f"vocabulary/{model}__relation_labels.txt": "\n".join([*RELATIONS, ""]).encode(),
    }


def write_radgraph(folder, model, base=BASE, more=None):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{model}.tar.gz", "w:gz") as archive:
        for name, content in radgraph_files(model, base, more).items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_all(folder):
    """All files; gives the folders by hub id."""
    write_base(folder / "base")
    write_chexbert(folder / "scorers")
    write_radgraph(folder / "scorers", "radgraph")
    write_radgraph(folder / "scorers", "radgraph-xl")
    return {BASE: str(folder / "base"), "StanfordAIMI/RRG_scorers": str(folder / "scorers")}


def pairs():
    """Hypotheses and references out of TEXTS: unlike, alike, and nearly alike."""
    shorter = [text[: len(text) * 2 // 3] for text in TEXTS]
    return [*TEXTS[:4], *TEXTS[:4], *shorter], [*TEXTS[1:5], *TEXTS[:4], *TEXTS]


def _record(folder):
    """What f1chexbert and radgraph make of TEXTS and of pairs()."""
    import f1chexbert.f1chexbert as package
    import transformers
    from radgraph import F1RadGraph

    base = transformers.PreTrainedTokenizerBase
    base.encode_plus = lambda self, text, second=None, **given: (
        self.prepare(text) if isinstance(text, list) else self(text, second, **given)
    )
    base.prepare = lambda self, tokens: {
        "input_ids": [self.cls_token_id, *self.convert_tokens_to_ids(tokens), self.sep_token_id]
    }
    base.build_inputs_with_special_tokens = lambda self, ids: [self.cls_token_id, *ids, self.sep_token_id]

    local = str(folder / "base")
    for kind in (package.BertTokenizer, package.AutoConfig):
        original = kind.from_pretrained
        kind.from_pretrained = lambda name, *a, original=original, **k: original(
            local if name == BASE else name, *a, **k
        )
    package.CACHE_DIR = str(folder / "scorers")
    labeler = package.F1CheXbert(device="cpu")
    hypotheses, references = pairs()
    binary = [[labeler.get_label(text) for text in texts] for texts in (hypotheses, references)]
    from sklearn.metrics import classification_report

    def report(names):
        picked = [labeler.target_names.index(name) for name in names]
        hyp, ref = (np.array(rows)[:, picked] for rows in binary)
        return classification_report(ref, hyp, target_names=names, output_dict=True)

    def vector(text):
        ids = torch.LongTensor(package.tokenize(package.pd.Series([text]), labeler.tokenizer))
        return labeler.model.bert(ids, attention_mask=torch.ones_like(ids))[0][0, 0].double().numpy().round(6).tolist()

    found = {
        "origin": "f1chexbert 0.0.2, radgraph 0.1.18, transformers " + transformers.__version__,
        "chexbert": [
            {"text": text, "labels": labeler.get_label(text, mode="classification"), "vector": vector(text)}
            for text in TEXTS
        ],
        "chexbert_f1": {"14": report(labeler.target_names), "5": report(labeler.target_names_5)},
    }
    for model in ("radgraph", "radgraph-xl"):
        write_radgraph(folder / "bare", model, local)
        cached = folder / "unpacked" / model
        for name, content in radgraph_files(model, local, _unused(model, local, folder)).items():
            (cached / name).parent.mkdir(parents=True, exist_ok=True)
            (cached / name).write_bytes(content)
        scorer = F1RadGraph("all", model, model_cache_dir=str(folder / "unpacked"), cuda=-1)
        graphs = [scorer.radgraph([text])["0"]["entities"] for text in TEXTS]
        mean, each, _, _ = scorer(refs=references, hyps=hypotheses)
        found[model] = {"graphs": graphs, "mean": [float(x) for x in mean], "each": [list(map(float, x)) for x in each]}
    CASES.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _unused(model, base, folder):
    """Tensors of the package's model that take no part: of coreference and events."""
    from radgraph import radgraph as package

    kept = {}

    class Stop(Exception):
        pass

    def load_state_dict(self, state, strict=True):
        kept.update({name: values(name, *each.shape) for name, each in self.state_dict().items() if name not in state})
        raise Stop

    place = folder / "shapes" / model
    for name, content in radgraph_files(model, base).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    original = package.dygie.DyGIE.load_state_dict
    package.dygie.DyGIE.load_state_dict = load_state_dict
    try:
        package.RadGraph(model_type=model, model_cache_dir=str(folder / "shapes"), cuda=-1)
    except Stop:
        pass
    finally:
        package.dygie.DyGIE.load_state_dict = original
    return kept


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        write_all(Path(place))
        _record(Path(place))
    sys.exit(0)
