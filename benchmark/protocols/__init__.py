"""Named evaluation protocols: what is done to texts before they are scored, and how the numbers are counted.

A score without its protocol is no score. A protocol is one file here that defines a class `Protocol` derived from
`_base.Protocol`; `_` in the file's name is `-` in the protocol's.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.protocols._base import Protocol
from benchmark.registry import Registry

PROTOCOLS = Registry("protocol", "benchmark.protocols", "Protocol")


def names() -> list[str]:
    return PROTOCOLS.names()


def load(name: str, folders: Mapping[str, str] | None = None) -> Protocol:
    """The protocol of that name; `folders` gives folders of hub ids. Raises UserError for an unknown one."""
    protocol: Protocol = PROTOCOLS.load(name)(folders)
    return protocol
