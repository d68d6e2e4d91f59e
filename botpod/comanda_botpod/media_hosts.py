"""Where media may be fetched from: Meta's hosts, at public addresses, and the Graph API as configured.

A media URL comes out of an answer and could name anything. The check is made where it cannot be got around: on the very
URL object that is requested, and on the very addresses that are connected to.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from comanda_botpod.media_errors import MediaRefusedError

Origin = tuple[str, str | None, int | None]
"""Scheme, host and port."""

_META_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:fbsbx\.com|whatsapp\.net)", re.ASCII)
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,4096}", re.ASCII)
_HTTPS_PORT = 443

_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # a cloud's host agent, at a public address
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata lives here
        "192.88.99.0/24",  # relays to 6to4
        "2001::/23",  # Teredo and other tunnels
        "2002::/16",  # 6to4: an IPv4 address in disguise
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A host of Meta's resolved to an address where Meta cannot be."""


def origin_of(url: str) -> Origin:
    """Return the origin of a configured URL."""
    parsed = URL(url)
    return parsed.scheme, parsed.raw_host, parsed.port


def check_url(url: str, home: Origin) -> URL:
    """Return the URL to request, byte for byte. Raises `MediaRefusedError` for any that is neither Meta's nor at home.

    `home` is the origin of the Graph API as configured: a simulator may be at http and at a private address. Everything
    else is https, on the usual port, by name.
    """
    if not _URL.fullmatch(url):
        raise MediaRefusedError("url", "is no plain http or https URL")
    try:
        parsed = URL(url, encoded=True)
        origin = (parsed.scheme, parsed.raw_host, parsed.port)
        authority = parsed.raw_authority
    except ValueError as error:
        raise MediaRefusedError("url", "cannot be read") from error
    if "@" in authority:
        raise MediaRefusedError("url", "must not name a user")
    if origin == home:
        return parsed
    scheme, host, port = origin
    if scheme != "https" or port != _HTTPS_PORT or not _META_HOST.fullmatch(host or ""):
        rule = "leads to a host that is not Meta's"
        raise MediaRefusedError("url", rule, hint="Check graph_url if Meta is meant to be elsewhere.")
    return parsed


def is_public(address: str) -> bool:
    """Tell whether an address is a public one by itself: not private, local, reserved, or another one in disguise."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            # Behind NAT64 every IPv4 host has such an address: it is as public as the one inside.
            return is_public(str(ipaddress.IPv4Address(ip.packed[-4:])))
        if ip not in _GLOBAL_UNICAST:
            return False
    inside_never = any(ip.version == network.version and ip in network for network in _NEVER)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not inside_never


class GuardedResolver(AbstractResolver):
    """Resolves a host once and hands out its addresses only when every one of them is public, or it is home's.

    The connector connects to what this returns, so nobody can change the answer between check and connection.
    """

    def __init__(self, inner: AbstractResolver, home: Origin) -> None:
        self._inner = inner
        self._home = home

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises `ForbiddenAddressError`, or `OSError` when it has none."""
        found = await self._inner.resolve(host, port, family)
        if (host, port) != self._home[1:] and not all(is_public(result["host"]) for result in found):
            message = "the host resolves to an address that is not public"
            raise ForbiddenAddressError(message)
        return found

    async def close(self) -> None:
        """Release the resolver."""
        await self._inner.close()
