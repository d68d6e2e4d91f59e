from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comanda_kube.backoff import Backoff


@given(st.floats(0.001, 10), st.floats(10, 1000), st.integers(1, 40))
def test_each_delay_is_between_half_and_all_of_a_bound_that_doubles(first: float, most: float, tries: int) -> None:
    backoff = Backoff(first, most)
    for number in range(tries):
        bound = min(first * 2**number, most)
        assert bound / 2 <= backoff.next() <= bound
    backoff.reset()
    assert backoff.next() <= first


def test_two_clients_do_not_wait_in_step() -> None:
    one, other = ([backoff.next() for _ in range(8)] for backoff in (Backoff(1, 30), Backoff(1, 30)))
    assert one != other
