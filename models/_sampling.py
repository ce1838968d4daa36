"""What stands between a step's scores and its token: sampling with a generator a study, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from benchmark.errors import UserError
from benchmark.schema import GenerationSettings


class Listening(LogitsProcessor):
    """Tells the token ids of the first row before each step, those before the text included; changes no score.

    Under beam search that is the best beam so far. transformers' own streamers do not take beams.
    """

    def __init__(self, tell: Callable[[list[int]], None]):
        self.tell = tell

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.tell(input_ids[0].tolist())
        return scores


class SeededSampling(LogitsProcessor):
    """Makes greedy decoding an exact sample: the largest of logits plus Gumbel noise is distributed as their softmax.

    Row i takes its noise from the generator of `seeds[i]` alone, so a study's text does not depend on which others
    share its batch. Use with `do_sample=False`; transformers' own sampling draws the whole batch from one generator.
    """

    def __init__(self, settings: GenerationSettings, seeds: Sequence[int]):
        self.warpers = LogitsProcessorList()
        if settings.temperature <= 0:
            raise UserError(f"Sampling takes a temperature above 0, not {settings.temperature}.")
        self.warpers.append(TemperatureLogitsWarper(float(settings.temperature)))
        if settings.top_k:
            self.warpers.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1.0:
            self.warpers.append(TopPLogitsWarper(settings.top_p))
        # On the CPU, so that every device draws the same numbers.
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = self.warpers(input_ids, scores.float())  # type: ignore[arg-type]
        width = scores.shape[-1]
        noise = [torch.empty(width).exponential_(generator=generator).log().neg() for generator in self.generators]
        return scores + torch.stack(noise).to(scores.device)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        self.generators = [self.generators[i] for i in rows]
