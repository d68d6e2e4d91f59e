"""What the router knows about the world: apps, numbers, groups and their pods.

In local mode the directory is one JSON file, replaced atomically. It names no secret: app secrets and the key that
authenticates to pods are mounted as files of their own (`credentials.py`).
"""

from __future__ import annotations

import msgspec


class PodEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One pod of a group: its stable name, the address that answers deliveries, and whether it may get new ones."""

    name: str
    url: str
    ready: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One bot group. `uid` is what the group's key is derived from; `pods` holds ready and unready ones."""

    name: str
    uid: str
    pods: tuple[PodEndpoint, ...] = ()


class NumberEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where one number belongs: its tenant (`namespace/name`), its Meta app and its group.

    A number that is not `ready` is known, but its pods have not loaded it yet: its webhooks get 503 and come again.
    """

    phone_number_id: str
    tenant: str
    app: str
    group: str
    ready: bool = True
    waba_id: str = ""
    """The WhatsApp Business Account: what is told of it as a whole concerns each of its numbers."""
    inbound_per_minute: int = 600
    """Customer messages a minute that are taken on average …"""
    inbound_burst: int = 300
    """… and how many may come at once above that."""


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. `generation` grows with each change."""

    generation: int = 0
    apps: tuple[str, ...] = ()
    numbers: tuple[NumberEntry, ...] = ()
    groups: tuple[Group, ...] = ()


def decode_directory(content: bytes) -> Directory:
    """Read a directory file. Raises `msgspec.DecodeError` (its subclass `ValidationError` names the path)."""
    return msgspec.json.decode(content, type=Directory)


def encode_directory(directory: Directory) -> bytes:
    """Write a directory file, indented: people look into it when routing surprises them."""
    return msgspec.json.format(msgspec.json.encode(directory), indent=2)
