from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.errors import ConflictError, UnavailableError
from comanda_kube.errors import (
    AlreadyExistsError,
    ApiError,
    ApiUnavailableError,
    ForbiddenError,
    GoneError,
    InvalidObjectError,
    NotFoundError,
    ObjectConflictError,
    ThrottledError,
    UnauthorizedError,
    api_error,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidObjectError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, InvalidObjectError),
        (408, ApiUnavailableError),
        (409, ObjectConflictError),
        (410, GoneError),
        (413, InvalidObjectError),
        (422, InvalidObjectError),
        (429, ThrottledError),
        (500, ApiUnavailableError),
        (503, ApiUnavailableError),
        (504, ApiUnavailableError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ApiError]) -> None:
    error = api_error("get secrets shop/token", status, b"")
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith("get secrets shop/token: ")


def test_the_rooms_own_errors_are_kept_apart() -> None:
    assert issubclass(ApiUnavailableError, UnavailableError)
    assert issubclass(ThrottledError, UnavailableError)
    assert issubclass(AlreadyExistsError, ConflictError)
    assert issubclass(ObjectConflictError, ConflictError)


def test_what_the_api_said_is_kept_for_those_who_ask_and_out_of_the_message() -> None:
    said = {
        "code": 422,
        "reason": "Invalid",
        "message": 'spec.phoneNumberId: Invalid value: "5691111": it may not change',
        "details": {"causes": [{"field": "spec.phoneNumberId", "message": 'Invalid value: "5691111"'}]},
    }
    error = api_error("apply whatsapptenants a/b", 422, json.dumps(said).encode())
    assert isinstance(error, InvalidObjectError)
    assert error.fields == ("spec.phoneNumberId",)
    assert "5691111" in error.answer
    assert "spec.phoneNumberId" in str(error)
    assert "5691111" not in f"{error!s} {error!r} {error.to_dict()}"


def test_the_wait_is_the_headers_or_else_the_details() -> None:
    body = json.dumps({"details": {"retryAfterSeconds": 3}}).encode()
    assert api_error("x", 429, body).retry_after_seconds == 3
    assert api_error("x", 429, body, "7").retry_after_seconds == 7
    assert api_error("x", 429, b"", "Wed, 21 Oct 2026 07:28:00 GMT").retry_after_seconds == 0


@given(st.integers(300, 599), st.binary(), st.text())
def test_no_answer_is_too_strange_for_an_error(status: int, body: bytes, retry_after: str) -> None:
    assert api_error("get pods", status, body, retry_after).code.startswith("kubernetes")
