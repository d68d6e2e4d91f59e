-- Taking in what the router delivers. These run as the owner of the tables, on the duty "ingest": the service's own role
-- may not insert what customers send in any other way, and gets nothing back but customer ids and what was new.

create or replace function comanda_now() returns bigint language sql volatile as $$
  select (extract(epoch from clock_timestamp()) * 1000)::bigint
$$;

-- The customer of a sender: known by either alias, else made. Two pods may meet here; the unique alias decides.
create or replace function comanda_customer(
  p_tenant text, p_number text, p_wamid text, p_phone text, p_user text, p_name text, p_sent_at bigint
) returns bigint language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_customer bigint;
  v_new bigint;
  v_now bigint := comanda_now();
begin
  perform set_config('comanda.duty', 'ingest', true);
  for v_try in 1..3 loop
    select customer_id into v_customer from customer_aliases
      where tenant = p_tenant
        and ((kind = 'phone' and value = p_phone) or (kind = 'user_id' and value = p_user)
          or (p_phone = '' and p_user = '' and kind = 'wamid' and value = left(p_wamid, 160)))
      order by kind limit 1;
    if v_customer is null then
      insert into customers (tenant, name, created_at) values (p_tenant, p_name, v_now) returning id into v_new;
      insert into customer_aliases (tenant, kind, value, customer_id, since)
        select p_tenant, kind, value, v_new, v_now from (values
          ('phone', p_phone), ('user_id', p_user),
          ('wamid', case when p_phone = '' and p_user = '' then left(p_wamid, 160) else '' end)) as a(kind, value)
        where value <> '' on conflict do nothing;
      if found then
        v_customer := v_new;
        insert into conversations
          (customer_id, tenant, phone_number_id, flow_version, version, handover_until, last_inbound_at)
          values (v_new, p_tenant, p_number, '', 0, 0, p_sent_at);
      else
        delete from customers where id = v_new;  -- another pod was first with the same alias
        continue;
      end if;
    end if;
    insert into customer_aliases (tenant, kind, value, customer_id, since)
      select p_tenant, kind, value, v_customer, v_now from (values ('phone', p_phone), ('user_id', p_user)) as a(kind, value)
      where value <> '' on conflict do nothing;
    return v_customer;
  end loop;
  raise exception 'customer_unsettled' using errcode = 'serialization_failure';
end $$;

-- Stores messages; of those that are new and of the customer that the caller named, nothing comes back.
create or replace function comanda_ingest_messages(
  p_owner text, p_tenant text[], p_number text[], p_wamid text[], p_customer bigint[], p_phone text[], p_user text[],
  p_name text[], p_type text[], p_payload text[], p_contact text[], p_sent_at bigint[], p_state text[]
) returns table (place int, customer bigint, fresh boolean) language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  i int;
  v_customer bigint[];
  v_id bigint[];
  v_new int;
  v_now bigint := comanda_now();
begin
  perform set_config('comanda.duty', 'ingest', true);
  -- What a pod remembers may be gone: a database that was restored knows less than its pods.
  select array_agg(coalesce(nullif(c.merged_into, 0), c.id) order by g.place) into v_customer
    from unnest(p_customer, p_tenant) with ordinality as g(id, tenant, place)
    left join customers c on c.id = g.id and c.tenant = g.tenant;
  -- Whoever else stores the same goes through it in the same order: pods wait for each other, and never in a circle.
  for i in
    select g.place from unnest(v_customer, p_tenant, p_phone, p_user) with ordinality as g(id, tenant, phone, uid, place)
    where g.id is null order by g.tenant, g.phone, g.uid, g.place
  loop
    v_customer[i] := comanda_customer(
      p_tenant[i], p_number[i], p_wamid[i], p_phone[i], p_user[i], p_name[i], p_sent_at[i]);
  end loop;
  -- The row's own number follows the order of arrival, whatever order the rows are written in.
  select array_agg(nextval('inbox_id_seq')) into v_id from generate_series(1, cardinality(p_tenant));
  insert into inbox
      (id, tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at, received_at, state, owner,
        attempts)
    select g.id, g.tenant, g.number, g.wamid, g.customer, g.type, g.payload, g.contact, g.sent_at, v_now, g.state,
      p_owner, 0
    from unnest(v_id, p_tenant, p_number, p_wamid, v_customer, p_type, p_payload, p_contact, p_sent_at, p_state)
      as g(id, tenant, number, wamid, customer, type, payload, contact, sent_at, state)
    order by g.number, g.wamid, g.id
    on conflict (phone_number_id, wamid) do nothing;
  get diagnostics v_new = row_count;
  if v_new = cardinality(p_tenant) and v_customer = p_customer then return; end if;
  return query
  select g.place::int, g.customer, g.fresh from (
    select g.place, g.known, g.customer, exists (select 1 from inbox b where b.id = g.id) as fresh
    from unnest(p_customer, v_customer, v_id) with ordinality as g(known, customer, id, place)
  ) g where g.customer <> g.known or not g.fresh;
