"""`WhatsAppTenant`: one restaurant's number, its plan, its credentials and its bot."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from comanda_contract.resources.meta import (
    CelRule,
    ConfigMapRef,
    Definition,
    DnsName,
    Image,
    Part,
    PrinterColumn,
    ResourceBase,
    Resources,
    Scheduling,
    SecretRef,
    StatusBase,
)

ACCESS_TOKEN_KEY = "accessToken"  # noqa: S105 - the name of a key, not a secret
FLOW_KEY = "flow.yaml"
RESTAURANT_KEY = "restaurant.yaml"


class Credentials(Part):
    """Where the access token is."""

    secret_ref: SecretRef = Field(
        description="Secret with the key accessToken: the token that sends for this number.",
        examples=[{"name": "napoli-token"}],
    )


class FlowSource(Part):
    """Flow and menu from Git, by way of a ConfigMap."""

    config_map_ref: ConfigMapRef = Field(
        description="ConfigMap with restaurant.yaml (menu, hours, zones) and, for an own flow, flow.yaml.",
        examples=[{"name": "napoli-menu"}],
    )


class Limits(Part):
    """What a tenant may use, so that no neighbour suffers."""

    inbound_per_minute: int = Field(
        default=600,
        ge=1,
        le=100_000,
        description="Customer messages a minute that are taken on average.",
        examples=[600],
    )
    inbound_burst: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Customer messages that may come at once above the average.",
        examples=[300],
    )
    outbound_per_second: int = Field(
        default=80,
        ge=1,
        le=1000,
        description="Messages a second that are sent; Meta allows 80, and 20 for a number shared with the phone app.",
        examples=[80],
    )
    messages_per_day: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Messages a day that are sent at most.", examples=[100000]
    )
    monthly_budget: str | None = Field(
        default=None,
        max_length=20,
        pattern=r"^[0-9]+(\.[0-9]{1,2})?$",
        description="What Meta's fees may come to in a month, in the tenant's currency; none for no limit.",
        examples=["150.00"],
    )


EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=64)]


class Handler(Part):
    """Which bot answers."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule("self.type != 'python' || has(self.entryPoint)", "handler type python needs entryPoint"),
        CelRule("self.type != 'bridge' || has(self.bridge)", "handler type bridge needs the section bridge"),
    )

    type: Literal["flow", "python", "bridge"] = Field(
        default="flow",
        description="flow: our engine; python: an entry point in the image; bridge: an existing bot beside ours.",
        examples=["flow"],
    )
    entry_point: str | None = Field(
        default=None,
        max_length=200,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_]*)?$",
        description="Name, or module:object, of a Python handler in the image: an entry point of comanda.handlers.",
        examples=["napoli"],
    )
    timeout_seconds: int = Field(
        default=10, ge=1, le=60, description="How long one turn of a Python handler may take.", examples=[10]
    )
    memory_mib: int = Field(
        default=512,
        ge=64,
        le=65_536,
        description="How much memory the process of a Python handler may hold, in MiB.",
        examples=[512],
    )
    env: list[EnvName] = Field(
        default=[],
        max_length=32,
        description="Names of the pod's environment variables that a Python handler may see.",
        examples=[["KITCHEN_URL"]],
    )
    bridge: Bridge | None = Field(
        default=None,
        description="Settings of the bot that runs beside ours.",
        examples=[{"image": "napoli/bot:1.4", "port": 3008}],
    )

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Handler:
        if self.type == "python" and self.entry_point is None:
            message = "handler type python needs entryPoint"
            raise ValueError(message)
        if self.type == "bridge" and self.bridge is None:
            message = "handler type bridge needs the section bridge"
            raise ValueError(message)
        return self


class Bridge(Part):
    """An existing Cloud API bot that runs beside the bot pod."""

    image: Image = Field(description="Image of the bot.", examples=["napoli/bot:1.4"])
    port: int = Field(default=3008, ge=1, le=65535, description="Port on which it takes webhooks.", examples=[3008])
    webhook_path: str = Field(
        default="/webhook",
        max_length=200,
        pattern=r"^/.*$",
        description="Path on which it takes webhooks.",
        examples=["/webhook"],
    )
    environment: dict[str, Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=dict,
        max_length=64,
        description="Environment variables; ${phoneNumberId} and ${verifyToken} are filled in.",
        examples=[{"NUMBER_ID": "${phoneNumberId}"}],
    )


class Enterprise(Part):
    """Pods of the tenant's own."""

    replicas: int = Field(default=1, ge=0, le=50, description="Pods.", examples=[2])
    image: Image = Field(
        default="comanda-botpod:0.1.0", description="Image of the pods.", examples=["napoli/comanda-bot:1.0"]
    )
    handler: Handler = Field(default=Handler(), description="Which bot answers.", examples=[{"type": "flow"}])
    resources: Resources = Field(
        default=Resources(), description="Requests and limits of each pod.", examples=[{"requests": {"cpu": "500m"}}]
    )
    scheduling: Scheduling = Field(
        default=Scheduling(), description="Where the pods run.", examples=[{"priorityClassName": "bots"}]
    )
    runtime_class_name: str = Field(
        default="",
        max_length=253,
        description="RuntimeClass, for instance of a sandbox; empty for the default.",
        examples=["gvisor"],
    )
    database: SecretRef | None = Field(
        default=None,
        description="Secret with the key url of an own database; none for the embedded one.",
        examples=[{"name": "napoli-database"}],
    )


