-- What a pod does for its group as a whole, once a second or less: find what dead pods left, wake timers, throw away what
-- is old. These see every tenant, so they run as the owner on a duty of their own, and give back ids, never content.

create or replace function comanda_take_messages(p_owner text, p_lease bigint, p_forgotten bigint, p_limit int)
returns table (customer_id bigint, tenant text, phone_number_id text) language sql security definer
set search_path = public, pg_temp as $$
  select set_config('comanda.duty', 'sweep', true);
  -- Ordered by a sum, not by the key: with a limit the planner would walk the key through the whole table.
  with left_behind as (
    select id from inbox
    where state = 'pending' and (
      owner not in (select incarnation from workers where seen_at > comanda_now() - p_lease)
      or (owner = p_owner and received_at < comanda_now() - p_forgotten))
    order by id + 0 limit p_limit for update skip locked
  ), taken as (
    update inbox i set owner = p_owner from left_behind l where i.id = l.id
    returning i.customer_id, i.tenant, i.phone_number_id
  ) select distinct customer_id, tenant::text, phone_number_id::text from taken
$$;

-- A send under way when its pod died is of unknown outcome; one that no status settled in time is queued once more.
create or replace function comanda_take_sends(
  p_owner text, p_lease bigint, p_forgotten bigint, p_unknown bigint, p_limit int
) returns table (id bigint, tenant text) language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_now bigint := comanda_now();
  v_living text[] := array(select incarnation from workers where seen_at > v_now - p_lease);
begin
  perform set_config('comanda.duty', 'sweep', true);
  update outbox o set state = 'unknown', ambiguous = o.ambiguous + 1, owner = p_owner, updated_at = v_now
    where o.is_open and o.state = 'sending' and (o.owner <> all (v_living) or (o.owner = p_owner and o.updated_at < v_now - p_forgotten));
  update outbox o set owner = '', updated_at = v_now
    where o.is_open and o.state = 'unknown' and o.owner = p_owner and o.ambiguous > 1 and o.updated_at < v_now - p_unknown;
  return query
    update outbox o set state = 'queued', updated_at = v_now
    where o.is_open and o.state = 'unknown' and o.owner = p_owner and o.ambiguous <= 1 and o.updated_at < v_now - p_unknown
    returning o.id, o.tenant::text;
  update outbox o set owner = p_owner
    where o.is_open and o.state = 'unknown' and o.owner <> '' and o.owner <> all (v_living);
  return query
    update outbox o set owner = p_owner where o.id in (
      select q.id from outbox q
      where q.is_open and q.state = 'queued' and (q.owner <> all (v_living) or (q.owner = p_owner and q.updated_at < v_now - p_forgotten))
      order by q.id + 0 limit p_limit for update skip locked)
    returning o.id, o.tenant::text;
end $$;

create or replace function comanda_fire_timers(p_owner text, p_limit int)
returns table (customer_id bigint, tenant text, phone_number_id text) language sql security definer
set search_path = public, pg_temp as $$
  select set_config('comanda.duty', 'sweep', true);
  with due as (
    delete from timers where id in (
      select id from timers where due_at <= comanda_now() order by due_at limit p_limit for update skip locked)
    returning *
  ), fired as (
    insert into inbox
      (tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at, received_at, state, owner, attempts)
    select tenant, phone_number_id, 'timer:' || id, customer_id, 'timer', payload, 'null', due_at, comanda_now(),
      'pending', p_owner, 0 from due
    on conflict do nothing returning inbox.customer_id, inbox.tenant, inbox.phone_number_id
  ) select customer_id, tenant::text, phone_number_id::text from fired
$$;

-- One slice of what is older than its keeping time. A message that became an order keeps its row and, when its sends are
-- gone, loses its text; with it it leaves the index by which old messages are found.
create or replace function comanda_purge(p_statuses_before bigint, p_messages_before bigint, p_limit int)
returns int language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_total int := 0;
  v_count int;
begin
  perform set_config('comanda.duty', 'purge', true);
  delete from statuses where ctid in (
    select ctid from statuses where received_at < p_statuses_before limit p_limit);
  get diagnostics v_count = row_count; v_total := v_total + v_count;
  delete from account_events where ctid in (
    select ctid from account_events where received_at < p_messages_before limit p_limit);
  get diagnostics v_count = row_count; v_total := v_total + v_count;
  delete from outbox where id in (
    select o.id from outbox o join inbox i on i.id = o.inbox_id
    where i.received_at < p_messages_before and i.payload <> '' and not o.is_open limit p_limit);
  get diagnostics v_count = row_count; v_total := v_total + v_count;
  update inbox set payload = '', contact = '' where id in (
    select i.id from inbox i join orders o on o.inbox_id = i.id
    where i.received_at < p_messages_before and i.payload <> ''
      and not exists (select 1 from outbox s where s.inbox_id = i.id) limit p_limit);
  get diagnostics v_count = row_count; v_total := v_total + v_count;
  delete from inbox where id in (
    select i.id from inbox i where i.received_at < p_messages_before and i.payload <> '' and i.state not in ('pending', 'parked')
      and not exists (select 1 from orders o where o.inbox_id = i.id)
      and not exists (select 1 from outbox s where s.inbox_id = i.id) limit p_limit);
  get diagnostics v_count = row_count;
  return v_total + v_count;
end $$;

-- Erases a slice of what is known of the tenant that the transaction has named: row-level security holds it to that one.
-- Rows that others point to go last. Returns how many rows went, 0 when nothing is left.
create or replace function comanda_erase(p_number text, p_limit int)
returns int language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_tenant text := current_setting('comanda.tenant', true);
  v_left int := p_limit;
  v_count int;
  v_table text;
  v_condition text;
begin
  if coalesce(v_tenant, '') = '' then
    raise exception 'comanda_erase needs a tenant';
  end if;
  foreach v_table in array array[
    'order_lines', 'orders', 'outbox', 'inbox', 'statuses', 'account_events', 'costs', 'timers', 'conversations',
    'customer_aliases', 'customers', 'menu_versions', 'flow_versions', 'numbers', 'audit', 'tenants']
  loop
    exit when v_left <= 0;
    v_condition := case
      when v_table = 'order_lines' then 'order_id in (select id from orders where tenant = $1)'
      when v_table in ('outbox', 'inbox', 'statuses', 'account_events', 'costs') then 'tenant = $1 and phone_number_id = $2'
      else 'tenant = $1' end;
    execute format('delete from %I where ctid in (select ctid from %I where %s limit $3)', v_table, v_table, v_condition)
      using v_tenant, p_number, v_left;
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end loop;
  return p_limit - v_left;
end $$;

-- How much waits, and for how long: numbers alone.
create or replace function comanda_backlog()
returns table (pending bigint, oldest_ms bigint, parked bigint, unknown bigint) language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  perform set_config('comanda.duty', 'sweep', true);
  return query select
    (select count(*) from inbox where state = 'pending'),
    coalesce(comanda_now() - (select min(received_at) from inbox where state = 'pending'), 0),
    (select count(*) from inbox where state = 'parked'),
    (select count(*) from outbox where is_open and state = 'unknown' and owner = '');
end $$;
