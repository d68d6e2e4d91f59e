-- Turns. These run as the service's own role, under row-level security: the tenant is switched for each turn, so a
-- transaction that many turns share still shows each of them its own tenant's rows alone.
--
-- Rows are found by their key. Where another index would do as well, as long as the planner knows nothing of the tables,
-- the condition on its column is written as an expression, so that this index cannot be taken.

create or replace function comanda_living(p_incarnation text, p_lease bigint) returns boolean language sql stable as $$
  select exists (select 1 from workers where incarnation = p_incarnation and seen_at > comanda_now() - p_lease)
$$;

create or replace function comanda_claim(
  p_owner text, p_lease bigint, p_max_attempts int, p_tenant text[], p_customer bigint[]
) returns table (
  place int, busy boolean, inbox_id bigint, wamid text, type text, payload text, contact text, sent_at bigint,
  received_at bigint, attempts int, state bytea, flow_version text, version int, handover_until bigint, phone text,
  user_id text
) language plpgsql set search_path = public, pg_temp as $$
declare
  r record;
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    loop
      select b.id, b.wamid, b.type, b.payload, b.contact, b.sent_at, b.received_at, b.attempts, b.owner,
        c.state, c.flow_version, c.version, c.handover_until,
        (select a.value from customer_aliases a where a.customer_id = b.customer_id and a.kind = 'phone'
          order by a.since desc limit 1) as phone,
        (select a.value from customer_aliases a where a.customer_id = b.customer_id and a.kind = 'user_id'
          order by a.since desc limit 1) as user_id
      into r
      from inbox b join conversations c on c.customer_id = b.customer_id
      where b.customer_id = p_customer[i] and b.state = 'pending'
      order by b.sent_at, b.id limit 1
      for update of b;
      exit when not found;
      if r.owner <> p_owner and comanda_living(r.owner, p_lease) then
        place := i; busy := true;
        return next;
        exit;
      end if;
      if r.attempts >= p_max_attempts then
        update inbox set state = 'parked', done_at = comanda_now() where id = r.id;
        continue;
      end if;
      update inbox set attempts = inbox.attempts + 1, owner = p_owner where id = r.id;
      place := i; busy := false; inbox_id := r.id; wamid := r.wamid; type := r.type; payload := r.payload;
      contact := r.contact; sent_at := r.sent_at; received_at := r.received_at; attempts := r.attempts + 1;
      state := r.state; flow_version := r.flow_version; version := r.version; handover_until := r.handover_until;
      phone := coalesce(r.phone, ''); user_id := coalesce(r.user_id, '');
      return next;
      exit;
    end loop;
  end loop;
end $$;

-- Messages just stored that are the only pending ones of their conversations, taken for their turns; the others are left.
-- A turn that is under way leaves its message pending until it ends. A conversation that somebody has locked is left too,
-- so that storing waits for no turn.
create or replace function comanda_claim_alone(
  p_owner text, p_lease bigint, p_max_attempts int, p_tenant text[], p_customer bigint[]
) returns table (
  place int, busy boolean, inbox_id bigint, wamid text, type text, payload text, contact text, sent_at bigint,
  received_at bigint, attempts int, state bytea, flow_version text, version int, handover_until bigint, phone text,
  user_id text
) language plpgsql set search_path = public, pg_temp as $$
declare
  v_place int[] := '{}';
  v_tenant text[] := '{}';
  v_customer bigint[] := '{}';
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    perform 1 from conversations c where c.customer_id = p_customer[i] for update skip locked;
    if not found then continue; end if;
    if (select count(*) from (
      select 1 from inbox b where b.customer_id = p_customer[i] and b.state = 'pending' limit 2) as two) = 1 then
      v_place := v_place || i; v_tenant := v_tenant || p_tenant[i]; v_customer := v_customer || p_customer[i];
    end if;
  end loop;
  for place, busy, inbox_id, wamid, type, payload, contact, sent_at, received_at, attempts, state, flow_version,
    version, handover_until, phone, user_id
  in select * from comanda_claim(p_owner, p_lease, p_max_attempts, v_tenant, v_customer) loop
    place := v_place[place];
    return next;
  end loop;
end $$;