class WhatsAppTenantSpec(Part):
    """What a restaurant's bot is."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "self.phoneNumberId == oldSelf.phoneNumberId",
            "phoneNumberId cannot be changed; make a new tenant for another number",
        ),
        CelRule("self.plan != 'enterprise' || has(self.enterprise)", "plan enterprise needs the section enterprise"),
        CelRule(
            "self.plan != 'standard' || !has(self.enterprise)", "the section enterprise is for plan enterprise alone"
        ),
        CelRule("self.plan != 'enterprise' || !has(self.poolRef)", "poolRef is for plan standard alone"),
    )

    phone_number_id: str = Field(
        pattern=r"^[0-9]+$",
        min_length=5,
        max_length=32,
        description="Meta's id of the phone number (digits); fixed for the life of the tenant.",
        examples=["106540352242922"],
    )
    waba_id: str = Field(
        pattern=r"^[0-9]+$",
        min_length=5,
        max_length=32,
        description="WhatsApp Business Account that the number belongs to.",
        examples=["102290129340398"],
    )
    display_name: str = Field(
        min_length=1, max_length=128, description="Name for people.", examples=["Pizzería Napoli"]
    )
    app_ref: DnsName = Field(
        default="default", description="WhatsAppApp whose webhooks speak for this number.", examples=["default"]
    )
    plan: Literal["standard", "enterprise"] = Field(
        default="standard",
        description="standard: in a shared pool; enterprise: pods of its own.",
        examples=["standard"],
    )
    pool_ref: DnsName | None = Field(
        default=None, description="BotPool for plan standard; none for the pool named default.", examples=["default"]
    )
    credentials: Credentials = Field(
        description="Where the access token is.", examples=[{"secretRef": {"name": "napoli-token"}}]
    )
    locale: str = Field(
        default="es",
        pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
        max_length=5,
        description="Language, and country where it matters for numbers and dates.",
        examples=["es-CL"],
    )
    timezone: str = Field(
        default="UTC",
        max_length=64,
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="IANA time zone of the opening hours.",
        examples=["America/Santiago"],
    )
    currency: str = Field(
        default="USD", pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217 code.", examples=["CLP"]
    )
    flow: FlowSource | None = Field(
        default=None,
        description="Flow and menu from a ConfigMap; none for those edited in the console.",
        examples=[{"configMapRef": {"name": "napoli-menu"}}],
    )
    limits: Limits = Field(
        default=Limits(), description="What the tenant may use.", examples=[{"inboundPerMinute": 600}]
    )
    suspended: bool = Field(default=False, description="Store what customers write, answer nothing.", examples=[False])
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain", description="Whether the tenant's data outlive the resource.", examples=["Retain"]
    )
    enterprise: Enterprise | None = Field(
        default=None, description="Pods of its own; for plan enterprise alone.", examples=[{"replicas": 2}]
    )

    @model_validator(mode="after")
    def _plan_and_section_agree(self) -> WhatsAppTenantSpec:
        broken = {
            "plan enterprise needs the section enterprise": self.plan == "enterprise" and self.enterprise is None,
            "the section enterprise is for plan enterprise alone": self.plan == "standard"
            and self.enterprise is not None,
            "poolRef is for plan standard alone": self.plan == "enterprise" and self.pool_ref is not None,
        }
        for message, holds in broken.items():
            if holds:
                raise ValueError(message)
        return self


class WhatsAppTenantStatus(StatusBase):
    """What the operator found."""

    group: str = Field(
        default="",
        max_length=320,
        description="Bot group that serves it, as namespace/name of its headless Service.",
        examples=["comanda/pool-default"],
    )
    webhook_path: str = Field(
        default="", max_length=256, description="Path that Meta must be told as callback.", examples=["/webhook"]
    )


class WhatsAppTenant(ResourceBase):
    """A restaurant on WhatsApp: its number, plan, credentials, language and bot."""

    definition: ClassVar[Definition] = Definition(
        plural="whatsapptenants",
        singular="whatsapptenant",
        short_names=("wat",),
        columns=(
            PrinterColumn("Plan", ".spec.plan"),
            PrinterColumn("Phone", ".spec.phoneNumberId"),
            PrinterColumn("Pool", ".status.group"),
            PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            PrinterColumn("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            PrinterColumn("Age", ".metadata.creationTimestamp", "date"),
        ),
        selectable_fields=(".spec.phoneNumberId", ".spec.plan"),
    )

    kind: Literal["WhatsAppTenant"] = Field(default="WhatsAppTenant", description="Kind.", examples=["WhatsAppTenant"])
    spec: WhatsAppTenantSpec = Field(description="What is wanted.", examples=[{"displayName": "Pizzería Napoli"}])
    status: WhatsAppTenantStatus | None = Field(
        default=None, description="What is.", examples=[{"group": "pool-default"}]
    )
