"""Where pods may run: what a resource may ask of the scheduler, and the privileged names that it may not."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from comanda_contract.resources.forms import LABEL_KEYS, NULL_SAYS_NOTHING, ClassName, LabelKey, LabelValue
from comanda_contract.resources.meta import Part
from comanda_contract.resources.rules import Rule, lacks_prefix

_ROLES = "node-role.kubernetes.io/"

NodeSelector = Annotated[
    dict[str, LabelValue],
    Field(max_length=16),
    LABEL_KEYS,
    Rule(
        f"self.all(key, !key.startsWith('{_ROLES}'))",
        "bots do not run on nodes by their role in the cluster, such as the control plane; use a label of your own",
        lambda labels: not any(key.startswith(_ROLES) for key in labels),
        reason="FieldValueForbidden",
    ),
    NULL_SAYS_NOTHING,
]

PriorityClassName = Annotated[
    ClassName,
    lacks_prefix("system-", "priority classes that begin with system- are the cluster's own; use one of your own"),
]


class Scheduling(Part):
    """Where pods may run."""

    node_selector: NodeSelector = Field(
        default_factory=dict,
        description="Labels that a node must have, all of them. Without it, pods run on any node.",
        examples=[{"kubernetes.io/arch": "amd64"}],
    )
    priority_class_name: PriorityClassName = Field(
        default="",
        description="PriorityClass of the pods. Without it, they have the cluster's default.",
        examples=["bots"],
    )
    topology_key: LabelKey = Field(
        default="kubernetes.io/hostname",
        description="Node label over whose values the pods are spread, such as topology.kubernetes.io/zone.",
        examples=["topology.kubernetes.io/zone"],
    )
