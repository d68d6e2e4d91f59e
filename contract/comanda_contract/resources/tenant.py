"""`WhatsAppTenant`: one restaurant's number, its plan, its credentials and its bot."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from comanda_contract.names import SHARDS_PER_POOL
from comanda_contract.resources.forms import (
    AppName,
    ClassName,
    Currency,
    Image,
    Locale,
    MetaId,
    Money,
    OneLine,
    PoolName,
    Timestamp,
    TimeZone,
)
from comanda_contract.resources.handler import Handler
from comanda_contract.resources.meta import (
    AGE,
    ConfigMapRef,
    Definition,
    Part,
    PrinterColumn,
    ResourceBase,
    SecretRef,
    condition_column,
    name_rule,
)
from comanda_contract.resources.quantities import Resources, amount
from comanda_contract.resources.rules import Rule, immutable, section_of_choice
from comanda_contract.resources.scheduling import Scheduling
from comanda_contract.resources.status import StatusBase

ACCESS_TOKEN_KEY = "accessToken"  # noqa: S105 - the name of a key, not a secret
FLOW_KEY = "flow.yaml"
RESTAURANT_KEY = "restaurant.yaml"


class Credentials(Part):
    """Where the access token is."""

    secret_ref: SecretRef = Field(
        description="Secret with the key accessToken: the token with which the bot sends for this number.",
        examples=[{"name": "napoli-token"}],
    )


class FlowSource(Part):
    """Flow and menu from Git, by way of a ConfigMap."""

    config_map_ref: ConfigMapRef = Field(
        description="ConfigMap with the key restaurant.yaml (menu, hours, zones) and, for an own flow, flow.yaml.",
        examples=[{"name": "napoli-menu"}],
    )


class Limits(Part):
    """What a tenant may use, so that no neighbour suffers."""

    inbound_per_minute: int = Field(
        default=600,
        ge=1,
        le=100_000,
        description="Customer messages a minute that are taken in, on average; Meta is told to bring others again.",
        examples=[600],
    )
    inbound_burst: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Customer messages that may come at once above that average.",
        examples=[300],
    )
    outbound_per_second: int = Field(
        default=80,
        ge=1,
        le=1000,
        description="Messages a second that are sent at most. Meta allows 80, and 20 for a number shared with the "
        "phone app.",
        examples=[80],
    )
    messages_per_day: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Messages a day that are sent at most.", examples=[100000]
    )
    monthly_budget: Money | None = Field(
        default=None,
        description="What Meta's fees may come to in a month, in the tenant's currency, such as 150.00. Without it, "
        "there is no limit.",
        examples=["150.00"],
    )


POD_MIB = 128
"""What a pod needs beside its handler's process, of which there are two while a turn that killed one is looked for."""


def _handler_fits(enterprise: Enterprise) -> bool:
    needed = amount(f"{2 * enterprise.handler.memory_mib + POD_MIB}Mi")
    return enterprise.handler.type != "python" or needed <= amount(enterprise.resources.limits.memory)


