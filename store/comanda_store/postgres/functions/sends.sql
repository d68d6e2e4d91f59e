-- Sends, under row-level security like turns.

-- Whether a message may leave now, and if so, that it does. `outcome`: begun (after `wait_ms`), closed (Meta's 24 h
-- window), lost (not ours); or what holds it so that it is to ask again after `wait_ms`: place (its place in the number's
-- pace is kept), number (all places ahead are taken), customer (the customer's pace, or an earlier message).
create or replace function comanda_begin_sends(
  p_owner text, p_tenant text[], p_number text[], p_outbox bigint[], p_customer bigint[], p_per_second int[],
  p_template boolean[], p_window bigint, p_pair_ms bigint, p_pair_burst bigint, p_ahead_ms bigint,
  p_near_ms bigint, p_behind_ms bigint
) returns table (place int, outcome text, wait_ms bigint, sends_to text, unreachable int)
language plpgsql set search_path = public, pg_temp as $$
declare
  v_now bigint := comanda_now();
  c record;
  v_free_us bigint;
  v_due bigint;
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    place := i; wait_ms := 0; sends_to := ''; unreachable := 0;
    select due_at into v_due from outbox where id = p_outbox[i] and state || '' = 'queued' and owner || '' = p_owner
      for update;
    if not found then
      outcome := 'lost';
      return next; continue;
    end if;
    select v.pair_free_at, v.last_inbound_at, k.sends_to, k.unreachable_code into c
      from conversations v join customers k on k.id = v.customer_id
      where v.customer_id = p_customer[i] for update of v;
    if not p_template[i] and c.last_inbound_at + p_window <= v_now then
      outcome := 'closed';
      update outbox set state = 'failed', error_code = 131047, updated_at = v_now where id = p_outbox[i];
      return next; continue;
    end if;
    outcome := 'customer';
    if exists (
      select 1 from outbox e where e.customer_id = p_customer[i] and e.id < p_outbox[i]
        and e.is_open and e.state <> 'unknown'
    ) then
      wait_ms := p_behind_ms;  -- an earlier one of its conversation, of whichever pod, goes first
      return next; continue;
    end if;
    wait_ms := greatest(c.pair_free_at, v_now) - v_now - (p_pair_burst - 1) * p_pair_ms;
    if wait_ms > 0 then
      return next; continue;
    end if;
    outcome := 'place';
    if v_due = 0 then
      select greatest(free_at_us, v_now * 1000) into v_free_us from numbers where phone_number_id = p_number[i] for update;
      if not found then
        insert into numbers (phone_number_id, tenant, free_at_us) values (p_number[i], p_tenant[i], v_now * 1000)
          on conflict (phone_number_id) do update set tenant = excluded.tenant
          returning greatest(free_at_us, v_now * 1000) into v_free_us;
      end if;
      v_due := v_free_us / 1000;
      if v_due - v_now > p_ahead_ms then
        outcome := 'number';
        wait_ms := v_due - v_now - p_ahead_ms / 2;
        return next; continue;
      end if;
      update numbers set free_at_us = v_free_us + 1000000 / p_per_second[i] where phone_number_id = p_number[i];
    end if;
    wait_ms := greatest(0, v_due - v_now);
    if wait_ms > p_near_ms then
      update outbox set due_at = v_due where id = p_outbox[i];
      return next; continue;
    end if;
    outcome := 'begun'; sends_to := c.sends_to; unreachable := c.unreachable_code;
    update conversations set pair_free_at = greatest(pair_free_at, v_now) + p_pair_ms where customer_id = p_customer[i];
    update outbox set state = 'sending', attempts = attempts + 1, due_at = 0, updated_at = v_now where id = p_outbox[i];
    return next;
  end loop;
end $$;

-- How sends ended. A status that came first is not lost: the higher of the two states stays.
create or replace function comanda_end_sends(
  p_owner text, p_tenant text[], p_number text[], p_outbox bigint[], p_customer bigint[], p_state text[],
  p_wamid text[], p_error int[], p_unreachable int[], p_sends_to text[], p_pause_ms bigint[],
  p_made boolean[]
) returns void language plpgsql set search_path = public, pg_temp as $$
declare
  v_now bigint := comanda_now();
  v_state text;
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    v_state := p_state[i];
    if v_state = 'sent' then
      select s.status into v_state from statuses s
        where s.phone_number_id = p_number[i] and s.wamid = p_wamid[i] and comanda_rank(s.status) > 0
        order by comanda_rank(s.status) desc limit 1;
      v_state := coalesce(v_state, 'sent');
    end if;
    update outbox set state = v_state, wamid = coalesce(nullif(p_wamid[i], ''), wamid),
      error_code = nullif(p_error[i], 0), ambiguous = ambiguous + case when v_state = 'unknown' then 1 else 0 end,
      attempts = attempts - case when p_made[i] then 0 else 1 end,
      updated_at = v_now
      where id = p_outbox[i] and state || '' = 'sending' and owner || '' = p_owner;
    if p_unreachable[i] is not null then
      update customers set unreachable_code = p_unreachable[i] where id = p_customer[i];
    end if;
    if p_sends_to[i] <> '' then
      update customers set sends_to = p_sends_to[i] where id = p_customer[i];
    end if;
    if p_pause_ms[i] > 0 then
      update numbers set free_at_us = greatest(free_at_us, (v_now + p_pause_ms[i]) * 1000)
        where phone_number_id = p_number[i];
    end if;
  end loop;
end $$;

create or replace function comanda_pending_sends(p_tenant text[], p_outbox bigint[]) returns table (
  id bigint, tenant text, phone_number_id text, customer_id bigint, payload text, attempts int, ambiguous int
) language plpgsql set search_path = public, pg_temp as $$
begin
  for i in 1 .. cardinality(p_tenant) loop
    perform set_config('comanda.tenant', p_tenant[i], true);
    return query select o.id, o.tenant::text, o.phone_number_id::text, o.customer_id, o.payload, o.attempts, o.ambiguous
      from outbox o where o.id = p_outbox[i];
  end loop;
end $$;
