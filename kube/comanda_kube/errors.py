"""What the Kubernetes API may answer instead of what was asked.

    ApiError
    ├── ApiUnavailableError    no connection, no answer in time, or a 5xx
    ├── ThrottledError         429: come again after a while
    ├── NotFoundError          404: there is no such object, or no such kind
    ├── AlreadyExistsError     409 to a create
    ├── ObjectConflictError    409: the object moved on, or somebody else owns the field
    ├── GoneError              410: that history is forgotten
    ├── UnauthorizedError      401: the API does not know us
    ├── ForbiddenError         403: it knows us, and a rule is missing
    ├── FencedError            not sent: we may not write any more
    └── InvalidObjectError     any other 4xx
    InvalidConfigError         a kubeconfig or a pod's mount that cannot be used

Messages name the call and the object. What the API itself said stays in `answer`, for a person who asked: it may repeat
values of the object, which must not reach a log.
"""

from __future__ import annotations

import msgspec

from comanda_contract.errors import ComandaError, ConflictError, InvalidInputError, UnavailableError


class ApiError(ComandaError):
    """Base of what the API answers; `call` is like `get secrets shop/token`, `fact` like `no connection`."""

    code = "kubernetes"
    status = 0
    untouched = False
    """Whether the API surely did nothing of what was asked."""
    retry_after_seconds = 0.0
    """How long the API asked to be left alone."""
    answer = ""
    """The API's own sentence; may hold values of the object."""

    def __init__(self, call: str, fact: str, *, hint: str = "") -> None:
        super().__init__(f"{call}: {fact}.", hint=hint)
        self.call = call
        self.fact = fact


class ApiUnavailableError(ApiError, UnavailableError):
    """The API could not be reached, did not answer in time, or failed inside."""

    code = "kubernetes_unavailable"


class ThrottledError(ApiError, UnavailableError):
    """The API has too much to do and did nothing."""

    code = "kubernetes_throttled"
    untouched = True


class NotFoundError(ApiError):
    """There is no such object or kind."""

    code = "kubernetes_not_found"


class AlreadyExistsError(ApiError, ConflictError):
    """An object of that name is there already."""

    code = "kubernetes_already_exists"


class ObjectConflictError(ApiError, ConflictError):
    """The object is not the one, or not as old, as the call assumed; or another manager owns a field of it."""

    code = "kubernetes_conflict"


class GoneError(ApiError):
    """The history that was asked for is forgotten; list again."""

    code = "kubernetes_gone"


class UnauthorizedError(ApiError):
    """The API does not accept the token or certificate."""

    code = "kubernetes_unauthorized"


class ForbiddenError(ApiError):
    """No rule allows the call."""

    code = "kubernetes_forbidden"


class FencedError(ApiError):
    """We may not write any more; nothing was sent."""

    code = "kubernetes_fenced"
    untouched = True


class InvalidObjectError(ApiError):
    """The API refuses the object or the call; `fields` are the paths that it complains about."""

    code = "kubernetes_invalid"
    fields: tuple[str, ...] = ()


class InvalidConfigError(InvalidInputError):
    """A kubeconfig or a mounted ServiceAccount cannot be used."""

    code = "kubernetes_config"


class _Cause(msgspec.Struct):
    field: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] = []
    retry_after_seconds: int = 0


class Status(msgspec.Struct):
    """The API's own form of an error (kind `Status`)."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_FACTS: dict[int, tuple[type[ApiError], str, str]] = {
    401: (UnauthorizedError, "the API does not accept our credentials", "Renew the token or certificate."),
    403: (ForbiddenError, "no rule allows it", "Grant the verb in a Role or ClusterRole."),
    404: (NotFoundError, "not found", ""),
    408: (ApiUnavailableError, "the API gave up waiting", ""),
    409: (ObjectConflictError, "the object is not as assumed", "Read it again."),
    410: (GoneError, "that history is forgotten", "List again."),
    429: (ThrottledError, "the API is busy", "Ask again later."),
}


def api_error(call: str, status: int, body: bytes, retry_after: str = "") -> ApiError:
    """Return the error that an answer stands for; `retry_after` is the header's value (in seconds)."""
    said = _read_status(body)
    kind, fact, hint = _meaning(status, said)
    error = kind(call, fact, hint=hint)
    error.status, error.answer = status, said.message
    error.retry_after_seconds = _seconds(retry_after) or float(said.details.retry_after_seconds if said.details else 0)
    if isinstance(error, InvalidObjectError):
        error.fields = _fields(said)
    return error


def _meaning(status: int, said: Status) -> tuple[type[ApiError], str, str]:
    if said.reason == "AlreadyExists":
        return AlreadyExistsError, "there is one of that name already", ""
    if set(_fields(said)) == {"metadata.uid"}:
        status = 409  # an apply meant for an object that was replaced by another of its name is answered 422
    if status in _FACTS:
        return _FACTS[status]
    if status >= 500:
        return ApiUnavailableError, f"the API failed ({status} {said.reason})", ""
    where = ", ".join(dict.fromkeys(_fields(said)))
    return InvalidObjectError, f"the API refuses it ({status} {said.reason})" + (f" at {where}" if where else ""), ""


def _fields(said: Status) -> tuple[str, ...]:
    return tuple(cause.field for cause in said.details.causes if cause.field) if said.details else ()


def _read_status(body: bytes) -> Status:
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return Status()  # a proxy's page, or nothing


def _seconds(header: str) -> float:
    return float(header) if header.isdecimal() else 0.0
