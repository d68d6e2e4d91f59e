"""The values of the Helm chart: one model, of which `chart_files.py` makes `values.yaml`, schema and README.

What tunes router and operator is taken from their settings, with default, bounds and sentence: the chart cannot set
what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings

from comanda_operator.settings import OperatorSettings
from comanda_router.settings import RouterSettings

_LABEL = "[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?"
_QUALIFIED = f"(({_LABEL}\\.){{1,3}}{_LABEL}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,40}}[A-Za-z0-9])?"
# Printable, in most scripts. Helm's regular expressions know no \u, so the characters themselves are in it.
_NAME = "[ -~\u00a1-\u1fff\u3040-\ud7ff]{1,60}"
_TEXT = "[A-Za-z0-9]([-A-Za-z0-9_./:= ]{0,60}[A-Za-z0-9])?"

Name = Annotated[str, Field(pattern=f"^{_LABEL}$")]
OptionalName = Annotated[str, Field(pattern=f"^({_LABEL})?$")]
Host = Annotated[str, Field(pattern=f"^(({_LABEL}\\.){{1,4}}{_LABEL})?$")]
Quantity = Annotated[str, Field(pattern="^([1-9][0-9]{0,5}(m|k|M|G|Ki|Mi|Gi)?)?$")]
Size = Annotated[str, Field(pattern="^[1-9][0-9]{0,5}(Mi|Gi|Ti)$")]
Annotations = Annotated[
    dict[Annotated[str, Field(pattern=f"^{_QUALIFIED}$")], Annotated[str, Field(pattern=f"^({_TEXT})?$")]],
    Field(max_length=32),
]
LabelValue = Annotated[str, Field(pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]{0,40}[A-Za-z0-9])?)?$")]
Labels = Annotated[dict[Annotated[str, Field(pattern=f"^{_QUALIFIED}$")], LabelValue], Field(max_length=32)]
LabelKey = Annotated[str, Field(pattern=f"^{_QUALIFIED}$")]
Seconds = Annotated[int, Field(ge=0, le=120)]
Port = Annotated[int, Field(ge=1, le=65535)]
Digits = Annotated[str, Field(pattern="^[0-9]{1,32}$")]


class Part(BaseModel):
    """A part of the values; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True, validate_default=True)


class Image(Part):
    """Where one component's image is found, after the registry."""

    repository: str = Field(
        pattern="^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", max_length=200, description="Its name."
    )
    tag: str = Field(
        default="",
        pattern="^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$",
        description="Its tag; empty: the chart's appVersion.",
    )
    digest: str = Field(
        default="",
        pattern="^(sha256:[0-9a-f]{64})?$",
        description="Its digest, sha256:…; with one, the tag is not looked at.",
    )


class Amounts(Part):
    """Processor and memory."""

    cpu: Quantity = Field(default="", description="Cores or millicores, such as 250m; empty: not said.")
    memory: Quantity = Field(default="", description="Bytes, such as 256Mi; empty: not said.")


class Resources(Part):
    """What a pod gets of its node."""

    requests: Amounts = Field(default=Amounts(), description="What a node must have free.")
    limits: Amounts = Field(default=Amounts(), description="What a pod is held to.")


def _resources(cpu: str, memory: str, most_cpu: str, most_memory: str) -> Resources:
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(cpu=most_cpu, memory=most_memory))


class Toleration(Part):
    """A taint that pods do not mind."""

    key: str = Field(default="", pattern=f"^({_QUALIFIED})?$", description="Key of the taint; empty: any.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Exists", description="Equal compares the value as well, and needs a key."
    )
    value: LabelValue = Field(default="", description="Value of the taint, with Equal.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="", description="Effect of the taint; empty: any."
    )


class Pods(Part):
    """Where pods run, and what they carry."""

    node_selector: Labels = Field(default={}, description="Labels that nodes of these pods must have.")
    tolerations: list[Toleration] = Field(
        default=[], max_length=16, description="Taints that these pods do not mind: key, operator, value, effect."
    )
    priority_class_name: OptionalName = Field(default="", description="PriorityClass of these pods; empty: none.")
    pod_annotations: Annotations = Field(default={}, description="Further annotations of these pods.")
    pod_labels: Labels = Field(default={}, description="Further labels of these pods; those of the chart win.")


