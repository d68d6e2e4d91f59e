"""Forms that strings of a resource may have, each with the sentence for one that has another form."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from comanda_contract.resources.rules import keys_match, lacks_prefix, matches

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = rf"({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"


def _without_null(entries: Any) -> Any:
    if not isinstance(entries, dict):
        return entries
    return {key: value for key, value in entries.items() if value is not None}


NULL_SAYS_NOTHING = BeforeValidator(_without_null)
"""For maps: as for the API server, an entry that is null is an entry that is not there."""

DnsLabel = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matches(f"^{_LABEL}$", "must be a name of lower-case letters, digits and -, such as napoli"),
]
DnsName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matches(f"^{_SUBDOMAIN}$", "must be the name of an object: lower-case letters, digits, - and ., such as napoli-1"),
]
PoolName = Annotated[
    str,
    Field(min_length=1, max_length=47),
    matches(f"^{_LABEL}$", "must be the name of a BotPool: lower-case letters, digits and -, such as default"),
]
AppName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matches(f"^{_LABEL}$", "must be the name of a WhatsAppApp: lower-case letters, digits and -, such as default"),
]
ClassName = Annotated[
    str,
    Field(max_length=253),
    matches(f"^({_SUBDOMAIN})?$", "must be the name of a class in the cluster, such as gvisor, or left out"),
]

MetaId = Annotated[
    str, matches("^[0-9]+$", "must be an id as Meta's dashboard shows it: digits alone, in quotes, and no phone number")
]

OneLine = Annotated[
    str,
    matches(
        r"^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0])?$",
        "must be one line of text without spaces at its ends or control characters",
    ),
]

Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    matches(
        r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?"
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$",
        "must be an image as container runtimes write it, such as registry.example.com/napoli/bot:1.4",
    ),
]

LabelKey = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matches(f"^{_QUALIFIED}$", "must be the key of a node label, such as topology.kubernetes.io/zone"),
]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    matches(
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be the value of a label: letters, digits, -, _ and ., with a letter or digit at its ends",
    ),
]
LABEL_KEYS = keys_match(f"^{_QUALIFIED}$", "must have keys of node labels, such as kubernetes.io/arch")

VariableName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    matches("^[A-Z][A-Z0-9_]*$", "must be the name of an environment variable in capitals, such as KITCHEN_URL"),
    lacks_prefix("COMANDA_", "variables that begin with COMANDA_ are the pod's own and shown to no handler; remove it"),
]
VARIABLE_NAMES = keys_match(
    "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
    "must have names of environment variables: letters, digits and _, at most 64 characters, such as NUMBER_ID",
)

UrlPath = Annotated[
    str,
    Field(min_length=1, max_length=200),
    matches("^/[A-Za-z0-9._~/-]*$", "must be a path such as /webhook: letters, digits and . _ ~ - / only"),
]

Locale = Annotated[
    str,
    Field(min_length=2, max_length=5),
    matches("^[a-z]{2}(-[A-Z]{2})?$", "must be a language such as es, or a language and a country such as es-CL"),
]
TimeZone = Annotated[
    str,
    Field(min_length=1, max_length=64),
    # Whether there is such a zone depends on the age of a machine's database. The API server has one too, but a zone
    # that it does not know would be an error rather than a broken rule, and those stop every later update.
    matches(
        "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
        "must be a time zone as the IANA names it, such as America/Santiago or UTC; an offset would know no summer",
    ),
]
Currency = Annotated[
    str,
    Field(min_length=3, max_length=3),
    matches("^[A-Z]{3}$", "must be an ISO 4217 code of three capitals, such as CLP"),
]
Money = Annotated[
    str,
    Field(min_length=1, max_length=20),
    matches(
        r"^[0-9]+(\.[0-9]{1,2})?$",
        "must be an amount such as 150 or 150.00, in quotes: no sign, no thousands separator, at most two decimals",
    ),
]

Timestamp = Annotated[
    str,
    Field(
        max_length=30,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
"""A time in a status, in UTC."""
