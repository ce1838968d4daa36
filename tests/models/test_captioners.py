"""Parts of R2Gen, R2GenCMN and Show, Attend and Tell by themselves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm
import torch
from transformers import GenerationConfig

from benchmark.models import _training, _vision_gpt2, r2gen, r2gen_cmn, show_attend_tell
from benchmark.models._captioner import Decoded, DecoderCache
from benchmark.models._optimizer import step_adam
from benchmark.models._options import DEFAULTS
from benchmark.models._r2gen import ConditionalLayerNorm, R2Gen, R2GenConfig, RelationalMemory
from benchmark.models._r2gen_cmn import CrossModalMemory, R2GenCMN, R2GenCMNConfig
from benchmark.models._show_attend_tell import ShowAttendTell, ShowAttendTellConfig
from benchmark.models._transformer import Attention, LayerNorm, sinusoids
from benchmark.models._vision_gpt2 import load_strict

SIZE = {"encoder": "test_resnet", "image_size": 32, "vocab_size": 40, "width": 32, "max_tokens": 30}
MODELS = [r2gen.Model, r2gen_cmn.Model, show_attend_tell.Model]


def small(kind: str, **changes):
    torch.manual_seed(0)
    network, config = {
        "r2gen": (R2Gen, R2GenConfig(**{**SIZE, "layers": 2, "inner": 48, "heads": 4, "memory_heads": 2, **changes})),
        "r2gen-cmn": (R2GenCMN, R2GenCMNConfig(**{**SIZE, "layers": 2, "inner": 48, "heads": 4, "memory": 20,
                                                  "responses": 5, **changes})),
        "show-attend-tell": (ShowAttendTell, ShowAttendTellConfig(**{**SIZE, "word_width": 16, "attention_width": 24,
                                                                     **changes})),
    }[kind]  # fmt: skip
    return network(config).eval()


KINDS = ["r2gen", "r2gen-cmn", "show-attend-tell"]


@pytest.fixture(scope="module", params=KINDS)
def network(request):
    return small(request.param)


def batch(n=3, views=(1, 2), words=7):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(n, 3, 32, 32, generator=generator)
    ids = torch.randint(1, 40, (len(views), words), generator=generator)
    ids[:, 0] = 0
    return images, torch.tensor(views), ids


# --- what all share ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_word_by_word_gives_the_logits_of_all_at_once(network):
    images, views, ids = batch()
    states, there = network.encode(images, views)
    given = {"encoder_hidden_states": states, "encoder_attention_mask": there}
    cache = DecoderCache()
    parts = [network(input_ids=part, past_key_values=cache, **given).logits for part in ids.split([1] * 7, dim=1)]
    assert cache.get_seq_length() == 7
    assert torch.allclose(torch.cat(parts, dim=1), network(input_ids=ids, **given).logits, atol=1e-5)


@torch.no_grad()
def test_absent_views_leave_no_trace(network):
    images, views, ids = batch()
    together = network(pixel_values=images, views=views, input_ids=ids, labels=ids, num_items_in_batch=1)
    alone = [
        network(pixel_values=images[at], views=torch.tensor([n]), input_ids=ids[i, None], labels=ids[i, None],
                num_items_in_batch=1)
        for i, (at, n) in enumerate([(slice(0, 1), 1), (slice(1, 3), 2)])
    ]  # fmt: skip
    assert torch.allclose(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5)
    assert float(together.loss) == pytest.approx(sum(float(one.loss) for one in alone), rel=1e-4)


@torch.no_grad()
def test_beams_find_what_trying_all_texts_finds(network):
    """With as many beams as words, two words deep, no text is missed."""
    images, _, _ = batch(1, (1,))
    settings = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "use_cache": True, "length_penalty": 0.0}
    found = network.generate(
        pixel_values=images, generation_config=GenerationConfig(max_new_tokens=2, num_beams=40, **settings)
    )
    first = network(pixel_values=images, input_ids=torch.tensor([[0]])).logits[0, 0].log_softmax(0)
    pairs = torch.tensor([[0, word] for word in range(1, 40)])
    second = network(pixel_values=images.expand(39, -1, -1, -1), input_ids=pairs).logits[:, 1].log_softmax(1)
    scores = first[1:, None] + second
    if float(first[0]) > float(scores.max()):
        assert found[0, 1] == 0
    else:
        best = int(scores.argmax())
        assert found[0].tolist() == [0, best // 40 + 1, best % 40]


def test_it_survives_saving(tmp_path, network):
    network.save_pretrained(tmp_path)
    again = load_strict(tmp_path, type(network)).eval()
    images, views, ids = batch()
    with torch.no_grad():
        assert torch.equal(
            again(pixel_values=images, views=views, input_ids=ids).logits,
            network(pixel_values=images, views=views, input_ids=ids).logits,
        )


def test_fsdp_can_divide_it():
    """Into no layers, the words' vectors, and the rest, of which the convolutions lie as torch makes them."""
    for network in map(small, KINDS):
        _training.prepare(network, {**DEFAULTS, "fsdp": True})
        assert _training._blocks(network) is None and network.get_input_embeddings() is network.embed
        assert all(parameter.is_contiguous() for parameter in network.parameters())