class Autoscaling(Part):
    """Bounds of an autoscaler."""

    enabled: bool = Field(default=False, description="Let the number of pods follow their CPU use.")
    min_replicas: int = Field(default=2, ge=1, le=500, description="Pods that there are at least.")
    max_replicas: int = Field(default=10, ge=1, le=500, description="Pods that there are at most.")
    target_cpu_percent: int = Field(
        default=70, ge=10, le=100, description="CPU use to aim at, in percent of resources.requests.cpu."
    )


class SharedImage(Part):
    """What holds for all images."""

    registry: str = Field(
        default="",
        pattern="^([a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*)?$",
        max_length=200,
        description="Registry that all images come from, such as registry.example.com/team; empty: the node's default.",
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When nodes ask the registry for an image."
    )
    pull_secrets: list[Name] = Field(
        default=[],
        max_length=8,
        description="Names of Secrets with the registry's credentials, in this namespace and, for pods of enterprise "
        "tenants, in those of the tenants.",
    )


class Crds(Part):
    """The CustomResourceDefinitions."""

    enabled: bool = Field(default=True, description="Install and upgrade the CRDs with the chart.")
    keep: bool = Field(
        default=True,
        description="Leave them there on uninstall. Without it, helm uninstall deletes every tenant with its CRD.",
    )


class MasterKey(Part):
    """The key from which each group's key is derived."""

    existing_secret: OptionalName = Field(
        default="",
        description="Secret with the key masterKey: 64 hexadecimal digits (openssl rand -hex 32). Empty: the chart "
        "makes one and keeps it. Tools that render without a cluster would make another one each time: name yours "
        "there.",
    )


class Rbac(Part):
    """Where the operator may write."""

    scope: Literal["cluster", "namespaces"] = Field(
        default="cluster",
        description="cluster: the operator may write in every namespace. namespaces: in its own and those of "
        "rbac.namespaces alone; it watches all in either case.",
    )
    namespaces: list[Name] = Field(
        default=[], max_length=500, description="Namespaces of tenants and pools, with scope namespaces."
    )


def _tuning(name: str, settings: type[BaseSettings], *chosen: str) -> type[Part]:
    """Return a model of some of a component's settings, as they stand there."""
    fields: dict[str, Any] = {
        each: (settings.model_fields[each].annotation, settings.model_fields[each]) for each in chosen
    }
    return create_model(name, __base__=Part, __doc__=f"Settings that become environment variables ({name}).", **fields)


OperatorTuning = _tuning(
    "OperatorTuning", OperatorSettings,
    "allowed_images", "activity_seconds", "meta_check_hours", "meta_checks_per_second", "workers", "writes_per_second",
    "sweep_seconds", "lease_seconds",
)  # fmt: skip
RouterTuning = _tuning(
    "RouterTuning", RouterSettings,
    "workers", "deadline_seconds", "stall_seconds", "request_seconds", "pod_queue_deliveries", "pod_queue_bytes",
    "under_way_bytes", "customer_per_minute", "customer_burst", "dead_letters_bytes", "log_every",
)  # fmt: skip


class Operator(Pods):
    """The operator."""

    replicas: int = Field(default=2, ge=1, le=5, description="Replicas; one of them leads, by a Lease.")
    image: Image = Field(default=Image(repository="comanda-operator"), description="Its image.")
    rbac: Rbac = Field(default=Rbac(), description="Where it may write.")
    settings: OperatorTuning = Field(default=OperatorTuning(), description="Its settings.")  # type: ignore[valid-type]
    resources: Resources = Field(
        default=_resources("100m", "192Mi", "2", "512Mi"), description="What each of its pods gets."
    )


class Service(Part):
    """The router's Service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="Its type.")
    annotations: Annotations = Field(default={}, description="Its annotations, such as those of a load balancer.")


class Issuer(Part):
    """Who issues the certificate of router.host."""

    name: OptionalName = Field(
        default="", description="Name of the cert-manager issuer; empty: the certificate is in the Secret already."
    )
    kind: Literal["ClusterIssuer", "Issuer"] = Field(default="ClusterIssuer", description="Its kind.")


class Tls(Part):
    """The certificate of router.host."""

    secret_name: Name = Field(default="comanda-router-tls", description="Secret with the certificate.")
    issuer: Issuer = Field(default=Issuer(), description="Who issues it.")


class Ingress(Part):
    """An Ingress for Meta's webhooks."""

    enabled: bool = Field(default=False, description="Make an Ingress for router.host.")
    class_name: OptionalName = Field(default="", description="Its IngressClass; empty: the cluster's default.")
    annotations: Annotations = Field(default={}, description="Its annotations.")


