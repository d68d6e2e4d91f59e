"""Pods that fail in every way that a connection can, seen from where Meta's webhooks come in."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from comanda_contract.deliveries import MAX_BATCH, STORED, BatchAnswer, Delivery, decode_batch, encode_answers
from comanda_contract.placement import place_all
from tests.harness import change, text_message, until, webhook
from tests.test_router.conftest import RecordingPod, RouterUnderTest, router_under_test
from tests.test_router.test_server import free_ports

Script = Callable[[list[Delivery], asyncio.StreamWriter], Awaitable[None]]

HOME = place_all(["11", "22"], ["pod-0", "pod-1"])
"""Where the pool's numbers live; the two live apart."""


def test_the_two_numbers_live_apart() -> None:
    assert sorted(HOME.values()) == ["pod-0", "pod-1"]


def one(wamid: str, number: str = "11") -> dict[str, Any]:
    return webhook(change(number, messages=[text_message(wamid)]))


def answer_of(batch: list[Delivery]) -> bytes:
    body = encode_answers(BatchAnswer(answers=[STORED] * len(batch)))
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@asynccontextmanager
async def scripted_pod(script: Script) -> AsyncIterator[str]:
    """Run a server that reads batches and does with each as the script says; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                await script(decode_batch(await reader.readexactly(length)).deliveries, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def pods_of(router: RouterUnderTest) -> tuple[RecordingPod, RecordingPod]:
    """Return the home of number 11, and the other pod."""
    home = HOME["11"]
    return router.pods[home], router.pods["pod-1" if home == "pod-0" else "pod-0"]


async def move_home(router: RouterUnderTest, url: str) -> None:
    """Let the home of number 11 be somewhere else, and wait until the router knows."""
    pods_of(router)[0].url = url
    generation = router.publish()

    async def known() -> bool:
        async with router.session.get(f"{router.url}/readyz") as response:
            return int((await response.json())["generation"]) == generation

    await until(known)


async def told(router: RouterUnderTest, number: str = "11") -> dict[str, Any]:
    async with router.session.get(f"{router.url}/admin/route/{number}") as response:
        assert response.status == 200
        explanation: dict[str, Any] = await response.json()
        return explanation


async def rests(router: RouterUnderTest) -> bool:
    return bool((await told(router))["pod"] != HOME["11"])


class TestConnectionFailures:
    @pytest.mark.parametrize("begun", [0, 5, 30, 60], ids=["no", "the first bytes of an", "half an", "nearly an"])
    async def test_a_pod_that_breaks_off_in_the_middle_of_its_answer_is_passed(
        self, router: RouterUnderTest, begun: int
    ) -> None:
        seen: list[str] = []

        async def break_off(batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            seen.extend(delivery.key for delivery in batch)
            writer.write(answer_of(batch)[:begun])
            writer.close()

        _, other = pods_of(router)
        async with scripted_pod(break_off) as url:
            await move_home(router, url)
            assert await router.post(one("w1")) == 200
        assert seen == other.keys == ["w1"]

    async def test_after_a_few_failures_it_is_not_even_asked(self, router: RouterUnderTest) -> None:
        asked: list[str] = []

        async def break_off(batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            asked.extend(delivery.key for delivery in batch)
            writer.close()

        _, other = pods_of(router)
        async with scripted_pod(break_off) as url:
            await move_home(router, url)
            for index in range(20):
                assert await router.post(one(f"w{index}")) == 200
            assert await rests(router)
            [passed] = [each for each in (await told(router))["candidates"] if each["pod"] == HOME["11"]]
            assert passed["standing"] == "avoided"
        assert len(asked) == 3
        assert other.keys == [f"w{index}" for index in range(20)]

    async def test_with_both_pods_gone_it_is_503(self, router: RouterUnderTest) -> None:
        for pod, port in zip(pods_of(router), free_ports(2), strict=True):
            pod.url = f"http://127.0.0.1:{port}"
        await move_home(router, pods_of(router)[0].url)
        for index in range(10):
            assert await router.post(one(f"w{index}")) == 503

    async def test_a_kept_alive_connection_that_has_ended_costs_no_detour(self, router: RouterUnderTest) -> None:
        seen: list[str] = []

        async def answer_and_close(batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            if batch[0].key in seen:
                writer.close()  # this connection has carried a batch before
                return
            seen.extend(delivery.key for delivery in batch)
            writer.write(answer_of(batch))

        _, other = pods_of(router)
        async with scripted_pod(answer_and_close) as url:
            await move_home(router, url)
            assert await router.post(one("w1")) == 200
            # The same again: the pod closes without a word, and the router repeats it on a new connection.
            assert await router.post(one("w1")) == 200
        assert seen == ["w1"]
        assert other.keys == ["w1"]

    async def test_a_pod_killed_with_a_batch_in_its_hands_loses_nothing(self, router: RouterUnderTest) -> None:
        _, other = pods_of(router)
        async with pod_process("hold") as (process, url):
            await move_home(router, url)
            posts = [asyncio.create_task(router.post(one(f"w{index}"))) for index in range(10)]
            await until(lambda: has_connection(process.pid))
            process.kill()
            assert await asyncio.gather(*posts) == [200] * 10
        assert sorted(other.keys) == sorted(f"w{index}" for index in range(10))


class TestAnswersThatAreNone:
    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"answers":[]}',
            b'HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n{"answers":[{"outcome":"stored"},{"outcome":"stored"}]}',
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
            b"HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n" + b'{"answers":[{"outcome":"eaten"   }]}'[:35],
        ],
        ids=["too few", "too many", "no JSON", "nothing", "500", "401", "an unknown word"],
    )
    async def test_they_get_503_and_nobody_else_is_asked(self, router: RouterUnderTest, answer: bytes) -> None:
        async def say(_batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        _, other = pods_of(router)
        async with scripted_pod(say) as url:
            await move_home(router, url)
            assert await router.post(one("w1")) == 503
            assert await router.post(one("w2")) == 503
        assert other.keys == []

    async def test_an_answer_in_pieces_and_in_chunks_is_one(self, router: RouterUnderTest) -> None:
        async def dribble(batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            body = encode_answers(BatchAnswer(answers=[STORED] * len(batch)))
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
                len(body),
                body,
            ):
                writer.write(bytes([byte]))
                await writer.drain()

        async with scripted_pod(dribble) as url:
            await move_home(router, url)
            for index in range(5):
                assert await router.post(one(f"w{index}")) == 200

    async def test_words_that_nobody_asked_for_are_not_taken_for_an_answer(self, router: RouterUnderTest) -> None:
        async def say_twice(batch: list[Delivery], writer: asyncio.StreamWriter) -> None:
            writer.write(answer_of(batch) * 2)

        home, other = pods_of(router)
        async with scripted_pod(say_twice) as url:
            await move_home(router, url)
            for index in range(5):
                assert await router.post(one(f"w{index}")) == 200
        assert (home.keys, other.keys) == ([], [])


class TestFrozenPods:
    async def test_its_numbers_move_on_while_others_notice_nothing(self, router: RouterUnderTest) -> None:
        home, other = pods_of(router)
        home.thawed = asyncio.Event()
        frozen = asyncio.create_task(router.post(one("frozen")))
        await until(lambda: home.waiting > 0)
        for index in range(50):
            assert await router.post(one(f"other-{index}", "22")) == 200
        assert not frozen.done()
        await until(lambda: rests(router))
        assert await router.post(one("moved")) == 200
        assert not home.stored
        assert await frozen == 503
        home.thawed.set()

        async def is_home_again() -> bool:
            return not await rests(router)

        await until(is_home_again)
        assert await router.post(one("back")) == 200
        assert home.keys[-1] == "back"
        assert other.keys[-1] == "moved"

    async def test_what_waits_for_it_goes_elsewhere_when_its_rest_begins(self, router: RouterUnderTest) -> None:
        home, other = pods_of(router)
        home.thawed = asyncio.Event()
        frozen = asyncio.create_task(router.post(one("frozen")))
        await until(lambda: home.waiting > 0)
        waiting = [asyncio.create_task(router.post(one(f"w{index}"))) for index in range(20)]
        assert await asyncio.gather(*waiting) == [200] * 20
        assert not frozen.done()
        assert sorted(other.keys) == sorted(f"w{index}" for index in range(20))
        home.thawed.set()
        assert await frozen in {200, 503}

    async def test_the_only_pod_of_a_group_is_waited_for(self, router: RouterUnderTest) -> None:
        pod = router.pods["own-0"]
        pod.thawed = asyncio.Event()
        posts = [
            asyncio.create_task(router.post(one(f"w{i}", "33"), path="/webhook/brand", secret="brand-secret"))
            for i in range(5)
        ]
        await until(lambda: pod.waiting > 0)

        async def resting() -> bool:
            explanation = await told(router, "33")
            assert explanation["pod"] == "own-0"
            return bool(explanation["resting"] == ["own-0"])

        await until(resting)
        pod.thawed.set()
        assert set(await asyncio.gather(*posts)) == {200}
        assert len(pod.stored) == 5

    async def test_a_process_that_is_stopped_and_goes_on_again(self, router: RouterUnderTest) -> None:
        _, other = pods_of(router)
        wamids = (f"w{index}" for index in count())
        async with pod_process() as (process, url):
            await move_home(router, url)
            assert await router.post(one(next(wamids))) == 200
            os.kill(process.pid, signal.SIGSTOP)
            frozen = asyncio.create_task(router.post(one(next(wamids))))
            await until(lambda: rests(router))
            assert await router.post(one("moved")) == 200
            assert other.keys == ["moved"]
            assert await frozen == 503
            os.kill(process.pid, signal.SIGCONT)

            async def is_home_again() -> bool:
                return not await rests(router)

            await until(is_home_again)
            assert await router.post(one(next(wamids))) == 200
            assert other.keys == ["moved"]


class TestBounds:
    async def test_over_its_queue_a_pods_webhooks_get_503_at_once_and_others_200(self, tmp_path: Path) -> None:
        async with router_under_test(tmp_path, pod_queue_deliveries=5, deadline_seconds=20, stall_seconds=20) as router:
            home, _ = pods_of(router)
            home.thawed = asyncio.Event()
            held = [asyncio.create_task(router.post(one(f"w{index}"))) for index in range(5)]
            await until(lambda: home.waiting > 0)

            async def refused() -> bool:
                return await router.post(one("too many")) == 503

            await until(refused)
            assert await router.post(one("other", "22")) == 200
            assert not any(task.done() for task in held)
            home.thawed.set()
            assert await asyncio.gather(*held) == [200] * 5

    async def test_one_webhook_may_be_larger_than_the_queue(self, tmp_path: Path) -> None:
        async with router_under_test(tmp_path, pod_queue_deliveries=5, deadline_seconds=20) as router:
            items = [text_message(f"w{index}") for index in range(1000)]
            assert await router.post(webhook(change("11", messages=items))) == 200

    async def test_more_items_than_a_batch_may_hold_go_in_several(self, tmp_path: Path) -> None:
        async with router_under_test(tmp_path, deadline_seconds=20, stall_seconds=20) as router:
            items = [text_message(f"w{index}") for index in range(3000)]
            assert await router.post(webhook(change("11", messages=items))) == 200
            home, _ = pods_of(router)
            assert home.keys == [item["id"] for item in items]
            assert max(home.batches) <= MAX_BATCH

    async def test_over_the_memory_of_all_webhooks_it_is_503(self, tmp_path: Path) -> None:
        async with router_under_test(tmp_path, under_way_bytes=4 * 1024 * 1024, deadline_seconds=20) as router:
            home, _ = pods_of(router)
            home.thawed = asyncio.Event()
            large = webhook(change("11", messages=[text_message("large", text="x" * 2_500_000)]))
            held = asyncio.create_task(router.post(large))
            await until(lambda: home.waiting > 0)
            assert await router.post(large) == 503
            assert await router.post(one("small", "22")) == 200
            home.thawed.set()
            assert await held == 200


def has_connection(pid: int) -> bool:
    """Tell whether a process has a connection on which it has read all that came."""
    return any(each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(pid).net_connections())


@asynccontextmanager
async def pod_process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    [port] = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.test_router.pod_process", str(port), *arguments)
    )
    try:
        await until(lambda: listens(port), 30)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
