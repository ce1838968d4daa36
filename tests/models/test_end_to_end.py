"""Texts laid end to end: the same loss and gradients as with padding."""

import pytest
import torch

from benchmark.models import _end_to_end
from benchmark.models._vision_gpt2 import IGNORED, VisionGPT2, VisionGPT2Config, token_losses


@pytest.fixture
def network():
    torch.manual_seed(0)
    shape = dict(initializer_range=0.3, n_embd=32, n_layer=2, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
    dropout = dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), 0.0)
    config = VisionGPT2Config(
        "test_resnet.r160_in1k", {**shape, **dropout}, image_size=32, word_loss=0.5, label_smoothing=0.1
    )
    return VisionGPT2(config).eval()


@pytest.fixture
def batch():
    """Three texts of 9, 3 and 6 tokens, of which the model is given one or two; the first study has two views."""
    torch.manual_seed(1)
    ids = torch.randint(1, 50, (3, 9))
    labels = ids.clone()
    for row, length in enumerate((9, 3, 6)):
        labels[row, length:] = IGNORED
    labels[2, :2] = IGNORED
    return {"pixel_values": torch.randn(4, 3, 32, 32), "views": torch.tensor([2, 1, 1]), "input_ids": ids}, labels


def learned(network, batch):
    """The loss, and the gradients by name."""
    given, labels = batch
    network.zero_grad()
    loss = network(**given, labels=labels).loss
    loss.backward()
    return loss, {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def test_the_same_loss_and_gradients_as_with_padding(network, batch):
    given, labels = batch
    padded, expected = learned(network, batch)
    by_hand = token_losses(network(**given).logits, labels, 0.1).sum() / labels[:, 1:].ne(IGNORED).sum()
    assert network(**given, labels=labels).text_loss.item() == pytest.approx(by_hand.item(), abs=1e-6)
    _end_to_end.lay(network.gpt2)
    assert _end_to_end.laid(network.gpt2)
    loss, found = learned(network, batch)
    assert loss.item() == pytest.approx(padded.item(), abs=1e-6)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("studies", [1, 3])
def test_texts_without_a_target_teach_nothing(network, batch, studies):
    given, labels = batch
    _end_to_end.lay(network.gpt2)
    few = {name: given[name][:studies] for name in ("pixel_values", "input_ids")}
    output = network(**few, labels=torch.full_like(labels[:studies], IGNORED), num_items_in_batch=1)
    assert output.text_loss.item() == 0
    output.text_loss.backward()
    assert not any(parameter.grad.any() for parameter in network.gpt2.parameters())


def test_padding_is_not_worked_on(network, batch):
    _end_to_end.lay(network.gpt2)
    seen = []
    network.gpt2.transformer.h[0].mlp.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    learned(network, batch)
    assert seen == [(1, 8 + 2 + 5, 32)]  # a text's last token is nobody's input


def test_without_labels_all_is_as_ever(network, batch):
    given, _ = batch
    before = network(**given).logits
    _end_to_end.lay(network.gpt2)
    torch.testing.assert_close(network(**given).logits, before)
    one = {"pixel_values": given["pixel_values"][:1], "max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    found = network.generate(**one)
    network.gpt2.set_attn_implementation("sdpa")
    assert torch.equal(found, network.generate(**one))


def test_attention_drops_its_share(network, batch):
    torch.manual_seed(0)
    dropped = _end_to_end._dropped(torch.ones(1000, 1001), 0.1)
    values, counts = dropped.unique(return_counts=True)
    assert values.tolist() == [0.0, pytest.approx(1 / 0.9)]
    assert counts[0] / counts.sum() == pytest.approx(0.1, abs=0.001)
    for layer in network.gpt2.transformer.h:
        layer.attn.attn_dropout.p = 0.3
    _end_to_end.lay(network.gpt2)
    steady = learned(network.eval(), batch)[0].item()
    losses = {learned(network.train(), batch)[0].item() for _ in range(3)}
    assert len(losses) == 3 and steady not in losses
