"""The Secret with the secrets of all Meta apps, which the router mounts: a new app never changes the router's pods."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from comanda_contract.names import LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_PART_OF, app_file
from comanda_contract.resources.app import APP_SECRET_KEY, PREVIOUS_APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_kube.resources import Json
from comanda_operator.manifests.names import MANAGER, PART_OF, ROUTER_COMPONENT, Site

APPS_SECRET = "comanda-apps"  # noqa: S105 - the name of a Secret, not one
_KEYS = (APP_SECRET_KEY, PREVIOUS_APP_SECRET_KEY, VERIFY_TOKEN_KEY)


def app_values(app: str, data: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values of one app in the Secret's `data`."""
    found = {key: data.get(app_file(app, key), "") for key in _KEYS}
    return {key: base64.b64decode(value).decode() for key, value in found.items() if value}


def apps_secret(site: Site, apps: Mapping[str, Mapping[str, str]]) -> Json:
    """Return it, of the values of each app's own Secret by the app's name."""
    labels = {LABEL_PART_OF: PART_OF, LABEL_COMPONENT: ROUTER_COMPONENT, LABEL_MANAGED_BY: MANAGER}
    data = {
        app_file(name, key): base64.b64encode(values[key].encode()).decode()
        for name, values in sorted(apps.items())
        for key in _KEYS
        if values.get(key)
    }
    metadata = {"namespace": site.namespace, "name": APPS_SECRET, "labels": labels}
    return {"metadata": metadata, "type": "Opaque", "data": data}
