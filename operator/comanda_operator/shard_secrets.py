"""The Secrets of shards as the API has them: what they hold is read when it matters, and written when it differs."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

from comanda_contract.names import group_key, shard_name
from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.resources import SECRETS
from comanda_operator.apply import Writer
from comanda_operator.contents import NOTHING, Gathering, read_told
from comanda_operator.live import Described
from comanda_operator.manifests.group import Wanted
from comanda_operator.manifests.names import ANNOTATION_CONTENT, ANNOTATION_SOURCES
from comanda_operator.manifests.shards import (
    STOP_BYTES,
    Shard,
    Source,
    content_digest,
    make_shard,
    shard_secret,
    sources_digest,
)
from comanda_operator.metrics import SHARD_BYTES
from comanda_operator.plan import GroupPlan
from comanda_operator.state import ShardKey, State


class ShardTooLargeError(Exception):
    """A shard of `size` bytes would not fit into a Secret; it stays as it was."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class ShardSecrets:
    """Reads and writes them; what a group's tenants are is the state's matter."""

    def __init__(self, state: State, client: Client, writer: Writer) -> None:
        self._state = state
        self._client = client
        self._writer = writer
        self._verified: dict[str, str] = {}
        """Versions whose content is known to be what their digest says."""
        self._largest = 0

    async def is_current(self, group: GroupPlan, live: Described, digest: str) -> bool:
        """Tell whether a shard was made from these sources and holds what it says, which is read once a version."""
        if live.annotations.get(ANNOTATION_SOURCES) != digest or ANNOTATION_CONTENT not in live.annotations:
            return False
        if self._verified.get(live.key) != live.resource_version:
            files = await self._files_of(live)
            if content_digest(self._group_key(group), files) != live.annotations[ANNOTATION_CONTENT]:
                return False
            self._verified[live.key] = live.resource_version
        return True

    async def write(
        self,
        group: GroupPlan,
        key: ShardKey,
        gathering: Gathering,
        live: Described | None,
        sources: Collection[Source],
    ) -> Shard:
        """Write the shard of what was gathered. Raises `ShardTooLargeError` and `ApiError`."""
        last = read_told(await self._files_of(live)) if gathering.needs_last and live is not None else NOTHING
        contents = gathering.finish(last)
        notes = contents.notes
        digest = sources_digest(group.uid, sources, self._state.deletions.held, notes.erasing, notes.leaving)
        shard = make_shard(digest, self._group_key(group), contents.settings, contents.tokens, contents.notes)
        if shard.size > STOP_BYTES:
            raise ShardTooLargeError(shard.size)
        self._largest = max(self._largest, shard.size)
        SHARD_BYTES.set(self._largest)
        await self._writer.make(Wanted(SECRETS, shard_secret(group, key.number, shard)), None)
        self._verified.pop(f"{group.namespace}/{shard_name(group.name, key.number)}", None)
        return shard

    async def find_lost(self) -> set[str]:
        """Return the tenants that pods were told of and that are no more: they vanished while nobody watched."""
        return await self.told_of(list(self._state.shards.values())) - self._state.world.tenants.keys()

    async def told_of(self, shards: list[Described]) -> set[str]:
        """Return the tenants that pods are told of by some shards."""
        return {name for each in shards for name in read_told(await self._files_of(each)).settings}

    async def _files_of(self, described: Described) -> Mapping[str, bytes]:
        try:
            secret = await self._client.get(SECRETS, described.namespace, described.name)
        except NotFoundError:
            return {}
        return {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}

    def _group_key(self, group: GroupPlan) -> bytes:
        return bytes.fromhex(group_key(self._state.master_key, group.key, group.uid))