-- What a router delivers, in one call: messages are stored, and of the new ones those that `p_at_once` names are claimed.
-- Two kinds of rows come back: where `inbox_id` is null, what storing them gave; else a claim, whose `customer` and `fresh`
-- are null.
create or replace function comanda_ingest_and_claim(
  p_owner text, p_lease bigint, p_max_attempts int, p_tenant text[], p_number text[], p_wamid text[], p_customer bigint[],
  p_phone text[], p_user text[], p_name text[], p_type text[], p_payload text[], p_contact text[], p_sent_at bigint[],
  p_state text[], p_at_once boolean[]
) returns table (
  place int, customer bigint, fresh boolean, busy boolean, inbox_id bigint, wamid text, type text, payload text,
  contact text, sent_at bigint, received_at bigint, attempts int, state bytea, flow_version text, version int,
  handover_until bigint, phone text, user_id text
) language plpgsql set search_path = public, pg_temp as $$
declare
  v_customer bigint[] := p_customer;
  v_wanted boolean[] := p_at_once;
  v_place int[];
  v_tenant text[];
begin
  for place, customer, fresh in
    select * from comanda_ingest_messages(p_owner, p_tenant, p_number, p_wamid, p_customer, p_phone, p_user, p_name, p_type,
      p_payload, p_contact, p_sent_at, p_state)
  loop
    v_customer[place] := customer;
    v_wanted[place] := v_wanted[place] and fresh;
    return next;
  end loop;
  if not true = any (v_wanted) then return; end if;
  select array_agg(g.place order by g.place), array_agg(g.tenant order by g.place), array_agg(g.customer order by g.place)
    into v_place, v_tenant, v_customer
    from unnest(v_wanted, p_state, p_tenant, v_customer) with ordinality as g(wanted, state, tenant, customer, place)
    where g.wanted and g.state = 'pending' having count(*) > 0;
  if not found then return; end if;
  customer := null; fresh := null;
  for place, busy, inbox_id, wamid, type, payload, contact, sent_at, received_at, attempts, state, flow_version,
    version, handover_until, phone, user_id
  in select * from comanda_claim_alone(p_owner, p_lease, p_max_attempts, v_tenant, v_customer) loop
    place := v_place[place];
    return next;
  end loop;
end $$;

-- Everything that a turn changes, or, when another pod has moved the conversation on, nothing (`sends` is null then).
create or replace function comanda_finish(
  p_owner text, p_tenant text[], p_number text[], p_inbox bigint[], p_customer bigint[], p_seen int[], p_state bytea[],
  p_flow_version text[], p_handover bigint[], p_inbound bigint[], p_messages jsonb[], p_order jsonb[], p_timers jsonb[]
) returns table (place int, sends bigint[]) language plpgsql set search_path = public, pg_temp as $$
declare
  v_now bigint := comanda_now();
  v_order bigint;
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    place := i; sends := null;
    update inbox b set state = 'done', done_at = v_now
      from conversations c
      where b.id = p_inbox[i] and b.state || '' = 'pending' and b.owner || '' = p_owner
        and b.customer_id + 0 = p_customer[i] and c.customer_id = p_customer[i] and c.version = p_seen[i];
    if found then
      update conversations set state = p_state[i], flow_version = p_flow_version[i], handover_until = p_handover[i],
        version = p_seen[i] + 1, last_inbound_at = greatest(last_inbound_at, p_inbound[i])
        where customer_id = p_customer[i] and version = p_seen[i];
      if not found then
        -- Another pod's turn was committed between the two statements.
        raise exception 'conversation_moved' using errcode = 'serialization_failure';
      end if;
      sends := '{}';
      if p_order[i] is not null then
        insert into orders (tenant, code, inbox_id, customer_id, customer_name, fulfilment, address, latitude, longitude,
            notes, currency, subtotal, delivery_fee, total, menu_version, payment, status, created_at)
          select p_tenant[i], o.code, p_inbox[i], p_customer[i], o.customer_name, o.fulfilment, o.address, o.latitude,
            o.longitude, o.notes, o.currency, o.subtotal, o.delivery_fee, o.total, o.menu_version, o.payment, 'placed', v_now
          from jsonb_populate_record(null::orders, p_order[i]) o
          returning id into v_order;
        insert into order_lines
            (order_id, position, tenant, sku, name, options, notes, quantity, unit_price, total)
          select v_order, l.place - 1, p_tenant[i], l.line->>'sku', l.line->>'name', l.line->>'options',
            l.line->>'notes', (l.line->>'quantity')::int, (l.line->>'unit_price')::bigint, (l.line->>'total')::bigint
          from jsonb_array_elements(p_order[i]->'lines') with ordinality as l(line, place);
      end if;
      with queued as (
        insert into outbox (tenant, phone_number_id, customer_id, inbox_id, position, payload, state, owner, attempts,
            ambiguous, created_at, updated_at)
          select p_tenant[i], p_number[i], p_customer[i], p_inbox[i], m.place - 1, m.payload, 'queued', p_owner, 0, 0,
            v_now, v_now
          from jsonb_array_elements_text(p_messages[i]) with ordinality as m(payload, place) order by m.place
          returning id
      ) select coalesce(array_agg(id order by id), '{}') into sends from queued;
      if p_timers[i] is not null then
        insert into timers (tenant, phone_number_id, customer_id, due_at, payload)
          select p_tenant[i], p_number[i], p_customer[i], v_now + (t->>'after_ms')::bigint, t->>'payload'
          from jsonb_array_elements(p_timers[i]) t;
      end if;
    end if;
    return next;
  end loop;
