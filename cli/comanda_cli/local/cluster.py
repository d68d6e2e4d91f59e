"""Local mode as a small control loop: folder → plan → files and processes → directory.

The same order as in a cluster: the router knows a number from the start, sends its messages on once every ready pod of
its group has loaded it, and forgets it before its pods do. So no message is lost while files change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import msgspec
from watchfiles import awatch

from comanda_cli.folder import Contents, Folder
from comanda_cli.local.events import Events
from comanda_cli.local.layout import Layout, write_atomic
from comanda_cli.local.mounts import encode_simulator_config, mount_apps, mount_group, simulator_config
from comanda_cli.local.processes import ManagedProcess, ProcessSpec, free_port, port_is_free
from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from comanda_contract.errors import ComandaError, InvalidInputError, UnavailableError
from comanda_contract.names import group_key
from comanda_operator.plan import GroupPlan, Plan, plan
from comanda_store.sqlite.engine import sqlite_url

READY_SECONDS = 60.0
"""How long everything may take to become ready before `comanda up` gives up."""

SWEEP_MS = 1000
"""How often the folder is looked at without any event."""


@dataclass(frozen=True)
class LocalOptions:
    """What `comanda up` was asked for."""

    folder: Path
    data_dir: Path
    router_port: int = 8080
    simulator_port: int = 8090
    host: str = "127.0.0.1"
    """Address on which router and simulator listen."""
    graph_url: str | None = None
    database_url: str | None = None
    """PostgreSQL of pools that name no database."""

    @property
    def address(self) -> str:
        """Where this machine itself reaches them."""
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104 - compared, not listened on

    @property
    def router_url(self) -> str:
        """Where the router is."""
        return f"http://{self.address}:{self.router_port}"

    @property
    def simulator_url(self) -> str | None:
        """Where the simulator is; None when another Graph endpoint is used."""
        return None if self.graph_url else f"http://{self.address}:{self.simulator_port}"


@dataclass
class _RunningGroup:
    plan: GroupPlan
    expected: str
    pods: dict[str, tuple[ManagedProcess, str]]

    @property
    def loaded(self) -> bool:
        """Whether all ready pods, and at least one, have loaded the group's files as they are now."""
        ready = [process for process, _ in self.pods.values() if process.readiness.ready]
        return bool(ready) and all(process.readiness.loaded == self.expected for process in ready)