def test_a_frozen_encoder_stays_as_it_is():
    network = small("show-attend-tell", frozen=True).train()
    images, views, ids = batch()
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    network(pixel_values=images, views=views, input_ids=ids, labels=ids).loss.backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.backbone.state_dict().items())
    assert all(p.grad is None for p in network.backbone.parameters()) and network.lstm.weight_ih.grad is not None


@pytest.mark.parametrize("model", MODELS)
def test_images_are_normalised_as_the_pretrained_encoder_is_used_to(model, monkeypatch):
    create = _vision_gpt2.create_backbone
    monkeypatch.setattr(_vision_gpt2, "create_backbone", lambda *a, pretrained, **b: create(*a, pretrained=False, **b))
    changes = {"encoder": "test_vit", "encoder_args": {}, "encoder_pretrained": True, "image_size": 32}
    job = SimpleNamespace(seed=0, preset="tiny", options={**model.PRESETS["tiny"], **changes})
    config = model.build(job, 40).config
    assert config.mean == config.std == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("model", MODELS)
def test_presets_leave_the_papers_as_they_are(model):
    paper, tiny = model.PRESETS["paper"], model.PRESETS["tiny"]
    assert all(preset.keys() == paper.keys() for preset in model.PRESETS.values())
    assert all(type(paper[key]) is type(tiny[key]) for key in paper)
    for preset in set(model.PRESETS) - {"tiny"}:
        assert not model.PRESETS[preset]["word_loss"] and not model.PRESETS[preset]["position_code"]


# --- the transformer --------------------------------------------------------------------------------------------


def test_attention_is_torch_s():
    attention, theirs = Attention(16, 4, 0.0), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    parts = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(attention.out.state_dict())
    x, read = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    assert torch.allclose(attention(x, *attention.read(read)), theirs(x, read, read)[0], atol=1e-6)


def test_positions():
    table = sinusoids(30, 8, torch.device("cpu"))
    assert table.shape == (30, 8) and table[0].tolist() == [0, 1] * 4
    assert float(table[9, 2]) == pytest.approx(float(torch.tensor(9 / 10_000 ** (2 / 8)).sin()), abs=1e-5)


# --- R2Gen ------------------------------------------------------------------------------------------------------


def test_the_memory_begins_as_the_identity_and_knows_no_later_word():
    memory = RelationalMemory(3, 16, 4, 0.0)
    words = torch.randn(2, 6, 16)
    begin = memory.begin(words)
    assert torch.equal(begin[1, :, :3], torch.eye(3)) and not begin[:, :, 3:].any()
    after = memory(words, begin)
    assert after.shape == (2, 6, 3, 16)
    changed = words.clone()
    changed[:, 4] += 1
    again = memory(changed, begin)
    assert torch.equal(again[:, :4], after[:, :4]) and not torch.allclose(again[:, 4:], after[:, 4:])
    assert torch.allclose(memory(words[:, 3:], after[:, 2]), after[:, 3:], atol=1e-6)


def test_shut_gates_keep_the_memory_and_open_ones_replace_it():
    memory = RelationalMemory(3, 16, 4, 0.0)
    words = torch.randn(2, 1, 16)
    with torch.no_grad():
        for linear in (memory.word_gates, memory.memory_gates):
            linear.weight.zero_()
            linear.bias.zero_()
        memory.word_gates.bias[:16], memory.word_gates.bias[16:] = -100, 100
    assert torch.allclose(memory(words, memory.begin(words))[:, 0], memory.begin(words))
    with torch.no_grad():
        memory.word_gates.bias.neg_()
    found = memory(words, memory.begin(words))
    assert found.abs().max() <= 1 and not torch.allclose(found[:, 0], memory.begin(words))


def test_conditional_norm_is_layer_norm_where_the_memory_says_nothing():
    norm, plain = ConditionalLayerNorm(16, 3), LayerNorm(16)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 5, 48)
    assert not torch.allclose(norm(x, memory), plain(x))
    with torch.no_grad():
        for mlp in (norm.more_scale, norm.more_shift):
            mlp[2].weight.zero_()
            mlp[2].bias.zero_()
        assert torch.equal(norm(x, memory), plain(x))
        norm.more_scale[2].bias.fill_(1.0)
        norm.more_shift[2].bias.fill_(0.5)
        assert torch.allclose(norm(x, memory), 2 * plain(x) + 0.5, atol=1e-5)


