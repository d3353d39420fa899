#!/bin/sh
# The relay's view against the tables after 10,000 random changes by four writers at once, while the daemon is killed and
# the database restarted in between. usage: random.sh [CHANGES] [SEED]
# shellcheck disable=SC2119 # functions whose arguments are optional
set -eu
cd "$(dirname "$0")/../.."
. tests/sync/lib.sh

changes=${1:-10000}
seed=${2:-$(date +%s)}
note "$changes changes, seed $seed"
sync_setup
pg_sql <<'SQL'
insert into mxhold.customer (name) select 'c' || i from generate_series(1, 20) i;
insert into mxhold.customer_region (customer, region) select 'c' || i, 'europe' from generate_series(1, 20) i where i % 3 <> 0;
insert into mxhold.domain (name, customer) select 'r' || i || '.example', 'c' || (1 + i % 20) from generate_series(1, 500) i;
create procedure public.step() language plpgsql as $$
declare
	d text := 'r' || floor(random() * 800)::int || '.example';
	c text := 'c' || 1 + floor(random() * 20)::int;
	n numeric := random() * 100;
begin
	if n < 20 then insert into mxhold.domain (name, customer) values (d, c) on conflict do nothing;
	elsif n < 35 then delete from mxhold.domain where name = d;
	elsif n < 45 then update mxhold.domain set suspended = not suspended where name = d;
	elsif n < 53 then update mxhold.domain set size_limit = 1000 + floor(random() * 1000000)::int, oversize = case when random() < 0.5 then 'defer' end where name = d;
	elsif n < 61 then update mxhold.domain set next_hops = case when random() < 0.7 then '[203.0.113.' || floor(random() * 250)::int || ']:25' end where name = d;
	elsif n < 66 then update mxhold.domain set customer = c where name = d;
	elsif n < 68 then update mxhold.domain set hold_until = case when random() < 0.3 then 'infinity' when random() < 0.7 then now() + random() * interval '1 day' end,
			hold_reason = case when random() < 0.5 then 'why ' || d end, refused = case when random() < 0.3 then 'keep' when random() < 0.5 then 'judge' end,
			pin_certificate = case when random() < 0.3 then repeat('AB:', 31) || 'cd' end, pin_banner = case when random() < 0.3 then 'mx.' || d end where name = d;
	elsif n < 71 then update mxhold.domain set name = 'n' || floor(random() * 800)::int || '.example' where name = d;
	elsif n < 79 then insert into mxhold.domain_region (domain, region) select d, case when random() < 0.5 then 'asia' else 'europe' end
			where exists (select from mxhold.domain where name = d) on conflict do nothing;
	elsif n < 84 then delete from mxhold.domain_region where domain = d;
	elsif n < 88 then insert into mxhold.customer_region (customer, region) values (c, case when random() < 0.5 then 'america' else 'europe' end) on conflict do nothing;
	elsif n < 92 then delete from mxhold.customer_region where customer = c and region = case when random() < 0.5 then 'america' else 'europe' end;
	elsif n < 95 then update mxhold.customer set suspended = not suspended, mx_check = random() < 0.5, refused = case when random() < 0.5 then 'keep' end where name = c;
	elsif n < 97 then delete from mxhold.domain where customer = c;
	elsif n < 98 then raise division_by_zero;
	else insert into mxhold.domain (name, customer) select 'b' || floor(random() * 3000)::int || '.example', c from generate_series(1, 10) on conflict do nothing;
	end if;
exception when others then null; -- what the rules refuse, and deadlocks, are part of the game
end
$$;
create procedure public.run(count int) language plpgsql as $$
begin
	for i in 1..count loop
		call public.step();
		if random() < 0.6 then commit; elsif random() < 0.1 then rollback; end if;
	end loop;
	commit;
end
$$;
SQL
daemon_start
wait_for 30 state_is current || true

writers=
for writer in 1 2 3 4; do
	for part in 1 2 3 4 5 6 7 8; do
		printf "select setseed(%s);\ncall public.run(%d);\n" "0.$(((seed + writer * 31 + part * 7) % 9973))" $((changes / 32))
	done | psql -XAtq >/dev/null 2>>"$work/writers" &
	writers="$writers $!"
done
i=0
while [ $i -lt 3 ]; do
	i=$((i + 1))
	sleep 0.7
	daemon_stop KILL 2>/dev/null || true
	daemon_start
done
for pid in $writers; do wait "$pid" || true; done
others=
note "$(grep -c . "$work/writers" || true) errors of writers: $(sort "$work/writers" | uniq -c | sort -rn | head -2 | tr '\n' ' ')"
note "$(pg_sql -c "select count(*) || ' versions, ' || (select count(*) from mxhold.domain) || ' domains' from mxhold.commit_log")"
try 'the view is that of the tables' wait_for 60 sh -c '. tests/sync/same.sh'
same "$(domains)" "$(domains_by_sql)" 'domains, row by row'
same "$("$dump" "$work/state" a customers | sort)" "$(customers_by_sql | sort)" 'customers, row by row'
is "$("$ask" "$work/state/control" reload | grep -o ', [0-9]* differing')" ', 0 differing' 'the comparison finds nothing either'
gone=$("$dump" "$work/state" a all | grep -c '|retired$' || true)
ok $((gone == 0)) "what went away is retired ($gone rows)"
daemon_stop || true
tap_done
