"""Text to token ids and back: GPT-2's byte-level BPE, its own or one trained on the training reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from benchmark.errors import UserError

from ._vision_gpt2 import ask_hub

END = "<|endoftext|>"
"""GPT-2's only special token: it begins and ends a text, and fills up a batch."""


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of about `vocabulary` tokens. Every text can be written with it, since every byte is a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END)


def pretrained_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """GPT-2's tokenizer from a hub id or a folder. Raises UserError where it is not to be had."""
    try:
        ask_hub(name)
        tokenizer: Any = AutoTokenizer.from_pretrained(name, pad_token=END)
        return tokenizer
    except (OSError, ValueError) as error:
        raise UserError(
            f"The tokenizer of {name} is not on this machine and could not be fetched: on a machine with a network run "
            f"`hf download {name}`, copy its cache folder here, and set HF_HOME to it and HF_HUB_OFFLINE=1."
        ) from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that a checkpoint folder holds. Raises UserError where it is missing or damaged."""
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    # The tokenizers library raises plain Exception for a damaged file.
    except Exception as error:
        raise UserError(f"The tokenizer in {folder} is missing or damaged: {error}") from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer in {folder} does not say what begins and ends a text.")
    return tokenizer


def beginning(tokenizer: PreTrainedTokenizerFast, given: str = "", most: int = 0) -> list[int]:
    """What a model reads before it writes: bos, and where a text is `given`, its first tokens and a line end."""
    ids = tokenizer.encode(given, add_special_tokens=False)[:most]
    return [tokenizer.bos_token_id, *ids, *(tokenizer.encode("\n", add_special_tokens=False) if ids else [])]


def encode(tokenizer: PreTrainedTokenizerFast, text: str, max_tokens: int, before: Sequence[int] = ()) -> list[int]:
    """bos, the text, eos; what stands `before` the text is bos where it is not said.

    A text that does not fit `max_tokens` is cut, and then does not end: it has no eos.
    """
    ids = [*(before or beginning(tokenizer)), *tokenizer.encode(text, add_special_tokens=False)]
    return [*ids, tokenizer.eos_token_id] if len(ids) < max_tokens else ids[:max_tokens]