class Enterprise(Part):
    """Pods of the tenant's own."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.handler.type != 'python' || !isQuantity(string(self.resources.limits.memory))"
            f" || (2.0 * double(self.handler.memoryMib) + {POD_MIB}.0) * 1048576.0"
            " <= quantity(string(self.resources.limits.memory)).asApproximateFloat()",
            f"handler.memoryMib must fit into resources.limits.memory twice, with {POD_MIB}Mi for the pod itself; lower"
            " the one or raise the other",
            _handler_fits,
            "handler.memoryMib",
        ),
    )

    replicas: int = Field(default=1, ge=0, le=50, description="Pods of the tenant's own.", examples=[2])
    image: Image | None = Field(
        default=None,
        description="Image of the pods, made from the bot pod's, that holds a Python handler. Without it, the bot "
        "pod's image that the operator was installed with.",
        examples=["napoli/comanda-bot:1.0"],
    )
    handler: Handler = Field(default=Handler(), description="Which bot answers.", examples=[{"type": "flow"}])
    resources: Resources = Field(
        default=Resources(), description="Requests and limits of each pod.", examples=[{"requests": {"cpu": "500m"}}]
    )
    scheduling: Scheduling = Field(
        default=Scheduling(), description="Where the pods run.", examples=[{"priorityClassName": "bots"}]
    )
    runtime_class_name: ClassName = Field(
        default="",
        description="RuntimeClass of the pods, for instance of a sandbox such as gvisor. Without it, they have the "
        "cluster's default.",
        examples=["gvisor"],
    )
    database: SecretRef | None = Field(
        default=None,
        description="Secret with the key url, the address of a PostgreSQL of the tenant's own. Without it, pods keep "
        "their data in an embedded database.",
        examples=[{"name": "napoli-database"}],
    )


class WhatsAppTenantSpec(Part):
    """What a restaurant's bot is.

    A tenant may move from plan standard to enterprise and back while it runs, so no rule forbids either change: the
    operator makes the new place ready, moves the tenant's data there, and only then takes the old place away.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        *section_of_choice(
            "plan",
            "enterprise",
            "enterprise",
            "plan enterprise needs the section enterprise; add it ({} takes all defaults) or set plan to standard",
            "the section enterprise is for plan enterprise alone; remove it or set plan to enterprise",
        ),
        Rule(
            "self.plan == 'standard' || !has(self.poolRef)",
            "poolRef is for plan standard alone; remove it or set plan to standard",
            lambda spec: spec.plan == "standard" or spec.pool_ref is None,
            "poolRef",
            "FieldValueForbidden",
        ),
    )

    phone_number_id: Annotated[
        MetaId, immutable("phoneNumberId cannot be changed; make a new tenant for another number")
    ] = Field(
        min_length=5,
        max_length=32,
        description="Meta's id of the phone number, as digits in quotes; not the number itself. It never changes in "
        "the life of a tenant.",
        examples=["106540352242922"],
    )
    waba_id: MetaId = Field(
        min_length=5,
        max_length=32,
        description="Id of the WhatsApp Business Account that the number belongs to, as digits in quotes.",
        examples=["102290129340398"],
    )
    display_name: OneLine = Field(
        min_length=1,
        max_length=128,
        description="Name of the restaurant for people, such as Pizzería Napoli.",
        examples=["Pizzería Napoli"],
    )
    app_ref: AppName = Field(
        default="default",
        description="Name of the WhatsAppApp whose webhooks speak for this number.",
        examples=["default"],
    )
    plan: Literal["standard", "enterprise"] = Field(
        default="standard",
        description="standard: a place in a shared pool. enterprise: pods of its own, which the section enterprise "
        "describes. It may be changed while the tenant runs.",
        examples=["standard"],
    )
    pool_ref: PoolName | None = Field(
        default=None,
        description="Name of the BotPool of a tenant of plan standard. Without it, the pool named default.",
        examples=["default"],
    )
    credentials: Credentials = Field(
        description="Where the access token is; never the token itself.",
        examples=[{"secretRef": {"name": "napoli-token"}}],
    )
    locale: Locale = Field(
        default="es",
        description="Language in which the bot begins, with the country where that matters for numbers and dates, "
        "such as es-CL. There are texts in es, en and pt.",
        examples=["es-CL"],
    )
    timezone: TimeZone = Field(
        default="UTC",
        description="Time zone of the opening hours, as the IANA names it, such as America/Santiago.",
        examples=["America/Santiago"],
    )
    currency: Currency = Field(
        default="USD", description="Currency of the prices, as its ISO 4217 code, such as CLP.", examples=["CLP"]
    )
    flow: FlowSource | None = Field(
        default=None,
        description="Flow and menu from a ConfigMap. Without it, those that are edited in the console.",
        examples=[{"configMapRef": {"name": "napoli-menu"}}],
    )
    limits: Limits = Field(
        default=Limits(),
        description="What the tenant may use, so that no neighbour suffers.",
        examples=[{"inboundPerMinute": 600}],
    )
    suspended: bool = Field(
        default=False,
        description="Whether the bot keeps silent: what customers write is stored, and nothing is answered.",
        examples=[False],
    )
    subscribe: bool = Field(
        default=False,
        description="Whether the operator subscribes the app to the account's webhooks when it finds that it is not. "
        "A subscription counts for all numbers of the account.",
        examples=[True],
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What becomes of the tenant's data when this resource is deleted: Retain keeps them, Delete has "
        "pods erase them, and takes an enterprise tenant's volumes away; a PostgreSQL of its own is not touched.",
        examples=["Retain"],
    )
    enterprise: Enterprise | None = Field(
        default=None,
        description="Pods of the tenant's own. For plan enterprise, which needs it; {} takes all defaults.",
        examples=[{"replicas": 2}],
    )


class Quality(Part):
    """What Meta thinks of the number."""

    rating: str | None = Field(
        default=None,
        max_length=32,
        pattern="^[A-Z][A-Z0-9_]*$",
        description="Meta's rating of the number's messages: GREEN, YELLOW, RED or UNKNOWN.",
        examples=["GREEN"],
    )
    limit: str | None = Field(
        default=None,
        max_length=32,
        pattern="^[A-Z][A-Z0-9_]*$",
        description="How many customers a day may be written to first, as Meta names it, such as TIER_2K. Answers do "
        "not count.",
        examples=["TIER_2K"],
    )


