"""A Kubernetes API of a test's own: etcd and kube-apiserver on free loopback ports, with RBAC and an audit log.

Nothing else runs: no controller, no scheduler, no node. So nothing makes ServiceAccounts, collects garbage, ends
namespaces or starts pods; a test that needs a controller has it run.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import tempfile
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.binaries import API
from tests.cluster.certificates import make_certificates
from tests.cluster.processes import Process, free_port
from tests.harness import until

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ApiServer:
    """One API with a folder of its own; `etcd` and `api` are its two processes, to be killed or frozen at will."""

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port, self._etcd_port, self._peer_port = free_port(), free_port(), free_port()
        self._tokens = {"admin": ("system:masters", secrets.token_hex(16))}
        self._programs = API.build()
        self._audit_start = 0
        make_certificates(folder)
        self._write_tokens()
        (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        self.trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        """What a client of the API's own authority trusts."""
        self.etcd = Process([self._programs / "etcd", *self._etcd_arguments()], folder)
        self.api = Process([self._programs / "kube-apiserver", *self._api_arguments(), *arguments], folder)

    @property
    def url(self) -> str:
        """`https://127.0.0.1:port`."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> bytes:
        """The certificate that clients trust, as PEM."""
        return (self.folder / "ca.crt").read_bytes()

    @property
    def kubectl(self) -> Path:
        """The path of kubectl."""
        return self._programs / "kubectl"

    @property
    def pids(self) -> tuple[int | None, ...]:
        """The process ids of both; None for one that does not run."""
        return self.etcd.pid, self.api.pid

    async def start(self) -> None:
        """Start what does not run and wait until the API is ready."""
        self.etcd.start()
        self.api.start()
        await self.ready()

    async def ready(self) -> None:
        """Wait until the API says that it is ready; fails with its last words when a process ends instead."""

        async def is_ready() -> bool:
            for process in (self.etcd, self.api):
                assert process.pid is not None, process.log_tail()
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"{self.url}/readyz", ssl=self.trust) as got,
                ):
                    return got.status == 200
            except aiohttp.ClientError:
                return False

        await until(is_ready, 60, "the API is ready")

    def stop(self) -> None:
        """End both processes; nothing of theirs is kept, so there is nothing to wait for."""
        self.api.kill()
        self.etcd.kill()

    def thaw(self) -> None:
        """Let both go on."""
        self.etcd.thaw()
        self.api.thaw()

    @asynccontextmanager
    async def controllers(self, *names: str) -> AsyncIterator[None]:
        """Run Kubernetes' own controllers of these names meanwhile; `kube-controller-manager --help` lists them."""
        process = Process(
            [
                self._programs / "kube-controller-manager",
                f"--kubeconfig={self.kubeconfig()}",
                f"--controllers={','.join(names)}",
                f"--service-account-private-key-file={self.folder}/sa.key",
                "--leader-elect=false",
                "--secure-port=0",
                "--namespace-sync-period=5s",
            ],
            self.folder,
        )
        process.start()
        try:
            yield
            assert process.pid is not None, process.log_tail()
        finally:
            process.kill()

    def token(self, user: str = "admin") -> str:
        """Return the bearer token of a user."""
        return self._tokens[user][1]

    def add_user(self, user: str, group: str = "system:authenticated") -> str:
        """Give a user a new token, in place of any before; the API knows it from its next start."""
        self._tokens[user] = (group, secrets.token_hex(16))
        self._write_tokens()
        return self.token(user)

    def kubeconfig(self, port: int | None = None, *, token: str | None = None) -> Path:
        """Write a kubeconfig with a token or the administrator's certificate, for the API's port or a proxy's."""
        user = {"token": token} if token else {name: self._inline(file) for name, file in _ADMIN_FILES.items()}
        server = f"https://127.0.0.1:{port or self.port}"
        text = json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{
                "name": "test", "cluster": {"server": server, "certificate-authority-data": self._inline("ca.crt")},
            }],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })  # fmt: skip
        path = self.folder / f"{secrets.token_hex(4)}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def audit(self) -> list[dict[str, Any]]:
        """Return what was asked of the API since its first start, or since that was forgotten, one entry a request."""
        with self._audit_log.open("rb") as log:
            log.seek(self._audit_start)
            return [json.loads(line) for line in log if line.endswith(b"\n")]

    def forget_audit(self) -> None:
        """Leave what was asked up to now out of what `audit` returns."""
        self._audit_start = self._audit_log.stat().st_size

    @property
    def _audit_log(self) -> Path:
        return self.folder / "audit.log"

    async def create_namespace(self) -> str:
        """Make a namespace with a name of its own, and return the name."""
        name = f"test-{secrets.token_hex(4)}"
        headers = {"Authorization": f"Bearer {self.token()}"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        async with (
            aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
            session.post(f"{self.url}/api/v1/namespaces", json=body, ssl=self.trust),
        ):
            return name

    async def compact(self) -> None:
        """Let etcd forget all history up to now: whoever watches from before gets 410."""
        revision = (await self._ask_etcd("maintenance/status", {}))["header"]["revision"]
        await self._ask_etcd("kv/compaction", {"revision": revision, "physical": True})

    async def erase(self, namespace: str) -> None:
        """Remove everything in a namespace, and itself, from etcd; watchers see each object go, finalizers or not."""
        await self._remove([key for key in await self.state() if namespace in key.split("/")[-2:]])

    async def state(self) -> dict[str, str]:
        """Return each key in etcd with the revision of its last change, what the API notes of itself aside."""
        every = {"key": _encoded("/registry/"), "range_end": _encoded("/registry0"), "keys_only": True}
        items = (await self._ask_etcd("kv/range", every)).get("kvs", ())
        state = {base64.b64decode(item["key"]).decode(): str(item["mod_revision"]) for item in items}
        return {key: revision for key, revision in state.items() if not key.startswith(_ITS_OWN)}

    async def remove_but(self, kept: Collection[str]) -> None:
        """Remove all but these keys from etcd; watchers see each object go, finalizers or not."""
        await self._remove([key for key in await self.state() if key not in kept])

    async def _remove(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 100):  # etcd takes 128 operations at once
            deletes = [{"request_delete_range": {"key": _encoded(key)}} for key in keys[start : start + 100]]
            await self._ask_etcd("kv/txn", {"success": deletes})

    async def _ask_etcd(self, path: str, body: dict[str, Any]) -> Any:
        url = f"http://127.0.0.1:{self._etcd_port}/v3/{path}"
        async with aiohttp.ClientSession(raise_for_status=True) as session, session.post(url, json=body) as got:
            return await got.json()

    def _inline(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def _write_tokens(self) -> None:
        lines = [f"{token},{user},{user},{group}\n" for user, (group, token) in self._tokens.items()]
        (self.folder / "tokens.csv").write_text("".join(lines))

    def _etcd_arguments(self) -> list[str]:
        clients, peers = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            f"--data-dir={self.folder}/etcd",
            "--unsafe-no-fsync",  # a killed process loses nothing by it, only a machine would
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _api_arguments(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--etcd-compaction-interval=0",  # tests compact when they want to
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            # A loopback address is no valid endpoint of the Service "kubernetes".
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={self.folder}/apiserver.crt",
            f"--tls-private-key-file={self.folder}/apiserver.key",
            f"--client-ca-file={self.folder}/ca.crt",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/sa.key",
            f"--service-account-signing-key-file={self.folder}/sa.key",
            "--authorization-mode=RBAC",
            # Nothing makes the ServiceAccount "default", without which this plugin refuses every pod.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self.folder}/audit-policy.json",
            f"--audit-log-path={self._audit_log}",
            "--audit-log-maxsize=10000",  # one file, in MB: the tests read it from where they began
            "--profiling=false",
        ]


_ITS_OWN = ("/registry/leases/kube-system/", "/registry/events/default/")
_ADMIN_FILES = {"client-certificate-data": "admin.crt", "client-key-data": "admin.key"}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@asynccontextmanager
async def api_server(*arguments: str) -> AsyncIterator[ApiServer]:
    """Give an API that runs, with further arguments of kube-apiserver, and take every trace of it away again."""
    with tempfile.TemporaryDirectory(prefix="comanda-api-") as folder:
        server = ApiServer(Path(folder), arguments)
        try:
            await server.start()
            yield server
        finally:
            server.stop()
