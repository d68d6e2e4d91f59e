"""A whole router in a cluster: by the API's word, by its snapshot, and with what it does not know yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from comanda_contract.names import group_key
from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_router.app import create_app
from comanda_router.directory.records import SliceRecord, read_slice
from comanda_router.settings import RouterSettings
from tests.cluster import ApiServer, api_server
from tests.harness import APP_SECRET, VERIFY_TOKEN, change, serving, sign, text_message, until, webhook
from tests.test_router.conftest import MASTER_KEY, RecordingPod, write_app
from tests.test_router.directory_cluster import apply_slice, apply_tenant, install
from tests.test_router.directory_objects import READY, status

NUMBER, LATER = "106540352242922", "106540352242933"


@dataclass
class Cluster:
    """An API with a tenant whose one pod is a process of the test, and what a router there is given."""

    server: ApiServer
    admin: Client
    namespace: str
    pod: RecordingPod
    folder: Path
    session: aiohttp.ClientSession

    @asynccontextmanager
    async def router(self) -> AsyncIterator[str]:
        settings = RouterSettings(
            apps_dir=self.folder / "apps",
            master_key=MASTER_KEY,
            dead_letters_dir=self.folder / "dead",
            snapshot_file=self.folder / "snapshot",
        )
        async with serving(create_app(settings)) as url:
            yield url

    async def get(self, url: str) -> Any:
        async with self.session.get(url) as answer:
            return await answer.json()

    async def is_ready(self, router: str) -> bool:
        return bool((await self.get(f"{router}/readyz"))["ready"])

    async def condition(self, router: str) -> str:
        return str((await self.get(f"{router}/readyz"))["condition"]["reason"])

    async def post(self, router: str, number: str, wamid: str) -> int:
        body = msgspec.json.encode(webhook(change(number, messages=[text_message(wamid)])))
        headers = {"X-Hub-Signature-256": sign(body, APP_SECRET)}
        async with self.session.post(f"{router}/webhook", data=body, headers=headers) as answer:
            return answer.status

    async def add_tenant(self, number: str) -> None:
        await apply_tenant(self.admin, self.namespace, number, status(f"{self.namespace}/pool", READY))

    def dead_letters(self) -> int:
        path = self.folder / "dead" / "dead-letters.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0


def pool_slice(namespace: str, url: str) -> dict[str, Any]:
    """Return the pool's EndpointSlice with the port of the test's own pod."""
    return {
        "metadata": {
            "namespace": namespace,
            "name": "pool-1",
            "labels": {"comanda.dev/group": "pool", "comanda.dev/group-uid": "uid-1"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "hostname": "pool-0"}],
        "ports": [{"name": "deliveries", "port": int(url.rsplit(":", 1)[1]), "protocol": "TCP"}],
    }


def read_local_slice(content: bytes) -> SliceRecord | None:
    """Read a slice whose pod is this process: the API refuses loopback addresses."""
    return read_slice(content.replace(b"192.0.2.1", b"127.0.0.1"))


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    write_app(tmp_path, "default", appSecret=APP_SECRET, verifyToken=VERIFY_TOKEN)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(api_server())
        await install(server)
        namespace = await server.create_namespace()
        pod = RecordingPod("pool-0")
        key = group_key(bytes.fromhex(MASTER_KEY), f"{namespace}/pool", "uid-1")
        url = await stack.enter_async_context(serving(pod.app(key)))
        admin = await stack.enter_async_context(Client(from_kubeconfig([server.kubeconfig()]), "operator"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig()))
        monkeypatch.setattr("comanda_router.directory.kubernetes.read_slice", read_local_slice)
        made = Cluster(server, admin, namespace, pod, tmp_path, session)
        await made.add_tenant(NUMBER)
        await apply_slice(admin, pool_slice(namespace, url))
        yield made


async def test_webhooks_find_their_pods_by_the_api_and_while_it_is_away_by_the_snapshot(cluster: Cluster) -> None:
    async with cluster.router() as router:
        await until(lambda: cluster.is_ready(router), what="the directory is loaded")
        assert await cluster.post(router, NUMBER, "w1") == 200
        await until((cluster.folder / "snapshot").exists, what="a snapshot is written")
    cluster.server.stop()
    async with cluster.router() as router:
        assert await cluster.is_ready(router), "it is ready before anything is asked"
        assert await cluster.condition(router) == "FromSnapshot"
        assert await cluster.post(router, NUMBER, "w2") == 200
    assert [delivery.key for delivery in cluster.pod.stored] == ["w1", "w2"]


async def test_a_number_that_the_snapshot_does_not_know_is_asked_for_again_and_one_that_the_api_does_not_is_kept(
    cluster: Cluster,
) -> None:
    async with cluster.router() as router:
        await until(lambda: cluster.is_ready(router), what="the directory is loaded")
        await until((cluster.folder / "snapshot").exists, what="a snapshot is written")
        assert await cluster.post(router, LATER, "w1") == 200
        assert cluster.dead_letters() == 1
    cluster.server.stop()
    async with cluster.router() as router:
        assert await cluster.post(router, LATER, "w2") == 503, "it may have been added since"
        assert cluster.dead_letters() == 1


async def test_a_tenant_is_routed_as_soon_as_the_api_tells_of_it(cluster: Cluster) -> None:
    async with cluster.router() as router:
        await until(lambda: cluster.is_ready(router), what="the directory is loaded")
        await cluster.add_tenant(LATER)

        async def routed() -> bool:
            return bool((await cluster.get(f"{router}/admin/route/{LATER}")).get("served"))

        await until(routed, what="the new number is routed")
        assert await cluster.post(router, LATER, "w1") == 200
        assert [delivery.key for delivery in cluster.pod.stored] == ["w1"]
