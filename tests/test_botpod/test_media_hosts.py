from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohappyeyeballs
import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from comanda_botpod.media_errors import MediaRefusedError, MediaUnavailableError
from comanda_botpod.media_hosts import check_url, is_public, origin_of
from tests.test_botpod.media_server import PNG, TENANT, TOKEN, Meta, client_of, refused, serving_meta

LOOPBACK = [
    *("127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0x7f000001"),
    *("2130706433", "017700000001", "0", "0.0.0.0", "127.0.0.1.", "127.0.0.1..", "127。0。0。1", "①②⑦.⓪.⓪.①"),
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost.localdomain", "lo%63alhost", "localhost%00"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:0:127.0.0.1]", "[::1%25lo]"),
]
INNER = [
    *(
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
    ),
    *(
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fe80::a9fe:a9fe]",
        "metadata.google.internal",
        "metadata",
    ),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "10.0.0.1", "10.1", "012.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "kubernetes.default.svc", "kubernetes.default.svc."),
]
TRICKS = [
    "https://lookaside.fbsbx.com@127.0.0.1:{port}/x",
    "https://lookaside.fbsbx.com:443@127.0.0.1:{port}/x",
    "https://user:password@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}#@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}?@lookaside.fbsbx.com/x",
    "https://127.0.0.1:{port}\\@lookaside.fbsbx.com/x",
    "https://lookaside.fbsbx.com\\@127.0.0.1:{port}/x",
    "https://127.0.0.1:{port}/lookaside.fbsbx.com",
    "https://127.0.0.1:{port}%2F.fbsbx.com/x",
    "https://127.0.0.1%3A{port}%2F.fbsbx.com/x",
    "https://127.0.0.1%00.fbsbx.com/x",
    "https://127.0.0.1 .fbsbx.com/x",
    "https://127.0.0.1\t.fbsbx.com/x",
    "https://127.0.0.1\r\nHost: lookaside.fbsbx.com/x",
    "https://lookaside.fbsbx.com.127.0.0.1.nip.io/x",
    "https://fbsbx.com.localhost:{port}/x",
    "https://evilfbsbx.com/x",
    "https://lookaside.fbsbxxcom/x",
    "https://mmg.whatsappxnet/x",
    "https://mmg.whatsapp.net.evil.test/x",
    "https://evil.test/x?lookaside.fbsbx.com",
    "https://evil.test/x",
    "https://fbsbx.com/x",
    "https://lookaside.fbsbx.com.evil.test/x",
    "https://lookaside.fbsbx.com./x",
    "https://LOOKASIDE.FBSBX.COM:{port}/x",
    "https://lookaside.fbsbx.com:{port}/x",
    "https://lookaside.fbsbx.com:0/x",
    "https://lookaside.fbsbx.com:65536/x",
    "http://lookaside.fbsbx.com/x",
    "https://lookaside。fbsbx。com/x",
    "https://lookaside.fbsbx.cοm/x",
    "https://graph.facebook.com.localhost/x",
    "https://-.fbsbx.com/x",
    "https://a..fbsbx.com/x",
    "https://.fbsbx.com/x",
    "HTTP://127.0.0.1:{port}/x",
    "hTTps://127.0.0.1:{port}/x",
    "http:127.0.0.1:{port}/x",
    "http:/127.0.0.1:{port}/x",
    "http:///127.0.0.1:{port}/x",
    "http:\\\\127.0.0.1:{port}\\x",
    "//127.0.0.1:{port}/x",
    "/x",
    "",
    "https://",
    "https:///x",
    "https://[/x",
    "https://[::1/x",
    "https://[::ffff:127.0.0.1]:{port}/x",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/x",
    "gopher://127.0.0.1:{port}/_x",
    "ws://127.0.0.1:{port}/x",
    "unix:///var/run/docker.sock",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    " https://127.0.0.1:{port}/x",
    "url:https://127.0.0.1:{port}/x",
    "https://" + "a." * 3000 + "fbsbx.com/x",
]
FORMS = [
    *(f"https://{host}/x" for host in (*LOOPBACK, *INNER)),
    *(f"http://{host}:{{port}}/x" for host in (*LOOPBACK, *INNER)),
    *(f"https://{host}:{{port}}/x" for host in LOOPBACK),
    *TRICKS,
]
FORBIDDEN = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::1"),
    *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *(
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
    ),
    *("ff02::1", "100::1", "4000::1", "", "no address"),
]
PUBLIC = ["157.240.1.35", "31.13.64.1", "1.1.1.1", "2a03:2880:f1ff:83:face:b00c:0:25de", "64:ff9b::9df0:123"]


