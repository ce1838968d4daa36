"""hub-seq2seq and hub-vlm on small random checkpoints of eight architectures; expected texts are transformers' own."""

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import huggingface_hub.constants as hub
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessor,
    Idefics3ImageProcessor,
    Qwen2VLImageProcessor,
    VisionEncoderDecoderModel,
    ViTImageProcessor,
)

from benchmark import registry
from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.models._data import study_pictures
from benchmark.models._hub import fetch
from benchmark.models._hub_inputs import prompt_of, square_side
from benchmark.models._hub_network import TeacherForced, open_network, open_parts
from benchmark.schema import GenerationSettings

CAPTIONING = ("vit-gpt2", "blip", "git")
PROMPTED = ("llava", "qwen2-vl", "paligemma", "idefics3", "gemma3")
CHATTING = ("llava", "qwen2-vl", "idefics3", "gemma3")
SETTINGS = GenerationSettings(max_new_tokens=12)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
QUICK = {"epochs": 2, "batch_size": 2, "accumulation": 1, "learning_rate": 1e-2, "workers": 0, "image_size": 16}


def model_of(kind):
    return "hub-seq2seq" if kind in CAPTIONING else "hub-vlm"


@pytest.fixture
def make(phantom, tmp_path):
    """Train (or only put down) a hub model's checkpoint; gives its folder."""

    def of(name, preset, hub_id, **options):
        plugin = registry.MODELS.load(name)
        pairs = zip(phantom.studies("train"), phantom.references("train"), strict=True)
        two = [Example(*pair) for pair in pairs][:2]
        output = tmp_path / f"{name}-{preset}-{len(list(tmp_path.iterdir()))}"
        output.mkdir()
        plugin.train(
            TrainingJob(
                train=two * 5,
                validation=two,
                second_readings={},
                preset=preset,
                options={**plugin.PRESETS[preset], "hub_id": str(hub_id), **options},
                seed=0,
                device="cpu",
                output=output,
                tokenize=lambda texts: [text.split() for text in texts],
                report=lambda line: None,
            )
        )
        return output

    return of


def write(name, folder, studies, settings=SETTINGS):
    model = registry.MODELS.load(name).load(folder, "cpu")
    return model.generate(studies, settings, list(range(len(studies))))


def square(study, side=16):
    return Image.fromarray(Geometry(side).read(study.views[0].path)).convert("RGB")


# --- as it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CAPTIONING, *PROMPTED])
def test_a_batch_writes_what_each_study_alone_does(kind, hub_folder, make, phantom):
    folder = make(model_of(kind), "zero-shot", hub_folder(kind))
    assert [path.name for path in folder.iterdir()] == ["hub.json"]
    model, studies = registry.MODELS.load(model_of(kind)).load(folder, "cpu"), phantom.studies("train")
    for settings in (SETTINGS, replace(SETTINGS, num_beams=2), replace(SETTINGS, do_sample=True)):
        together = model.generate(studies, settings, range(6))
        assert together == [model.generate([study], settings, [i])[0] for i, study in enumerate(studies)]
        assert all(report.n_tokens for report in together)


def test_a_captioning_network_writes_what_transformers_does(hub_folder, make, phantom):
    source, studies = hub_folder("vit-gpt2"), phantom.studies("test")
    network = VisionEncoderDecoderModel.from_pretrained(source)
    values = ViTImageProcessor.from_pretrained(source)([square(s) for s in studies], return_tensors="pt").pixel_values
    expected = network.generate(values, max_new_tokens=12, do_sample=False)
    model = registry.MODELS.load("hub-seq2seq").load(make("hub-seq2seq", "zero-shot", source), "cpu")
    texts = model.parts.tokenizer.batch_decode(expected, skip_special_tokens=True)
    found = model.generate(studies, SETTINGS, [0, 0])
    assert [report.text for report in found] == [text.strip() for text in texts] and any(texts)


