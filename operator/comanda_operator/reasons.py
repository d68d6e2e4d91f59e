"""What each reason of a condition means, and what to do; the documents and the command line show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason: of which conditions, what it means, and what to do; nothing is to be done where `cure` is empty."""

    conditions: str
    meaning: str
    cure: str = ""


REASONS: dict[str, Reason] = {
    "Accepted": Reason("Accepted", "The resource is valid and nothing else claims what it names."),
    "PhoneNumberConflict": Reason(
        "Accepted",
        "An older tenant has the same phoneNumberId. The older one is served, this one never is.",
        "Remove one of the two. When the older one goes, this one is served within seconds.",
    ),
    "PoolNameConflict": Reason(
        "Accepted",
        "An older BotPool in another namespace has the same name, and tenants name pools without a namespace.",
        "Remove one of the two, or give it another name.",
    ),
    "AppNameConflict": Reason(
        "Accepted",
        "An older WhatsAppApp in another namespace has the same name, which is a part of the webhook's path.",
        "Remove one of the two, or give it another name.",
    ),
    "TimeZoneUnknown": Reason(
        "Accepted",
        "spec.timezone has the form of a time zone, and is none.",
        "Use a name of the IANA's list, such as America/Santiago.",
    ),
    "SpecInvalid": Reason(
        "Accepted",
        "The resource was made before a rule that it breaks.",
        "Apply it again: the API then names the field and the rule.",
    ),
    "CredentialsReady": Reason("CredentialsReady", "The Secret has the keys that it needs."),
    "AppNotReady": Reason(
        "CredentialsReady",
        "The WhatsAppApp that appRef names is missing, or has no usable Secret.",
        "Create it, mend its Secret, or change appRef. `kubectl describe wapp NAME` says what is wrong with it.",
    ),
    "SecretMissing": Reason(
        "CredentialsReady",
        "The Secret does not exist, or lacks the label comanda.dev/source, without which the operator does not see it.",
        "Create it; or `kubectl label secret NAME comanda.dev/source=true`. What was served goes on with the last"
        " token that was good.",
    ),
    "SecretKeyMissing": Reason(
        "CredentialsReady",
        "The Secret lacks a key.",
        "Add the key: accessToken for a tenant, appSecret and verifyToken for an app. What was served before goes on.",
    ),
    "SecretValueInvalid": Reason(
        "CredentialsReady",
        "A key of the Secret is empty, longer than 4,096 characters, or holds spaces or other than printable ASCII.",
        "Put the value there as Meta shows it. What was served before goes on with the last one that was good.",
    ),
    "Scheduled": Reason("Scheduled", "It has a place: in its pool, or in pods of its own."),
    "PoolMissing": Reason(
        "Scheduled",
        "There is no BotPool of that name. Where there was one, its pods serve its tenants until all have gone.",
        "Create it, or change poolRef.",
    ),
    "PoolFull": Reason(
        "Scheduled",
        "The pool holds as many tenants as its maxTenants; the oldest have their places.",
        "Raise maxTenants, or name another pool in poolRef.",
    ),
    "ConfigMapMissing": Reason(
        "Scheduled",
        "The ConfigMap with flow and menu does not exist, or lacks the label comanda.dev/source.",
        "Create it; or `kubectl label configmap NAME comanda.dev/source=true`; or remove spec.flow.",
    ),
    "ConfigMapInvalid": Reason(
        "Scheduled",
        "The flow or menu in its ConfigMap is no YAML, no mapping, or too large; the message names the key.",
        "Mend it: `comanda validate` names the line. What was good before stays in force, if anything was.",
    ),
    "HandlerNotRun": Reason(
        "Scheduled", "This version does not run handlers of type bridge.", "Use handler type flow or python."
    ),
    "ImageNotAllowed": Reason(
        "Scheduled",
        "The image of this enterprise tenant does not begin with any that the platform allows.",
        "Use an image from an allowed registry, or have the operator's setting ALLOWED_IMAGES changed.",
    ),
    "NotLoaded": Reason(
        "Ready",
        "It has its place, and its pods have not said yet that they have loaded it. Its webhooks get 503, and Meta"
        " brings them again.",
        "Wait some seconds. If it stays: are pods of its group ready (`kubectl get pods -l comanda.dev/group=…`)?",
    ),
    "Updating": Reason(
        "Ready",
        "Its pods serve it as it was before, and have not said yet that they have loaded what is new.",
        "Wait some seconds; then as for NotLoaded.",
    ),
    "Moving": Reason(
        "Ready",
        "It moves to another group, and its data with it. Its webhooks get 503 meanwhile, and Meta brings them again;"
        " `status.movePhase` says what is being done, `status.pausedSince` since when.",
        "Wait some seconds. If it stays in Pausing or Copying: are pods of both groups ready? In Loading: as for"
        " NotLoaded. While it is Pausing it can be called back; later it arrives first.",
    ),
    "Acknowledged": Reason("Ready", "All ready pods of its group have loaded this generation and these credentials."),
    "Answered": Reason("Ready", "The router answers for the app."),
    "Available": Reason("Ready", "At least one pod of the pool is ready."),
    "PodsNotReady": Reason(
        "Ready",
        "No pod of the pool is ready. Webhooks of its tenants get 503, and Meta brings them again.",
        "`kubectl describe pods -l comanda.dev/group=…`; a pod says in its log why it does not start.",
    ),
    "DatabaseMissing": Reason(
        "Ready",
        "The pool wants several pods and has no database, so it has one: an embedded database is on one pod's volume.",
        "Name the Secret of a PostgreSQL in spec.database, or set replicas to 1.",
    ),
    "NotAccepted": Reason("Ready", "The pool has no pods.", "See its condition Accepted."),
    "Connected": Reason("Connected", "Meta knows the number, lets it send, and hands its webhooks to the app."),
    "TokenExpiring": Reason(
        "Connected",
        "The access token ends within 14 days. Until then all is well, so the condition is True.",
        "Make a new token in Meta's business settings and put it into the Secret; pods take it up without a restart.",
    ),
    "TokenInvalid": Reason(
        "Connected",
        "Meta refuses the access token: it ended, was revoked, or never was one. Messages come in; none go out.",
        "Put a new token into the Secret, under accessToken. What waits is sent then.",
    ),
    "TokenOfAnotherApp": Reason(
        "Connected",
        "The access token was made for another app than the one that appRef names.",
        "Make a token of that app, or name the app that the token is of in appRef.",
    ),
    "PermissionMissing": Reason(
        "Connected",
        "The access token lacks a permission.",
        "Make a token with whatsapp_business_messaging and whatsapp_business_management.",
    ),
    "NumberUnknown": Reason(
        "Connected",
        "The access token sees no number of this id: it is none, or the token's user was not given the account.",
        "Compare phoneNumberId with WhatsApp Manager (it is not the phone number); assign the account to the system"
        " user.",
    ),
    "NumberOfAnotherAccount": Reason(
        "Connected",
        "The account that wabaId names has no such number, so fields about the account would reach the wrong tenant.",
        "Correct wabaId, as WhatsApp Manager shows it.",
    ),
    "NumberNotConnected": Reason(
        "Connected",
        "Meta has the number and it is not connected to the Cloud API: not registered, banned, flagged, or moved.",
        "Register it (`POST /PHONE_NUMBER_ID/register` with its PIN), or see in WhatsApp Manager what is wrong.",
    ),
    "NotSubscribed": Reason(
        "Connected",
        "The app does not get the webhooks of the account: customers write, and nobody hears of it.",
        "Set spec.subscribe to true, and the operator subscribes it; or `POST /WABA_ID/subscribed_apps`.",
    ),
    "SendingBlocked": Reason(
        "Connected",
        "Meta has blocked the number from sending, for its quality, its policy, or an unpaid bill.",
        "WhatsApp Manager says why, under account quality and payment.",
    ),
    "MetaUnavailable": Reason(
        "Connected",
        "Meta could not be asked yet. What was found earlier stays; this is said only of a tenant that is new.",
        "Wait; it is asked again. If it stays: may the operator reach the Graph API (network policies, proxies)?",
    ),
}
