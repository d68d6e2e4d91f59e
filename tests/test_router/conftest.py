from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from comanda_contract.deliveries import (
    DUPLICATE,
    STORED,
    Answer,
    BatchAnswer,
    Delivery,
    decode_batch,
    encode_answers,
)
from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from comanda_contract.names import app_file, group_key
from comanda_router.app import create_app
from comanda_router.settings import RouterSettings
from tests.harness import APP_SECRET, PREVIOUS_SECRET, VERIFY_TOKEN, serving, sign

MASTER_KEY = "11" * 32


@dataclass
class RecordingPod:
    """A pod's HTTP side in the contract's terms: keeps what it stores, answers as it is told."""

    name: str
    stored: list[Delivery] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    refuse: Answer | None = None
    thawed: asyncio.Event | None = None
    waiting: int = 0
    url: str = ""

    def app(self, key: str) -> Starlette:
        async def deliveries(request: Request) -> Response:
            assert request.headers["authorization"] == f"Bearer {key}"
            batch = decode_batch(await request.body()).deliveries
            if self.thawed is not None:
                self.waiting += 1
                await self.thawed.wait()
                self.waiting -= 1
            self.batches.append(len(batch))
            answers = [self._answer(delivery) for delivery in batch]
            return Response(encode_answers(BatchAnswer(answers=answers)), media_type="application/json")

        return Starlette(routes=[Route("/v1/deliveries", deliveries, methods=["POST"])])

    def _answer(self, delivery: Delivery) -> Answer:
        if self.refuse is not None:
            return self.refuse
        identity = delivery.phone_number_id, delivery.key
        if identity in self.known:
            return DUPLICATE
        self.known.add(identity)
        self.stored.append(delivery)
        return STORED

    @property
    def keys(self) -> list[str]:
        return [delivery.key for delivery in self.stored]


@dataclass
class RouterUnderTest:
    """A router on a real port with its mounted files, and two groups of recording pods."""

    url: str
    session: aiohttp.ClientSession
    folder: Path
    pods: dict[str, RecordingPod]

    async def post(self, document: Any, *, path: str = "/webhook", secret: str = APP_SECRET, **headers: str) -> int:
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        wanted = {"X-Hub-Signature-256": sign(body, secret), "Content-Type": "application/json"} | headers
        async with self.session.post(self.url + path, data=io.BytesIO(body), headers=wanted) as response:
            return response.status

    def dead_letters(self) -> list[dict[str, Any]]:
        path = self.folder / "dead" / "dead-letters.jsonl"
        return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def publish(self, **ready: bool) -> int:
        return write_directory(self.folder, self.pods, ready)


GROUPS = {"default/pool": ("pod-0", "pod-1"), "other/own": ("own-0",)}
NUMBERS = {"11": ("default/pool", "default"), "22": ("default/pool", "default"), "33": ("other/own", "brand")}

UNMETERED: dict[str, Any] = {"inbound_per_minute": 100_000, "inbound_burst": 100_000}
DETAILS: dict[str, dict[str, Any]] = {}
"""What else the directory says of a number."""


_generations = count(1)


def write_directory(folder: Path, pods: dict[str, RecordingPod], ready: dict[str, bool]) -> int:
    """Replace the directory and return its generation."""
    directory = Directory(
        generation=next(_generations),
        apps=("default", "brand"),
        numbers=tuple(
            NumberEntry(
                phone_number_id=number,
                tenant=f"default/t{number}",
                app=app,
                group=group,
                **(UNMETERED | DETAILS.get(number, {})),
            )
            for number, (group, app) in NUMBERS.items()
        ),
        groups=tuple(
            Group(
                name=group,
                uid=f"uid-{group}",
                pods=tuple(
                    PodEndpoint(name=name, url=pods[name].url, ready=ready.get(name.replace("-", "_"), True))
                    for name in names
                ),
            )
            for group, names in GROUPS.items()
        ),
    )
    temporary = folder / "directory.tmp"
    temporary.write_bytes(encode_directory(directory))
    temporary.replace(folder / "directory.json")
    return directory.generation


def appending(given: list[Directory]) -> Callable[[Directory], Awaitable[None]]:
    """Return what puts each directory that it is given into a list."""

    async def append(directory: Directory) -> None:
        given.append(directory)

    return append


def write_app(folder: Path, name: str, **values: str) -> None:
    (folder / "apps").mkdir(parents=True, exist_ok=True)
    for key, value in values.items():
        (folder / "apps" / app_file(name, key)).write_text(value)


@asynccontextmanager
async def router_under_test(folder: Path, **settings: Any) -> AsyncIterator[RouterUnderTest]:
    write_app(folder, "default", appSecret=APP_SECRET, previousAppSecret=PREVIOUS_SECRET, verifyToken=VERIFY_TOKEN)
    write_app(folder, "brand", appSecret="brand-secret", verifyToken=f"brand-token\n{VERIFY_TOKEN}-2")
    async with AsyncExitStack() as stack:
        pods: dict[str, RecordingPod] = {}
        for group, names in GROUPS.items():
            key = group_key(bytes.fromhex(MASTER_KEY), group, f"uid-{group}")
            for name in names:
                pods[name] = RecordingPod(name)
                pods[name].url = await stack.enter_async_context(serving(pods[name].app(key)))
        write_directory(folder, pods, {})
        made = RouterSettings(
            directory_file=folder / "directory.json",
            apps_dir=folder / "apps",
            master_key=MASTER_KEY,
            dead_letters_dir=folder / "dead",
            reload_seconds=0.02,
            **{"deadline_seconds": 1.0, "customer_per_minute": 100_000, "customer_burst": 100_000, **settings},
        )
        url = await stack.enter_async_context(serving(create_app(made)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield RouterUnderTest(url, session, folder, pods)


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[RouterUnderTest]:
    async with router_under_test(tmp_path) as made:
        yield made
