"""Which bot answers for an enterprise tenant: our engine, Python code in its image, or an existing bot beside ours."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from comanda_contract.resources.forms import NULL_SAYS_NOTHING, VARIABLE_NAMES, Image, UrlPath, VariableName
from comanda_contract.resources.meta import Part
from comanda_contract.resources.rules import Distinct, Rule, matches, section_of_choice

EntryPoint = Annotated[
    str,
    Field(min_length=1, max_length=200),
    matches(
        "^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_]*)?$",
        "must be the name of an entry point such as napoli, or module:object such as napoli_bot.handler:handle",
    ),
]

_PLACEHOLDERS = ("${phoneNumberId}", "${verifyToken}")


def _has_known_placeholders(environment: dict[str, str]) -> bool:
    for known in _PLACEHOLDERS:
        environment = {name: value.replace(known, "") for name, value in environment.items()}
    return not any("${" in value for value in environment.values())


_replaced = "".join(f".replace('{known}', '')" for known in _PLACEHOLDERS)

Environment = Annotated[
    dict[str, Annotated[str, Field(max_length=1024)]],
    Field(max_length=64),
    VARIABLE_NAMES,
    Rule(
        "self.all(name, !name.startsWith('COMANDA_'))",
        "variables that begin with COMANDA_ are the pod's own; choose another name",
        lambda environment: not any(name.startswith("COMANDA_") for name in environment),
        reason="FieldValueForbidden",
    ),
    Rule(
        f"self.all(name, !self[name]{_replaced}.contains('${{'))",
        "values may hold ${phoneNumberId} and ${verifyToken}, and no other ${…}; the access token is never given away",
        _has_known_placeholders,
    ),
    NULL_SAYS_NOTHING,
]


class Bridge(Part):
    """An existing Cloud API bot that runs beside the bot pod."""

    image: Image = Field(description="Image of the bot, such as napoli/bot:1.4.", examples=["napoli/bot:1.4"])
    port: int = Field(
        default=3008, ge=1, le=65535, description="TCP port on which the bot takes webhooks.", examples=[3008]
    )
    webhook_path: UrlPath = Field(
        default="/webhook", description="Path on which the bot takes webhooks.", examples=["/webhook"]
    )
    environment: Environment = Field(
        default_factory=dict,
        description="Environment variables of the bot. ${phoneNumberId} and ${verifyToken} in a value are filled in; "
        "the access token is not given to it.",
        examples=[{"NUMBER_ID": "${phoneNumberId}"}],
    )


class Handler(Part):
    """Which bot answers."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *section_of_choice(
            "type",
            "python",
            "entryPoint",
            "handler type python needs entryPoint; name an entry point of the image, such as napoli",
            "entryPoint is for handler type python alone; remove it or set type to python",
        ),
        *section_of_choice(
            "type",
            "bridge",
            "bridge",
            "handler type bridge needs the section bridge; add it, with the bot's image",
            "the section bridge is for handler type bridge alone; remove it or set type to bridge",
        ),
        Rule(
            "self.type == 'python' || !has(self.env) || size(self.env) == 0",
            "env is for handler type python alone; remove it (a bridge has bridge.environment)",
            lambda handler: handler.type == "python" or not handler.env,
            "env",
            "FieldValueForbidden",
        ),
    )

    type: Literal["flow", "python", "bridge"] = Field(
        default="flow",
        description="flow: our engine, with the tenant's flow. python: an entry point in the image. bridge: an "
        "existing Cloud API bot that runs beside ours.",
        examples=["flow"],
    )
    entry_point: EntryPoint | None = Field(
        default=None,
        description="Python handler in the image: the name of an entry point of the group comanda.handlers, such as "
        "napoli, or module:object. For type python, which needs it.",
        examples=["napoli"],
    )
    timeout_seconds: int = Field(
        default=10,
        ge=1,
        le=60,
        description="How long one turn of a Python handler may take, in seconds.",
        examples=[10],
    )
    memory_mib: int = Field(
        default=192,
        ge=64,
        le=65_536,
        description="How much memory the process of a Python handler may hold, in MiB. The pod's limit needs room for "
        "it twice, and 128Mi for the pod itself.",
        examples=[192],
    )
    env: Annotated[list[VariableName], Distinct()] = Field(
        default=[],
        max_length=32,
        description="Names of the pod's environment variables that a Python handler may see; it sees no others.",
        examples=[["KITCHEN_URL"]],
    )
    bridge: Bridge | None = Field(
        default=None,
        description="The bot that runs beside ours. For type bridge, which needs it.",
        examples=[{"image": "napoli/bot:1.4", "port": 3008}],
    )
