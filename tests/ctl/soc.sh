#!/bin/sh
# mxholdctl domain, sync and db: against a private authority, a snapshot made by mksnapshot, and a false mxhold-sync.
set -eu
cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/pg.sh

BUILD=${BUILD:-build}
ctl=$BUILD/bin/mxholdctl
mksnapshot=$BUILD/tests/tools/mksnapshot
work=$(mktemp -d /tmp/mxc.XXXXXX)
false_sync=

cleanup() {
	status=$?
	trap - EXIT
	[ -z "$false_sync" ] || kill -9 "$false_sync" 2>/dev/null || true
	pg_stop "$work/pg" || true
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# run COMMAND...: its output in $out and $err, its exit status in $code
run() {
	code=0
	timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
	out=$(cat "$work/out")
	err=$(cat "$work/err")
}

# field NAME: of the JSON object in $out
field() {
	printf '%s' "$out" | python3 -c 'import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key) if key.isdigit() else key]
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

chmod 755 "$work"
mkdir "$work/state" "$work/sql"
pg_start "$work/pg"

# --- db
cp sql/[0-9]*.sql "$work/sql"
total=$(find "$work/sql" -name '*.sql' | wc -l)
run "$ctl" db status --dir "$work/sql"
is "$code $(grep -c pending "$work/out")" "75 $total" 'db status on an empty database: all are pending'
run "$ctl" db migrate --dir "$work/sql" --dry-run
is "$code $(pg_sql -c "select to_regclass('mxhold.migration') is null")" '0 t' 'a dry run applies nothing'
"$ctl" db migrate --dir "$work/sql" >"$work/first" 2>&1 &
first=$!
run "$ctl" db migrate --dir "$work/sql"
first_code=0
wait "$first" || first_code=$?
is "$first_code $code" '0 0' 'two migrations at once: both succeed'
is "$(pg_sql -c 'select count(*), count(checksum) from mxhold.migration')" "$total|$total" 'each file once, with its checksum'
is "$(pg_sql -c "select checksum from mxhold.migration where name = '001-base'")" \
	"$(sha256sum <"$work/sql/001-base.sql" | cut -d' ' -f1)" 'and that is the SHA-256 of the file'
run "$ctl" db migrate --dir "$work/sql"
like "$code $err" '^0 .*nothing to do' 'again: nothing to do'
run "$ctl" --json db status --dir "$work/sql"
is "$code $(grep -c '"state":"applied"' "$work/out")" "0 $total" 'db status --json: one object a file, all applied'
printf 'begin;\ncreate table mxhold.half (a integer);\nselect 1/0;\ncommit;\n' >"$work/sql/900-broken.sql"
run "$ctl" db migrate --dir "$work/sql"
like "$code $err" 'division by zero' 'a file that fails is told'
is "$(pg_sql -c "select to_regclass('mxhold.half') is null")" t 'and leaves nothing behind'
printf 'begin;\nselect 1;\ncommit;\n' >"$work/sql/900-broken.sql"
run "$ctl" db migrate --dir "$work/sql"
like "$code $err" 'no row into mxhold.migration' 'so is one that does not record itself'
rm "$work/sql/900-broken.sql"
echo '-- later' >>"$work/sql/001-base.sql"
run "$ctl" db status --dir "$work/sql"
like "$code $out" '^65 001-base +changed' 'a file that changed after it was applied'
run "$ctl" db migrate --dir "$work/sql"
like "$code $err" '^65 .*001-base: the file is not the one' 'stops a migration'
run "$ctl" db status --dir "$work/none"
is "$code" 71 'no such directory: 71'

# --- domain, in SQL
pg_sql -c "insert into mxhold.region (name) values ('eu'), ('us'); insert into mxhold.customer (name) values ('acme'), ('other');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'us')"
run "$ctl" -v domain add Foo.Example. --customer acme --next-hops '[203.0.113.5]:25' --note "it's"
is "$code $(head -n 1 "$work/err")" \
	"0 insert into mxhold.domain (name, customer, next_hops, note) values ('foo.example', 'acme', '[203.0.113.5]:25', 'it''s');" \
	'domain add -v shows the SQL'
is "$(pg_sql -c 'select name, customer, next_hops, note from mxhold.domain')" "foo.example|acme|[203.0.113.5]:25|it's" \
	'which did what it says'
run "$ctl" domain add foo.example --customer other
like "$code $err" '^65 ' 'a domain that is taken: 65'
like "$err" 'belongs to customer acme' 'and by whom'
run "$ctl" domain add 'bücher.example' --customer acme --regions eu --include-subdomains --tls --size-limit 5000 --oversize defer
is "$code $(pg_sql -c "select customer, include_subdomains, tls_required, size_limit, oversize, region from mxhold.domain d
	join mxhold.domain_region r on r.domain = d.name")" '0 acme|t|t|5000|defer|eu' 'an IDN domain, with every option'
run "$ctl" domain add two.example --customer acme --regions nowhere
is "$code $(pg_sql -c "select count(*) from mxhold.domain where name = 'two.example'")" '65 0' \
	'a region that does not exist: the domain is not added either'
run "$ctl" domain add lonely.example --customer other
like "$code $err" '^0 .*note: no relay takes mail.*has no region' 'a customer without a region is told so'
for name in bad_name example '' 'a b.example' "x'; drop table mxhold.domain; --.example"; do
	run "$ctl" domain add "$name" --customer acme
	is "$code" 65 "no mail domain: $name"
done
run "$ctl" domain add inject.example --customer "acme'); delete from mxhold.domain; --"
is "$code $(pg_sql -c 'select count(*) from mxhold.domain')" '65 3' 'values are quoted'
run "$ctl" domain add x.example --customer nobody
is "$code" 65 'no such customer: 65'
run "$ctl" domain add x.example --customer acme --dry-run
is "$code $err $(pg_sql -c "select count(*) from mxhold.domain where name = 'x.example'")" \
	"0 insert into mxhold.domain (name, customer) values ('x.example', 'acme'); 0" 'dry run: shown, not done'
run "$ctl" domain add x.example
is "$code" 64 'without a customer: 64'
run "$ctl" domain add full.example --customer acme --retention '3 days' --quota-messages 100 --quota-bytes 1000000 --refused keep \
	--when-primary-up defer --mx-check no --hold-until infinity --hold-reason 'new server' --pin-banner mx.full.example \
	--pin-certificate "$(printf 'AB%.0s' $(seq 32))"
is "$code $(pg_sql -c "select retention, quota_messages, quota_bytes, refused, when_primary_up, mx_check, hold_until, hold_reason, pin_banner,
	pin_certificate = repeat('ab', 32) from mxhold.domain where name = 'full.example'")" \
	'0 3 days|100|1000000|keep|defer|f|infinity|new server|mx.full.example|t' 'domain add: a column each'
run "$ctl" domain add y.example --customer acme --refused never
is "$code" 65 'a value that SQL refuses: 65'
run "$ctl" -v domain set Full.Example --retention default --hold-until default --tls yes --quota-messages 7 --hold-reason "it's over"
is "$code $(head -n 1 "$work/err")" "0 update mxhold.domain set tls_required = 'yes', retention = default, quota_messages = '7', \
hold_until = default, hold_reason = 'it''s over' where name = 'full.example';" 'domain set -v shows the SQL'
is "$(pg_sql -c "select tls_required, retention, quota_messages, hold_until, hold_reason, refused from mxhold.domain where name = 'full.example'")" \
	"t||7||it's over|keep" 'which did what it says, and no more'
run "$ctl" domain show full.example --json
is "$(printf '%s' "$out" | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["quota_messages"], d["refused"], d["pin_banner"])')" \
	'7 keep mx.full.example' 'domain show tells them'
run "$ctl" domain set full.example --hold-until tomorrow
is "$code $err" '0 mxholdctl: full.example: changed' 'a maintenance to come'
run "$ctl" domain set full.example --hold-until yesterday
like "$code $(printf '%s' "$err" | tr '\n' ' ')" '^0 .*changed .*hold_until is 20.*, which is past: nothing is held' 'one that is over is done, and said to hold nothing'
run "$ctl" domain set full.example --hold-until default
run "$ctl" domain set full.example
is "$code" 64 'nothing to set: 64'
run "$ctl" domain set nobody.example --note x
is "$code" 65 'no such domain: 65'
run "$ctl" domain set full.example --quota-bytes 5 --dry-run
is "$code $(pg_sql -c "select quota_bytes from mxhold.domain where name = 'full.example'")" '0 1000000' 'dry run: not done'
pg_sql -c "delete from mxhold.domain where name = 'full.example'"
run "$ctl" domain list
is "$code $(cut -f1 "$work/out" | tr '\n' ' ')" '0 foo.example lonely.example xn--bcher-kva.example ' 'domain list'
run "$ctl" --json domain list --customer other
is "$code $out" '0 {"name":"lonely.example","customer":"other","include_subdomains":false,"suspended":false}' 'of one customer, as JSON'
run "$ctl" domain suspend foo.example
is "$code $(pg_sql -c "select suspended from mxhold.domain where name = 'foo.example'")" '0 t' 'domain suspend'
run "$ctl" domain show FOO.example. --json
is "$code $(field state) $(field suspended) $(field reason)" \
	'0 red true the domain is suspended: relays defer its mail' 'domain show --json'
run "$ctl" domain resume foo.example
is "$code $(pg_sql -c "select suspended from mxhold.domain where name = 'foo.example'")" '0 f' 'domain resume'
run "$ctl" domain show foo.example
like "$out" '^next_hops +\[203\.0\.113\.5\]:25$' 'domain show'
run "$ctl" domain remove foo.example
is "$code $(pg_sql -c "select count(*) from mxhold.domain where name = 'foo.example'")" '0 0' 'domain remove'
for verb in remove suspend resume show; do
	run "$ctl" domain "$verb" foo.example
	like "$code $err" '^65 .*no such domain' "domain $verb of what is not there: 65"
done
run env MXHOLD_DB="host=$work/pg user=postgres dbname=template1" "$ctl" domain list
like "$code $err" '^69 ' 'MXHOLD_DB names the database (here one without the schema)'
run "$ctl" -d 'host=127.0.0.1 port=1' domain list
like "$code $err" '^69 .*no connection' 'no database: 69'
kill -STOP "$(pg_pid "$work/pg")"
started=$(date +%s)
run "$ctl" domain list
kill -CONT "$(pg_pid "$work/pg")"
is "$code" 69 'a stopped database: 69'
ok "$(($(date +%s) - started > 20))" 'within 20 s'

# --- sync
cat >"$work/mxhold.conf" <<-CONF
	[relay]
	name = relay1
	region = eu
	[authority]
	stale_after = 60
	[paths]
	state_dir = $work/state
	socket_dir = $work/sockets
	[fence]
	allow = 10.9.0.0/16
CONF
conf="-c $work/mxhold.conf"
run "$ctl" sync confirm --note "Tuesday's backup" --json
is "$code $(pg_sql -c "select note from mxhold.feed_confirmation where id = $(field id)")" "0 Tuesday's backup" 'sync confirm writes its row'
# shellcheck disable=SC2086
run "$ctl" $conf sync status
like "$code $err" '^69 .*does not answer' 'sync status without mxhold-sync: 69'

# false_sync ANSWER: answers the next request with it, and keeps the request in $work/asked
answer_with() {
	[ -z "$false_sync" ] || kill "$false_sync" 2>/dev/null || true
	rm -f "$work/state/control"
	python3 - "$work/state/control" "$work/asked" "$1" <<-'PY' &
		import os, socket, sys, time
		server = socket.socket(socket.AF_UNIX)
		server.bind(sys.argv[1] + ".new")
		server.listen()
		os.rename(sys.argv[1] + ".new", sys.argv[1])
		client = server.accept()[0]
		open(sys.argv[2], "wb").write(client.recv(100))
		answer = sys.argv[3].encode()
		client.sendall(answer[:10])
		time.sleep(0.2)
		client.sendall(answer[10:])
		if not answer.endswith(b"\n"):
		    time.sleep(30)
	PY
	false_sync=$!
	wait_for 30 test -S "$work/state/control"
}
nl='
'
# shellcheck disable=SC2086
ask() {
	answer_with "$2"
	run "$ctl" $conf sync $1
}
ask status "{\"state\":\"current\",\"relay\":\"relay1\",\"snapshot\":{\"version\":17}}$nl"
is "$code $(cat "$work/asked") $(printf '%s' "$out" | grep -Ec '^snapshot\.version +17$')" '0 status 1' 'sync status, current: 0'
ask 'status --json' "{\"state\":\"held\",\"reason\":\"empty feed\"}$nl"
is "$code $(field state)" '75 held' 'sync status, held: 75'
ask verify "{\"ok\":true,\"detail\":\"sound\"}$nl"
is "$code $(cat "$work/asked")" '0 verify' 'sync verify, sound: 0'
ask reload "{\"ok\":false,\"detail\":\"unreachable\"}$nl"
is "$code $(cat "$work/asked")" '75 reload' 'sync reload, not done: 75'
ask status "{\"error\":\"busy\"}$nl"
is "$code" 69 'an error of sync: 69'
ask status "no JSON at all$nl"
is "$code" 69 'what is no JSON: 69'
ask status '{"state":'
is "$code" 69 'an answer without an end: 69, in time'
kill "$false_sync" 2>/dev/null || true
false_sync=

# --- domain check
cat >"$work/snapshot" <<-'LINES'
	relay relay1 eu names=eu.mx.example addresses=192.0.2.1
	relay relay2 us names=us.mx.example addresses=192.0.2.2
	customer acme regions=eu,us size=1000
	customer paused regions=eu suspended
	domain ok.example acme hops=[203.0.113.5]:25,[192.0.2.2]:25,[10.9.1.1]:25,[10.8.1.1]:25 subdomains
	domain us.example acme regions=us
	domain gone.example acme retired=100
	domain paused.example paused
	domain orphan.example nobody
LINES
# check EXIT VERDICT RULE ARGS...: what `domain check --json ARGS` says
check() {
	expected="$1 $2 $3"
	shift 3
	# shellcheck disable=SC2086
	run "$ctl" $conf --json domain check "$@"
	is "$code $(field verdict) $(field rule)" "$expected" "domain check $*"
}
check 75 cannot-tell 2 ok.example
check 69 not-ours 4 'user@[192.0.2.1]'
"$mksnapshot" -r relay1 -R eu "$work/state" "$work/snapshot"
check 0 permit 12 ok.example
check 0 permit 12 User@OK.example.
check 0 permit 12 a.b.ok.example
is "$(field owner)" ok.example 'a subdomain: by the row of its parent'
check 75 defer 0 'user%ok.example@relay.example'
check 75 defer 1 ok.example --client 192.0.2.2
check 0 permit 12 ok.example --client 198.51.100.1
check 69 not-ours 4 foreign.example
check 75 defer 5 gone.example
check 75 defer 6 paused.example
check 75 cannot-tell 6 orphan.example
is "$(field customer_state)" missing 'a customer who is missing'
check 75 defer 7 us.example
check 0 permit 12 ok.example --size 3048
check 69 reject 11 ok.example --size 3049
is "$(field code) $(field enhanced)" '552 5.3.4' 'with its codes'
check 0 permit 12 ok.example
is "$(field next_hops.0.fence) $(field next_hops.2.fence)" 'may be used may be used' 'hops that the fence lets pass'
is "$(field next_hops.1.hop)" '[192.0.2.2]:25' 'and one that is a relay'
ok "$([ "$(field next_hops.1.fence)" != 'may be used' ] && [ "$(field next_hops.3.fence)" != 'may be used' ]; echo $?)" \
	'which it does not, nor a private address that is not allowed'
is "$(field snapshot.fresh) $(field customer) $(field limits.size_limit)" 'true acme 1000' 'and the other facts'
# shellcheck disable=SC2086
run "$ctl" $conf domain check ok.example
like "$out" '^postmaster@ok.example: permit, rule 12 \(authorised\)$' 'the same for a person'
"$mksnapshot" -s -u -r relay1 -R eu "$work/state" -
rm -rf "$work/state/snapshot"
"$mksnapshot" -s -r relay1 -R eu "$work/state" "$work/snapshot"
check 75 cannot-tell 3 foreign.example
check 0 permit 12 ok.example
for name in bad_name 'a b.example' ''; do
	# shellcheck disable=SC2086
	run "$ctl" $conf domain check "$name"
	is "$code" 65 "no mail domain: $name"
done
# shellcheck disable=SC2086
run "$ctl" $conf domain check ok.example --client nonsense
is "$code" 64 'a client that is no address: 64'
# shellcheck disable=SC2086
run "$ctl" $conf domain check ok.example --size 12x
is "$code" 64 'a size that is no number: 64'
run "$ctl" -c "$work/none.conf" domain check ok.example
is "$code" 78 'no configuration: 78'
printf 'garbage' >"$work/state/snapshot/data.mdb"
check 75 cannot-tell 2 ok.example
like "$(field snapshot.problem)" truncated 'a broken snapshot, and why'

# --- the command line
for words in '' frob 'add' 'check'; do
	# shellcheck disable=SC2086
	run "$ctl" domain $words
	is "$code" 64 "domain $words: 64"
done
for words in domain sync db 'domain add' 'domain check' 'sync confirm' 'db migrate'; do
	# shellcheck disable=SC2086
	run "$ctl" $words --help
	like "$code $out" '^0 usage: mxholdctl' "$words --help"
done
tap_done