# --- R2GenCMN ---------------------------------------------------------------------------------------------------


def test_a_memory_that_answers_with_all_its_vectors_is_attention():
    memory = CrossModalMemory(16, 4, 10, 10, 0.0)
    with torch.no_grad():
        memory.vectors.normal_()
    x = torch.randn(2, 5, 16)
    everything = Attention.forward(memory, x, *memory.content())
    assert torch.allclose(memory(x, *memory.content()), everything, atol=1e-6)
    memory.responses = 3
    assert not torch.allclose(memory(x, *memory.content()), everything, atol=1e-3)


def test_one_response_is_the_value_of_the_best_vector():
    memory = CrossModalMemory(4, 1, 3, 1, 0.0)
    with torch.no_grad():
        memory.vectors.copy_(torch.eye(4)[:3])
        for linear in (memory.query, memory.key, memory.value, memory.out):
            linear.weight.copy_(torch.eye(4))
            linear.bias.zero_()
    x = torch.tensor([[[0.1, 3.0, 0.2, 0.0], [2.0, 1.0, 0.0, 9.0]]])
    assert torch.equal(memory(x, *memory.content())[0], torch.eye(4)[[1, 0]])


# --- Show, Attend and Tell --------------------------------------------------------------------------------------


def test_the_penalty_is_none_where_each_position_was_looked_at_once():
    network = small("show-attend-tell", doubly_stochastic=2.0)
    looks = torch.zeros(1, 4, 3)
    looks[0, 0, 0] = looks[0, 1, 1] = looks[0, 2, 2] = 1
    looks[0, 3] = 5  # behind the last word
    labels = torch.tensor([[-100, 7, 8, 0]])
    decoded = Decoded(torch.zeros(1, 4, 40), looks)
    assert network.penalty(decoded, labels, None).tolist() == [0.0]
    assert network.penalty(decoded, torch.tensor([[-100, 7, 0, -100]]), None).tolist() == [2.0]
    there = torch.tensor([[True, True, False]])
    assert network.penalty(decoded, torch.tensor([[-100, 7, 0, -100]]), there).tolist() == [0.0]
    assert small("show-attend-tell", doubly_stochastic=0.0).penalty(decoded, labels, None) is None


@torch.no_grad()
def test_weights_of_attention_add_up_over_the_positions_that_are_there():
    network = small("show-attend-tell")
    images, views, ids = batch()
    states, there = network.encode(images, views)
    looks = network.decode(states, there, ids, None).attention
    assert torch.allclose(looks.sum(dim=2), torch.ones(2, 7)) and not looks[0, :, ~there[0]].any()


@torch.no_grad()
def test_an_earlier_map_of_the_encoder_is_read():
    """VGG before its last pooling: twice as fine, and without the layers behind."""
    network = small("show-attend-tell", encoder="vgg11", level=4)
    whole = timm.create_model("vgg11", num_classes=0, global_pool="").eval()
    whole.load_state_dict({**whole.state_dict(), **network.backbone.state_dict()})
    images = torch.randn(1, 3, 64, 64)
    (expected,) = whole.forward_intermediates(images, indices=[4], intermediates_only=True)
    assert expected.shape == (1, 512, 4, 4)
    assert torch.equal(network.features(images), expected.flatten(2).transpose(1, 2))
    assert sum(p.numel() for p in network.backbone.parameters()) < 10e6


# --- optimiser --------------------------------------------------------------------------------------------------


def test_the_encoder_learns_at_its_own_rate_and_both_fall_in_steps():
    network = small("r2gen")
    options = {"learning_rate": 1e-4, "encoder_learning_rate": 5e-5, "weight_decay": 5e-5, "decay": 0.8}
    options |= {"betas": [0.9, 0.98], "epsilon": 1e-9}
    optimizer, schedule = step_adam(network, {**options, "decay_epochs": 2}, steps_per_epoch=3)
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    assert held == len(list(network.parameters()))
    assert {(group["betas"], group["eps"]) for group in optimizer.param_groups} == {((0.9, 0.98), 1e-9)}
    rates = []
    for _ in range(13):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert rates[0] == rates[5] == [1e-4, 5e-5]
    assert rates[6] == pytest.approx([8e-5, 4e-5]) and rates[12] == pytest.approx([6.4e-5, 3.2e-5])
