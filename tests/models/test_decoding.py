"""vgpt2's own loop writes what transformers' `generate` writes; and what it offers besides."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import GPT2Config

from benchmark.errors import UserError
from benchmark.models import _decoding, _linear, _vision_gpt2
from benchmark.models._tokenizer import train_tokenizer
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings

GREEDY = GenerationSettings(max_new_tokens=24, batch_size=6)
SAMPLING = dataclasses.replace(GREEDY, do_sample=True, temperature=0.8, top_k=40, top_p=0.95)
VNNI = not _linear.refusal("int8", torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights, large enough that the image decides and that texts end at different lengths."""
    tokenizer = train_tokenizer(["The heart is large. No effusion. Impression: Cardiomegaly."] * 3, 280)
    torch.manual_seed(3)
    torch.set_num_threads(1)
    sizes = {"vocab_size": len(tokenizer), "n_positions": 48, "n_embd": 32, "n_layer": 2, "n_head": 4}
    text = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, initializer_range=0.4)
    config = _vision_gpt2.VisionGPT2Config(
        encoder="test_resnet.r160_in1k", image_size=32, views=2, text_config=text.to_dict()
    )
    network = _vision_gpt2.VisionGPT2(config)
    network.enc.proj.weight.data *= 20  # so that the image decides
    network.gpt2.transformer.wte.weight.data[0] *= -2  # so that texts end
    assert tokenizer.eos_token_id == 0
    return Model(network, tokenizer, "")