class ParentRef(Part):
    """A Gateway that there is."""

    name: Name = Field(description="Name of the Gateway.")
    namespace: OptionalName = Field(default="", description="Its namespace; empty: the release's.")
    section_name: OptionalName = Field(default="", description="Its listener; empty: any that fits.")


class Gateway(Part):
    """The same by the Gateway API."""

    enabled: bool = Field(default=False, description="Make an HTTPRoute for router.host.")
    parent_refs: list[ParentRef] = Field(
        default=[],
        max_length=8,
        description="Gateways that there are (name, namespace, sectionName); none: the chart makes one of className.",
    )
    class_name: OptionalName = Field(default="", description="GatewayClass of the Gateway that the chart makes.")
    annotations: Annotations = Field(default={}, description="Annotations of the HTTPRoute.")


class Router(Pods):
    """The router."""

    replicas: int = Field(default=2, ge=1, le=500, description="Replicas, without autoscaling.")
    autoscaling: Autoscaling = Field(default=Autoscaling(), description="Its autoscaler.")
    image: Image = Field(default=Image(repository="comanda-router"), description="Its image.")
    host: Host = Field(
        default="",
        description="Public name that Meta posts to, such as bots.example.com; Ingress and HTTPRoute need it.",
    )
    tls: Tls = Field(default=Tls(), description="The certificate of that name.")
    service: Service = Field(default=Service(), description="Its Service.")
    ingress: Ingress = Field(default=Ingress(), description="An Ingress for Meta's webhooks.")
    gateway: Gateway = Field(default=Gateway(), description="The same by the Gateway API.")
    settings: RouterTuning = Field(default=RouterTuning(), description="Its settings.")  # type: ignore[valid-type]
    pre_stop_seconds: Seconds = Field(
        default=10,
        description="Between the end of a pod's endpoint and its SIGTERM: load balancers take so long to hear.",
    )
    drain_seconds: Seconds = Field(
        default=5, description="How long a router that was told to end still listens, while it is not ready."
    )
    topology_key: LabelKey = Field(
        default="topology.kubernetes.io/zone", description="Node label over whose values routers are spread."
    )
    resources: Resources = Field(default=_resources("500m", "256Mi", "2", "768Mi"), description="What each pod gets.")


class BotPod(Part):
    """Bot pods, which the operator makes."""

    image: Image = Field(
        default=Image(repository="comanda-botpod"), description="Image of pods whose BotPool or tenant names no other."
    )


class Pool(Part):
    """The BotPool of standard tenants that name no other."""

    enabled: bool = Field(default=True, description="Make it.")
    name: Name = Field(default="default", description="Its name, which tenants give as poolRef.")
    replicas: int = Field(default=2, ge=0, le=500, description="Its pods, without autoscaling.")
    autoscaling: Autoscaling = Field(default=Autoscaling(), description="Its autoscaler, which the operator makes.")
    max_tenants: int = Field(default=5000, ge=1, le=20000, description="Tenants that it takes.")
    resources: Resources = Field(
        default=Resources(), description="What each pod gets; what is not said is the operator's default."
    )
    topology_key: LabelKey = Field(
        default="topology.kubernetes.io/zone", description="Node label over whose values its pods are spread."
    )
    startup_seconds: int = Field(
        default=240,
        ge=0,
        le=3600,
        description="How long helm install waits for its first ready pod, below Helm's --timeout; 0: not at all.",
    )


class App(Part):
    """The WhatsAppApp whose webhooks come to /webhook."""

    app_id: str = Field(
        default="", pattern="^([0-9]{1,32})?$", description="Id of your app in Meta's dashboard; empty: none is made."
    )
    name: Name = Field(default="default", description="Its name; webhooks of another name come to /webhook/NAME.")
    existing_secret: OptionalName = Field(
        default="",
        description="Secret with the keys appSecret and verifyToken and the label comanda.dev/source; needed with "
        "appId.",
    )
    graph_version: str = Field(
        default="v26.0", pattern="^v[0-9]{1,2}\\.[0-9]$", description="Version of the Graph API that its bots call."
    )


