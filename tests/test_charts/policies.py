"""An evaluator of NetworkPolicies: may this pod speak to that one on this port? As the API's documentation has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A pod, or with no namespace something outside of the cluster. `ports` are its named ports."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def allows(policies: Iterable[Policy], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Tell whether traffic passes: what leaves must be allowed where it leaves, what comes where it comes."""
    known = list(policies)

    def names_port(rule: Mapping[str, Any]) -> bool:
        return _names_port(rule.get("ports", ()), target, port, protocol)

    leaving, coming = _rules(known, "Egress", source), _rules(known, "Ingress", target)
    return all(
        rules is None or any(_names_peer(rule.get(key, ()), other, home) and names_port(rule) for rule, home in rules)
        for rules, key, other in ((leaving, "to", target), (coming, "from", source))
    )


def _rules(policies: list[Policy], direction: str, peer: Peer) -> list[tuple[Mapping[str, Any], str]] | None:
    """Return the rules that a peer is held to, each with its policy's namespace; None where no policy selects it."""
    selecting = [each for each in policies if direction in each["spec"]["policyTypes"] and _selects(each, peer)]
    if not selecting:
        return None
    return [
        (rule, policy["metadata"]["namespace"])
        for policy in selecting
        for rule in policy["spec"].get(direction.lower(), ())
    ]


def _selects(policy: Policy, peer: Peer) -> bool:
    return policy["metadata"]["namespace"] == peer.namespace and _matches(policy["spec"]["podSelector"], peer.labels)


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}, "the evaluator knows no expressions"
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def _names_peer(peers: Iterable[Mapping[str, Any]], other: Peer, home: str) -> bool:
    listed = list(peers)
    return not listed or any(_is(each, other, home) for each in listed)


def _is(peer: Mapping[str, Any], other: Peer, home: str) -> bool:
    assert peer.keys() <= {"podSelector", "namespaceSelector"}, "the evaluator knows no blocks of addresses"
    if not other.is_pod:
        return False
    if "namespaceSelector" in peer:
        if not _matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != home:
        return False
    return _matches(peer.get("podSelector", {}), other.labels)


def _names_port(ports: Iterable[Mapping[str, Any]], target: Peer, port: int, protocol: str) -> bool:
    listed = list(ports)
    return not listed or any(
        each["protocol"] == protocol
        and (target.ports.get(each["port"]) if isinstance(each["port"], str) else each["port"]) == port
        for each in listed
    )
