"""The directory follows a real kube-apiserver with our CRDs; the tests write what the operator would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import ENDPOINT_SLICES, Selection
from comanda_router.directory.kubernetes import APPS, TENANTS, KubernetesDirectory
from comanda_router.directory.snapshot import Snapshot, load_snapshot, save_snapshot
from tests.cluster import ApiServer, FaultProxy, api_server
from tests.harness import until
from tests.test_router.directory_cluster import (
    BINDINGS,
    CRDS,
    FILES,
    MANY,
    PACE,
    QUICK,
    RULES,
    apply_many,
    apply_slice,
    apply_tenant,
    bind,
    following,
    install,
    is_ready,
    new_number,
    pods_of,
    reaching,
    service_account,
    synced,
    tenant_of,
)
from tests.test_router.directory_objects import (
    NOT_LOADED,
    READY,
    app,
    condition,
    endpoint,
    endpoint_slice,
    status,
    tenant,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[ApiServer]:
    """An API of this module's own, without history beyond etcd's, to be compacted, killed and started again."""
    async with api_server("--watch-cache=false") as server:
        assert await install(server) == [], "the API warns of our CRDs"
        yield server


@pytest.fixture
async def admin(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(from_kubeconfig([server.kubeconfig()]), "operator") as client:
        yield client


@pytest.fixture
async def home(server: ApiServer) -> AsyncIterator[str]:
    """A namespace; everything in it is gone afterwards."""
    name = await server.create_namespace()
    yield name
    await server.erase(name)


@pytest.fixture
async def proxy(server: ApiServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.port) as proxy:
        yield proxy


class TestTenants:
    async def test_one_that_the_operator_has_placed_is_in_the_directory(self, admin: Client, home: str) -> None:
        number = new_number()
        async with synced(admin) as followed:
            await apply_tenant(
                admin, home, number, status(f"{home}/pool", NOT_LOADED), limits={"inboundPerMinute": 60}, appRef="brand"
            )
            await until(lambda: bool((entry := followed.entry(number)) and entry.group))
            assert followed.entry(number) == NumberEntry(
                phone_number_id=number,
                tenant=f"{home}/t{number}",
                app="brand",
                group=f"{home}/pool",
                ready=False,
                waba_id="102290129340398",
                inbound_per_minute=60,
                inbound_burst=300,
            )
            await apply_tenant(admin, home, number, status(f"{home}/pool", READY), appRef="brand")
            await until(lambda: is_ready(followed, number))

    async def test_one_that_was_ready_stays_so_while_a_later_generation_rolls_out(
        self, admin: Client, home: str
    ) -> None:
        number, other = new_number(), new_number()
        async with synced(admin) as followed:
            await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
            await until(lambda: is_ready(followed, number))
            loading = condition("Ready", "False", "Loading")
            await apply_tenant(admin, home, number, status(f"{home}/pool", loading), displayName="Napoli II")
            await apply_tenant(admin, home, other, status(f"{home}/pool", READY))
            await until(lambda: is_ready(followed, other))
            seen = [
                entry.ready for given in followed.given for entry in given.numbers if entry.phone_number_id == number
            ]
            assert seen.index(True) + seen.count(True) == len(seen)

    async def test_of_two_with_one_number_the_accepted_one_has_it_and_the_other_takes_over(
        self, admin: Client, home: str
    ) -> None:
        number = new_number()
        first, second = tenant(home, "first", number), tenant(home, "second", number)
        async with synced(admin) as followed:
            await admin.apply(TENANTS, first)
            await admin.apply(TENANTS, second)
            for made, accepted in ((first, "True"), (second, "False")):
                said = status(f"{home}/pool", READY, accepted=accepted)
                await admin.apply_status(TENANTS, {"metadata": made["metadata"], "status": said})
            await until(lambda: tenant_of(followed, number) == f"{home}/first")
            await admin.delete(TENANTS, home, "first")
            await until(lambda: followed.entry(number) is None)
            said = status(f"{home}/pool", READY)
            await admin.apply_status(TENANTS, {"metadata": second["metadata"], "status": said})
            await until(lambda: tenant_of(followed, number) == f"{home}/second")

    async def test_one_that_is_deleted_is_gone_while_a_finalizer_still_keeps_it(self, admin: Client, home: str) -> None:
        number = new_number()
        async with synced(admin) as followed:
            name = await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
            kept = tenant(home, name, number)
            kept["metadata"]["finalizers"] = ["comanda.dev/data"]
            await admin.apply(TENANTS, kept)
            await until(lambda: followed.entry(number) is not None)
            await admin.delete(TENANTS, home, name)
            await until(lambda: followed.entry(number) is None)
            assert (await admin.get(TENANTS, home, name))["metadata"]["deletionTimestamp"]

    async def test_a_status_names_its_group_with_the_longest_names(self, admin: Client, home: str) -> None:
        name = await apply_tenant(admin, home, new_number(), status(f"{'n' * 63}/{'s' * 253}", READY))
        assert len((await admin.get(TENANTS, home, name))["status"]["group"]) == 317


class TestApps:
    async def test_those_that_are_accepted_are_in_the_directory(self, admin: Client, home: str) -> None:
        names = {f"app-{new_number()}" for _ in range(3)}
        async with synced(admin) as followed:
            for name in (*names, "refused"):
                made = app(home, name)
                await admin.apply(APPS, made)
                said = {"conditions": [condition("Accepted", "False" if name == "refused" else "True")]}
                await admin.apply_status(APPS, {"metadata": made["metadata"], "status": said})
            await until(lambda: set(followed.now.apps) == names)
            await admin.delete(APPS, home, gone := min(names))
            await until(lambda: set(followed.now.apps) == names - {gone})


class TestEndpoints:
    async def test_pods_come_get_ready_end_and_go(self, admin: Client, home: str) -> None:
        group = f"{home}/pool"
        async with synced(admin) as followed:
            first, second = endpoint("pool-0", "10.0.0.1"), endpoint("pool-1", "10.0.0.2", ready=False, serving=False)
            await apply_slice(admin, endpoint_slice(home, "pool", first, second))
            await until(lambda: followed.pods(group) == {"pool-0": True, "pool-1": False})
            found = followed.group(group)
            assert found is not None
            assert found.uid == "uid-1"
            assert found.pods[0] == PodEndpoint(name="pool-0", url="http://10.0.0.1:8080", ready=True)
            leaving = endpoint("pool-0", "10.0.0.1", ready=False, terminating=True)
            await apply_slice(admin, endpoint_slice(home, "pool", leaving, endpoint("pool-1", "10.0.0.2")))
            await until(lambda: followed.pods(group) == {"pool-0": False, "pool-1": True})
            await apply_slice(admin, endpoint_slice(home, "pool", endpoint("pool-1", "10.0.0.2")))
            await until(lambda: followed.pods(group) == {"pool-1": True})

    async def test_slices_of_both_families_are_one_group(self, admin: Client, home: str) -> None:
        group = f"{home}/pool"
        async with synced(admin) as followed:
            old = endpoint_slice(home, "pool", endpoint("pool-0", "10.0.0.1", ready=False), name="pool-4")
            new = endpoint_slice(home, "pool", endpoint("pool-0", "fd00::1"), name="pool-6", family="IPv6")
            await apply_slice(admin, old)
            await apply_slice(admin, new)
            ready = (PodEndpoint(name="pool-0", url="http://[fd00::1]:8080", ready=True),)
            await until(lambda: pods_of(followed, group) == ready)

    async def test_a_group_whose_service_is_gone_has_no_pods(self, admin: Client, home: str) -> None:
        number = new_number()
        for name in ("pool", "other", "third"):
            await apply_slice(admin, endpoint_slice(home, name, endpoint(f"{name}-0", "10.0.0.1")))
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        async with synced(admin) as followed:
            await until(lambda: followed.pods(f"{home}/pool") == {"pool-0": True})
            await admin.delete(ENDPOINT_SLICES, home, "pool-abc12")
            await until(lambda: followed.group(f"{home}/pool") == Group(name=f"{home}/pool", uid=""))
            assert is_ready(followed, number)


class TestPace:
    async def test_many_tenants_make_few_directories(self, admin: Client, home: str) -> None:
        numbers = [new_number() for _ in range(300)]
        await apply_many(admin, home, numbers)
        async with following(admin) as followed:
            await until(lambda: followed.numbers() >= set(numbers))
            assert len(followed.given) == 1, "nothing is given before the first lists are complete"
            began = time.monotonic()
            await apply_many(admin, home, numbers, "other")
            await until(lambda: all(entry.group == f"{home}/other" for entry in followed.now.numbers))
            most = (time.monotonic() - began) / PACE.directory
            assert len(followed.given) - 1 <= most + 1
            generations = [given.generation for given in followed.given]
            assert generations == sorted(set(generations))

    async def test_what_changes_nothing_for_routing_makes_no_directory(self, admin: Client, home: str) -> None:
        number, other = new_number(), new_number()
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        async with synced(admin) as followed:
            before = len(followed.given)
            await apply_tenant(admin, home, number, status(f"{home}/pool", READY), currency="CLP")
            await apply_tenant(admin, home, other, status(f"{home}/pool", READY))
            await until(lambda: followed.entry(other) is not None)
            assert len(followed.given) == before + 1


class TestFaults:
    async def test_a_watch_that_was_cut_goes_on(
        self, admin: Client, server: ApiServer, proxy: FaultProxy, home: str
    ) -> None:
        early, late = new_number(), new_number()
        await apply_tenant(admin, home, early, status(f"{home}/pool", READY))
        async with reaching(server, proxy.port) as distant, following(distant) as followed:
            await until(lambda: followed.entry(early) is not None)
            proxy.cut()
            await admin.delete(TENANTS, home, f"t{early}")
            await apply_tenant(admin, home, late, status(f"{home}/pool", READY))
            await until(lambda: followed.numbers() & {early, late} == {late})

    async def test_an_api_that_is_killed_changes_nothing_and_is_followed_again(
        self, admin: Client, server: ApiServer, home: str, tmp_path: Path
    ) -> None:
        """A router that starts meanwhile serves from its snapshot."""
        path, number, later = tmp_path / "snapshot", new_number(), new_number()
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        await apply_slice(admin, endpoint_slice(home, "pool", endpoint("pool-0", "10.0.0.1")))
        async with following(admin, path) as followed:
            await until(lambda: followed.pods(f"{home}/pool") == {"pool-0": True})
            assert followed.directory.condition.reason == "Following"
            server.api.kill()
            server.etcd.kill()
            await until(lambda: set(followed.directory.failing) == {"tenants", "apps", "endpoints"})
            before = followed.now
            assert is_ready(followed, number)
        async with reaching(server) as client, following(client, path) as restarted:
            assert restarted.given == [before], "what the snapshot says is there before anything is asked"
            assert restarted.directory.from_snapshot
            assert restarted.directory.condition.reason == "FromSnapshot"
            assert 0 <= restarted.directory.age_seconds < 60
            await until(lambda: "tenants" in restarted.directory.failing)
            assert restarted.given == [before]
            await server.start()
            await apply_tenant(admin, home, later, status(f"{home}/pool", READY))
            await until(lambda: is_ready(restarted, later))
            await until(lambda: restarted.directory.condition.reason == "Following")
            assert restarted.directory.condition.status == "True"
            assert restarted.directory.facts["from_snapshot"] == 0
            assert restarted.now.generation > before.generation
            assert is_ready(restarted, number)

    async def test_an_api_that_has_fallen_silent_is_a_condition_and_no_failure(
        self, admin: Client, server: ApiServer, home: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("comanda_router.directory.kubernetes.STALE_SECONDS", 3.0)  # longer than a quick watch
        number = new_number()
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        async with following(admin, pace=QUICK) as followed:
            await until(lambda: is_ready(followed, number))
            server.api.freeze()
            try:
                await until(lambda: followed.directory.condition.reason == "Silent")
                assert is_ready(followed, number)
            finally:
                server.api.thaw()
            await until(lambda: followed.directory.condition.reason == "Following")

    async def test_what_ends_it_before_its_time_is_told(self, admin: Client) -> None:
        told = asyncio.Event()

        async def refuse(_: Directory) -> None:
            told.set()
            raise LookupError("a fault of the listener")

        directory = KubernetesDirectory(admin, refuse, watching=QUICK)
        with pytest.RaisesGroup(LookupError):
            async with directory.following():
                await told.wait()

    async def test_a_list_that_is_suddenly_empty_is_believed_the_second_time(
        self, admin: Client, server: ApiServer, proxy: FaultProxy, home: str
    ) -> None:
        doomed = await server.create_namespace()
        numbers = [new_number() for _ in range(MANY)]
        await apply_many(admin, doomed, numbers)
        async with reaching(server, proxy.port) as distant, following(distant, pace=QUICK) as followed:
            await until(lambda: followed.numbers() >= set(numbers))
            await proxy.refuse()
            await server.erase(doomed)
            await apply_tenant(admin, home, new_number(), status(f"{home}/pool", READY))
            await server.compact()
            await proxy.accept()
            await until(lambda: followed.directory.held["tenants"] == MANY)
            assert followed.numbers() >= set(numbers)
            await until(lambda: not followed.numbers() & set(numbers))
            assert followed.directory.holds == 1

    async def test_a_snapshot_is_not_given_up_for_an_empty_api(self, admin: Client, home: str, tmp_path: Path) -> None:
        numbers = tuple(
            NumberEntry(phone_number_id=f"9{number}", tenant=f"{home}/gone", app="default", group=f"{home}/pool")
            for number in range(MANY)
        )
        path = tmp_path / "snapshot"
        save_snapshot(path, Snapshot(Directory(generation=41, numbers=numbers), time.time()))
        async with following(admin, path, QUICK) as followed:
            await until(lambda: followed.directory.held["tenants"] == MANY)
            assert followed.now.numbers == numbers
            await until(lambda: followed.now.numbers == ())
            assert followed.now.generation == 42

    async def test_a_broken_snapshot_is_refused_counted_and_replaced(
        self, admin: Client, home: str, tmp_path: Path
    ) -> None:
        path, number = tmp_path / "snapshot", new_number()
        path.write_text('{"format":1,"generation":9}\n{"numbers":[')
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        async with following(admin, path) as followed:
            assert followed.directory.snapshots_refused == 1
            assert followed.given == []
            assert followed.directory.condition.reason == "NotLoaded"
            await until(lambda: followed.entry(number) is not None)
        saved = load_snapshot(path)
        assert saved is not None
        assert saved.directory == followed.now

    async def test_a_snapshot_that_cannot_be_written_is_no_failure(
        self, admin: Client, home: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        number = new_number()
        async with following(admin, tmp_path / "file" / "snapshot") as followed:
            await until(lambda: followed.directory.snapshots_failed > 1)
            await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
            await until(lambda: followed.entry(number) is not None)

    async def test_a_kind_that_the_api_has_forgotten_is_remembered(self) -> None:
        numbers = [new_number() for _ in range(MANY)]
        crd = yaml.safe_load((FILES[0].parent / "whatsapptenants.yaml").read_text())
        async with api_server() as other, FaultProxy(other.port) as proxy, reaching(other) as admin:
            await install(other)
            home = await other.create_namespace()
            await apply_many(admin, home, numbers)
            async with reaching(other, proxy.port) as distant, following(distant, pace=QUICK) as followed:
                await until(lambda: followed.numbers() == set(numbers))
                await proxy.refuse()
                await admin.delete(CRDS, "", crd["metadata"]["name"])
                await until(lambda: _is_gone(admin), 60, "the kind is gone")
                await proxy.accept()
                await until(lambda: followed.directory.failing.get("tenants") == "kubernetes_not_found")
                assert followed.numbers() == set(numbers)
                await admin.apply(CRDS, crd)
                await until(lambda: not followed.directory.failing, 60)
                await apply_many(admin, home, numbers, "again")
                await until(lambda: [entry.group for entry in followed.now.numbers] == [f"{home}/again"] * MANY)


async def _is_gone(admin: Client) -> bool:
    try:
        async for _ in admin.list(Selection(TENANTS)):
            return False
    except NotFoundError:
        return True
    return False


class TestRights:
    async def test_to_list_and_watch_three_kinds_is_all_that_is_asked_and_all_that_is_needed(
        self, admin: Client, server: ApiServer, home: str
    ) -> None:
        token, number = await service_account(admin, home), new_number()
        await bind(admin, home)
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        await apply_slice(admin, endpoint_slice(home, "pool", endpoint("pool-0", "10.0.0.1")))
        async with reaching(server, token=token) as router, following(router, pace=QUICK) as followed:
            await until(lambda: is_ready(followed, number) and followed.pods(f"{home}/pool") == {"pool-0": True})
            watches = [source.informer for source in followed.directory._sources.values()]
            await until(lambda: all(informer.watches > 1 for informer in watches))
        user = f"system:serviceaccount:{home}:router"
        asked = [entry for entry in server.audit() if entry["user"]["username"] == user]
        wanted = {(verb, kind) for rule in RULES for kind in rule["resources"] for verb in rule["verbs"]}
        answered = [entry for entry in asked if entry["responseStatus"]["code"] != 403]
        assert {(entry["verb"], entry["objectRef"]["resource"]) for entry in answered} == wanted
        refused = {(entry["verb"], entry["objectRef"]["resource"]) for entry in asked if entry not in answered}
        assert refused <= wanted, "before the API knows the new role"

    async def test_rights_that_are_taken_away_change_nothing(self, admin: Client, server: ApiServer, home: str) -> None:
        token, number, later = await service_account(admin, home), new_number(), new_number()
        await bind(admin, home)
        await apply_tenant(admin, home, number, status(f"{home}/pool", READY))
        async with reaching(server, token=token) as router, following(router, pace=QUICK) as followed:
            await until(lambda: is_ready(followed, number))
            await admin.delete(BINDINGS, "", f"router-{home}")
            codes = {"tenants": "kubernetes_forbidden", "apps": "kubernetes_forbidden"}
            await until(lambda: followed.directory.failing.items() >= codes.items())
            assert "Following tenants fails: kubernetes_forbidden." in followed.directory.condition.message
            assert is_ready(followed, number)
            await apply_tenant(admin, home, later, status(f"{home}/pool", READY))
            await bind(admin, home)
            await until(lambda: is_ready(followed, later))
            assert is_ready(followed, number)