class External(Part):
    """A PostgreSQL of your own."""

    secret_name: OptionalName = Field(
        default="",
        description="Secret with the key url: postgresql+asyncpg://SERVICE_ROLE:…@HOST/DATABASE, for the pods. With a "
        "key ca.crt too, they find it for a URL with ?sslmode=verify-full&sslrootcert=/etc/comanda/database/ca.crt.",
    )
    owner_secret_name: OptionalName = Field(
        default="",
        description="Secret with the key url: postgresql://OWNER:…@HOST/DATABASE, for migrations; ca.crt as above.",
    )
    service_role: str = Field(
        default="comanda_service",
        pattern="^[a-z_][a-z0-9_]{0,62}$",
        description="The role that pods connect as: not the owner, no superuser.",
    )


class Storage(Part):
    """A volume."""

    size: Size = Field(default="10Gi", description="Its size.")
    class_name: OptionalName = Field(default="", description="Its StorageClass; empty: the cluster's default.")


class Cnpg(Part):
    """A CloudNativePG Cluster."""

    instances: int = Field(default=3, ge=1, le=9, description="Servers: one writes, the others follow it.")
    image_name: str = Field(
        default="",
        pattern="^([a-z0-9][a-z0-9./:@_-]{0,200})?$",
        description="Image of PostgreSQL; empty: the default of CloudNativePG.",
    )
    storage: Storage = Field(default=Storage(size="20Gi"), description="Volume of each server's data.")
    wal_storage: Storage = Field(
        default=Storage(size="10Gi"), description="Volume of each server's log: a full one must not stop the other."
    )
    resources: Resources = Field(default=_resources("500m", "1Gi", "2", "1Gi"), description="What each server gets.")


class Bundled(Pods):
    """One PostgreSQL server for trying out."""

    image: Image = Field(default=Image(repository="postgres", tag="17"), description="Its image, the official one.")
    storage: Storage = Field(default=Storage(), description="Its volume.")
    resources: Resources = Field(default=_resources("100m", "256Mi", "1", "512Mi"), description="What it gets.")


class Database(Part):
    """Where the default pool keeps its data."""

    mode: Literal["external", "cnpg", "bundled"] = Field(
        default="bundled",
        description="external: a PostgreSQL of your own. cnpg: a CloudNativePG Cluster, whose operator must be there. "
        "bundled: one server without backup or replica, for trying out.",
    )
    external: External = Field(default=External(), description="With mode external.")
    cnpg: Cnpg = Field(default=Cnpg(), description="With mode cnpg.")
    bundled: Bundled = Field(default=Bundled(), description="With mode bundled.")


class Migrate(Pods):
    """The job that brings the database to this version before anything else is upgraded."""

    enabled: bool = Field(
        default=True, description="Run it; without it, run comanda db migrate yourself before upgrades."
    )
    image: Image = Field(default=Image(repository="comanda-migrate"), description="Its image.")
    resources: Resources = Field(default=_resources("100m", "128Mi", "1", "512Mi"), description="What it gets.")


class SimulatedNumber(Part):
    """A number that the simulator has."""

    phone_number_id: Digits = Field(description="The tenant's phoneNumberId.")
    waba_id: Digits = Field(description="The tenant's wabaId.")
    display_name: str = Field(pattern=f"^{_NAME}$", description="Name that customers see.")
    display_phone_number: str = Field(pattern="^[+][0-9]{6,15}$", description="Number that customers see.")
    access_token: str = Field(pattern="^[A-Za-z0-9-]{1,60}$", description="Token that may speak for it.")


