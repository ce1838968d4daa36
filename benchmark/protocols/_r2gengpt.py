"""What R2GenGPT's two forms share: references cut to sub-words of the language model's tokenizer.

Source: R2GenGPT (Wang et al., Meta-Radiology 2023), models/R2GenGPT.py and dataset/data_helper.py.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, ClassVar

from benchmark.contracts import Unavailable
from benchmark.protocols._cleaners import SentenceCleaner
from benchmark.protocols._r2gen import COCO_METRICS
from benchmark.protocols._spaced import SpacedProtocol

TOKENIZER = "meta-llama/Llama-2-7b-chat-hf"
FILES = ["config.json", "special_tokens_map.json", "tokenizer*"]
UNKNOWN = "<unk>"


class R2GenGPT(SpacedProtocol):
    """Without the tokenizer no reference can be cut as there, so the whole protocol is not available."""

    SOURCE = "R2GenGPT (Wang et al., 2023): dataset/data_helper.py, models/R2GenGPT.py"
    SECTIONS = ("findings", "report")
    TARGET = "report"
    UNKNOWN = "<unk> is removed from both texts"
    METRICS = COCO_METRICS
    NEEDS_MODEL = TOKENIZER
    CLEANER: ClassVar[SentenceCleaner]
    SUBWORDS_KEPT: ClassVar[int]
    """Of a reference."""

    @property
    def signature(self) -> str:
        try:
            vocabulary = json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
            known = hashlib.sha256(vocabulary.encode("utf-8", "replace")).hexdigest()[:12]
        except Unavailable:
            known = "unavailable"
        return f"{super().signature}|subwords:{TOKENIZER}|vocabulary:{known}"

    def clean(self, text: str) -> str:
        return self.CLEANER(text)

    def hypothesis(self, text: str) -> str:
        _ = self._tokenizer
        text = text.replace(UNKNOWN, "")
        return self.clean(text).strip() if text.strip() else ""

    def reference(self, text: str) -> str:
        """The cleaned text as its first sub-words decode."""
        encoded = self._tokenizer(
            self.clean(text), add_special_tokens=False, truncation=True, max_length=self.SUBWORDS_KEPT
        )
        decoded: str = self._tokenizer.decode(encoded["input_ids"], clean_up_tokenization_spaces=False)
        return decoded.strip().replace(UNKNOWN, "")

    @property
    def _tokenizer(self) -> Any:
        tokenizer, reason = self._found
        if tokenizer is None:
            raise Unavailable(reason)
        return tokenizer

    @cached_property
    def _found(self) -> tuple[Any, str]:
        """The tokenizer, or why there is none; the hub is asked but once."""
        from huggingface_hub import snapshot_download
        from transformers import AutoTokenizer

        given = self.folders.get(TOKENIZER)
        try:
            folder = given or snapshot_download(TOKENIZER, allow_patterns=FILES)
            return AutoTokenizer.from_pretrained(folder, local_files_only=True), ""
        except (OSError, ValueError) as error:
            where = f"in {given}" if given else "on this machine, and could not be downloaded"
            said = str(error).strip().partition("\n")[0]
            return None, (
                f"{self.name} cuts references to sub-words of {TOKENIZER}, whose tokenizer is not {where}: name its "
                f"folder with --model-folder {TOKENIZER}=FOLDER ({said})."
            )
