"""A turn's files on the pod's side: with its token, and of this turn's own message alone."""

from __future__ import annotations

from dataclasses import dataclass

from comanda_botpod.handlers.sdk.media import File, MediaError
from comanda_botpod.handlers.sdk.message import TIMER
from comanda_botpod.media import MediaClient
from comanda_botpod.media_errors import MediaGraphError, MediaRefusedError, MediaUnavailableError
from comanda_botpod.tenants import Tenant
from comanda_contract.cloud.messages_in import parse_message
from comanda_store import Claim


@dataclass(frozen=True)
class TurnFiles:
    """What a turn may fetch and hand over; see `Transfers`."""

    client: MediaClient
    tenant: Tenant
    claim: Claim

    async def fetch(self) -> File:
        """Return the file that the message brought. A handler names no id: there is no other file that it could get."""
        item = parse_message(self.claim.payload.encode()).media if self.claim.type != TIMER else None
        if item is None:
            raise MediaError("This message brought no file.")
        try:
            found = await self.client.download(self.tenant, self._token(), item.id)
        except (MediaRefusedError, MediaUnavailableError, MediaGraphError) as error:
            raise _told(error) from error
        return File(found.content, found.mime_type)

    async def upload(self, file: File) -> str:
        """Hand a file over for the tenant's number."""
        try:
            return await self.client.upload(self.tenant, self._token(), file.content, file.mime_type)
        except (MediaRefusedError, MediaUnavailableError, MediaGraphError) as error:
            raise _told(error) from error

    def _token(self) -> str:
        if self.tenant.access_token is None:
            raise MediaError("The tenant has no access token.", again=True)
        return self.tenant.access_token


def _told(error: MediaRefusedError | MediaUnavailableError | MediaGraphError) -> MediaError:
    again = isinstance(error, MediaUnavailableError) or (
        isinstance(error, MediaGraphError) and error.action != "drop_message"
    )
    return MediaError(error.message, hint=error.hint, again=again)
