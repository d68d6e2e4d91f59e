"""Groups that are wanted no more: when their objects may go, and their going."""

from __future__ import annotations

from collections.abc import Callable

from comanda_kube.resources import SECRETS
from comanda_operator.apply import Writer
from comanda_operator.live import LiveObject
from comanda_operator.manifests.group import KINDS
from comanda_operator.manifests.names import ANNOTATION_NOTES, ANNOTATION_OWNER
from comanda_operator.manifests.shards import read_notes
from comanda_operator.queue import KeyedQueue, Priority
from comanda_operator.shard_secrets import ShardSecrets
from comanda_operator.state import Key, ShardKey, State, shard_key

STRANDED_SECONDS = 0.2
"""How soon a group that may go is looked at again, while another one's shard is to say first what it is to erase."""


class Removal:
    """Removes groups. `look_at` has keys looked at. Raises `ApiError` and `NotLeadingError`."""

    def __init__(
        self,
        state: State,
        shards: ShardSecrets,
        writer: Writer,
        queue: KeyedQueue[Key],
        look_at: Callable[[set[Key], Priority], None],
    ) -> None:
        self._state = state
        self._shards = shards
        self._writer = writer
        self._queue = queue
        self._look_at = look_at

    async def is_due(self, key: str) -> bool:
        """Tell whether nobody needs a group's pods any more; has them erase first what they are to erase."""
        state = self._state
        is_needed = any(place.group == key for place in state.placed.values()) or any(
            departing for shard, departing in state.departures.items() if shard.group == key
        )
        if is_needed or await self._is_doubted(key):
            return False
        if not self._are_cleared(key):
            return False  # what clears them has the group looked at again
        if not self._stranded_are_told(key):
            self._queue.add(Key("group", key), Priority.DRIFT, delay=STRANDED_SECONDS)
            return False
        return True

    async def remove(self, key: str) -> None:
        """Remove a group's objects; its volumes stay."""
        order = list(KINDS)
        children = sorted(self._state.children_of(key), key=lambda each: order.index(each[0]), reverse=True)
        for kind, live in children:
            await self._writer.remove(KINDS[kind], live)
        for described in self._state.shards_of(key):
            await self._writer.remove(SECRETS, LiveObject(described, {}))

    async def _is_doubted(self, key: str) -> bool:
        """Tell whether a group may still serve tenants whose deletion is doubted: its own, or any of its pool."""
        state = self._state
        held = state.deletions.held
        if not held:
            return False
        shards = state.shards_of(key)
        described = [*(live.metadata for _, live in state.children_of(key)), *shards]
        owners = {each.annotations.get(ANNOTATION_OWNER, "").partition("/")[2] for each in described}
        return bool(owners & held or await self._shards.told_of(shards) & held)

    def _are_cleared(self, key: str) -> bool:
        """Have the shards of a former pool cleared of tenants; tells whether they are.

        Those of a tenant's own pods are not: the volumes go with the tenant, or stay as they are.
        """
        state = self._state
        group = state.group_of(key)
        if group is None or group.tenant:
            return True
        uncleared = {shard for shard in self._shards_of(key) if not state.is_cleared(shard)}
        # Those that tell pods to erase data wait until it is done.
        settled = {shard: state.settled.get(shard) for shard in uncleared}
        to_write = {shard for shard, found in settled.items() if found is None or found.sources or found.is_doubted}
        self._look_at({Key("shard", *shard) for shard in to_write}, Priority.DRIFT)
        return not uncleared

    def _shards_of(self, key: str) -> list[ShardKey]:
        return [found for each in self._state.shards_of(key) if (found := shard_key(each)) is not None]

    def _stranded_are_told(self, key: str) -> bool:
        """Have erased what arrived elsewhere of tenants that were deleted in the middle of a move from a group.

        True when the shards there say so, or nothing is to be said: this group's, which know of it, may go then.
        """
        state, is_told = self._state, True
        for described in state.shards_of(key):
            notes = read_notes(described.annotations.get(ANNOTATION_NOTES, ""))
            for name, leaving in notes.leaving.items():
                if name in state.world.tenants or leaving.deletion_policy != "Delete":
                    continue
                for each in state.strand(name, leaving):
                    settled = state.settled.get(ShardKey(*each[1:]))
                    if settled is None or name not in settled.notes.erasing:
                        self._look_at({each}, Priority.ROTATION)
                        is_told = False
        return is_told