@pytest.mark.parametrize("kind", CHATTING)
def test_a_chat_writes_what_transformers_does(kind, hub_folder, make, phantom):
    source, (study, _) = hub_folder(kind), phantom.studies("test")
    processor = AutoProcessor.from_pretrained(source)
    network = AutoModelForImageTextToText.from_pretrained(source)
    content = [{"type": "image", "image": square(study)}, {"type": "text", "text": "What is seen?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    written = network.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    folder = make("hub-vlm", "zero-shot", source, prompt="What is seen?", image_size=16)
    expected = processor.tokenizer.decode(written, skip_special_tokens=True).strip()
    assert write("hub-vlm", folder, [study])[0].text == expected != ""


@pytest.mark.parametrize("kind", ["vit-gpt2", "llava"])
def test_the_hub_s_cache_serves_as_a_folder_does(kind, hub_folder, make, phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--some--model"
    shutil.copytree(hub_folder(kind), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    name, studies = model_of(kind), phantom.studies("test")
    folder = make(name, "zero-shot", "some/model")
    assert write(name, folder, studies) == write(name, make(name, "zero-shot", hub_folder(kind)), studies)
    card = registry.MODELS.load(name).load(folder, "cpu").card()
    assert (card["hub_id"], card["revision"], card["licence"]) == ("some/model", COMMIT, "apache-2.0")
    assert card["images"].startswith("the first view, grey, filled up with black to 16 × 16")
    assert card["dtype"] == "float32" and card["parameters"] > 1000 and json.dumps(card)


@pytest.mark.parametrize(
    ("processor", "side"),
    [
        (CLIPImageProcessor(size={"shortest_edge": 384}, crop_size=336), 336),
        (Idefics3ImageProcessor(size={"longest_edge": 1456}), 1456),
        (Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12845056), 896),  # as released: pixels, not a side
    ],
)
def test_the_square_is_as_large_as_the_processor_makes_it(processor, side):
    assert square_side(SimpleNamespace(image_processor=processor)) == side


def test_the_indication_is_read_where_it_is_asked_for(hub_folder, make, phantom):
    studies = [
        replace(s, context={"indication": text}) for s in phantom.studies("test") for text in ("Fever.", "A b c")
    ]
    assert prompt_of(studies[0], "Report.", False) == "Report."
    assert prompt_of(studies[0], "Report.", True) == "Report.\nIndication: Fever."
    assert prompt_of(studies[0], "For {indication} report.", True) == "For Fever. report."
    assert prompt_of(replace(studies[0], context={}), "Report.", True) == "Report.\nIndication: none given"
    model = registry.MODELS.load("hub-vlm").load(
        make("hub-vlm", "zero-shot", hub_folder("llava"), indication=True), "cpu"
    )
    together = model.generate(studies, SETTINGS, range(4))  # prompts of several lengths
    assert together == [model.generate([study], SETTINGS, [0])[0] for study in studies]
    assert together[0].text != together[1].text
    assert model.card()["indication"] is True


def test_several_views_are_several_images(hub_folder, make, phantom):
    study = phantom.studies("test")[0]
    twice = replace(study, views=(study.views[0], phantom.studies("train")[0].views[0]))
    for kind in ("llava", "idefics3"):
        folder = make("hub-vlm", "zero-shot", hub_folder(kind), views=2)
        model = registry.MODELS.load("hub-vlm").load(folder, "cpu")
        mixed = model.generate([twice, study], SETTINGS, [0, 0])
        assert mixed == [model.generate([each], SETTINGS, [0])[0] for each in (twice, study)]
        assert mixed[0].text != mixed[1].text


# --- trained further ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CAPTIONING, *PROMPTED])
def test_lora_lowers_the_loss_and_loads_back(kind, hub_folder, make, phantom):
    name, studies = model_of(kind), phantom.studies("test")
    folder = make(name, "lora", hub_folder(kind), **QUICK)
    losses = [float(row["validation_loss"]) for row in csv.DictReader((folder / "history.csv").open())]
    assert losses[1] < losses[0]
    assert {"adapter_config.json", "adapter_model.safetensors", "hub.json"} <= {path.name for path in folder.iterdir()}
    sampled = replace(SETTINGS, do_sample=True)  # greedily some write nothing but special tokens
    untrained = write(name, make(name, "zero-shot", hub_folder(kind), image_size=16), studies, sampled)
    assert write(name, folder, studies, sampled) == write(name, folder, studies, sampled) != untrained


def test_what_was_validated_is_what_is_loaded(hub_folder, make, phantom):
    """The loss of the loaded network on the validation studies is the one that training wrote down."""
    plugin = registry.MODELS.load("hub-vlm")
    folder = make("hub-vlm", "lora", hub_folder("llava"), **QUICK)
    model = plugin.load(folder, "cpu")
    module = plugin.train.__func__.__globals__
    examples = list(zip(phantom.studies("train"), phantom.references("train"), strict=True))[:2]
    samples = []
    for study, reference in examples:
        text = module["report_text"](Example(study, reference))
        longest = module["_room"](model.parts, model.inputs, model.hub_card, 256)
        ids = module["_encode"](model.parts, text, next(iter(model.ends)), longest)
        images = study_pictures(study, 1, Geometry(16).read).images
        samples.append({"images": images, "unreadable": [], "input_ids": ids, "prompt": model.hub_card.prompt})
    batch = module["PromptedCollate"](model.inputs, model.pad, "llava")(samples)
    with torch.no_grad():
        loss = module["TeacherForced"](model.network, 0.0).eval()(**batch).loss
    rows = [float(row["validation_loss"]) for row in csv.DictReader((folder / "history.csv").open())]
    assert float(loss) == pytest.approx(min(rows), rel=1e-4)


@pytest.mark.parametrize("preset", ["full", "lora"])
def test_weights_that_processes_put_together_are_named_as_one_names_them(preset, hub_folder, make, tmp_path):
    plugin = registry.MODELS.load("hub-seq2seq")
    folder = make("hub-seq2seq", preset, hub_folder("vit-gpt2"), **QUICK)
    model = plugin.load(folder, "cpu")
    whole = {f"network.{name}": weight for name, weight in model.network.state_dict().items()}
    for name, weights in (("own", None), ("given", whole)):
        TeacherForced(model.network, 0.0).save_pretrained(tmp_path / name, state_dict=weights)
    own, given = (load_file(next((tmp_path / name).glob("*.safetensors"))) for name in ("own", "given"))
    assert own and own.keys() <= given.keys()
    assert all(torch.equal(given[name], own[name]) for name in own)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "options", "sentence"),
    [
        ("hub-seq2seq", "llava", {}, "asked with a prompt: take hub-vlm"),
        ("hub-vlm", "vit-gpt2", {}, "asked nothing: take hub-seq2seq"),
        ("hub-seq2seq", "git", {"indication": True}, "reads one image and no text"),
        ("hub-vlm", "llava", {"prompt": "For {indication}"}, "add --set indication=true"),
        ("hub-vlm", "llava", {"tuning": "some"}, "Unknown tuning 'some'"),
        ("hub-vlm", "llava", {"dtype": "float12"}, "Unknown dtype 'float12'"),
        ("hub-vlm", "llava", {"quantisation": "3bit"}, "Unknown quantisation '3bit'"),
        ("hub-vlm", "llava", {"views": 0}, "views is 0, and must be at least 1"),
        ("hub-vlm", "llava", {"image_size": -4}, "image_size is -4, and must be at least 0"),
    ],
)
def test_what_does_not_go_together(name, kind, options, sentence, hub_folder, make, tmp_path):
    with pytest.raises(UserError, match=sentence):
        make(name, "zero-shot", hub_folder(kind), **options)
    assert not list(tmp_path.rglob("hub.json"))


def test_four_bits_where_they_cannot_be_had(hub_folder, make, monkeypatch):
    from benchmark.models import _hub_network

    folder = make("hub-vlm", "zero-shot", hub_folder("llava"))
    card = json.loads((folder / "hub.json").read_text())
    (folder / "hub.json").write_text(json.dumps({**card, "quantisation": "4bit"}))
    find = _hub_network.importlib.util.find_spec
    monkeypatch.setattr(
        _hub_network.importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name)
    )
    with pytest.raises(UserError, match="4-bit weights need bitsandbytes"):
        registry.MODELS.load("hub-vlm").load(folder, "cpu")
    with pytest.raises(UserError, match="4-bit weights need bitsandbytes"):
        make("hub-vlm", "zero-shot", hub_folder("llava"), quantisation="4bit")
    with pytest.raises(UserError, match="take --preset lora"):
        make("hub-vlm", "full", hub_folder("llava"), quantisation="4bit")