def batch(views: tuple[int, ...] = (1,) * 6, given: tuple[tuple[int, ...], ...] = ((0,),) * 6):
    images = torch.randn(sum(views), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return images, torch.tensor(views), [list(ids) for ids in given]


def cut(rows: list[list[int]]) -> list[list[int]]:
    """The rows up to their end token."""
    return [row[: row.index(0) + 1] if 0 in row else row for row in rows]


CASES = {
    "greedy": (GREEDY, batch()),
    "one": (dataclasses.replace(GREEDY, batch_size=1), batch((1,), ((0,),))),
    "penalty": (dataclasses.replace(GREEDY, repetition_penalty=1.3), batch()),
    "sampling": (SAMPLING, batch()),
    "sampling with penalty": (dataclasses.replace(SAMPLING, repetition_penalty=1.2), batch()),
    "views": (SAMPLING, batch((1, 2, 1, 2, 2, 1))),
    "prompt": (SAMPLING, batch(given=((0, 5, 6, 7),) * 6)),
    "prompts of several lengths": (
        dataclasses.replace(SAMPLING, repetition_penalty=1.2),
        batch((1, 2, 1, 1, 1, 2), ((0, 5, 6, 7), (0,), (0, 9), (0, 5, 6, 7, 8, 9), (0, 1), (0,))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_tokens_are_those_of_transformers(model, case):
    settings, (images, views, given) = CASES[case]
    seeds = list(range(len(given)))
    expected = cut(model._generate_by_transformers(images, views, given, settings, seeds, []))
    assert cut(model._generate(images, views, given, settings, seeds, [])) == expected
    if len(given) > 1:
        assert len({tuple(row) for row in expected}) > 1, "all alike: the case shows nothing"


def test_finished_rows_leave_the_batch(model, monkeypatch):
    images, views, given = batch()
    seeds = list(range(6))
    expected = cut(model._generate_by_transformers(images, views, given, SAMPLING, seeds, []))
    assert len({len(row) for row in expected}) > 2, "all end together: nothing could leave"
    rows: list[int] = []
    step = _decoding.Decoder.step
    monkeypatch.setattr(_decoding.Decoder, "step", lambda self, ids, *a: rows.append(len(ids)) or step(self, ids, *a))
    assert cut(model._generate(images, views, given, SAMPLING, seeds, [])) == expected
    assert rows[0] == 6 > min(rows)


def compile_as_on_a_gpu(decoder):
    """But for the backend. Gives the graphs that torch makes, one a shape; it refuses more than eight."""
    graphs = []
    decoder.next = torch.compile(
        decoder.step, backend=lambda graph, _: graphs.append(graph) or graph, fullgraph=True, dynamic=False
    )
    return graphs


@pytest.mark.parametrize("compiled", [False, True])
def test_a_static_decoder_writes_the_same_batch_after_batch(model, compiled):
    """What a GPU is given: one shape, one memory, and steps that dynamo takes as one graph."""
    decoder = _decoding.Decoder(model.model.gpt2, "fp32", 6, static=True)
    if compiled:
        compile_as_on_a_gpu(decoder)
    images, views, given = batch(given=((0, 5), (0,), (0, 1), (0,), (0, 3), (0,)))
    seeds = list(range(6))
    memories = set()
    for shown in (images, images.flip(0)):
        expected = cut(model._generate(shown, views, given, SAMPLING, seeds, []))
        states, there = model.model.encode(shown, views)
        written = _decoding.write(decoder, states.detach(), there, given, SAMPLING, seeds, 0)
        assert cut(written.tolist()) == expected
        memories.add(decoder.standing.keys.data_ptr())
    assert len(memories) == 1


def test_a_static_decoder_compiles_few_shapes(model):
    """Prompts and texts of many lengths, batches of several sizes, of one view and of two."""
    decoder = _decoding.Decoder(model.model.gpt2, "fp32", 3, static=True)
    graphs = compile_as_on_a_gpu(decoder)
    for n in range(1, 11):
        views = (1, 2, 1)[: n % 3 + 1]
        images, _, given = batch(views, ((0, *range(1, n)), (0,), (0, 3))[: len(views)])
        settings = dataclasses.replace(GREEDY, max_new_tokens=3 + n)
        seeds = list(range(len(views)))
        expected = cut(model._generate(images, torch.tensor(views), given, settings, seeds, []))
        states, there = model.model.encode(images, torch.tensor(views))
        written = _decoding.write(decoder, states.detach(), there, given, settings, seeds, 0)
        assert cut(written.tolist()) == expected
    assert 1 <= len(graphs) <= 2  # before the first study of two views and after it


@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-6), ("bf16", 0.01), ("int8", 0.02)])
@pytest.mark.parametrize("rows", [1, 8])
def test_layers_are_the_linear_map_to_their_precision(precision, error, rows):
    if precision == "int8" and not VNNI:
        pytest.skip("no VNNI here")
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (torch.randn(*shape, generator=generator) for shape in ((64, 96), (96,), (rows, 3, 64)))
    weight = weight.T  # as it comes from a Conv1D
    expected = torch.nn.functional.linear(x.double(), weight.double(), bias.double())
    layer = _linear.pack(weight, bias, precision, rows)
    given = x.to(_linear.dtype(precision))
    assert (layer(given).double() - expected).norm() < error * expected.norm()
    alone = layer(given[:1]).double()
    assert torch.allclose(alone, layer(given)[:1].double(), rtol=1e-2 if precision == "bf16" else 1e-5, atol=1e-4)


@pytest.mark.skipif(not VNNI or "fbgemm" not in torch.backends.quantized.supported_engines, reason="no VNNI or FBGEMM")
def test_both_products_of_int8_are_the_same_sums():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (96, 64), generator=generator, dtype=torch.int8)
    scales = 0.1 + torch.rand(96, generator=generator)
    x = 2 * torch.rand(5, 3, 64, generator=generator) - 1
    x[0, 0, :3] = torch.tensor([1.0, -1.0, 0.0])
    engine = torch.backends.quantized.engine
    expected = (127 * x).round() @ weight.float().T  # whole numbers that float32 holds
    for make in (_linear._onednn_int8, _linear._fbgemm_int8):
        product = make(weight, scales)(x)
        # In which order the scales are multiplied, and so the last bit, is each library's and processor's own.
        assert torch.equal((product * 127 / scales).round(), expected)
        assert torch.allclose(product, expected / 127 * scales, rtol=1e-6, atol=0)
    assert torch.backends.quantized.engine == engine


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_reduced_precision_writes_nearly_the_same(model, precision):
    if precision == "int8" and not VNNI:
        pytest.skip("no VNNI here")
    images, views, given = batch()
    states, there = model.model.encode(images, views)
    logits = []
    for each in ("fp32", precision):
        decoder = _decoding.Decoder(model.model.gpt2, each, 6)
        memory = decoder.begin(states.detach(), there, None, 4)
        with torch.no_grad():
            logits.append(decoder.step(torch.tensor([[0, 5, 7]] * 6), torch.arange(3), 3, memory))
    assert 1e-4 < (logits[1] - logits[0]).norm() / logits[0].norm() < 0.05
    settings = dataclasses.replace(GREEDY, precision=precision)
    assert all(model._generate(images, views, given, settings, [0] * 6, []))


def test_what_a_precision_is_not_for(model):
    images, views, given = batch((1,), ((0,),))
    int8 = dataclasses.replace(GREEDY, precision="int8", num_beams=2)
    with pytest.raises(UserError, match="with beams take --precision bf16"):
        model._generate(images, views, given, int8, [0], [])
    assert model._generate(images, views, given, dataclasses.replace(int8, precision="bf16"), [0], [])
    assert "choose bf16" in _linear.refusal("int8", torch.device("cuda"))


def test_replaced_layers_are_left_to_transformers(model):
    gpt2 = _vision_gpt2.VisionGPT2(model.model.config).gpt2
    assert _decoding.Decoder.fits(gpt2)
    gpt2.transformer.h[0].attn.c_attn = torch.nn.Sequential(gpt2.transformer.h[0].attn.c_attn)
    assert not _decoding.Decoder.fits(gpt2)
