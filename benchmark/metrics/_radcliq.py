"""RadCliQ: an estimate of how many errors a radiologist would find, from four metrics (Yu et al., Patterns 2023).

Lower is better. A weighted sum of standardised metrics, so what it makes of means is the mean of what it makes of
studies; 1 / RadCliQ, which some print, has no such meaning. The constants are those of the package CXR-Report-Metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Weights:
    """One version. Columns: RadGraph F1, BERTScore, SembScore, BLEU-2."""

    means: tuple[float, float, float, float]
    scales: tuple[float, float, float, float]
    coefficients: tuple[float, float, float, float]
    intercept: float


VERSIONS = {
    "v0": Weights(
        (0.539838, 0.631255, 0.771680, 0.460737),
        (0.301834, 0.224670, 0.247503, 0.303367),
        (-0.479625, -0.676217, -0.463666, 0.216586),
        1.641667,
    ),
    "v1": Weights(
        (0.537923, 0.617573, 0.764794, 0.447383),
        (0.302826, 0.224309, 0.253944, 0.298927),
        (-0.377084, -0.370300, -0.252616, 0.0),
        0.0,
    ),
}


def radcliq(
    radgraph: np.ndarray | float,
    bertscore: np.ndarray | float,
    semb: np.ndarray | float,
    bleu2: np.ndarray | float,
    version: str = "v1",
) -> np.ndarray:
    """RadCliQ of studies, or of means, in whatever shape they come (one for all four).

    `radgraph` is the mean of entity and relation F1, `bertscore` F1 of distilroberta-base, layer 5, rescaled, `semb`
    the similarity of CheXbert's vectors, `bleu2` the smoothed BLEU-2 of a sentence. Raises KeyError for an unknown
    version.
    """
    weights = VERSIONS[version]
    values = np.stack(np.broadcast_arrays(radgraph, bertscore, semb, bleu2), axis=-1).astype(float)
    standardised = (values - np.array(weights.means)) / np.array(weights.scales)
    return np.asarray(standardised @ np.array(weights.coefficients) + weights.intercept)