class Simulator(Pods):
    """Meta's side, for trying out without Meta: bots send to it, and it has a chat page."""

    enabled: bool = Field(default=False, description="Run it instead of Meta. Never in production.")
    image: Image = Field(default=Image(repository="comanda-simulator"), description="Its image.")
    app_secret: str = Field(
        default="simulated-app-secret", pattern="^[A-Za-z0-9-]{8,64}$", description="Secret that signs its webhooks."
    )
    verify_token: str = Field(
        default="simulated-verify-token", pattern="^[A-Za-z0-9-]{8,64}$", description="Its verify token."
    )
    numbers: list[SimulatedNumber] = Field(
        default=[
            SimulatedNumber(
                phone_number_id="106540352242922",
                waba_id="102290129340398",
                display_name="Pizzeria Napoli",
                display_phone_number="+56911112222",
                access_token="simulated-access-token",  # noqa: S106 - a token of the simulator
            )
        ],
        min_length=1,
        max_length=50,
        description="Numbers that it has: phoneNumberId, wabaId, displayName, displayPhoneNumber, accessToken.",
    )
    resources: Resources = Field(default=_resources("50m", "128Mi", "1", "512Mi"), description="What it gets.")


class NetworkPolicy(Part):
    """Who may speak to whom."""

    enabled: bool = Field(default=True, description="Deny everything to the chart's pods but what they need.")
    ingress_namespaces: list[Name] = Field(
        default=[],
        max_length=16,
        description="Namespaces that may reach the router's webhooks, such as the ingress controller's; none: anybody.",
    )
    metrics_namespaces: list[Name] = Field(
        default=["monitoring"], max_length=16, description="Namespaces that may read metrics of router and operator."
    )
    api_server_ports: list[Port] = Field(
        default=[443, 6443],
        min_length=1,
        max_length=8,
        description="Ports on which the Kubernetes API is reached, behind its Service too.",
    )
    database_ports: list[Port] = Field(
        default=[5432], min_length=1, max_length=8, description="Ports on which PostgreSQL is reached."
    )


class Monitoring(Part):
    """For Prometheus and Grafana."""

    pod_monitors: bool = Field(
        default=True, description="PodMonitors of router, operator and bot pods, where their CRD is."
    )
    rules: bool = Field(default=True, description="A PrometheusRule with the alerts, where its CRD is.")
    dashboards: bool = Field(default=False, description="ConfigMaps with Grafana dashboards, for its sidecar.")
    dashboard_labels: Labels = Field(
        default={"grafana_dashboard": "1"}, description="Labels by which the sidecar knows a dashboard."
    )
    labels: Labels = Field(default={}, description="Labels by which your Prometheus selects monitors and rules.")


class Values(Part):
    """The values of the chart."""

    image: SharedImage = Field(default=SharedImage(), description="What holds for all images.")
    crds: Crds = Field(default=Crds(), description="The CustomResourceDefinitions.")
    master_key: MasterKey = Field(
        default=MasterKey(),
        description="The key from which each bot group's key is derived; router and operator share it.",
    )
    graph_url: str = Field(
        default="https://graph.facebook.com",
        pattern="^https?://[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?(:[1-9][0-9]{0,3})?$",
        description="Where the Graph API is; with the simulator, it is the simulator.",
    )
    operator: Operator = Field(default=Operator(), description="The operator.")
    router: Router = Field(default=Router(), description="The router, which Meta posts to.")
    botpod: BotPod = Field(default=BotPod(), description="Bot pods, which the operator makes.")
    pool: Pool = Field(default=Pool(), description="The BotPool of standard tenants that name no other.")
    app: App = Field(default=App(), description="The WhatsAppApp whose webhooks come to /webhook.")
    database: Database = Field(default=Database(), description="Where the default pool keeps its data.")
    migrate: Migrate = Field(default=Migrate(), description="The job that migrates the database.")
    simulator: Simulator = Field(default=Simulator(), description="Meta's side, for trying out without Meta.")
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="Who may speak to whom.")
    monitoring: Monitoring = Field(default=Monitoring(), description="For Prometheus and Grafana.")
    api_versions: list[Annotated[str, Field(pattern="^[a-z0-9.-]{1,100}/v[a-z0-9]{1,20}$")]] = Field(
        default=[],
        max_length=32,
        description="API versions that the cluster has, for tools that render without asking it, such as "
        "monitoring.coreos.com/v1 and comanda.dev/v1alpha1.",
    )


REMOVED: Mapping[str, str] = {
    "operator.replicaCount": "operator.replicas",
    "router.replicaCount": "router.replicas",
    "database.url": "database.external.secretName",
    "metrics.enabled": "monitoring.podMonitors",
}
"""Values of drafts of this chart, and what they are called now: who still gives one is told so, with its new name."""
