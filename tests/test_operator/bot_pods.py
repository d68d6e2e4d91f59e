"""Nodes that run real bot pods: the process that a StatefulSet's template asks for, with its Secrets as files."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from comanda_kube.resources import SECRETS, Json
from comanda_store.sqlite.engine import sqlite_url
from tests.cluster.processes import LEASH
from tests.harness import until
from tests.test_operator.cluster import ROOT, Cluster, Nodes

_DATABASE = "COMANDA_BOTPOD_DATABASE_URL"
_FILES = {"tenants": "tenants.json", "credentials": "credentials.json"}


class BotPods(Nodes):
    """See above. What a pod's volume would hold is in a folder, which outlives the pod."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster)
        self._folder = folder
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.addresses: dict[str, str] = {}
        """Addresses of pods (`namespace/name`) that run."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BotPods]:
        try:
            async with super().running():
                yield self
        finally:
            for key in list(self.processes):
                await self._stop(key)

    def log(self, key: str) -> str:
        """Return what a pod has said."""
        return (self._folder / key / "log").read_text()

    def volume(self, key: str) -> Path:
        """Return the embedded database of a pod."""
        return self._folder / key / "comanda.db"

    async def kill(self, key: str) -> None:
        """End a pod as a power failure would, and let it be made anew."""
        self.processes[key].kill()
        namespace, _, name = key.partition("/")
        await self._end(namespace, name)

    async def _end(self, namespace: str, name: str) -> None:
        await self._stop(f"{namespace}/{name}")
        await super()._end(namespace, name)

    async def _stop(self, key: str) -> None:
        process = self.processes.pop(key, None)
        self.addresses.pop(key, None)
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)

    async def _serve(self, stateful: Json, key: str, address: str) -> None:
        folder = self._folder / key
        for kind in _FILES:
            shutil.rmtree(folder / kind, ignore_errors=True)
            (folder / kind).mkdir(parents=True)
        here = {
            "HOST": address,
            "PORT": str(self.port),
            "METRICS_PORT": "0",
            "TENANTS_DIR": str(folder / "tenants"),
            "CREDENTIALS_DIR": str(folder / "credentials"),
            "RELOAD_SECONDS": "0.05",
            "STALE_AFTER_SECONDS": "21600",  # the tests' messages are of the start of the whole run
        }
        settings = await self._environment(stateful, key)
        if settings[_DATABASE].startswith("sqlite"):
            settings[_DATABASE] = sqlite_url(self.volume(key))
        settings |= {f"COMANDA_BOTPOD_{name}": value for name, value in here.items()}
        self.loaded[key] = {}
        with (folder / "log").open("ab") as log:
            process = self.processes[key] = await asyncio.create_subprocess_exec(
                *LEASH, sys.executable, "-m", "comanda_botpod", env={**os.environ, **settings}, stderr=log, cwd=ROOT
            )
        self.addresses[key] = address

        async def answers() -> bool:
            assert process.returncode is None, self.log(key)[-3000:]
            with suppress(aiohttp.ClientError):
                async with self._cluster.session.get(f"http://{address}:{self.port}/readyz") as answer:
                    return answer.status == 200
            return False

        await until(answers, 60, f"{key} is ready")

    async def _environment(self, stateful: Json, key: str) -> dict[str, str]:
        """Return what the template says, with what it points to."""
        namespace, _, name = key.partition("/")
        found: dict[str, str] = {}
        for each in stateful["spec"]["template"]["spec"]["containers"][0]["env"]:
            if "value" in each:
                found[each["name"]] = each["value"]
            elif "secretKeyRef" in each["valueFrom"]:
                source = each["valueFrom"]["secretKeyRef"]
                secret = await self._cluster.get(SECRETS, namespace, source["name"])
                found[each["name"]] = base64.b64decode(secret["data"][source["key"]]).decode()
            else:
                assert each["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
                found[each["name"]] = name
        return found

    def _mount(self, key: str, _secret: bytes, shards: Mapping[str, Json]) -> None:
        for kind, source in _FILES.items():
            folder = self._folder / key / kind
            for gone in {path.stem for path in folder.glob("*.json")} - shards.keys():
                (folder / f"{gone}.json").unlink()
            for name, shard in shards.items():
                temporary = folder / f"{name}.tmp"
                temporary.write_bytes(base64.b64decode(shard["data"][source]))
                temporary.replace(folder / f"{name}.json")
