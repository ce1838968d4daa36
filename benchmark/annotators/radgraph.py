"""RadGraph: entities of a report and their relations (Jain et al., 2021; XL: Delbrouck et al., ACL Findings 2024).

Matches the package radgraph 0.1.18 with the model types `radgraph` and `radgraph-xl`. Its third, `modern-radgraph-xl`,
is left out: it is reported to give other graphs under transformers 5 than it was published with.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, ClassVar

from benchmark.annotators._base import Annotator, below
from benchmark.annotators._dygie import Heads
from benchmark.contracts import MetricContext

MODELS = ("radgraph", "radgraph-xl")
LONGEST = 1000
"""Words that are read: time grows with their square. Reports have fewer."""
_EMBEDDER = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
_TRANSLATED = (("\\n", "  "), ("\\f", "  "), ("\\u2122", "      "), ("\n", " "), ('\\"', "``"))
"""Escapes that stand spelled out in RadGraph-XL's texts."""


@dataclass(frozen=True)
class Entity:
    """Words of a text that name an observation or a part of the body."""

    tokens: str
    label: str
    relations: tuple[tuple[str, int], ...]
    """Name, and which entity of the text it leads to, counted from 0."""


class RadGraph(Annotator):
    WHAT: ClassVar[str] = "RadGraph"

    def __init__(self, model: str, context: MetricContext):
        super().__init__(model, f"{model}.tar.gz", context)

    def annotate(self, texts: Sequence[str]) -> list[bytes]:
        import torch

        heads = self._loaded[-1]
        with torch.inference_mode():
            embedded = self._embed([self._read(text) for text in texts])
            return [json.dumps(heads.entities(words)).encode() for words in embedded]

    def decode(self, text: str, stored: bytes) -> list[Entity]:
        read = self._words(text)
        return [
            Entity(" ".join(read[first : last + 1]), label, tuple((name, other) for name, other in relations))
            for first, last, label, relations in json.loads(stored)
        ]

    def _words(self, text: str) -> list[str]:
        return (words_of_xl(text) if self.name == "radgraph-xl" else words_of_first(text))[:LONGEST]

    def _read(self, text: str) -> list[str]:
        """The words as the model sees them."""
        return [word[1:] if word in ("/.", "/?") else word for word in self._words(text)]

    def _embed(self, texts: Sequence[Sequence[str]]) -> Iterator[Any]:
        """Vectors of each text's words, shape (words, width): the mean of their pieces', zero for a word without.

        A text is cut where the transformer's length ends, at whatever piece, and each part is read by itself.
        """
        import torch
        from torch.nn.utils.rnn import pad_sequence

        tokenizer, model, length, _ = self._loaded
        marked, plain = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
        place = marked.index(plain[0])
        before, after = marked[:place], marked[place + len(plain) :]
        room = length - len(before) - len(after)
        pieces = [tokenizer(list(words), add_special_tokens=False)["input_ids"] for words in texts]
        parts = []
        for number, of_words in enumerate(pieces):
            flat = [piece for word in of_words for piece in word]
            parts += [(number, [*before, *flat[i : i + room], *after]) for i in range(0, len(flat), room)]
        states: list[Any] = []
        for start in range(0, len(parts), self.BATCH):
            given = [torch.tensor(part) for _, part in parts[start : start + self.BATCH]]
            ids = pad_sequence(given, batch_first=True, padding_value=tokenizer.pad_token_id or 0).to(self.device)
            mask = pad_sequence([torch.ones_like(each) for each in given], batch_first=True).to(self.device)
            out = model(input_ids=ids, attention_mask=mask)[0]
            states += [state[len(before) : len(each) - len(after)] for state, each in zip(out, given, strict=True)]
        read = {
            number: torch.cat([state for _, state in group])
            for number, group in groupby(
                zip((number for number, _ in parts), states, strict=True), key=lambda pair: pair[0]
            )
        }
        for number, of_words in enumerate(pieces):
            counts = torch.tensor([len(word) for word in of_words], device=self.device)
            vectors = read.get(number, torch.zeros(0, model.config.hidden_size, device=self.device))
            sums = torch.zeros(len(of_words), vectors.shape[1], device=self.device)
            sums.index_add_(0, torch.arange(len(of_words), device=self.device).repeat_interleave(counts), vectors)
            yield sums / counts.clamp(min=1)[:, None]

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int, Heads]:
        """Tokenizer, transformer, its length in pieces, and the heads."""
        try:
            config, vocabulary, weights = self._archive()
            tensors = self._tensors(io.BytesIO(weights))
            read, model = config["dataset_reader"], config["model"]
            indexer = read["token_indexers"]["bert"]
            if model["modules"]["coref"].get("coref_prop", 0):
                raise ValueError("it propagates coreference, which is not built here")
            namespace = _namespace(vocabulary, self.name)
            heads = Heads(
                {name: tensor.to(self.device) for name, tensor in tensors.items() if not name.startswith("_embedder.")},
                namespace,
                vocabulary[f"{namespace}__ner_labels"],
                vocabulary[f"{namespace}__relation_labels"],
                read["max_span_width"],
                model["modules"]["relation"]["spans_per_word"],
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError, EOFError, tarfile.TarError) as error:
            raise self._broken(error) from error
        tokenizer, transformer = self._transformer(indexer["model_name"], below(tensors, _EMBEDDER))
        length = indexer.get("max_length") or transformer.config.max_position_embeddings
        return tokenizer, transformer, length, heads

    def _archive(self) -> tuple[dict[str, Any], dict[str, list[str]], bytes]:
        """Configuration, vocabulary by namespace, and the file of weights: read from the archive, never unpacked."""
        found: dict[str, bytes] = {}
        with tarfile.open(self.weights, "r:gz") as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    found[str(PurePosixPath(member.name))] = file.read()
        vocabulary = {
            PurePosixPath(name).stem: content.decode("utf-8").removesuffix("\n").split("\n")
            for name, content in found.items()
            if PurePosixPath(name).parent.name == "vocabulary" and name.endswith(".txt")
        }
        return json.loads(found["config.json"]), vocabulary, found["weights.th"]

    def base(self) -> str:
        """Hub id of the transformer whose tokenizer and shape it needs. Raises Unavailable for a damaged archive."""
        try:
            with tarfile.open(self.weights, "r:gz") as archive:
                for member in archive:
                    if str(PurePosixPath(member.name)) == "config.json" and (file := archive.extractfile(member)):
                        return str(json.load(file)["dataset_reader"]["token_indexers"]["bert"]["model_name"])
            raise KeyError("config.json")
        except (OSError, KeyError, TypeError, ValueError, EOFError, tarfile.TarError) as error:
            raise self._broken(error) from error


def _namespace(vocabulary: Mapping[str, Sequence[str]], model: str) -> str:
    names = [name.removesuffix("__ner_labels") for name in vocabulary if name.endswith("__ner_labels")]
    return model if model in names or not names else names[0]


def words_of_first(text: str) -> list[str]:
    """The words of RadGraph 1: each of `/ , : . ! ? ( )` stands alone."""
    return re.sub(r"(?<! )(?=[/,:.!?()])|(?<=[/,:.!?()])(?! )", " ", text).split()


def words_of_xl(text: str) -> list[str]:
    """The words of RadGraph-XL: runs of letters and digits, and runs of other signs but for a few that are divided."""
    for old, new in _TRANSLATED:
        text = text.replace(old, new)
    spaced = " ".join(re.findall(r"\w+|[^\w\s]+", text))
    for old, new in ((").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )")):
        spaced = spaced.replace(old, new)
    return spaced.split()