class WhatsAppTenantStatus(StatusBase):
    """What the operator found."""

    group: str = Field(
        default="",
        max_length=320,
        description="Bot group that serves the tenant, as namespace/name of its headless Service.",
        examples=["comanda/pool-default"],
    )
    pod: str | None = Field(
        default=None,
        max_length=63,
        description="Pod of the group on which the tenant is placed first.",
        examples=["pool-default-0"],
    )
    shard: int | None = Field(
        default=None,
        ge=0,
        le=SHARDS_PER_POOL - 1,
        description="Number of the pool's credential shard with the tenant's token. Enterprise tenants have none.",
        examples=[7],
    )
    webhook_path: str = Field(
        default="",
        max_length=128,
        description="Path, after the router's address, that Meta must be told as callback.",
        examples=["/webhook"],
    )
    credentials_hash: str | None = Field(
        default=None,
        max_length=64,
        pattern="^[0-9a-f]+$",
        description="Keyed digest of the credentials that the pods have acknowledged; it gives nothing of them away.",
        examples=["5f0c1e9a7b3d48260e1f5a9c3b7d2e48"],
    )
    last_message_time: Timestamp | None = Field(
        default=None,
        description="When a customer's message was last stored, in UTC; of later ones it tells within an hour.",
        examples=["2026-11-24T09:30:00Z"],
    )
    quality: Quality | None = Field(
        default=None, description="What Meta thinks of the number.", examples=[{"rating": "GREEN", "limit": "TIER_2K"}]
    )
    token_expires_at: Timestamp | None = Field(
        default=None,
        description="When the access token ends, in UTC. A token without end leaves it out.",
        examples=["2027-01-24T00:00:00Z"],
    )
    moving_from: str | None = Field(
        default=None,
        max_length=320,
        description="Bot group that the tenant is leaving, as namespace/name. It is there while a move is under way.",
        examples=["comanda/pool-default"],
    )
    move_phase: Literal["Pausing", "Copying", "Loading", "Erasing"] | None = Field(
        default=None,
        description="What is being done for a move: pods of the old group finish, data are copied, pods of the new "
        "group load the tenant, and at last, with webhooks answered again, the old group's data are erased.",
        examples=["Copying"],
    )
    paused_since: Timestamp | None = Field(
        default=None,
        description="Since when the tenant's webhooks are held back for a move, in UTC; Meta brings them again.",
        examples=["2026-11-24T09:30:00Z"],
    )


class WhatsAppTenant(ResourceBase):
    """A restaurant on WhatsApp: its number, plan, credentials, language and bot."""

    definition: ClassVar[Definition] = Definition(
        plural="whatsapptenants",
        singular="whatsapptenant",
        short_names=("wat",),
        columns=(
            PrinterColumn("Plan", ".spec.plan", "Plan of the tenant."),
            PrinterColumn("Phone", ".spec.phoneNumberId", "Meta's id of the phone number."),
            PrinterColumn("Pool", ".status.group", "Bot group that serves it."),
            condition_column("Ready", "Ready", "status", "Whether a pod has loaded it as it is now."),
            condition_column("Reason", "Ready", "reason", "Why it is ready or not."),
            PrinterColumn("App", ".spec.appRef", "WhatsAppApp whose webhooks speak for it.", priority=1),
            PrinterColumn("Pod", ".status.pod", "Pod on which it is placed first.", priority=1),
            PrinterColumn("Quality", ".status.quality.rating", "Meta's rating of the number.", priority=1),
            condition_column("Message", "Ready", "message", "What is the matter, and what to do.", priority=1),
            AGE,
        ),
        selectable_fields=(".spec.phoneNumberId", ".spec.plan", ".spec.poolRef", ".spec.appRef"),
    )
    # Standard tenants too, as any may become an enterprise one.
    rules: ClassVar[tuple[Rule, ...]] = (name_rule(45, "pods of its own are named tenant-NAME-0 and labelled with it"),)

    kind: Literal["WhatsAppTenant"] = Field(default="WhatsAppTenant", description="Kind.", examples=["WhatsAppTenant"])
    spec: WhatsAppTenantSpec = Field(
        description="What is wanted: the number, its plan, its credentials and its bot.",
        examples=[{"displayName": "Pizzería Napoli"}],
    )
    status: WhatsAppTenantStatus | None = Field(
        default=None, description="What is, as the operator found it.", examples=[{"group": "comanda/pool-default"}]
    )
