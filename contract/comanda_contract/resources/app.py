"""`WhatsAppApp`: one Meta app, whose secret signs the webhooks of all numbers subscribed through it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from comanda_contract.resources.meta import Definition, Part, PrinterColumn, ResourceBase, SecretRef, StatusBase

APP_SECRET_KEY = "appSecret"  # noqa: S105 - the name of a key, not a secret
PREVIOUS_APP_SECRET_KEY = "previousAppSecret"  # noqa: S105
VERIFY_TOKEN_KEY = "verifyToken"  # noqa: S105


class WhatsAppAppSpec(Part):
    """What a Meta app is: its id, where its secrets are, and which Graph API version its tenants call."""

    app_id: str = Field(
        pattern=r"^[0-9]+$",
        max_length=32,
        description="Id of the app in Meta's dashboard (digits).",
        examples=["1029384756"],
    )
    secret_ref: SecretRef = Field(
        description="Secret with the keys appSecret, verifyToken and, while rotating, previousAppSecret.",
        examples=[{"name": "meta-app"}],
    )
    graph_version: str = Field(
        default="v26.0",
        pattern=r"^v[0-9]{1,2}\.[0-9]$",
        max_length=6,
        description="Graph API version that bots of this app call.",
        examples=["v26.0"],
    )


class WhatsAppAppStatus(StatusBase):
    """What the operator found."""

    webhook_path: str = Field(
        default="", max_length=256, description="Path that Meta must be told as callback.", examples=["/webhook/brand"]
    )


class WhatsAppApp(ResourceBase):
    """A Meta app: webhooks to /webhook/NAME are signed with its secret and may speak for its tenants alone."""

    definition: ClassVar[Definition] = Definition(
        plural="whatsappapps",
        singular="whatsappapp",
        short_names=("wapp",),
        columns=(
            PrinterColumn("App", ".spec.appId"),
            PrinterColumn("Path", ".status.webhookPath"),
            PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    kind: Literal["WhatsAppApp"] = Field(default="WhatsAppApp", description="Kind.", examples=["WhatsAppApp"])
    spec: WhatsAppAppSpec = Field(description="What is wanted.", examples=[{"appId": "1029384756"}])
    status: WhatsAppAppStatus | None = Field(
        default=None, description="What is.", examples=[{"webhookPath": "/webhook"}]
    )
