"""A key of `scheduling.nodeSelector` that the schema lets through must be one that the API takes in a pod."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from comanda_contract.resources.scheduling import NodeSelector


@pytest.mark.parametrize("prefix", [254, 300])
def test_a_key_whose_prefix_is_longer_than_a_name_may_be_is_refused(prefix: int) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NodeSelector).validate_python({f"{'a' * prefix}/b": "x"})
