"""nearest-report: features, search against all distances, medoid, encoders of checkpoints, resumption."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_weights

from benchmark import provenance, registry
from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.models import _retrieval, nearest_report
from benchmark.models._retrieval import Index, choose_search, medoid
from benchmark.schema import GenerationSettings
from benchmark.sections import join_output

SETTINGS = GenerationSettings()
SMALL = {"encoder": "test_resnet", "image_size": 32, "batch_size": 2}


def examples(phantom, split="train"):
    return [Example(*pair) for pair in zip(phantom.studies(split), phantom.references(split), strict=True)]


def collect(phantom, output, report=lambda line: None, checkpoint=lambda model: None, preset="random", **options):
    output.mkdir(exist_ok=True)
    plugin = registry.MODELS.load("nearest-report")
    plugin.train(
        TrainingJob(
            train=examples(phantom),
            validation=[],
            second_readings={},
            preset=preset,
            options={**plugin.PRESETS[preset], **(SMALL if preset == "random" else {}), **options},
            seed=0,
            device="cpu",
            output=output,
            tokenize=lambda texts: [text.split() for text in texts],
            report=report,
            checkpoint=checkpoint,
        )
    )
    return output


# --- search ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["plain", "faiss"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_nearest_are_those_of_all_distances(distance, search):
    if search == "faiss":
        pytest.importorskip("faiss")
    random = np.random.default_rng(0)
    features = random.standard_normal((60, 8), dtype=np.float32)
    queries = random.standard_normal((7, 8), dtype=np.float32)
    if distance == "cosine":
        lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(features, axis=1)
        distances = 1 - queries @ features.T / lengths
    else:
        distances = np.linalg.norm(queries[:, None] - features, axis=2)
    index = Index(features, distance, search)  # 60 features make 8 lists, all of which are looked into
    assert (index.nearest(queries, 5) == distances.argsort(axis=1)[:, :5]).all()
    assert (index.nearest(features, 1)[:, 0] == np.arange(60)).all()
    assert index.nearest(queries, 100).shape == (7, 60)


def test_of_equally_near_ones_the_first_comes_first():
    features = np.ones((6, 3), dtype=np.float32)
    assert Index(features, "cosine", "plain").nearest(features[:1], 3).tolist() == [[0, 1, 2]]
    # More are as near as the k-th than there is room for. Whole numbers: equal features have equal products.
    distinct = np.random.default_rng(0).integers(-9, 10, (20, 8)).astype(np.float32)
    index = Index(np.tile(distinct, (5, 1)), "euclidean", "plain")
    for k in (1, 3, 5):
        assert index.nearest(distinct, k).tolist() == [[i + 20 * j for j in range(k)] for i in range(20)]


def test_size_chooses_the_search(monkeypatch):
    pytest.importorskip("faiss")
    assert choose_search("auto", 300_000) == "plain" and choose_search("auto", 3_000_000) == "faiss"
    find = _retrieval.importlib.util.find_spec
    monkeypatch.setattr(_retrieval.importlib.util, "find_spec", lambda name: None if name == "faiss" else find(name))
    assert choose_search("auto", 3_000_000) == "plain"
    with pytest.raises(UserError, match="faiss is not installed"):
        choose_search("faiss", 10)
    with pytest.raises(UserError, match="Unknown search 'fast'"):
        choose_search("fast", 10)


def test_the_medoid_is_most_like_the_others():
    texts = ["A large effusion.", "No effusion is seen.", "no effusion seen", "Normal heart."]
    assert medoid(texts) in (1, 2)
    assert medoid(["One.", "Two."]) == 0  # of equals the nearest
    assert medoid(["", ""]) == 0


# --- the model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "max", "map"])
def test_a_training_image_finds_its_own_report(pool, phantom, tmp_path):
    folder = collect(phantom, tmp_path / "c", pool=pool)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "encoder.safetensors", "features.safetensors", "reports.json",
    }  # fmt: skip
    model = registry.MODELS.load("nearest-report").load(folder, "cpu")
    found = model.generate(phantom.studies("train"), SETTINGS, range(6))
    expected = [join_output(r.findings, r.impression) for r in phantom.references("train")]
    assert [report.text for report in found] == expected
    assert model.generate(phantom.studies("train")[:1], SETTINGS, [0]) == found[:1]


def test_features_are_those_of_timm(phantom, tmp_path):
    import timm

    folder = collect(phantom, tmp_path / "c")
    backbone = timm.create_model("test_resnet", num_classes=0)  # pools by the mean
    backbone.load_state_dict(load_weights(folder / "encoder.safetensors"))
    images = np.stack([Geometry(32).read(study.views[0].path) for study in phantom.studies("train")])
    config = json.loads((folder / "config.json").read_text())
    colours = torch.from_numpy(images).float().div(255)[:, None].expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = backbone.eval()((colours - mean) / std)
    assert load_file(folder / "features.safetensors")["features"] == pytest.approx(expected.numpy(), abs=1e-4)


def test_of_k_the_medoid_is_written_and_views_are_averaged(phantom, tmp_path):
    model = registry.MODELS.load("nearest-report").load(collect(phantom, tmp_path / "c", k=3, views=2), "cpu")
    first, second = phantom.studies("train")[:2]
    both = replace(first, views=(*first.views[:1], *second.views[:1]))
    (report,) = model.generate([both], SETTINGS, [0])
    features = model.index.features
    means = [model.encoder([nearest_report.study_pictures(s, 2, Geometry(32).read)]) for s in (both,)]
    near = model.index.nearest(means[0], 3)[0]
    texts = [model.reports[i] for i in near]
    assert report.text == texts[medoid(texts)] and len(features) == 6


def test_a_killed_collection_goes_on(phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(nearest_report, "BATCHES_A_PART", 1)
    whole = collect(phantom, tmp_path / "whole")
    described = []
    describe = nearest_report._describe

    def killed(job, encoder, studies, batches, read):
        described.append(batches)
        if len(described) == 3:
            raise KeyboardInterrupt
        return describe(job, encoder, studies, batches, read)

    monkeypatch.setattr(nearest_report, "_describe", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(phantom, tmp_path / "killed")
    collect(phantom, tmp_path / "killed")
    assert len(described) == 4  # three pieces, of which one was tried twice
    assert provenance.checkpoint_hash(tmp_path / "killed") == provenance.checkpoint_hash(whole)
    assert not (tmp_path / "killed" / "parts").exists()


# --- encoders of trained checkpoints --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vgpt2(tmp_path_factory):
    """An untrained network of vgpt2, saved as a checkpoint's."""
    from transformers import GPT2Config

    from benchmark.models._vision_gpt2 import VisionGPT2, VisionGPT2Config

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-phantom-0"
    torch.manual_seed(1)
    text = GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20, n_positions=8)
    config = VisionGPT2Config(encoder="test_resnet", image_size=48, keep_aspect=False, text_config=text)
    VisionGPT2(config).save_pretrained(folder)
    return folder


