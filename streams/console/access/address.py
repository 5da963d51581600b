"""From where a request comes, as far as it can be believed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from starlette.datastructures import Headers

_OF_ONE: Final = 64  # bits that all addresses of one subscriber have in common, in IPv6


def address_of(scope: Mapping[str, Any], *, is_behind_proxy: bool) -> str:
    """The address of who asks; a proxy that is ours has told it last."""
    forwarded = Headers(scope=scope).get("x-forwarded-for", "")  # type: ignore[arg-type]
    if is_behind_proxy and forwarded:
        return forwarded.rpartition(",")[2].strip()[:64]
    client = scope.get("client")
    return "" if client is None else str(client[0])


def network_of(address: str) -> str:
    """What one party has of the addresses around: a network in IPv6, else the address itself."""
    try:
        read = ip_address(address)
    except ValueError:
        return address
    if not isinstance(read, IPv6Address):
        return str(read)
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return str(IPv6Network((read, _OF_ONE), strict=False))
