"""What each template makes of the values, template by template."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import promql_parser as promql
import pytest
import yaml

from comanda_contract.resources import BotPool, WhatsAppApp, WhatsAppTenant
from comanda_operator.app import LEASE
from comanda_operator.manifests.apps import APPS_SECRET
from comanda_operator.manifests.names import OPERATOR_COMPONENT, PART_OF, ROUTER_COMPONENT
from tests.test_charts.chart import CHART, SETS, environment, names, objects, pick, pods, render, values_of
from tests.test_charts.test_alerts import EXPOSED, SUFFIXES, selectors

WITH_CRDS: dict[str, Any] = {"apiVersions": ["comanda.dev/v1alpha1"]}
MONITORED: dict[str, Any] = {"apiVersions": ["monitoring.coreos.com/v1"]}


def rules(name: str) -> Any:
    return yaml.safe_load((CHART / "rbac" / f"{name}.yaml").read_text())


# operator/


def test_the_operator_has_the_rights_that_its_tests_run_it_with_everywhere() -> None:
    made = objects()
    assert pick(made, "ClusterRole", "comanda-operator")["rules"] == rules("operator")
    assert pick(made, "Role", "comanda-operator")["rules"] == rules("operator-own-namespace")
    (subject,) = pick(made, "ClusterRoleBinding", "comanda-operator")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "comanda-operator", "namespace": "comanda"}


def test_by_namespace_it_may_see_everything_and_write_where_it_is_said() -> None:
    made = objects(values_of("namespaces"))
    granted = {
        name: pick(made, "ClusterRole", name)["rules"] for name in ("comanda-operator", "comanda-operator-writes")
    }
    assert all(set(rule["verbs"]) <= {"list", "watch"} for rule in granted["comanda-operator"])
    assert all(not set(rule["verbs"]) & {"list", "watch"} for rule in granted["comanda-operator-writes"])

    def pairs(found: Any) -> set[tuple[str, str]]:
        return {(kind, verb) for rule in found for kind in rule["resources"] for verb in rule["verbs"]}

    together = pairs(granted["comanda-operator"]) | pairs(granted["comanda-operator-writes"])
    assert together == pairs(rules("operator")), "split, no right is lost and none is added"
    bindings = [each for each in made if each["kind"] == "RoleBinding" and each["roleRef"]["kind"] == "ClusterRole"]
    assert {each["metadata"]["namespace"] for each in bindings} == {"shop", "parrilla", "comanda"}
    assert {each["roleRef"]["name"] for each in bindings} == {"comanda-operator-writes"}


def test_the_operator_finds_its_key_where_it_is_mounted_and_its_namespace_is_its_own() -> None:
    pod = dict(pods(objects()))["comanda-operator"]
    variables = environment(pod)
    (mount,) = [each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["name"] == "master-key"]
    assert variables["COMANDA_OPERATOR_MASTER_KEY_FILE"] == f"{mount['mountPath']}/masterKey"
    assert variables["COMANDA_OPERATOR_NAMESPACE"]["fieldRef"]["fieldPath"] == "metadata.namespace"


def test_labels_are_those_by_which_bot_pods_let_router_and_operator_in() -> None:
    found = dict(pods(objects()))
    for workload, component in (("comanda-router", ROUTER_COMPONENT), ("comanda-operator", OPERATOR_COMPONENT)):
        labels = found[workload]["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == PART_OF
        assert labels["app.kubernetes.io/component"] == component


def test_the_lease_is_the_one_that_the_runbook_names() -> None:
    assert LEASE == "comanda-operator"


# master-key.yaml


def test_operator_and_router_share_one_key_of_32_bytes() -> None:
    made = objects()
    key = pick(made, "Secret", "comanda-master-key")
    assert re.fullmatch("[0-9a-f]{64}", base64.b64decode(key["data"]["masterKey"]).decode())
    found = dict(pods(made))
    source = environment(found["comanda-router"])["COMANDA_ROUTER_MASTER_KEY"]["secretKeyRef"]
    (volume,) = [each for each in found["comanda-operator"]["spec"]["volumes"] if each["name"] == "master-key"]
    assert source["name"] == volume["secret"]["secretName"] == "comanda-master-key"


def test_a_key_of_ones_own_takes_its_place() -> None:
    made = objects({"masterKey": {"existingSecret": "mine"}})
    assert "comanda-master-key" not in names(made, "Secret")
    assert (
        environment(dict(pods(made))["comanda-router"])["COMANDA_ROUTER_MASTER_KEY"]["secretKeyRef"]["name"] == "mine"
    )


# router/


def test_a_router_goes_only_when_another_one_has_come_and_has_time_to_end() -> None:
    made = objects({"router": {"preStopSeconds": 12, "drainSeconds": 7}})
    router = pick(made, "Deployment", "comanda-router")
    assert router["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = router["spec"]["template"]["spec"]
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 12}}}
    assert pod["terminationGracePeriodSeconds"] == 12 + 7 + 30
    assert pick(made, "PodDisruptionBudget", "comanda-router")["spec"]["maxUnavailable"] == 1


def test_probes_ask_different_things() -> None:
    for _, pod in pods(objects()):
        container = pod["spec"]["containers"][0]
        if "httpGet" in container.get("readinessProbe", {}):
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_an_autoscaler_alone_decides_how_many_routers_there_are() -> None:
    made = objects({"router": {"autoscaling": {"enabled": True, "maxReplicas": 7}}})
    assert "replicas" not in pick(made, "Deployment", "comanda-router")["spec"]
    assert pick(made, "HorizontalPodAutoscaler", "comanda-router")["spec"]["maxReplicas"] == 7
    assert not names(objects(), "HorizontalPodAutoscaler")


def test_the_router_mounts_the_secret_that_the_operator_writes() -> None:
    (volume,) = [v for v in dict(pods(objects()))["comanda-router"]["spec"]["volumes"] if v["name"] == "apps"]
    assert volume["secret"]["secretName"] == APPS_SECRET
    assert volume["secret"]["optional"] is True, "there is none before the first app"


def test_from_the_internet_nothing_but_webhooks_is_reached() -> None:
    (path,) = pick(objects(values_of("external")), "Ingress", "comanda-router")["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["port"]["name"]) == ("/webhook", "http")
    (rule,) = pick(objects(values_of("gateway")), "HTTPRoute", "comanda-router")["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == ["/webhook"]
    (port,) = pick(objects(), "Service", "comanda-router")["spec"]["ports"]
    assert port["targetPort"] == "http"


def test_cert_manager_is_asked_where_the_certificate_is_used() -> None:
    ingress = pick(objects(values_of("external")), "Ingress", "comanda-router")
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    gateway = pick(objects(values_of("gateway-own")), "Gateway", "comanda-router")
    assert gateway["metadata"]["annotations"] == {"cert-manager.io/issuer": "team"}
    assert "Gateway" not in {each["kind"] for each in objects(values_of("gateway"))}, "those of others are theirs"


# pool.yaml, app.yaml, crds.yaml


def test_pool_and_app_are_what_their_models_take() -> None:
    for name in SETS:
        for each in objects(values_of(name)):
            if each["kind"] == "BotPool":
                BotPool.model_validate(each)
            if each["kind"] == "WhatsAppApp":
                WhatsAppApp.model_validate(each)


def test_where_the_crds_are_there_pool_and_app_are_ordinary_objects() -> None:
    pool = pick(objects(WITH_CRDS), "BotPool", "default")
    assert "annotations" not in pool["metadata"]


def test_where_they_are_not_a_hook_makes_them_which_deletes_nothing() -> None:
    annotations = pick(objects(), "BotPool", "default")["metadata"]["annotations"]
    assert annotations["helm.sh/hook-delete-policy"] == "hook-failed"
    assert annotations["meta.helm.sh/release-name"] == "comanda", "the next upgrade must find it its own"


def test_crds_are_kept_unless_one_says_otherwise() -> None:
    kept = [each for each in objects() if each["kind"] == "CustomResourceDefinition"]
    assert len(kept) == 3
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in kept)
    gone = [each for each in objects({"crds": {"keep": False}}) if each["kind"] == "CustomResourceDefinition"]
    assert not any("helm.sh/resource-policy" in each["metadata"].get("annotations", {}) for each in gone)
    assert not names(objects({"crds": {"enabled": False}}), "CustomResourceDefinition")


# database/


@pytest.mark.parametrize("mode", ["bundled", "cnpg"])
def test_pool_and_migration_are_told_of_the_database_that_the_chart_makes(mode: str) -> None:
    made = objects({"database": {"mode": mode}})
    pool, owner = pick(made, "Secret", "comanda-database"), pick(made, "Secret", "comanda-database-owner")
    assert pick(made, "BotPool", "default")["spec"]["database"]["name"] == pool["metadata"]["name"]
    (job,) = [pod for workload, pod in pods(made) if workload.startswith("comanda-migrate")]
    source = environment(job)["COMANDA_DATABASE_OWNER_URL"]["secretKeyRef"]
    assert source == {"name": owner["metadata"]["name"], "key": "url"}


def test_a_database_that_is_there_is_migrated_before_anything_else_changes() -> None:
    job = pick(objects(values_of("external")), "Job", "comanda-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "annotations" not in next(each for each in objects() if each["kind"] == "Job")["metadata"]


def test_an_orders_database_is_not_deleted_with_the_release() -> None:
    cluster = pick(objects(values_of("cnpg")), "Cluster", "comanda-database")
    assert cluster["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert cluster["spec"]["postgresql"]["synchronous"]["number"] == 1
    single = pick(objects(values_of("cnpg-single")), "Cluster", "comanda-database")
    assert "synchronous" not in single["spec"]["postgresql"]


# simulator/


def test_with_the_simulator_bots_and_operator_speak_to_it_and_not_to_meta() -> None:
    made = objects(values_of("simulator"))
    operator = environment(dict(pods(made))["comanda-operator"])
    assert operator["COMANDA_OPERATOR_GRAPH_URL"] == "http://comanda-simulator.comanda.svc:8090"
    assert pick(made, "WhatsAppApp", "default")["spec"]["secretRef"] == {"name": "comanda-simulator-app"}
    assert not [each for each in objects() if "simulator" in each["metadata"]["name"]]


def test_another_configuration_starts_the_simulator_again_and_nothing_else() -> None:
    before, after = (
        {name: pod["metadata"] for name, pod in pods(objects({"simulator": {"enabled": True, "appSecret": secret}}))}
        for secret in ("first-secret", "second-secret")
    )
    assert {name for name in before if before[name] != after[name]} == {"comanda-simulator"}


# monitoring.yaml


def test_monitors_and_alerts_come_where_their_crds_are() -> None:
    assert not {"PodMonitor", "PrometheusRule"} & {each["kind"] for each in objects()}
    made = objects(MONITORED)
    assert names(made, "PodMonitor") == {"comanda-operator", "comanda-router", "comanda-bot-pod"}
    alerts = yaml.safe_load((CHART / "rules" / "alerts.yaml").read_text())
    assert pick(made, "PrometheusRule", "comanda")["spec"] == alerts


def test_a_monitor_finds_the_pods_and_the_port() -> None:
    made = objects(MONITORED)
    for workload in ("comanda-operator", "comanda-router"):
        pod = dict(pods(made))[workload]
        spec = pick(made, "PodMonitor", workload)["spec"]
        assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ports = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
        assert {each["port"] for each in spec["podMetricsEndpoints"]} <= ports


DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_metrics_that_there_are(path: Any) -> None:
    dashboard = json.loads(path.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 10
    for expression in expressions:
        query = promql.parse(expression.replace("$__rate_interval", "5m"))
        found = {selector.name for selector in selectors(query)}
        assert found, expression
        assert found <= {name + suffix for name in EXPOSED for suffix in SUFFIXES}, expression


def test_dashboards_arrive_as_they_are() -> None:
    made = objects({"monitoring": {"dashboards": True}})
    for path in DASHBOARDS:
        config = pick(made, "ConfigMap", f"comanda-dashboard-{path.stem}")
        assert json.loads(config["data"][path.name]) == json.loads(path.read_text())
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


# images and pods


def test_images_are_named_by_registry_tag_and_digest() -> None:
    found = {name: pod["spec"]["containers"][0]["image"] for name, pod in pods(objects(values_of("everything")))}
    registry, digest = "registry.example.com:5000", "0123456789abcdef" * 4
    assert found["comanda-operator"] == f"{registry}/team/operator@sha256:{digest}"
    assert found["comanda-router"] == f"{registry}/comanda-router:0.2.0"
    assert found["comanda-database"] == f"{registry}/mirror/postgres:16"


def test_the_operator_is_told_of_the_image_of_pods_that_name_none() -> None:
    def told(values: dict[str, Any]) -> str:
        operator = dict(pods(objects(values)))["comanda-operator"]
        return str(environment(operator)["COMANDA_OPERATOR_BOT_IMAGE"])

    assert told({}) == "comanda-botpod:0.1.0"
    assert told({"image": {"registry": "registry.example.com"}}) == "registry.example.com/comanda-botpod:0.1.0"
    assert "image" not in pick(objects(), "BotPool", "default")["spec"]


def test_labels_that_make_up_selectors_cannot_be_overridden() -> None:
    labels = dict(pods(objects(values_of("everything"))))["comanda-operator"]["metadata"]["labels"]
    assert (labels["app.kubernetes.io/component"], labels["team"]) == ("operator", "food")


@pytest.mark.parametrize("name", SETS)
def test_selectors_match_the_pods_that_they_are_for_and_no_others(name: str) -> None:
    made = objects(values_of(name))
    found = dict(pods(made))
    for each in made:
        if each["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            wanted = each["spec"]["selector"]["matchLabels"].items()
            matched = {workload for workload, pod in found.items() if wanted <= pod["metadata"]["labels"].items()}
            assert matched == {each["metadata"]["name"]}


# NOTES.txt


@pytest.mark.parametrize("name", SETS)
def test_the_notes_hold_a_tenant_that_can_be_applied_and_the_next_command(name: str) -> None:
    notes = render(values_of(name))["NOTES.txt"]
    pasted = notes.split("<<'EOF'\n")[1].split("\nEOF\n")[0]
    secret, tenant = yaml.safe_load_all(pasted)
    WhatsAppTenant.model_validate(tenant)
    assert tenant["spec"]["credentials"]["secretRef"]["name"] == secret["metadata"]["name"]
    assert secret["metadata"]["labels"] == {"comanda.dev/source": "true"}
    assert "get wat napoli" in notes
    assert ("for trying out" in notes) is (values_of(name).get("database", {}).get("mode", "bundled") == "bundled")