def test_the_encoder_of_a_checkpoint_comes_with_its_geometry(phantom, tmp_path, vgpt2):
    asked = []

    def newest(model):
        asked.append(model)
        return vgpt2

    folder = collect(phantom, tmp_path / "c", checkpoint=newest, preset="trained")
    assert asked == ["vgpt2"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["encoder"], config["image_size"], config["keep_aspect"]) == ("test_resnet", 48, False)
    weights = load_weights(vgpt2 / "model.safetensors")
    for name, value in load_weights(folder / "encoder.safetensors").items():
        assert torch.equal(value, weights[f"enc.backbone.{name}"])
    named = collect(phantom, tmp_path / "named", preset="trained", encoder=f"checkpoint:{vgpt2}")
    assert provenance.checkpoint_hash(named) == provenance.checkpoint_hash(folder)


def test_without_a_checkpoint_it_says_what_to_do(phantom, tmp_path):
    with pytest.raises(UserError, match=r"run `bench train vgpt2` first, or take --preset imagenet .* or random"):
        collect(phantom, tmp_path / "c", preset="trained")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="holds no encoder that nearest-report can read"):
        collect(phantom, tmp_path / "d", preset="trained", encoder=f"checkpoint:{tmp_path / 'other'}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pool": "median"}, "Unknown pool 'median'"),
        ({"distance": "far"}, "Unknown distance 'far'"),
        ({"k": 0}, "k is 0"),
        ({"image_size": 0}, "needs an image_size"),
        ({"encoder": "resnet9000"}, "timm has no model 'resnet9000'"),
        ({"views": 0}, "views is 0"),
    ],
)
def test_impossible_options_are_refused(options, sentence, phantom, tmp_path):
    with pytest.raises(UserError, match=sentence):
        collect(phantom, tmp_path / "c", **options)
