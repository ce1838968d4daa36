"""MIMIC-CXR in MIMIC-CXR-JPG's layout: 227,835 studies of 65,379 patients, with the official split."""

from __future__ import annotations

from ._mimic_jpg import MimicCXRJPG


class Dataset(MimicCXRJPG):
    """MIMIC-CXR-JPG 2.0.0 or 2.1.0 with the report files of MIMIC-CXR (Johnson et al. 2019)."""

    VERSION = "2.x"
    LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
    MAY_LEAVE = frozenset[str]()

    @property
    def name(self) -> str:
        return "mimic-cxr"
