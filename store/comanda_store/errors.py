"""Errors of the store.

UnavailableError
├── StorageError          the database did not take it; nothing of it was written
└── WeakDurabilityError   the database would lose acknowledged data; the pod must not become ready
ConflictError
└── FencedError           another pod has the conversation; this one's work is void
"""

from __future__ import annotations

from comanda_contract.errors import ConflictError, UnavailableError


class StorageError(UnavailableError):
    """The database refused or did not answer; the whole operation was rolled back."""

    code = "storage"


class DatabaseNotReadyError(StorageError):
    """A database cannot be reached when it is to be opened, or is not migrated yet: either may change by itself."""


class WeakDurabilityError(UnavailableError):
    """A database setting would let an acknowledged message be lost; the message names it."""

    code = "weak_durability"


class FencedError(ConflictError):
    """The conversation moved on under another pod; nothing of this turn was written."""

    code = "fenced"