class LocalCluster:
    """Everything that runs on this machine for one folder of resources."""

    def __init__(self, options: LocalOptions, events: Events, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._events = events
        self._session = session
        self._layout = Layout(options.data_dir)
        self._folder = Folder(options.folder)
        self._changed = asyncio.Event()
        self._groups: dict[str, _RunningGroup] = {}
        self._served: set[str] = set()
        self._generation = 0
        self._published: Directory | None = None
        self._said: set[tuple[str, ...]] = set()
        self._router: ManagedProcess | None = None
        self._simulator: ManagedProcess | None = None
        self._plan = Plan((), (), ())
        self._master_key = b""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises `ComandaError` when it cannot start."""
        self._check_ports()
        self._layout.prepare()
        with self._layout.locked():
            self._master_key = self._layout.master_key()
            try:
                await self._start()
                await self._until_ready(stop)
                await self._follow(stop)
            finally:
                await self._stop()

    def _check_ports(self) -> None:
        ports = [("--router-port", self._options.router_port)]
        if self._options.simulator_url is not None:
            ports.append(("--simulator-port", self._options.simulator_port))
        for option, port in ports:
            if not port_is_free(port):
                raise InvalidInputError(
                    option, f"port {port} is in use.", hint=f"Stop what uses it or choose another one with {option}."
                )

    async def _start(self) -> None:
        self._events.say("starting", what=f"the tenants in {self._options.folder}")
        await self._reconcile(self._folder.read())
        if self._options.simulator_url is not None:
            self._simulator = self._process(self._simulator_spec())
        self._router = self._process(self._router_spec())

    async def _until_ready(self, stop: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not self._all_ready() and not stop.is_set():
                    await self._wait_for_change()
                    self._publish_directory()
        except TimeoutError:
            raise UnavailableError(
                f"Not everything became ready within {READY_SECONDS:.0f} s: {', '.join(self._unready())}.",
                hint=f"Look into the logs in {self._layout.logs_dir}.",
            ) from None
        if stop.is_set():
            return
        options = self._options
        self._events.say(
            "ready", router=options.router_url, simulator=options.simulator_url, data_dir=str(options.data_dir)
        )
        if options.simulator_url is not None:
            self._events.say("simulator", url=options.simulator_url)

    def _processes(self) -> Iterable[ManagedProcess]:
        yield from (process for process in (self._simulator, self._router) if process is not None)
        for group in self._groups.values():
            yield from (process for process, _ in group.pods.values())

    def _all_ready(self) -> bool:
        return not self._unready() and all(group.loaded or not group.pods for group in self._groups.values())

    def _unready(self) -> list[str]:
        return [process.spec.name for process in self._processes() if not process.readiness.ready]

    async def _follow(self, stop: asyncio.Event) -> None:
        """React to changed files and to processes that come and go."""
        watching = asyncio.create_task(self._watch_files(stop), name="watch-files")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            while not stop.is_set():
                change = asyncio.create_task(self._wait_for_change())
                await asyncio.wait({change, stopping, watching}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if watching.done():
                    watching.result()
                    return
                self._publish_directory()
        finally:
            watching.cancel()
            stopping.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)

    async def _watch_files(self, stop: asyncio.Event) -> None:
        # An event only says when to look. Looking now and then as well catches what was changed before the watch began,
        # and what a network file system never tells.
        changes = awatch(
            self._options.folder, stop_event=stop, debounce=200, step=50, rust_timeout=SWEEP_MS, yield_on_timeout=True
        )
        async for _ in changes:
            try:
                if self._folder.changed():
                    await self._reconcile(self._folder.read())
            except (ComandaError, OSError) as error:
                # The folder may be gone for a moment, for instance while Git changes branches.
                self._events.say("reload_failed", message=str(error))

    async def _wait_for_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _reconcile(self, contents: Contents) -> None:
        """Bring files and processes in line with a plan of what the folder holds now."""
        self._say_problems(contents)
        wanted = plan(contents.observed())
        self._say_verdicts(wanted)
        secrets = contents.secret_values()
        self._plan = wanted
        groups = {group.key: group for group in wanted.groups}
        # First out of the directory, then out of the pods.
        self._forget({tenant.settings.phone_number_id for group in groups.values() for tenant in group.tenants})
        mount_apps(self._layout, wanted.apps, secrets)
        if self._options.simulator_url is not None:
            config = simulator_config(wanted, secrets, f"{self._options.router_url}/webhook")
            write_atomic(self._layout.simulator_config, encode_simulator_config(config))
        for key, group in groups.items():
            expected = mount_group(self._layout, group, secrets, self._key_of(group))
            running = self._groups.setdefault(key, _RunningGroup(group, expected, {}))
            running.plan, running.expected = group, expected
            await self._scale(running, contents)
        for key in set(self._groups) - set(groups):
            gone = self._groups.pop(key)
            await asyncio.gather(*(process.stop() for process, _ in gone.pods.values()))
        self._changed.set()

    def _forget(self, kept: set[str]) -> None:
        """Take numbers that are no longer planned out of the directory."""
        self._served &= kept
        for group in self._groups.values():
            for tenant in group.plan.tenants:
                if tenant.settings.phone_number_id not in kept:
                    self._events.say("tenant_removed", tenant=tenant.settings.tenant)
            remaining = tuple(tenant for tenant in group.plan.tenants if tenant.settings.phone_number_id in kept)
            group.plan = replace(group.plan, tenants=remaining)
        self._publish_directory()

    async def _scale(self, group: _RunningGroup, contents: Contents) -> None:
        for name in group.plan.pods:
            if name not in group.pods:
                port = free_port()
                spec = self._pod_spec(group.plan, name, port, contents)
                group.pods[name] = (self._process(spec), f"http://127.0.0.1:{port}")
        for process, _ in group.pods.values():
            process.awaited = group.expected
        surplus = [group.pods.pop(name) for name in set(group.pods) - set(group.plan.pods)]
        if surplus:
            self._publish_directory()
            await asyncio.gather(*(process.stop() for process, _ in surplus))

    def _publish_directory(self) -> None:
        """Write what the router may know: apps, ready pods, and which numbers all of their pods have loaded."""
        for group in self._groups.values():
            if group.loaded:
                for tenant in group.plan.tenants:
                    if tenant.settings.phone_number_id not in self._served:
                        self._events.say("tenant_ready", tenant=tenant.settings.tenant, group=group.plan.key)
                    self._served.add(tenant.settings.phone_number_id)
        directory = self._directory()
        if directory != self._published:
            self._published = directory
            self._generation += 1
            numbered = msgspec.structs.replace(directory, generation=self._generation)
            write_atomic(self._layout.directory_file, encode_directory(numbered))

    def _directory(self) -> Directory:
        numbers = [
            NumberEntry(
                phone_number_id=tenant.settings.phone_number_id,
                tenant=tenant.settings.tenant,
                app=tenant.settings.app,
                group=group.plan.key,
                ready=tenant.settings.phone_number_id in self._served,
                waba_id=tenant.settings.waba_id,
                inbound_per_minute=tenant.limits.inbound_per_minute,
                inbound_burst=tenant.limits.inbound_burst,
            )
            for group in self._groups.values()
            for tenant in group.plan.tenants
        ]
        groups = [
            Group(
                name=key,
                uid=group.plan.uid,
                pods=tuple(
                    PodEndpoint(name=name, url=url, ready=process.readiness.ready)
                    for name, (process, url) in sorted(group.pods.items())
                ),
            )
            for key, group in sorted(self._groups.items())
        ]
        return Directory(
            apps=tuple(app.name for app in self._plan.apps),
            numbers=tuple(sorted(numbers, key=lambda entry: entry.phone_number_id)),
            groups=tuple(groups),
        )

    def _say_problems(self, contents: Contents) -> None:
        refused = {("file_refused", str(problem)) for problem in contents.problems}
        for problem in contents.problems:
            if ("file_refused", str(problem)) not in self._said:
                self._events.say(
                    "file_refused", problem=str(problem), file=problem.file, line=problem.line, rule=problem.rule
                )
        broken = {problem.file for problem in contents.problems}
        for said in [said for said in self._said if said[0] == "file_refused"]:
            file = said[1].split(":", 1)[0]
            if said not in refused:
                self._said.discard(said)
                if file not in broken and file in contents.files:
                    self._events.say("file_accepted", file=file)
        self._said |= refused
        for file, loaded in contents.files.items():
            for kind in loaded.ignored:
                self._say_once("kind_ignored", file=file, kind=kind)

    def _say_verdicts(self, wanted: Plan) -> None:
        for verdict in wanted.verdicts:
            refused = verdict.refused
            if refused is not None:
                self._say_once("resource_refused", kind=verdict.kind, name=verdict.key, message=refused.message)

    def _say_once(self, event: str, **facts: str) -> None:
        said = (event, *facts.values())
        if said not in self._said:
            self._said.add(said)
            self._events.say(event, **facts)

    def _key_of(self, group: GroupPlan) -> bytes:
        return bytes.fromhex(group_key(self._master_key, group.key, group.uid))

    def _process(self, spec: ProcessSpec) -> ManagedProcess:
        return ManagedProcess(spec, self._session, self._events, self._changed.set)

    def _pod_spec(self, group: GroupPlan, name: str, port: int, contents: Contents) -> ProcessSpec:
        folder = self._layout.group_dir(group.key)
        url = contents.secret_values().get(group.database, {}).get("url") if group.database else None
        if not group.database and not group.tenant:
            url = self._options.database_url
        environment = {
            "COMANDA_BOTPOD_POD": name,
            "COMANDA_BOTPOD_PORT": str(port),
            "COMANDA_BOTPOD_TENANTS_DIR": str(folder / "tenants"),
            "COMANDA_BOTPOD_CREDENTIALS_DIR": str(folder / "credentials"),
            "COMANDA_BOTPOD_GROUP_KEY": self._key_of(group).hex(),
            "COMANDA_BOTPOD_DATABASE_URL": url or sqlite_url(self._layout.database(group.key)),
            "COMANDA_BOTPOD_GRAPH_URL": self._options.graph_url or str(self._options.simulator_url),
            "COMANDA_BOTPOD_RELOAD_SECONDS": "0.2",
        }
        ready_url = f"http://127.0.0.1:{port}/readyz"
        return ProcessSpec(name, "comanda_botpod", (), environment, ready_url, self._layout.logs_dir / f"{name}.log")

    def _router_spec(self) -> ProcessSpec:
        environment = {
            "COMANDA_ROUTER_HOST": self._options.host,
            "COMANDA_ROUTER_PORT": str(self._options.router_port),
            "COMANDA_ROUTER_DIRECTORY_FILE": str(self._layout.directory_file),
            "COMANDA_ROUTER_APPS_DIR": str(self._layout.apps_dir),
            "COMANDA_ROUTER_MASTER_KEY": self._master_key.hex(),
            "COMANDA_ROUTER_DEAD_LETTERS_DIR": str(self._layout.dead_letters_dir),
        }
        ready_url = f"{self._options.router_url}/readyz"
        return ProcessSpec("router", "comanda_router", (), environment, ready_url, self._layout.logs_dir / "router.log")

    def _simulator_spec(self) -> ProcessSpec:
        arguments = (
            *("--config", str(self._layout.simulator_config)),
            *("--host", self._options.host, "--port", str(self._options.simulator_port)),
        )
        ready_url = f"{self._options.simulator_url}/simulator/numbers"
        log = self._layout.logs_dir / "simulator.log"
        return ProcessSpec("simulator", "comanda_simulator", arguments, {}, ready_url, log)

    async def _stop(self) -> None:
        """End the router first, then the pods, which finish what was acknowledged, then Meta's side."""
        self._events.say("stopping")
        if self._router is not None:
            await self._router.stop()
        pods = [process for group in self._groups.values() for process, _ in group.pods.values()]
        await asyncio.gather(*(process.stop() for process in pods))
        if self._simulator is not None:
            await self._simulator.stop()
        self._events.say("stopped")