end $$;

-- A status raises the state of the message it speaks of, never lowers it; all but the best of a message are only kept.
create or replace function comanda_ingest_statuses(
  p_tenant text[], p_number text[], p_wamid text[], p_status text[], p_rank int[], p_outbox bigint[], p_payload text[],
  p_error int[]
) returns table (place int, fresh boolean) language plpgsql security definer
set search_path = public, pg_temp set enable_hashjoin = on as $$
declare
  v_now bigint := comanda_now();
  v_fresh boolean[];
begin
  perform set_config('comanda.duty', 'ingest', true);
  with given as (
    select g.*, row_number() over (partition by g.number, g.wamid, g.status order by g.place) = 1 as first
    from unnest(p_tenant, p_number, p_wamid, p_status, p_payload)
      with ordinality as g(tenant, number, wamid, status, payload, place)
  ), kept as (
    insert into statuses (phone_number_id, wamid, status, tenant, payload, received_at)
    select g.number, g.wamid, g.status, g.tenant, g.payload, v_now from given g where g.first
    order by g.number, g.wamid, g.status on conflict do nothing
    returning statuses.phone_number_id, statuses.wamid, statuses.status
  )
  select array_agg(g.first and k.wamid is not null order by g.place) into v_fresh
  from given g left join kept k on (k.phone_number_id, k.wamid, k.status) = (g.number, g.wamid, g.status);

  with best as (
    select distinct on (g.outbox) g.tenant, g.number, g.wamid, g.status, g.rank, g.outbox
    from unnest(p_tenant, p_number, p_wamid, p_status, p_rank, p_outbox, v_fresh)
      as g(tenant, number, wamid, status, rank, outbox, fresh)
    where g.fresh and g.rank > 0 and g.outbox <> 0 order by g.outbox, g.rank desc
  )
  update outbox o set state = b.status, wamid = b.wamid, updated_at = v_now from best b
  where o.id = b.outbox and o.tenant = b.tenant and o.phone_number_id || '' = b.number
    and o.state <> 'failed' and comanda_rank(o.state) < b.rank;
  -- Without our tag it is found by Meta's id.
  if 0 = any (p_outbox) then
    with best as (
      select distinct on (g.number, g.wamid) g.tenant, g.number, g.wamid, g.status, g.rank
      from unnest(p_tenant, p_number, p_wamid, p_status, p_rank, p_outbox, v_fresh)
        as g(tenant, number, wamid, status, rank, outbox, fresh)
      where g.fresh and g.rank > 0 and g.outbox = 0 order by g.number, g.wamid, g.rank desc
    )
    update outbox o set state = b.status, updated_at = v_now from best b
    where o.phone_number_id = b.number and o.wamid = b.wamid and o.tenant = b.tenant
      and o.state <> 'failed' and comanda_rank(o.state) < b.rank;
  end if;

  if 'failed' = any (p_status) then
    update outbox o set state = 'failed', error_code = g.error, updated_at = v_now
    from unnest(p_tenant, p_number, p_wamid, p_status, p_outbox, p_error, v_fresh)
      as g(tenant, number, wamid, status, outbox, error, fresh)
    where g.fresh and g.status = 'failed' and g.outbox <> 0 and o.id = g.outbox and o.tenant = g.tenant
      and o.phone_number_id || '' = g.number and o.state || '' in ('sending', 'unknown', 'sent');
    update outbox o set state = 'failed', error_code = g.error, updated_at = v_now
    from unnest(p_tenant, p_number, p_wamid, p_status, p_outbox, p_error, v_fresh)
      as g(tenant, number, wamid, status, outbox, error, fresh)
    where g.fresh and g.status = 'failed' and g.outbox = 0 and o.phone_number_id = g.number and o.wamid = g.wamid
      and o.tenant = g.tenant and o.state || '' in ('sending', 'unknown', 'sent');
  end if;

  return query select s.place::int, s.fresh from unnest(v_fresh) with ordinality as s(fresh, place);
end $$;

create or replace function comanda_rank(p_state text) returns int language sql immutable as $$
  select case p_state when 'sent' then 1 when 'delivered' then 2 when 'read' then 3 when 'played' then 4 else 0 end
$$;

