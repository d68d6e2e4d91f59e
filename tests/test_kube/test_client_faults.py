from __future__ import annotations

import asyncio
import ssl
import traceback
from contextlib import suppress

import pytest

from comanda_kube.client import Client
from comanda_kube.config import ClusterConfig, FixedToken
from comanda_kube.errors import ApiUnavailableError, NotFoundError, ThrottledError, UnauthorizedError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import CONFIG_MAPS, NAMESPACES, Resource
from tests.cluster import ApiServer, FaultProxy
from tests.cluster.processes import free_port
from tests.harness import until
from tests.test_kube.support import config_map, create_many, service_account, throttled


async def test_a_read_that_was_cut_is_done_again(client: Client, distant: Client, apiserver_proxy: FaultProxy) -> None:
    await distant.get(NAMESPACES, "", "default")
    apiserver_proxy.freeze()
    reading = asyncio.create_task(distant.get(NAMESPACES, "", "default"))
    await until(lambda: apiserver_proxy.held_bytes > 0)
    apiserver_proxy.cut()
    apiserver_proxy.thaw()
    assert (await reading)["metadata"]["name"] == "default"


async def test_an_apply_that_was_cut_is_done_again(
    distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    apiserver_proxy.freeze()
    applying = asyncio.create_task(distant.apply(CONFIG_MAPS, config_map(namespace, "a", "1")))
    await until(lambda: apiserver_proxy.connections > 0)
    apiserver_proxy.cut()
    apiserver_proxy.thaw()
    assert (await applying)["data"] == {"value": "1"}


async def test_a_create_that_may_have_been_done_is_not_done_again(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    await distant.get(NAMESPACES, "", "default")
    apiserver_proxy.freeze()
    creating = asyncio.create_task(distant.create(CONFIG_MAPS, config_map(namespace, "a")))
    await until(lambda: apiserver_proxy.held_bytes > 0)
    apiserver_proxy.cut()
    apiserver_proxy.thaw()
    with pytest.raises(ApiUnavailableError, match="the connection broke") as caught:
        await creating
    assert not caught.value.untouched
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAPS, namespace, "a")


async def test_a_create_that_was_refused_a_connection_is_done_when_there_is_one(
    distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    await apiserver_proxy.refuse()
    creating = asyncio.create_task(distant.create(CONFIG_MAPS, config_map(namespace, "a")))
    await asyncio.sleep(0)
    await apiserver_proxy.accept()
    assert (await creating)["metadata"]["name"] == "a"


@pytest.mark.parametrize("fault", ["frozen", "refused"])
async def test_a_call_ends_with_its_deadline(apiserver: ApiServer, apiserver_proxy: FaultProxy, fault: str) -> None:
    config = from_kubeconfig([apiserver.kubeconfig(apiserver_proxy.port)])
    if fault == "frozen":
        apiserver_proxy.freeze()
    else:
        await apiserver_proxy.refuse()
    async with Client(config, "tests", timeout_seconds=0.3) as hasty:
        with pytest.raises(ApiUnavailableError):
            await hasty.get(NAMESPACES, "", "default")


async def test_a_deadline_in_the_middle_of_a_try_does_not_hide_what_became_of_the_one_before() -> None:
    writers, cut = list[asyncio.StreamWriter](), 2  # the HTTP library itself tries once more

    async def cut_some_and_leave_the_next(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if len(writers) <= cut:
            writer.transport.abort()

    server = await asyncio.start_server(cut_some_and_leave_the_next, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server, Client(ClusterConfig(f"http://127.0.0.1:{port}"), "tests", timeout_seconds=2) as client:
        with pytest.raises(ApiUnavailableError, match=r"in time; the try before it: the connection broke \(\w+\)\."):
            await client.get(NAMESPACES, "", "default")
    assert len(writers) == cut + 1
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def test_waiting_behind_other_calls_counts_as_time(apiserver: ApiServer) -> None:
    async with Client(from_kubeconfig([apiserver.kubeconfig()]), "tests", timeout_seconds=0.3, concurrency=1) as narrow:
        async with narrow._session._places:  # as a call that does not end
            with pytest.raises(ApiUnavailableError, match="too many other calls") as refused:
                await narrow.get(NAMESPACES, "", "default")
        assert refused.value.untouched
        assert await narrow.get(NAMESPACES, "", "default")


async def test_no_more_calls_than_allowed_are_under_way(
    apiserver: ApiServer, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    config = from_kubeconfig([apiserver.kubeconfig(apiserver_proxy.port)])
    async with Client(config, "tests", concurrency=4) as narrow:
        await create_many(narrow, namespace, [f"c-{number}" for number in range(60)])
    assert apiserver_proxy.connections <= 4


async def test_a_busy_api_is_asked_again_after_the_wait_it_named(
    client: Client, apiserver: ApiServer, namespace: str
) -> None:
    account = await service_account(client, namespace, "busy", verbs=["create", "get"])
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    async with account.client(apiserver, timeout_seconds=1) as hasty, account.client(apiserver) as patient:
        async with throttled(client, apiserver, account):
            with pytest.raises(ThrottledError) as caught:
                await hasty.get(CONFIG_MAPS, namespace, "a")
            assert caught.value.retry_after_seconds >= 1
            before = refusals(apiserver, namespace)
            reading = asyncio.create_task(patient.get(CONFIG_MAPS, namespace, "a"))
            await until(lambda: refusals(apiserver, namespace) > before)
        assert (await reading)["data"] == {"value": "1"}


def refusals(apiserver: ApiServer, namespace: str) -> int:
    entries = (entry for entry in apiserver.audit() if entry.get("objectRef", {}).get("namespace") == namespace)
    return sum(entry["responseStatus"]["code"] == 429 for entry in entries)


async def test_an_api_that_fails_inside_is_unavailable(client: Client) -> None:
    api_services = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)
    spec = {
        "group": "absent.comanda.dev",
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 10,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "default", "name": "absent", "port": 443},
    }
    await client.create(api_services, {"metadata": {"name": "v1.absent.comanda.dev"}, "spec": spec})
    try:
        absent = Resource("absent.comanda.dev", "v1", "things", "Thing")
        await until(lambda: is_known(client, absent))
        with pytest.raises(ApiUnavailableError) as caught:
            await client.create(absent, {"metadata": {"namespace": "default", "name": "a"}})
        assert caught.value.status == 503
    finally:
        await client.delete(api_services, "", "v1.absent.comanda.dev")


async def is_known(client: Client, resource: Resource) -> bool:
    with suppress(ApiUnavailableError):
        try:
            await client.create(resource, {"metadata": {"namespace": "default", "name": "a"}})
        except NotFoundError:
            return False
    return True


class Strange:
    """A token that the API does not know, until it is read again."""

    def __init__(self, good: str) -> None:
        self._good = good
        self.rereads = 0

    def read(self) -> str:
        return "expired-token"

    def reread(self) -> str:
        self.rereads += 1
        return self._good


async def test_a_refused_token_is_read_again_and_the_call_done_again(apiserver: ApiServer, namespace: str) -> None:
    config = from_kubeconfig([apiserver.kubeconfig(token="x")])
    token = Strange(apiserver.token())
    rotated = ClusterConfig(config.server, tls=config.tls, token=token)
    async with Client(rotated, "tests") as client:
        made = await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    assert made["data"] == {"value": "1"}
    assert token.rereads == 1


async def test_a_token_that_is_refused_twice_is_an_error(apiserver: ApiServer) -> None:
    config = from_kubeconfig([apiserver.kubeconfig(token="x")])
    refused = ClusterConfig(config.server, tls=config.tls, token=Strange("revoked-token"))
    async with Client(refused, "tests") as client:
        with pytest.raises(UnauthorizedError):
            await client.get(NAMESPACES, "", "default")


async def test_a_server_of_another_authority_is_not_talked_to(apiserver: ApiServer) -> None:
    config = from_kubeconfig([apiserver.kubeconfig(token="x")])
    stranger = ClusterConfig(config.server, tls=ssl.create_default_context(), token=FixedToken(apiserver.token()))
    async with Client(stranger, "tests", timeout_seconds=0.3) as client:
        with pytest.raises(ApiUnavailableError, match="ClientConnectorCertificateError"):
            await client.get(NAMESPACES, "", "default")


async def test_no_error_of_a_broken_answer_shows_the_token(apiserver: ApiServer) -> None:
    port = free_port()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(apiserver.folder / "apiserver.crt", apiserver.folder / "apiserver.key")
    server = await asyncio.start_server(speak_nonsense, "127.0.0.1", port, ssl=tls)
    config = from_kubeconfig([apiserver.kubeconfig(port, token="canary-token")])
    async with server, Client(config, "tests") as client:
        with pytest.raises(ApiUnavailableError, match="the connection broke") as caught:
            await client.create(CONFIG_MAPS, config_map("default", "a"))
    chain = traceback.TracebackException.from_exception(caught.value, capture_locals=False)
    assert "canary-token" not in "".join(chain.format())
    assert caught.value.__cause__ is None


async def speak_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"this is no HTTP\r\n\r\n")
    writer.close()
