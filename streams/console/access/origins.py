"""Where a request comes from: a page of somebody else's must not act through a browser. Pure."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_refusal(host: str | None, allowed: Collection[str]) -> str | None:
    """Why a name by which the console is called is not one of its own; None: it is.

    A page whose name was made to point here (DNS rebinding) calls it by that name.
    """
    if host is None:
        return "the header Host is missing"
    name = _name_in(host)
    if name is not None and (is_loopback(name) or name in allowed or host.lower() in allowed):
        return None
    return (
        "the console is called by a name that is not its own: use localhost, or name it in "
        "STREAMS_CONSOLE_HOSTS"
    )


def origin_refusal(
    origin: str | None, site: str | None, host: str | None, allowed: Collection[str]
) -> str | None:
    """Why a page may not call the console; None: it is one of its own, or no page calls.

    `origin` and `site` are what a browser says in Origin and Sec-Fetch-Site.
    """
    if origin is not None:
        netloc = _netloc(origin)
        same = host is not None and netloc == host.lower()
        if not same and netloc not in allowed and _name_in(netloc or "") not in allowed:
            return "pages of other sites may not call the console"
    elif site not in (None, "same-origin", "none"):
        return "pages of other sites may not call the console"
    return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _name_in(host: str) -> str | None:
    """The name, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