end $$;

-- The end of turns in one call: what they changed is written, their conversations' next messages are claimed, and their
-- first sends begin where `p_per_second` gives the number's pace. Three kinds of rows come back for a place: first what
-- was written; then, where `busy` is not null, a claim; and where `outcome` is not null, how the send began.
create or replace function comanda_finish_and_go_on(
  p_owner text, p_lease bigint, p_max_attempts int, p_tenant text[], p_number text[], p_inbox bigint[],
  p_customer bigint[], p_seen int[], p_state bytea[], p_flow_version text[], p_handover bigint[], p_inbound bigint[],
  p_messages jsonb[], p_order jsonb[], p_timers jsonb[], p_per_second int[], p_template boolean[], p_window bigint,
  p_pair_ms bigint, p_pair_burst bigint, p_ahead_ms bigint, p_near_ms bigint, p_behind_ms bigint
) returns table (
  place int, sends bigint[], outcome text, wait_ms bigint, sends_to text, unreachable int, busy boolean, inbox_id bigint,
  wamid text, type text, payload text, contact text, sent_at bigint, received_at bigint, attempts int, state bytea,
  flow_version text, version int, handover_until bigint, phone text, user_id text
) language plpgsql set search_path = public, pg_temp as $$
declare
  v_written int[] := '{}';
  v_begun int[] := '{}';
  v_first bigint[] := '{}';
begin
  for place, sends in
    select * from comanda_finish(p_owner, p_tenant, p_number, p_inbox, p_customer, p_seen, p_state, p_flow_version,
      p_handover, p_inbound, p_messages, p_order, p_timers)
  loop
    if sends is not null then v_written := v_written || place; end if;
    if cardinality(sends) > 0 and p_per_second[place] is not null then
      v_begun := v_begun || place; v_first := v_first || sends[1];
    end if;
    return next;
  end loop;
  sends := null;
  for place, busy, inbox_id, wamid, type, payload, contact, sent_at, received_at, attempts, state, flow_version,
    version, handover_until, phone, user_id
  in select c.* from comanda_claim(p_owner, p_lease, p_max_attempts, array(select p_tenant[w] from unnest(v_written) w),
    array(select p_customer[w] from unnest(v_written) w)) c
  loop
    place := v_written[place];
    return next;
  end loop;
  busy := null; inbox_id := null;
  for place, outcome, wait_ms, sends_to, unreachable in
    select b.* from comanda_begin_sends(p_owner, array(select p_tenant[w] from unnest(v_begun) w),
      array(select p_number[w] from unnest(v_begun) w), v_first, array(select p_customer[w] from unnest(v_begun) w),
      array(select p_per_second[w] from unnest(v_begun) w), array(select p_template[w] from unnest(v_begun) w), p_window,
      p_pair_ms, p_pair_burst, p_ahead_ms, p_near_ms, p_behind_ms) b
  loop
    place := v_begun[place];
    return next;
  end loop;
end $$;

-- A turn that ended without a result: why, and whether the try that was counted before it stays counted.
create or replace function comanda_release(
  p_owner text, p_tenant text[], p_inbox bigint[], p_problem text[], p_counted boolean[]
) returns void language plpgsql set search_path = public, pg_temp as $$
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    update inbox set problem = p_problem[i], attempts = attempts - case when p_counted[i] then 0 else 1 end
      where id = p_inbox[i] and owner || '' = p_owner and state || '' = 'pending';
  end loop;
end $$;
