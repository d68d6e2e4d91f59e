"""Who may speak to whom, over all pods, ports and directions: what is named here, with the operator's policies."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from pydantic import HttpUrl

from comanda_contract.names import LABEL_COMPONENT
from comanda_operator.manifests.group import group_objects
from comanda_operator.manifests.names import DELIVERIES, METRICS, OPERATOR_COMPONENT
from tests.test_charts.chart import NAMESPACE, environment, objects, pods
from tests.test_charts.policies import Peer, Policy, allows
from tests.test_operator.plans import KEY, SITE, own_group, pool_objects

SIMULATED: dict[str, Any] = {"simulator": {"enabled": True}}
BOT_PORTS = {"deliveries": DELIVERIES, "metrics": METRICS}


def world(values: dict[str, Any]) -> tuple[list[Policy], dict[str, Peer]]:
    """Return the policies of an installation, and everybody in and around it."""
    made = objects(values)
    (operator,) = (pod for _, pod in pods(made) if pod["metadata"]["labels"][LABEL_COMPONENT] == OPERATOR_COMPONENT)
    told = environment(operator)
    graph, databases = HttpUrl(told["COMANDA_OPERATOR_GRAPH_URL"]), told["COMANDA_OPERATOR_DATABASE_PORTS"]
    site = replace(SITE, graph_port=graph.port or 443, database_ports=tuple(json.loads(databases)))
    bots = {"pool-bot": pool_objects(site), "own-bot": group_objects(own_group({}), site, KEY)}
    policies: list[Policy] = [each for each in made if each["kind"] == "NetworkPolicy"]
    peers = {
        "internet": Peer("internet"),
        "prometheus": Peer("prometheus", "monitoring", {"app": "prometheus"}),
        "ingress": Peer("ingress", "ingress-nginx", {"app": "nginx"}),
        "neighbour": Peer("neighbour", NAMESPACE, {"app": "neighbour"}),
        "stranger": Peer("stranger", "shop", {"app.kubernetes.io/component": "router"}),
    }
    for workload, pod in pods(made):
        labels, container = pod["metadata"]["labels"], pod["spec"]["containers"][0]
        name = labels["app.kubernetes.io/component"]
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        peers[name] = Peer(workload, NAMESPACE, labels, ports)
    for name, group in bots.items():
        for wanted in group:
            if wanted.resource.kind == "NetworkPolicy":
                policies.append(wanted.body)
            if wanted.resource.kind == "StatefulSet":
                labels = wanted.body["spec"]["template"]["metadata"]["labels"]
                peers[name] = Peer(name, wanted.body["metadata"]["namespace"], labels, BOT_PORTS)
    return policies, peers


INSIDE = {"router", "operator", "startup", "migrate", "database", "simulator", "pool-bot", "own-bot"}
"""Pods of ours."""

PORTS = {8080, 9090, DELIVERIES, METRICS, 5432, 8090, 443, 80, 6443, 53, 22}


def passing(values: dict[str, Any]) -> set[tuple[str, str, int]]:
    """Return every (from, to, port) that passes where one of the two is ours."""
    policies, peers = world(values)
    ours = INSIDE & peers.keys()
    return {
        (source, target, port)
        for source, target, port in product(peers, peers, PORTS)
        if source != target
        and (source in ours or target in ours)
        and (source == "internet" or target == "internet" or _listens(peers[target], port))
        and allows(policies, peers[source], peers[target], port)
    }


def _listens(peer: Peer, port: int) -> bool:
    """Tell whether anything can be there: strangers may listen anywhere."""
    return not peer.ports or port in peer.ports.values()


def everybody(*names: str) -> set[str]:
    return set(names)


OUTSIDE = everybody("internet", "prometheus", "ingress", "neighbour", "stranger")


def expected(*, simulated: bool, limited: bool) -> set[tuple[str, str, int]]:
    found: set[tuple[str, str, int]] = set()
    # Meta, by whatever way in, reaches webhooks; with named namespaces, by those alone.
    ways_in = everybody("ingress") if limited else OUTSIDE
    found |= {(source, "router", 8080) for source in ways_in}
    # Metrics: of bots anybody may read them, they name no customer; of the others Prometheus.
    found |= {("prometheus", "router", 9090), ("prometheus", "operator", 9090)}
    found |= {(source, bot, METRICS) for source in OUTSIDE for bot in ("pool-bot", "own-bot")}
    # What the product is for.
    found |= {(source, bot, DELIVERIES) for source in ("router", "operator") for bot in ("pool-bot", "own-bot")}
    found |= {("pool-bot", "database", 5432), ("migrate", "database", 5432)}
    if simulated:
        found |= {("simulator", "router", 8080)}
        found |= {(source, "simulator", 8090) for source in ("pool-bot", "own-bot", "operator")}
    return found


def leaving(found: set[tuple[str, str, int]], who: str, where: str = "internet") -> set[int]:
    return {port for source, target, port in found if (source, target) == (who, where)}


CASES = [
    ({}, False, False),
    (SIMULATED, True, False),
    ({**SIMULATED, "networkPolicy": {"ingressNamespaces": ["ingress-nginx"]}}, True, True),
]


@pytest.mark.parametrize(("values", "simulated", "limited"), CASES)
def test_between_pods_exactly_what_is_named_passes(values: dict[str, Any], *, simulated: bool, limited: bool) -> None:
    found = passing(values)
    to_ours = {each for each in found if each[1] in INSIDE}
    assert to_ours == expected(simulated=simulated, limited=limited)


@pytest.mark.parametrize(("values", "simulated"), [({}, False), (SIMULATED, True)])
def test_what_leaves_for_the_internet_is_what_each_needs(values: dict[str, Any], *, simulated: bool) -> None:
    found = passing(values)
    graph = {8090} if simulated else set()
    assert leaving(found, "router") == {53, 443, 6443}
    assert leaving(found, "operator") == {53, 443, 6443} | graph
    assert leaving(found, "startup") == {53, 443, 6443}
    assert leaving(found, "migrate") == {53, 5432}
    assert leaving(found, "database") == set()
    for bot in ("pool-bot", "own-bot"):
        assert leaving(found, bot) == {53, 443, 80, 5432} | graph
    if simulated:
        assert leaving(found, "simulator") == {53}


def test_names_are_looked_up_by_udp_too() -> None:
    policies, peers = world(SIMULATED)
    asking = {name for name in INSIDE if allows(policies, peers[name], peers["internet"], 53, "UDP")}
    assert asking == INSIDE - {"database"}


def test_without_policies_nothing_is_denied() -> None:
    assert not [each for each in objects({"networkPolicy": {"enabled": False}}) if each["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("who", ["migrate", "pool-bot", "own-bot"])
def test_a_database_is_reached_by_its_port(who: str) -> None:
    external = {"mode": "external", "external": {"secretName": "service", "ownerSecretName": "owner"}}
    policies, peers = world({"database": external, "networkPolicy": {"databasePorts": [25060]}})
    assert allows(policies, peers[who], peers["internet"], 25060)
    assert not allows(policies, peers[who], peers["internet"], 5432)


@pytest.mark.parametrize("who", ["operator", "pool-bot", "own-bot"])
def test_another_graph_is_reached_by_its_port(who: str) -> None:
    policies, peers = world({"graphUrl": "http://graph.example.com:8088"})
    assert allows(policies, peers[who], peers["internet"], 8088)
    assert not allows(world({})[0], peers[who], peers["internet"], 8088)


def test_a_named_port_is_the_one_of_the_pod_that_is_spoken_to() -> None:
    policies, peers = world({})
    other = Peer("other", NAMESPACE, peers["router"].labels, {"http": 1234})
    assert allows(policies, peers["internet"], other, 1234)
    assert not allows(policies, peers["internet"], other, 8080)
