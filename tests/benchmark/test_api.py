"""What Python code is offered, and the example of it in README."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import evaluate, load_model, registry, score, train
from benchmark.errors import UserError

README = Path(__file__).parents[2] / "README.md"
SMALL = {
    "epochs": 1,
    "image_size": 32,
    "encoder": "test_resnet",
    "encoder_args": {},
    "layers": 1,
    "width": 32,
    "heads": 2,
}
HYPOTHESES = ["the lungs are clear .", "there is a large left effusion .", "normal heart ."]
REFERENCES = ["the lungs are clear .", "small left pleural effusion .", "the heart is normal ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder as README's reader has it: `results` with a trained vgpt2, and a picture."""
    here = tmp_path_factory.mktemp("here")
    plugin = registry.DATASETS.load("phantom")
    plugin.provide(here / "phantom", n_train=8, n_validate=3, n_test=2, long_side=64)
    recipe = train.Recipe("vgpt2", "tiny", "phantom", 0, SMALL)
    made = train.train(registry.MODELS.load("vgpt2"), recipe, plugin(here / "phantom"), here / "results", device="cpu")
    made.rename(here / "results/checkpoints/vgpt2/tiny-phantom-0")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)).save(here / "chest.png")
    return here


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder / "results/checkpoints/vgpt2/tiny-phantom-0", device="cpu")


def test_the_example_in_readme_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (example,) = re.findall(
        r"```python\n(from benchmark import load_model, score\n.*?)```", README.read_text("utf-8"), re.S
    )
    exec(compile(example, "README.md", "exec"), {})
    assert "bleu_4" in capsys.readouterr().out


def test_a_picture_writes_what_its_file_does(model, folder):
    path = folder / "chest.png"
    first = model.generate(path, max_new_tokens=12)
    assert first.text == f"Findings: {first.findings}".strip() or first.text
    for same in (str(path), Image.open(path), [path], model.prepare(Image.open(path))):
        assert model.generate(same, max_new_tokens=12).text == first.text
    assert first.n_tokens <= 12


def test_what_the_network_sees(model, folder):
    prepared = model.prepare(folder / "chest.png")
    assert prepared.pixel_values.shape == (1, 3, 32, 32) and prepared.pixel_values.dtype == torch.float32
    ids = torch.zeros(1, 1, dtype=torch.long)
    assert model.plugin.model(pixel_values=prepared.pixel_values, input_ids=ids).logits.shape[:2] == (1, 1)


def test_sampling_follows_its_settings(model, folder):
    hot = {"max_new_tokens": 12, "temperature": 2.0, "top_k": 50, "top_p": 0.95, "repetition_penalty": 1.2}
    first = model.generate(folder / "chest.png", prompt="Findings: The", **hot)
    assert first.text.startswith("Findings: The") and first.findings.startswith("The")
    assert model.generate(folder / "chest.png", prompt="Findings: The", **hot).text == first.text
    assert model.generate(folder / "chest.png", prompt="Findings: The", seed=1, **hot).text != first.text
    assert model.generate(folder / "chest.png", decoding="original", max_new_tokens=12).text.startswith("Findings: The")


def test_mistakes_are_said(model, folder, tmp_path):
    with pytest.raises(UserError, match=r"missing\.png does not exist"):
        model.generate(tmp_path / "missing.png")
    with pytest.raises(UserError, match="a PIL image or a path, not int"):
        model.generate(3)
    with pytest.raises(UserError, match="^temperature must be above 0"):
        model.generate(folder / "chest.png", temperature=-1.0)
    with pytest.raises(UserError, match=r"^Sampling \(do_sample, temperature, top_k, top_p\) and num_beams exclude"):
        model.generate(folder / "chest.png", temperature=0.5, num_beams=2)
    with pytest.raises(UserError, match="There is no image: give one, or a list"):
        model.generate([])
    with pytest.raises(UserError, match="Unknown decoding"):
        model.generate(folder / "chest.png", decoding="origin")
    with pytest.raises(UserError, match="No such checkpoint"):
        load_model(tmp_path / "missing")
    with pytest.raises(UserError, match="checkpoint of vgpt2, not of best-constant"):
        load_model(folder / "results/checkpoints/vgpt2/tiny-phantom-0", model="best-constant")
    (tmp_path / "best_vgpt2.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"best_vgpt2\.pt"):
        load_model(tmp_path / "best_vgpt2.pt")


def test_a_model_that_takes_no_prompt_refuses_it(folder, tmp_path):
    registry.MODELS.load("most-frequent").save(tmp_path, "Findings: Clear.")
    plugin = registry.MODELS.load("most-frequent").load(tmp_path, "cpu")
    from benchmark.api import LoadedModel

    assert LoadedModel(plugin).generate(folder / "chest.png").findings == "Clear."
    with pytest.raises(UserError, match="takes no prompt"):
        LoadedModel(plugin).generate(folder / "chest.png", prompt="Findings:")


def test_score_is_that_of_the_files(tmp_path):
    """`bench score` on the same texts gives the same numbers and signatures."""
    from benchmark import rescore

    for name, texts in (("hypotheses", HYPOTHESES), ("references", REFERENCES)):
        (tmp_path / f"{name}.txt").write_text("\n".join(texts))
    order = rescore.Order(protocols=("rexrank",))
    expected = rescore.score_files(tmp_path / "hypotheses.txt", tmp_path / "references.txt", order)
    found = score(HYPOTHESES, REFERENCES, protocol="rexrank").to_dict()
    for key, metric in expected["protocols"]["rexrank"]["metrics"].items():
        for part in ("value", "low", "high", "signature_long", "signature_short", "reason"):
            assert found["metrics"][key][part] == metric[part]


def test_score_refuses_what_does_not_match():
    with pytest.raises(UserError, match="2 hypotheses for 3 references"):
        score(HYPOTHESES[:2], REFERENCES)
    with pytest.raises(UserError, match="give a list"):
        score("one text", REFERENCES)
    with pytest.raises(UserError, match="Unknown protocol"):
        score(HYPOTHESES, REFERENCES, protocol="defualt")
    with pytest.raises(UserError, match="training_texts"):
        score(HYPOTHESES, REFERENCES, protocol="r2gen-iu")


def test_importing_the_package_is_light():
    code = (
        "import sys, benchmark; print(sorted({'torch', 'numpy', 'transformers', 'benchmark.api'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_module_score_is_still_one():
    from benchmark import score as module

    assert module.score_pairs and module is sys.modules["benchmark.score"]
    assert evaluate.named_settings(registry.MODELS.load("vgpt2"), "original", {"top_k": 0}).top_k == 0


def test_a_temperature_asks_for_sampling_unless_told_otherwise():
    plugin = registry.MODELS.load("vgpt2")
    asked = [{}, {"temperature": 0.7}, {"top_p": 0.9}, {"top_k": 5}, {"temperature": 0.7, "do_sample": False}]
    assert [evaluate.named_settings(plugin, None, one).do_sample for one in asked] == [False, True, True, True, False]
