"""`WhatsAppApp`: one Meta app, whose secret signs the webhooks of all numbers subscribed through it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from comanda_contract.resources.forms import MetaId
from comanda_contract.resources.meta import (
    AGE,
    Definition,
    Part,
    PrinterColumn,
    ResourceBase,
    SecretRef,
    condition_column,
    name_rule,
)
from comanda_contract.resources.rules import Rule, matches
from comanda_contract.resources.status import StatusBase

APP_SECRET_KEY = "appSecret"  # noqa: S105 - the name of a key, not a secret
PREVIOUS_APP_SECRET_KEY = "previousAppSecret"  # noqa: S105
VERIFY_TOKEN_KEY = "verifyToken"  # noqa: S105

GraphVersion = Annotated[
    str,
    Field(min_length=4, max_length=6),
    matches(r"^v[0-9]{1,2}\.[0-9]$", "must be a version of the Graph API, such as v26.0"),
]


class WhatsAppAppSpec(Part):
    """What a Meta app is: its id, where its secrets are, and which Graph API version its tenants call."""

    app_id: MetaId = Field(
        min_length=1,
        max_length=32,
        description="Id of the app in Meta's dashboard, as digits in quotes.",
        examples=["1029384756"],
    )
    secret_ref: SecretRef = Field(
        description="Secret with the keys appSecret and verifyToken and, while rotating, previousAppSecret.",
        examples=[{"name": "meta-app"}],
    )
    graph_version: GraphVersion = Field(
        default="v26.0",
        description="Version of the Graph API that the bots of this app call.",
        examples=["v26.0"],
    )


class WhatsAppAppStatus(StatusBase):
    """What the operator found."""

    webhook_path: str = Field(
        default="",
        max_length=128,
        description="Path, after the router's address, that Meta must be told as the app's callback.",
        examples=["/webhook/brand"],
    )


class WhatsAppApp(ResourceBase):
    """A Meta app: webhooks to /webhook/NAME are signed with its secret and may speak for its tenants alone."""

    definition: ClassVar[Definition] = Definition(
        plural="whatsappapps",
        singular="whatsappapp",
        short_names=("wapp",),
        columns=(
            PrinterColumn("App ID", ".spec.appId", "Id of the app at Meta."),
            condition_column("Ready", "Ready", "status", "Whether the router answers for it."),
            PrinterColumn("Webhook Path", ".status.webhookPath", "Path that Meta must be told."),
            condition_column("Reason", "Ready", "reason", "Why it is ready or not.", priority=1),
            PrinterColumn("Graph", ".spec.graphVersion", "Version of the Graph API.", priority=1),
            AGE,
        ),
    )
    rules: ClassVar[tuple[Rule, ...]] = (name_rule(63, "it is a part of the webhook's path"),)

    kind: Literal["WhatsAppApp"] = Field(default="WhatsAppApp", description="Kind.", examples=["WhatsAppApp"])
    spec: WhatsAppAppSpec = Field(
        description="What is wanted: the app's id, where its secrets are, and the Graph API's version.",
        examples=[{"appId": "1029384756", "secretRef": {"name": "meta-app"}}],
    )
    status: WhatsAppAppStatus | None = Field(
        default=None, description="What is, as the operator found it.", examples=[{"webhookPath": "/webhook"}]
    )