class Names(AbstractResolver):
    """Answers every name with the next of some answers, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in answer
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    async with serving_meta() as found:
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@dataclass
class Watch:
    """Counts who comes to a forbidden place, and where anybody tried to go but home."""

    port: int = 0
    visits: int = 0
    dialled: list[str] = field(default_factory=list)


@pytest.fixture
async def watch(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    found = Watch()
    home = URL(meta.url).port
    dial = aiohappyeyeballs.start_connection

    async def dial_home_only(addr_infos: Any, **options: Any) -> socket.socket:
        if {info[4][1] for info in addr_infos} == {home}:
            return await dial(addr_infos, **options)
        found.dialled += [info[4][0] for info in addr_infos]
        message = "this test lets nobody out"
        raise OSError(message)

    def visit(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visits += 1
        writer.close()

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", dial_home_only)
    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        async with await asyncio.start_server(visit, "::1", found.port):
            yield found


class TestWhereFilesAreFetchedFrom:
    def test_there_are_more_than_a_hundred_forms(self) -> None:
        assert len(set(FORMS)) > 100

    @pytest.mark.parametrize("form", FORMS)
    async def test_a_forbidden_place_is_never_connected_to(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, form: str
    ) -> None:
        meta.node = {"url": form.replace("{port}", str(watch.port))}
        names = Names(["127.0.0.1", "::1"])
        async with client_of(session, meta.url, resolver=names) as client:
            assert await refused(client) in {"url", "address"}
        assert (watch.visits, watch.dialled, meta.fetched) == (0, [], [])

    @pytest.mark.parametrize("form", TRICKS)
    async def test_a_public_host_that_is_not_metas_never_sees_the_token(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, form: str
    ) -> None:
        meta.node = {"url": form.replace("{port}", str(watch.port))}
        names = Names([PUBLIC[0]])
        async with client_of(session, meta.url, resolver=names) as client:
            assert await refused(client) == "url"
        assert (watch.visits, watch.dialled, names.asked, meta.fetched) == (0, [], [], [])

    @pytest.mark.parametrize("address", FORBIDDEN)
    @pytest.mark.parametrize("host", ["lookaside.fbsbx.com", "mmg.whatsapp.net"])
    async def test_metas_host_at_a_forbidden_address_is_not_connected_to(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, host: str, address: str
    ) -> None:
        meta.node = {"url": f"https://{host}/x"}
        names = Names([PUBLIC[0], address])
        async with client_of(session, meta.url, resolver=names) as client:
            assert await refused(client) == "address"
        assert (watch.visits, watch.dialled, names.asked) == (0, [], [host])

    @pytest.mark.parametrize("address", PUBLIC)
    async def test_a_name_that_is_bound_anew_is_connected_to_as_it_was_checked(
        self, session: aiohttp.ClientSession, meta: Meta, watch: Watch, address: str
    ) -> None:
        meta.node = {"url": "https://lookaside.fbsbx.com/x"}
        names = Names([address], ["127.0.0.1"])
        async with client_of(session, meta.url, resolver=names) as client:
            with pytest.raises(MediaUnavailableError):
                await client.download(TENANT, TOKEN, "1")
            assert watch.dialled == [address]
            assert names.asked == ["lookaside.fbsbx.com"]
            assert await refused(client) == "address"
        assert (watch.visits, watch.dialled) == (0, [address])

    async def test_home_may_have_a_name_and_a_private_address(self, meta: Meta) -> None:
        url = meta.url.replace("127.0.0.1", "simulator.test")
        meta.node = {"url": f"{url}/file"}
        names = Names(["127.0.0.1"])
        resolving = aiohttp.TCPConnector(resolver=names)
        async with aiohttp.ClientSession(connector=resolving) as named, client_of(named, url, resolver=names) as client:
            assert (await client.download(TENANT, TOKEN, "1")).content == PNG

    @pytest.mark.parametrize(
        "url",
        [
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=A%2Bb_-~",
            "https://scontent.xx.fbsbx.com/v/t1.png",
            "https://mmg.whatsapp.net/d/f/A.enc",
            "https://lookaside.fbsbx.com:443/x",
            "https://lookaside.fbsbx.com:/x:8443",
            "http://simulator:8090/media/1?expires=2&ticket=a",
        ],
    )
    def test_metas_own_and_home_are_taken_byte_for_byte(self, url: str) -> None:
        assert str(check_url(url, origin_of("http://simulator:8090/"))).replace(":443", "") == url.replace(":443", "")

    @pytest.mark.parametrize(
        "url",
        [
            "http://simulator:8091/x",
            "https://simulator:8090/x",
            "http://simulator/x",
            "http://other:8090/x",
            "http://lookaside.fbsbx.com:443/x",
            "https://lookaside.fbsbx.com:8443/x",
        ],
    )
    def test_home_is_one_origin_and_meta_is_at_one_port(self, url: str) -> None:
        with pytest.raises(MediaRefusedError, match=r"not Meta's"):
            check_url(url, origin_of("http://simulator:8090"))

    @pytest.mark.parametrize("address", FORBIDDEN)
    def test_no_forbidden_address_is_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", PUBLIC)
    def test_metas_addresses_are_public(self, address: str) -> None:
        assert is_public(address)
