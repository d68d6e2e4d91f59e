"""A cluster that there is already, by its kubeconfig, with this checkout's images in a registry that it reaches."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from comanda_cli.local.processes import free_port
from tests.cluster.binaries import API
from tests.kind.engine import run
from tests.test_charts.chart import NAMESPACE


@dataclass(frozen=True)
class ExistingCluster:
    """Somebody's cluster: its nodes are not ours to stop."""

    kubeconfig: Path
    registry: str
    """Beginning of the names of the images there."""
    handler: str
    """Image of the example of a handler; "" when there is none."""
    kubectl_program: Path

    def kubectl(self, *arguments: str, given: str = "", seconds: float = 60.0) -> str:
        """Run kubectl and return what it says. Raises `EngineError`."""
        command: list[str | Path] = [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, os.environ, given=given.encode(), seconds=seconds)

    @asynccontextmanager
    async def forwarded(self, service: str, port: int) -> AsyncIterator[str]:
        """Give the URL of a service of the installation; the way there is made again whenever its pod was replaced."""
        local = free_port()
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}"]
        command += ["port-forward", f"service/{service}", f"{local}:{port}"]
        process: asyncio.subprocess.Process | None = None

        async def keep() -> None:
            nonlocal process
            while True:
                process = await asyncio.create_subprocess_exec(
                    *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                await process.wait()
                await asyncio.sleep(0.5)

        keeping = asyncio.create_task(keep())
        try:
            yield f"http://127.0.0.1:{local}"
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def existing_cluster() -> ExistingCluster:
    """Return the cluster that the environment names. Ends the run with a sentence where it does not."""
    lacking = [name for name in ("KUBECONFIG", "COMANDA_E2E_REGISTRY") if not os.environ.get(name)]
    if lacking:
        pytest.exit(f"E2E=existing needs {' and '.join(lacking)}; CONTRIBUTING.md says what they are", returncode=4)
    return ExistingCluster(
        kubeconfig=Path(os.environ["KUBECONFIG"]),
        registry=os.environ["COMANDA_E2E_REGISTRY"],
        handler=os.environ.get("COMANDA_E2E_HANDLER", ""),
        kubectl_program=Path(shutil.which("kubectl") or API.build() / "kubectl"),
    )