def damaged(hub_folder, tmp_path, kind="llava"):
    return shutil.copytree(hub_folder(kind), tmp_path / "copy")


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("config.json", "no config.json that this transformers can read"),
        ("tokenizer.json", "image processor or the tokenizer"),
        ("model.safetensors", "weights .* damaged, cut short or not there"),
    ],
)
def test_files_cut_short_are_named(file, sentence, hub_folder, make, tmp_path):
    copy = damaged(hub_folder, tmp_path)
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=sentence) as error:
        make("hub-vlm", "zero-shot", copy)
    assert str(copy) in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.rglob("hub.json"))


def test_weights_of_another_shape_are_refused_before_and_when_they_are_loaded(hub_folder, make, tmp_path):
    copy = damaged(hub_folder, tmp_path, "git")
    weights = load_file(copy / "model.safetensors")
    (key,) = (key for key in weights if key.endswith("word_embeddings.weight"))
    good = " × ".join(map(str, weights[key].shape))
    save_file({**weights, key: torch.zeros(3, 5)}, copy / "model.safetensors", metadata={"format": "pt"})
    source, sentence = fetch(str(copy), ""), rf"{key} is 3 × 5 and not {good}\.$"
    with pytest.raises(UserError, match=sentence):
        make("hub-seq2seq", "zero-shot", copy)
    with pytest.raises(UserError, match=sentence):
        open_network(source, open_parts(source), device="cpu", dtype=torch.float32, quantisation="")
    assert not list(tmp_path.rglob("hub.json"))


