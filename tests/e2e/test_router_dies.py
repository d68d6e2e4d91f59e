"""A router killed after a pod stored a message and before Meta is told: it is there once, and answered once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from tests.cluster.processes import free_port
from tests.harness import APP_SECRET, VERIFY_TOKEN, change, text_message, webhook
from tests.test_botpod.conftest import GROUP_KEY, PodUnderTest, make_pod
from tests.test_router.conftest import write_app
from tests.test_router.processes import KeepAliveClient, RouterProcess, start_router

__all__ = ["make_pod"]
NUMBER = "10000011"


@asynccontextmanager
async def before_a_pod(pod: PodUnderTest, answered: Callable[[], None]) -> AsyncIterator[int]:
    """Stand before a pod, on a port: its first answer is told of, and kept from who asked."""
    waits = True

    async def serve(request: web.Request) -> web.Response:
        nonlocal waits
        headers = {"Authorization": f"Bearer {GROUP_KEY}", "Content-Type": "application/json"}
        async with pod.session.post(pod.url + request.path, data=await request.read(), headers=headers) as answer:
            content = await answer.read()
        if waits:
            waits = False
            answered()
            await asyncio.Event().wait()  # who asked dies, and this with the connection
        return web.Response(body=content, status=answer.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def write_files(folder: Path, port: int) -> None:
    """Write the router's files: one number, one group, one pod."""
    write_app(folder, "default", appSecret=APP_SECRET, verifyToken=VERIFY_TOKEN)
    pod = PodEndpoint(name="pod-0", url=f"http://127.0.0.1:{port}", ready=True)
    directory = Directory(
        generation=1,
        apps=("default",),
        numbers=(NumberEntry(phone_number_id=NUMBER, tenant="default/napoli", group="default/pool", app="default"),),
        groups=(Group(name="default/pool", uid="u", pods=(pod,)),),
    )
    (folder / "directory.json").write_bytes(encode_directory(directory))


async def test_a_message_that_was_stored_when_the_router_died_is_there_once(
    tmp_path: Path, make_pod: Callable[..., Any]
) -> None:
    pod: PodUnderTest = await make_pod()
    body = msgspec.json.encode(webhook(change(NUMBER, messages=[text_message("w1")])))
    stored = asyncio.Event()
    folder, ports = tmp_path / "router", (free_port(), free_port())
    folder.mkdir()
    async with before_a_pod(pod, stored.set) as port:
        write_files(folder, port)
        router: RouterProcess = await start_router(folder, *ports)
        try:
            meta = KeepAliveClient(ports[0])
            telling = asyncio.create_task(meta.post(body))
            await asyncio.wait_for(stored.wait(), 60)
            await router.stop(signal.SIGKILL)
            telling.cancel()  # Meta sees the connection break, and comes again
            await asyncio.gather(telling, return_exceptions=True)
            meta.close()
            assert await pod.sql("SELECT count(*) FROM inbox") == [(1,)]
            router = await start_router(folder, *ports)
            assert await meta.post(body) == 200
            meta.close()
        finally:
            await router.stop(signal.SIGKILL)
    assert await pod.sql("SELECT count(*) FROM inbox") == [(1,)]
    await pod.count_replies(1)
