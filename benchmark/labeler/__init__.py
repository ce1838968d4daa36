"""A rule labeler for the 14 CheXpert classes that runs everywhere: phrases, denials and doubts as data, no model.

It follows the CheXpert labeler (Irvin et al., AAAI 2019) in its classes and values, and departs from it here:

- Of several mentions present beats uncertain beats denied, always; CheXpert gives -1 where all three occur.
- A text without a Latin letter states nothing; CheXpert calls it No Finding.
- "No new X" denies X, and a silhouette that is only stable is not mentioned; CheXpert calls both uncertain.
- Heart failure states Edema and says nothing of Cardiomegaly; CheXpert adds an uncertain one.
- A borderline enlarged heart is (mild) Cardiomegaly; a heart at the upper limits of normal is normal.
- "X or Y" states both, "X versus Y" and "X and/or Y" neither for certain.
- Pulmonary fibrosis is Lung Opacity, not Pleural Other; a pleural scar is Pleural Other.
- Sternal wires, clips, valves and screws are Support Devices.
- A pericardial effusion is no Pleural Effusion, and what is asked for ("evaluate for", "history of") is no mention.
"""

from benchmark.schema import LABELS

VERSION = "1.0"
"""Raised with every change after which a text may be labelled otherwise; part of the metric's signature."""

CLASSES = LABELS
"""The classes that are labelled, in the order of MIMIC-CXR-JPG's label tables."""