def test_weights_that_lack_a_tensor_are_refused(hub_folder, make, tmp_path):
    copy = damaged(hub_folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    lost = weights.pop(next(key for key in weights if "q_proj" in key and "language" in key))
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert lost.numel()
    with pytest.raises(UserError, match=r"they lack .*q_proj"):
        make("hub-vlm", "zero-shot", copy)


def test_a_checkpoint_of_text_alone_is_refused(make, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20, n_positions=8)).save_pretrained(
        tmp_path / "t"
    )
    for name in ("hub-vlm", "hub-seq2seq"):
        with pytest.raises(UserError, match="does not turn an image into text"):
            make(name, "zero-shot", tmp_path / "t")


def test_a_chat_template_of_text_alone_is_refused(hub_folder, make, tmp_path):
    copy = damaged(hub_folder, tmp_path)
    (copy / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}")
    with pytest.raises(UserError, match="have no place for an image"):
        make("hub-vlm", "zero-shot", copy)


CODE = """
from pathlib import Path
from transformers import LlavaConfig, LlavaForConditionalGeneration

Path({mark!r}).write_text("ran")


class OwnConfig(LlavaConfig):
    model_type = "own-llava"


class OwnModel(LlavaForConditionalGeneration):
    config_class = {config}
"""


def with_code(hub_folder, tmp_path, mark, config, **values):
    """A checkpoint whose network is its own code's, which leaves a file where it runs."""
    copy = damaged(hub_folder, tmp_path)
    (copy / "own.py").write_text(CODE.format(mark=str(mark), config=config))
    network = AutoModelForImageTextToText.from_pretrained(copy)
    save_file({name: value.clone() for name, value in network.state_dict().items()}, copy / "model.safetensors")
    values = {**json.loads((copy / "config.json").read_text()), "architectures": ["OwnModel"], **values}
    (copy / "config.json").write_text(json.dumps(values))
    return copy


@pytest.fixture
def code_cache(monkeypatch, tmp_path):
    """Code is imported from a cache of its own."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def test_code_of_its_own_runs_only_when_asked(hub_folder, make, tmp_path, phantom, monkeypatch, code_cache):
    mark = tmp_path / "ran.txt"
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    copy = with_code(hub_folder, tmp_path, mark, "OwnConfig", model_type="own-llava", auto_map=own)
    with pytest.raises(UserError, match=r"Python code of its own.*BENCH_TRUST_REMOTE_CODE=sha256:") as error:
        make("hub-vlm", "zero-shot", copy)
    assert not mark.exists()
    monkeypatch.setenv(*str(error.value).rstrip(".").split()[-1].split("="))
    folder, studies = make("hub-vlm", "zero-shot", copy), phantom.studies("test")
    assert mark.exists()
    mark.unlink()
    with monkeypatch.context() as somebody_else:
        somebody_else.delenv("BENCH_TRUST_REMOTE_CODE")
        with pytest.raises(UserError, match="runs only when asked"):
            write("hub-vlm", folder, studies)
    assert json.loads((folder / "hub.json").read_text())["trust_remote_code"] and not mark.exists()
    assert write("hub-vlm", folder, studies) == write(
        "hub-vlm", make("hub-vlm", "zero-shot", hub_folder("llava")), studies
    )


def test_code_beside_weights_trained_further_does_not_run(hub_folder, make, tmp_path, monkeypatch, code_cache):
    """The source's runs instead, which the user trusts."""
    mark = tmp_path / "ran.txt"
    copy = with_code(
        hub_folder, tmp_path, mark, "LlavaConfig", auto_map={"AutoModelForImageTextToText": "own.OwnModel"}
    )
    monkeypatch.setenv("BENCH_TRUST_REMOTE_CODE", fetch(str(copy), "").revision)
    folder = make("hub-vlm", "zero-shot", copy)
    card = json.loads((folder / "hub.json").read_text())
    (folder / "hub.json").write_text(json.dumps({**card, "tuning": "full"}))
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(copy / name, folder)
    (folder / "own.py").write_text(CODE.format(mark=str(tmp_path / "evil.txt"), config="LlavaConfig"))
    registry.MODELS.load("hub-vlm").load(folder, "cpu")
    assert mark.exists() and not (tmp_path / "evil.txt").exists()


