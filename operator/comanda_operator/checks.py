"""What Meta says of a tenant's number, judged: may its token send, is it the account's, do its webhooks come. Pure.

Sources: Meta's reference of debug_token, of the phone number's fields and of subscribed_apps (Graph API v26.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from comanda_operator.records import ConditionRecord, TenantRecord

CONNECTED = "Connected"
"""The type of the condition, and its reason when all is well."""
NOT_SUBSCRIBED, TOKEN_EXPIRING, META_UNAVAILABLE = "NotSubscribed", "TokenExpiring", "MetaUnavailable"
EXPIRES_SOON = timedelta(days=14)
SCOPES = ("whatsapp_business_messaging", "whatsapp_business_management")


class TokenNode(msgspec.Struct, frozen=True):
    """What `debug_token` says of a token. `expires_at` is in unix seconds, 0 for one without end."""

    is_valid: bool = False
    app_id: str = ""
    expires_at: int = 0
    scopes: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """Whether Meta lets a number send: AVAILABLE, LIMITED or BLOCKED."""

    can_send_message: str = ""


class NumberNode(msgspec.Struct, frozen=True):
    """What Meta says of a phone number."""

    status: str = ""
    quality_rating: str = ""
    platform_type: str = ""
    health_status: Health = Health()
    whatsapp_business_manager_messaging_limit: str = ""


NUMBER_FIELDS = ",".join(NumberNode.__struct_fields__)


@dataclass(frozen=True)
class Answers:
    """All that Meta was asked of one tenant. What a token may not see, or nobody has, is None."""

    token: TokenNode
    number: NumberNode | None = None
    account_numbers: frozenset[str] | None = None
    """Ids of the account's numbers."""
    subscribed_apps: frozenset[str] = frozenset()
    """Ids of the apps that get the account's webhooks."""


class Finding(msgspec.Struct, frozen=True):
    """What is to be said of a tenant after Meta was asked; texts that are empty say nothing."""

    condition: ConditionRecord
    rating: str = ""
    limit: str = ""
    token_expires_at: str = ""
    """In UTC, as the API has times."""


def judge(tenant: TenantRecord, app_id: str, answers: Answers, now: datetime) -> Finding:
    """Judge what Meta said of a tenant whose app has this id."""
    number, token = answers.number or NumberNode(), answers.token
    problem = next(_problems(tenant, app_id, answers), None)
    reason, message = (
        problem or _warning(token, now) or (CONNECTED, "Meta knows it, and hands its webhooks to the app.")
    )
    status: Literal["True", "False"] = "True" if reason in {CONNECTED, TOKEN_EXPIRING} else "False"
    return Finding(
        condition=_condition(tenant, status, reason, message),
        rating=_word(number.quality_rating),
        limit=_word(number.whatsapp_business_manager_messaging_limit),
        token_expires_at=_time(token.expires_at) if token.expires_at > 0 else "",
    )


def unknown(tenant: TenantRecord, code: str) -> Finding:
    """Return what is to be said while Meta could not be asked; `code` says why."""
    message = f"Meta could not be asked yet ({code}); it is asked again."
    return Finding(_condition(tenant, "Unknown", META_UNAVAILABLE, message))


def finding_before(tenant: TenantRecord) -> Finding | None:
    """Return what a tenant's status says that was found before."""
    status = tenant.status
    condition = status.condition(CONNECTED)
    if condition is None:
        return None
    quality = status.quality
    return Finding(condition, quality.rating, quality.limit, status.token_expires_at)


def _problems(tenant: TenantRecord, app_id: str, answers: Answers) -> Iterator[tuple[str, str]]:
    """Give what is wrong, what the rest depends on first, each as a reason and a sentence."""
    spec, token, number = tenant.spec, answers.token, answers.number or NumberNode()
    if not token.is_valid:
        yield "TokenInvalid", "Meta refuses the access token: it ended, was revoked, or is none."
    if token.app_id != app_id:
        yield "TokenOfAnotherApp", f"the access token was made for app {_digits(token.app_id)}, not for {app_id}."
    missing = [scope for scope in SCOPES if scope not in token.scopes]
    if missing:
        yield "PermissionMissing", f"the access token lacks {' and '.join(missing)}."
    if answers.number is None:
        yield "NumberUnknown", f"the access token sees no number {spec.phone_number_id}."
    if answers.account_numbers is None or spec.phone_number_id not in answers.account_numbers:
        yield "NumberOfAnotherAccount", f"account {spec.waba_id} has no number {spec.phone_number_id}."
    if number.status != "CONNECTED" or number.platform_type not in {"", "CLOUD_API"}:
        said = f"{_word(number.status) or 'nothing'}, platform {_word(number.platform_type) or 'none'}"
        yield "NumberNotConnected", f"Meta says of the number: {said}."
    if app_id not in answers.subscribed_apps:
        yield NOT_SUBSCRIBED, f"app {app_id} does not get the webhooks of account {spec.waba_id}."
    if number.health_status.can_send_message == "BLOCKED":
        yield "SendingBlocked", "Meta lets the number send nothing."


def _warning(token: TokenNode, now: datetime) -> tuple[str, str] | None:
    if token.expires_at > 0 and token.expires_at - now.timestamp() < EXPIRES_SOON.total_seconds():
        return TOKEN_EXPIRING, f"The access token ends at {_time(token.expires_at)}."
    return None


def _condition(
    tenant: TenantRecord, status: Literal["True", "False", "Unknown"], reason: str, message: str
) -> ConditionRecord:
    return ConditionRecord(CONNECTED, status, reason, message, tenant.metadata.generation)


def _word(text: str) -> str:
    """Return one of Meta's words in capitals; "" for anything else, which no schema takes."""
    is_word = 0 < len(text) <= 32 and text.isascii() and text.replace("_", "").isalnum()
    return text.upper() if is_word and text[0].isalpha() else ""


def _digits(text: str) -> str:
    return text if text.isdecimal() and text.isascii() and len(text) <= 32 else "unknown"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
