"""What these tests share: our CRDs on a real API server, and what that and the models say of a resource."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml
from pydantic import ValidationError

from comanda_contract.names import API_GROUP, API_VERSION
from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_contract.resources.meta import ResourceBase
from comanda_kube.client import Client
from comanda_kube.errors import InvalidObjectError, NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import Json, Resource, Selection
from comanda_kube.session import Request, Session
from tests.cluster import ApiServer
from tests.harness import until

HERE = Path(__file__).parent
KINDS: dict[str, type[ResourceBase]] = {kind.__name__: kind for kind in CUSTOM_RESOURCES}
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
BASES: dict[str, Json] = yaml.safe_load((HERE / "bases.yaml").read_text())
"""Good resources by a short name, to which the tables' patches are put."""


def resource_of(kind: str, group: str = API_GROUP) -> Resource:
    return Resource(group, API_VERSION, KINDS[kind].definition.plural, kind)


def patched(base: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes of a document, so that null removes; `base` stays as it is."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(base)) if isinstance(base, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


def in_group(document: Json, group: str) -> Json:
    """Return a CRD or a resource as if it were of another API group."""
    renamed = copy.deepcopy(document)
    if document["kind"] == CRDS.kind:
        renamed["metadata"]["name"] = f"{document['spec']['names']['plural']}.{group}"
        renamed["spec"]["group"] = group
    else:
        renamed["apiVersion"] = f"{group}/{API_VERSION}"
    return renamed


@dataclass(frozen=True)
class Verdict:
    """What was said of a resource: what came of it, or the paths of the fields complained of and the words."""

    made: Json | None = None
    fields: tuple[str, ...] = ()
    words: str = ""

    @property
    def accepted(self) -> bool:
        return self.made is not None


def model_verdict(document: Json) -> Verdict:
    """Let the model of a resource judge it; what comes of it has all defaults filled in."""
    try:
        model = KINDS[document["kind"]].model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False)
        paths = tuple(path_of(detail["loc"]) for detail in details)
        return Verdict(None, paths, "; ".join(detail["msg"] for detail in details))
    return Verdict(without_empty(model.model_dump(mode="json", by_alias=True)))


def path_of(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def without_empty(value: Any) -> Any:
    """Leave out what says nothing: the models have "" or {} where the API server has no field."""
    if not isinstance(value, dict):
        return value
    inner = {key: without_empty(item) for key, item in value.items()}
    return {key: item for key, item in inner.items() if item not in (None, "", [], {})}


def with_quantities_as_text(value: Any) -> Any:
    """Write CPU and memory as text, as the models do, where the API server keeps an integer."""
    if not isinstance(value, dict):
        return value
    inner = {key: with_quantities_as_text(item) for key, item in value.items()}
    return {key: str(item) if key in {"cpu", "memory"} else item for key, item in inner.items()}


def at(document: Any, path: str) -> Any:
    """Return what a document has at a dotted path."""
    for part in path.split("."):
        document = document[part]
    return document


class Judge:
    """The API server as one that accepts or refuses resources of a namespace. Nothing is kept unless `keep` says so."""

    def __init__(self, session: Session, namespace: str) -> None:
        self._session = session
        self._namespace = namespace

    async def create(self, document: Json, *, keep: bool = False) -> Verdict:
        return await self._ask("POST", document, "", keep=keep)

    async def replace(self, document: Json, *, keep: bool = False, subresource: str = "") -> Verdict:
        return await self._ask("PUT", document, document["metadata"]["name"], keep=keep, subresource=subresource)

    async def _ask(self, method: str, document: Json, name: str, *, keep: bool, subresource: str = "") -> Verdict:
        group = document["apiVersion"].partition("/")[0]
        path = resource_of(document["kind"], group).path(self._namespace, name, subresource)
        query = {"fieldValidation": "Strict", **({} if keep else {"dryRun": "All"})}
        body = msgspec.json.encode(document)
        try:
            made = await self._session.call(Request(method, path, "judge", query, body, repeatable=not keep))
        except InvalidObjectError as error:
            # One path for both: rules name a map's value as `labels[disk]`, bounds as `labels.disk`.
            fields = tuple(re.sub(r"\[([^\d\]][^\]]*)\]", r".\1", path) for path in error.fields)
            return Verdict(None, fields, error.answer)
        return Verdict(msgspec.json.decode(made))


@asynccontextmanager
async def judging(server: ApiServer, namespace: str) -> AsyncIterator[Judge]:
    async with Session(from_kubeconfig([server.kubeconfig()]), "tests", 32, 10.0) as session:
        yield Judge(session, namespace)


@asynccontextmanager
async def installed(server: ApiServer, *crds: Json) -> AsyncIterator[Client]:
    """Have CRDs until they are not needed; those that were there before stay, as they are given here."""
    config = from_kubeconfig([server.kubeconfig()])
    async with Client(config, "tests") as client, Session(config, "tests", 1, 10.0) as session:
        own = [crd for crd in crds if not await _exists(client, crd)]
        for crd in crds:
            await client.apply(CRDS, crd)
            await until(partial(_is_served, client, crd), what="the CRD is served")
            await until(partial(_is_published, session, crd), what="the schema is published")
        yield client
        for crd in own:
            await client.delete(CRDS, "", crd["metadata"]["name"])
            await until(partial(_is_gone, client, crd), what="the CRD is gone")


async def _exists(client: Client, crd: Json) -> bool:
    try:
        await client.get(CRDS, "", crd["metadata"]["name"])
    except NotFoundError:
        return False
    return True


async def _is_gone(client: Client, crd: Json) -> bool:
    return not await _exists(client, crd)


async def _is_served(client: Client, crd: Json) -> bool:
    status = (await client.get(CRDS, "", crd["metadata"]["name"])).get("status", {})
    holds = {condition["type"] for condition in status.get("conditions") or () if condition["status"] == "True"}
    if not {"Established", "NamesAccepted"} <= holds:
        return False
    try:
        await anext(client.list(Selection(resource_of(crd["spec"]["names"]["kind"], crd["spec"]["group"]))))
    except NotFoundError:
        return False
    return True


async def _is_published(session: Session, crd: Json) -> bool:
    """Tell whether kubectl finds the schema of a CRD, which comes some time after the CRD."""
    request = Request("GET", f"/openapi/v3/apis/{crd['spec']['group']}/{API_VERSION}", "read the schemas")
    try:
        paths = msgspec.json.decode(await session.call(request))["paths"]
    except NotFoundError:
        return False
    return any(path.endswith(f"/{crd['spec']['names']['plural']}") for path in paths)
