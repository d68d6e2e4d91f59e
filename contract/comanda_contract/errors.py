"""The error base of all rooms.

    ComandaError            code, message, hint
    ├── InvalidInputError   what somebody wrote is wrong: where, which rule, which way out
    ├── UnavailableError    something that is needed does not answer; trying again later may help
    └── ConflictError       the state moved on while this was being decided

Each room derives its own from these. `code` is stable and machine-readable, `message` is for people, `hint` says what
to do next. Neither message nor hint may hold a secret, a phone number or a customer's text.
"""

from __future__ import annotations


class ComandaError(Exception):
    """Base of every error that Comanda raises on purpose."""

    code = "internal"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict[str, str]:
        """Return the one JSON shape of an error: `{"code", "message", "hint"}`."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class InvalidInputError(ComandaError):
    """Something written by a person or a client breaks a rule; `path` names the field."""

    code = "invalid_input"

    def __init__(self, path: str, rule: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(f"{path}: {rule}" if path else rule, hint=hint, code=code)
        self.path = path
        self.rule = rule


class UnavailableError(ComandaError):
    """Something needed did not answer in time; the same call may work later."""

    code = "unavailable"


class ConflictError(ComandaError):
    """The state moved on between reading and writing; nothing was written."""

    code = "conflict"