# --- as people call it --------------------------------------------------------------------------------------------


def test_one_command_runs_a_hub_checkpoint_on_a_data_set_without_training_split(
    hub_folder, phantom, tmp_path, call_bench
):
    rows = [f"{s.study_id},{s.patient_id},test,{s.views[0].path},PA,Clear.,Normal." for s in phantom.studies("test")]
    (tmp_path / "data").mkdir()
    for study in phantom.studies("test"):
        shutil.copy(study.views[0].path, tmp_path / "data")
    rows = [row.replace(str(phantom.studies("test")[i].views[0].path.parent) + "/", "") for i, row in enumerate(rows)]
    header = "study_id,patient_id,split,image,view,findings,impression"
    (tmp_path / "data" / "studies.csv").write_text("\n".join([header, *rows]) + "\n")
    results = tmp_path / "results"
    where = ("--dataset", "own", "--root", tmp_path / "data", "--split", "test", "--device", "cpu")
    words = ("--max-new-tokens", 6)

    status, _, said = call_bench(results, "generate", "hub-vlm", *where)
    assert status == 1 and "No finished checkpoint of hub-vlm" in said

    chosen = ("--set", f"hub_id={hub_folder('llava')}", "--set", "prompt=What is seen?")
    status, _, said = call_bench(results, "generate", "hub-vlm", *where, *words, *chosen)
    assert status == 0, said
    (run,) = results.glob("runs/*/test/hub-vlm/*/run.json")
    record = json.loads(run.read_text())
    assert record["card"]["prompt"] == "What is seen?" and record["card"]["licence"] == "apache-2.0"
    assert record["trained_on"]["n"] == {} and record["n"] == 2

    # The same again is there already; without --set the newest is taken, for loose pictures too.
    for more in (chosen, ()):
        assert call_bench(results, "generate", "hub-vlm", *where, *words, *more)[0] == 0
    assert len(list(results.glob("runs/*/test/hub-vlm/*"))) == 1
    loose = ("--images", tmp_path / "data", "--out", tmp_path / "out.jsonl", "--device", "cpu")
    status, _, said = call_bench(results, "generate", "hub-vlm", *loose, *words)
    assert status == 0 and len((tmp_path / "out.jsonl").read_text().splitlines()) == 2, said

    checkpoint = next((results / "checkpoints" / "hub-vlm").iterdir())
    status, _, said = call_bench(results, "generate", "hub-vlm", *where, *chosen, "--checkpoint", checkpoint)
    assert status == 1 and "--set would choose another" in said
    status, _, said = call_bench(results, "generate", "hub-vlm", *where, "--set", "hub_id=./nowhere")
    assert status == 1 and "No such folder: ./nowhere." in said
    status, _, said = call_bench(
        results, "train", "hub-vlm", *where[:4], "--preset", "lora", *chosen, "--device", "cpu"
    )
    assert status == 1 and "split" in said and "Traceback" not in said


def test_four_bits_are_trained_with_lora_and_load_back(hub_checkpoints, make, phantom, tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")
    wide = {"hidden_size": 64, "intermediate_size": 128}  # bitsandbytes packs for a processor in blocks of 32
    monkeypatch.setattr(hub_checkpoints, "VIT", {**hub_checkpoints.VIT, **wide})
    monkeypatch.setattr(hub_checkpoints, "TEXT", {**hub_checkpoints.TEXT, **wide})
    (tmp_path / "wide").mkdir()
    source, studies = hub_checkpoints.make("llava", tmp_path / "wide"), phantom.studies("test")
    model = registry.MODELS.load("hub-vlm").load(make("hub-vlm", "zero-shot", source, quantisation="4bit"), "cpu")
    assert "Linear4bit" in {type(module).__name__ for module in model.network.modules()}
    folder = make("hub-vlm", "lora", source, quantisation="4bit", **QUICK)
    losses = [float(row["validation_loss"]) for row in csv.DictReader((folder / "history.csv").open())]
    assert losses[1] < losses[0]
    assert write("hub-vlm", folder, studies) == write("hub-vlm", folder, studies)
