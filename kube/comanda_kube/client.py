"""What one can ask of the Kubernetes API: get, list, create, replace, apply, delete, watch.

Objects are plain JSON; there are no generated models. Every call has a total deadline and raises a kind of `ApiError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from comanda_kube.config import ClusterConfig
from comanda_kube.errors import ApiUnavailableError, NotFoundError
from comanda_kube.resources import Json, Resource, Selection, key_of
from comanda_kube.session import JSON_TYPE, Request, Session

PAGE_LIMIT = 500
"""Objects a page: decoding that many holds the event loop for some milliseconds only."""

_APPLY_TYPE = "application/apply-patch+yaml"  # JSON is YAML
_METADATA_TYPE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST_TYPE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class _ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "more": "continue"}):
    resource_version: str = ""
    more: str = ""


class Page(msgspec.Struct):
    """A part of a list: objects not yet decoded, and the version of the whole list."""

    metadata: _ListMeta
    found: list[msgspec.Raw] | None = msgspec.field(default=None, name="items")
    """None where the API says `null`, as it does for an empty list of metadata."""

    @property
    def items(self) -> list[msgspec.Raw]:
        """The objects."""
        return self.found or []


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Which object, and which version of it, a call is meant for; any other is left alone: `ObjectConflictError`."""

    uid: str = ""
    resource_version: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return what is set, as the API names it."""
        named = {"uid": self.uid, "resourceVersion": self.resource_version}
        return {name: value for name, value in named.items() if value}


ANY = Preconditions()


class Client:
    """An async context manager. Fields that it applies belong to `manager`, those of a status to `<manager>-status`.

    At most `concurrency` calls are under way at once; each ends within `timeout_seconds`, its waiting and further tries
    included. Watches are outside of both.
    """

    def __init__(
        self, config: ClusterConfig, manager: str, *, concurrency: int = 32, timeout_seconds: float = 10.0
    ) -> None:
        self.namespace = config.namespace
        self._manager = manager
        self._session = Session(config, manager, concurrency, timeout_seconds)

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, trace)

    def fence(self, may_write: Callable[[], bool]) -> None:
        """Let writes go out only while `may_write` says so: it is asked when nothing is left to wait for.

        A process that stood still, or waited long for a connection, else sends what it was allowed to send before. What
        may not be sent raises `FencedError`.
        """
        self._session.fence = may_write

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return an object; `namespace` is empty for what lives in none. Raises `NotFoundError`."""
        request = Request("GET", resource.path(namespace, name), _call("get", resource, namespace, name))
        return await self._ask(request)

    async def list(self, selection: Selection, *, limit: int = PAGE_LIMIT) -> AsyncGenerator[Page, None]:
        """Yield one consistent list page by page. Raises `GoneError` when it outlived the API's memory: begin again."""
        query = {**selection.query, "limit": str(limit)}
        accept = _METADATA_LIST_TYPE if selection.metadata_only else JSON_TYPE
        resource, namespace = selection.resource, selection.namespace
        while True:
            request = Request("GET", resource.path(namespace), _call("list", resource, namespace), query, accept=accept)
            page = _decoded(request.call, await self._session.call(request), Page)
            yield page
            if not page.metadata.more:
                return
            query = {**query, "continue": page.metadata.more}

    async def create(self, resource: Resource, body: Json, *, subresource: str = "") -> Json:
        """Make an object. Raises `AlreadyExistsError`; after `ApiUnavailableError` it may be there or not."""
        namespace, name = _address(body)
        path = resource.path(namespace, name if subresource else "", subresource)
        call = _call("create", resource, namespace, name, subresource)
        owner = {"fieldManager": self._manager}
        return await self._ask(Request("POST", path, call, owner, _encoded(body), repeatable=False))

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Put an object in place of the version that its `resourceVersion` names. Raises `ObjectConflictError`.

        Not tried again when nobody knows whether it was done: the second try could only fail.
        """
        namespace, name = _address(body)
        call = _call("replace", resource, namespace, name)
        owner = {"fieldManager": self._manager}
        request = Request("PUT", resource.path(namespace, name), call, owner, _encoded(body), repeatable=False)
        return await self._ask(request)

    async def apply(
        self,
        resource: Resource,
        body: Json,
        *,
        only: Preconditions = ANY,
        force: bool = True,
        manager: str = "",
        subresource: str = "",
    ) -> Json:
        """Make it so: create the object or set the fields in `body`, and give up those applied before and now absent.

        With a uid in `only` nothing is created. Without `force`, a field of another manager is a conflict. Raises
        `ObjectConflictError`, `InvalidObjectError`.
        """
        namespace, name = _address(body)
        meant = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        meant["metadata"] = {**body["metadata"], **only.to_dict()}
        owner = {"fieldManager": manager or self._manager, "force": "true" if force else "false"}
        call = _call("apply", resource, namespace, name, subresource)
        path = resource.path(namespace, name, subresource)
        return await self._ask(Request("PATCH", path, call, owner, _encoded(meant), _APPLY_TYPE))

    async def apply_status(self, resource: Resource, body: Json, *, only: Preconditions = ANY) -> Json:
        """Apply the status of an object under a manager of its own. Raises `NotFoundError`, `ObjectConflictError`."""
        return await self.apply(resource, body, only=only, manager=f"{self._manager}-status", subresource="status")

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        only: Preconditions = ANY,
        propagation: str = "Background",
    ) -> bool:
        """Delete an object; False says that it was not there. Raises `ObjectConflictError` when it is another one."""
        options = {"propagationPolicy": propagation, "preconditions": only.to_dict()}
        call = _call("delete", resource, namespace, name)
        try:
            await self._session.call(Request("DELETE", resource.path(namespace, name), call, body=_encoded(options)))
        except NotFoundError:
            return False
        return True

    def watch(
        self, selection: Selection, resource_version: str, *, seconds: int, grace_seconds: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a stream of events from a version on, one JSON line each; the API ends it after so many seconds.

        Raises `ApiUnavailableError` when it has not ended `grace_seconds` later: nobody is there any more.
        """
        query = {
            **selection.query,
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        resource, namespace = selection.resource, selection.namespace
        accept = _METADATA_TYPE if selection.metadata_only else JSON_TYPE
        call = _call("watch", resource, namespace)
        return self._session.stream(
            Request("GET", resource.path(namespace), call, query, accept=accept), seconds + grace_seconds
        )

    async def _ask(self, request: Request) -> Json:
        return _decoded(request.call, await self._session.call(request), Json)


def _call(verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    """Return what a call is called in errors, as `get secrets shop/token` or `watch secrets shop`."""
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    return f"{verb} {plural} {key_of(namespace, name) if name else namespace}".strip()


def _address(body: Json) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata.get("name", "")


def _encoded(body: Any) -> bytes:
    return msgspec.json.encode(body)


_T = TypeVar("_T")


def _decoded(call: str, body: bytes, type_: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise ApiUnavailableError(call, "the answer is not what the API would say") from error