create or replace function comanda_ingest_costs(
  p_tenant text[], p_number text[], p_wamid text[], p_category text[], p_type text[], p_model text[], p_market text[],
  p_micros bigint[], p_currency text[], p_reason text[]
) returns void language sql security definer
set search_path = public, pg_temp as $$
  select set_config('comanda.duty', 'ingest', true);
  insert into costs (phone_number_id, wamid, tenant, category, type, pricing_model, at, market, price_micros, currency, reason)
  select g.number, g.wamid, g.tenant, g.category, g.type, g.model, comanda_now(), g.market, g.micros, g.currency, g.reason
  from unnest(p_tenant, p_number, p_wamid, p_category, p_type, p_model, p_market, p_micros, p_currency, p_reason)
    as g(tenant, number, wamid, category, type, model, market, micros, currency, reason)
  order by g.number, g.wamid on conflict do nothing
$$;

-- Statuses with their prices, in one call: a price is noted with the status that is new.
create or replace function comanda_ingest_priced_statuses(
  p_tenant text[], p_number text[], p_wamid text[], p_status text[], p_rank int[], p_outbox bigint[], p_payload text[],
  p_error int[], p_category text[], p_type text[], p_model text[], p_market text[], p_micros bigint[], p_currency text[],
  p_reason text[]
) returns table (place int, fresh boolean) language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_fresh boolean[];
begin
  select array_agg(s.fresh order by s.place) into v_fresh
    from comanda_ingest_statuses(p_tenant, p_number, p_wamid, p_status, p_rank, p_outbox, p_payload, p_error) s;
  perform comanda_ingest_costs(
      array_agg(g.tenant), array_agg(g.number), array_agg(g.wamid), array_agg(g.category), array_agg(g.type),
      array_agg(g.model), array_agg(g.market), array_agg(g.micros), array_agg(g.currency), array_agg(g.reason))
    from unnest(v_fresh, p_tenant, p_number, p_wamid, p_category, p_type, p_model, p_market, p_micros, p_currency, p_reason)
      as g(fresh, tenant, number, wamid, category, type, model, market, micros, currency, reason)
    where g.fresh and g.category <> '' having count(*) > 0;
  return query select s.place::int, s.fresh from unnest(v_fresh) with ordinality as s(fresh, place);
end $$;

create or replace function comanda_ingest_event(
  p_tenant text, p_number text, p_key text, p_field text, p_payload text
) returns boolean language plpgsql security definer
set search_path = public, pg_temp as $$
begin
  perform set_config('comanda.duty', 'ingest', true);
  insert into account_events (phone_number_id, key, tenant, field, payload, received_at)
    values (p_number, p_key, p_tenant, p_field, p_payload, comanda_now()) on conflict do nothing;
  return found;
end $$;

-- One person under two names: what belonged to the later customer belongs to the earlier one from now on.
create or replace function comanda_link(
  p_tenant text, p_kind text, p_value text, p_new_kind text, p_new_value text
) returns void language plpgsql security definer
set search_path = public, pg_temp as $$
declare
  v_old bigint;
  v_new bigint;
begin
  perform set_config('comanda.duty', 'ingest', true);
  select customer_id into v_old from customer_aliases where tenant = p_tenant and kind = p_kind and value = p_value;
  if v_old is null then return; end if;
  -- The newest of its kind is what a customer is written to; one that came in the same millisecond is no newer.
  insert into customer_aliases (tenant, kind, value, customer_id, since)
    select p_tenant, p_new_kind, p_new_value, v_old, greatest(comanda_now(), 1 + coalesce(max(since), 0))
    from customer_aliases where customer_id = v_old and kind = p_new_kind on conflict do nothing;
  select customer_id into v_new from customer_aliases
    where tenant = p_tenant and kind = p_new_kind and value = p_new_value;
  if v_new = v_old then return; end if;
  update customers set merged_into = v_old where tenant = p_tenant and (id = v_new or merged_into = v_new);
  update customer_aliases set customer_id = v_old where tenant = p_tenant and customer_id = v_new;
  update inbox set customer_id = v_old where tenant = p_tenant and customer_id = v_new and state = 'pending';
end $$;

create or replace function comanda_pause(
  p_tenant text, p_kind text, p_value text, p_until bigint, p_wamid text
) returns void language sql security definer
set search_path = public, pg_temp as $$
  select set_config('comanda.duty', 'ingest', true);
  update conversations c set handover_until = case p_until when 0 then 0 else greatest(c.handover_until, p_until) end
  from customer_aliases a
  where a.tenant = p_tenant and a.kind = p_kind and a.value = p_value
    and c.customer_id = a.customer_id and c.tenant = p_tenant
    and (p_wamid = '' or not exists (
      select 1 from outbox o where o.phone_number_id = c.phone_number_id and o.wamid = p_wamid))
    and (p_wamid = '' or not exists (
      select 1 from outbox o where o.customer_id = c.customer_id and o.is_open))
$$;
