"""The models and the API server agree on every resource: on whether it is good, and on what it is with its defaults."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_kube.resources import Json
from tests.test_contract.crds.strategies import drawn, slips
from tests.test_contract.crds.support import Judge, model_verdict, with_quantities_as_text, without_empty

# One API server and one namespace judge all examples: dry runs leave nothing behind.
bounded = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
resources = st.one_of(*map(drawn, CUSTOM_RESOURCES))


@bounded
@given(document=resources.filter(lambda document: model_verdict(document).accepted))
async def test_what_the_model_accepts_the_api_server_takes_as_the_same(judge: Judge, document: Json) -> None:
    verdict = await judge.create(document)
    assert verdict.made, verdict.words
    assert _spec(verdict.made) == _spec(model_verdict(document).made)


@bounded
@given(document=resources)
async def test_parts_that_do_not_agree_are_refused_by_both_or_by_none(judge: Judge, document: Json) -> None:
    verdict, model = await judge.create(document), model_verdict(document)
    assert verdict.accepted == model.accepted, verdict.words or model.words


@settings(bounded, max_examples=300)
@given(document=slips())
async def test_a_slip_is_refused_by_both_or_by_none(judge: Judge, document: Json) -> None:
    verdict, model = await judge.create(document), model_verdict(document)
    assert verdict.accepted == model.accepted, verdict.words or model.words
    assert "evaluating rule" not in verdict.words, "a rule must not fail, whatever it is given"
    if verdict.made and model.made:
        assert _spec(verdict.made) == _spec(model.made)


def _spec(document: Any) -> Any:
    return with_quantities_as_text(without_empty(document["spec"]))
