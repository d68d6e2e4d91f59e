"""Laws that hold for any input: the ring, the limits, the validators."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud import limits
from comanda_simulator.customers import Customer, Customers, derive_user_id
from comanda_simulator.errors import GraphRefusal
from comanda_simulator.faults import Chance, Faults
from comanda_simulator.interactive import Facts
from comanda_simulator.ledger import Filter, Ledger
from comanda_simulator.messages import check_message
from comanda_simulator.rates import PairLimit, Throughput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "body", "action", "sections", "rows", "id", "title"]), inner)
    ),
    max_leaves=20,
)


def append(ledger: Ledger, customer: str = "1") -> None:
    ledger.append("in", at=0, phone_number_id="1", customer=customer, wamid="w", payload=b"{}")


@given(st.integers(1, 20), st.integers(0, 80), st.integers(0, 90))
def test_ring_holds_the_newest_entries_without_a_gap(size: int, count: int, after: int) -> None:
    ledger = Ledger(size)
    for _ in range(count):
        append(ledger)
    seen = [entry.seq for entry in ledger.entries.after(after)]
    assert seen == list(range(max(after, count - size, 0) + 1, count + 1))
    assert ledger.last == count


@given(st.lists(st.sampled_from("abc")), st.integers(1, 10))
def test_tail_is_the_end_of_the_filtered_page(customers: list[str], count: int) -> None:
    ledger = Ledger(100)
    for customer in customers:
        append(ledger, customer)
    wanted = Filter(customer="a")
    assert ledger.tail(wanted, count) == ledger.page(0, wanted, 1000)[-count:]


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_pair_limit_never_lets_more_through_than_burst_and_rate(gaps: list[float]) -> None:
    pairs, now, sent = PairLimit(), 1000.0, 0
    for gap in gaps:
        now += gap
        if pairs.allows("1", "2", now):
            pairs.add("1", "2", now)
            sent += 1
    assert sent <= limits.PAIR_BURST + (now - 1000.0) / limits.PAIR_SECONDS


@given(st.lists(st.floats(0, 0.5), max_size=100))
def test_throughput_counts_the_last_second(gaps: list[float]) -> None:
    throughput, now, times = Throughput(), 1000.0, []
    for gap in gaps:
        now += gap
        throughput.add("1", now)
        times.append(now)
    assert throughput.count("1", now) == sum(at > now - 1 for at in times)


def refusal_of(message: dict[str, object]) -> GraphRefusal | None:
    try:
        check_message(message, Facts(lambda _: False))
    except GraphRefusal as refusal:
        return refusal
    return None


@given(JSON, st.sampled_from(["text", "image", "interactive", "contacts", "location", "template", "reaction"]))
def test_any_content_is_accepted_or_refused_with_a_code(content: object, kind: str) -> None:
    refusal = refusal_of({"type": kind, kind: content})
    assert refusal is None or (refusal.graph_code in {100, 131008, 131009} and refusal.details)


@given(JSON, st.sampled_from(["button", "list", "cta_url", "product", "product_list", "catalog_message", "flow"]))
def test_any_interactive_action_is_accepted_or_refused_with_a_code(action: object, kind: str) -> None:
    content = {"type": kind, "body": {"text": "b"}, "action": action}
    refusal = refusal_of({"type": "interactive", "interactive": content})
    assert refusal is None or refusal.graph_code in {100, 131008, 131009}


@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True))
def test_user_ids_have_metas_form(phone: str) -> None:
    country, _, rest = derive_user_id("W", phone).partition(".")
    assert len(country) == 2
    assert rest.isalnum()


@given(st.lists(st.tuples(st.sampled_from(["", "1000001", "1000002"]), st.sampled_from(["", "CL.A", "CL.B"]))))
def test_customer_is_found_by_whatever_was_said_last(sightings: list[tuple[str, str]]) -> None:
    customers = Customers()
    for phone, user_id in sightings:
        if phone or user_id:
            known = customers.remember("W", Customer(phone, user_id, "Ana"), derive=False)
            assert customers.find("W", phone=phone, user_id=user_id) == known
            assert known.key in {known.phone, known.user_id}


@given(st.integers(), st.floats(0.1, 0.9))
def test_faults_repeat_with_their_seed(seed: int, probability: float) -> None:
    chance = Chance(0)
    runs = []
    for _ in range(2):
        chance.set(Faults(duplicate=probability, seed=seed))
        runs.append([chance.hits(probability) for _ in range(50)])
    assert runs[0] == runs[1]
