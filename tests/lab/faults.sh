#!/bin/sh
# lab-faults: under a steady load each daemon is killed and stopped, PostgreSQL is stopped, frozen and cut off, the disk
# below the snapshot fills up, the snapshot is truncated and overwritten, the primary comes and goes, everything is started
# anew. Two ledgers, the senders' and the primary's, prove message by message: whatever got 250 arrived; no recipient whom
# a relay has to serve got 5xx; nobody else ever got 250. Daemons that end are started again, as an init would.
#
# In: LAB_SECONDS, how long faults go on (default 0: once through the list, some 70 s); LAB_RATE, messages a second (default 25).
# shellcheck disable=SC2016,SC2317
set -eu
# shellcheck source=tests/lab/lab.sh
. "${LAB_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}/tests/lab/lab.sh"
lab_enter "$0" "$@"

seconds=${LAB_SECONDS:-0}
rate=${LAB_RATE:-25}

authorise() {
	lab_soc "
	insert into mxhold.customer (name) values ('acme'), ('asia');
	insert into mxhold.customer_region (customer, region) values ('acme', 'eu'), ('acme', 'hk'), ('asia', 'hk');
	insert into mxhold.domain (name, customer, next_hops) values ('customer.example', 'acme', null),
		('hop-hops.example', 'acme', '[198.51.100.27]:25'), ('hop-cname.example', 'acme', null),
		('hkonly.example', 'asia', null), ('gone.example', 'acme', null);
	insert into mxhold.domain (name, customer, include_subdomains) values ('sub.example', 'acme', true);
	insert into mxhold.domain (name, customer, suspended) values ('suspended.example', 'acme', true);
	insert into mxhold.domain (name, customer) select 'filler' || n || '.example', 'acme' from generate_series(1, 500) n"
}

# --- faults: one function each, 1 to 5 seconds --------------------------------------------------------------------------

child() {
	pgrep -P "$(lab_pid "eu.$1")" | head -1
}

# In the midst of a fault that must not be felt: is mail taken all the same?
still_taken() {
	takes_mail || echo "$fault" >>"$LAB/felt"
}

# freeze SECONDS PID: SIGSTOP, then SIGCONT (if it still lives).
freeze() {
	kill -s STOP "$2" 2>/dev/null || true
	sleep "$1"
	kill -s CONT "$2" 2>/dev/null || true
}

policyd_child_killed() { kill -9 "$(child policyd)"; }
policyd_parent_killed() { kill -9 "$(lab_pid eu.policyd)"; }
policyd_child_frozen() { kill -s STOP "$(child policyd)"; }
policyd_parent_frozen() { freeze 2 "$(lab_pid eu.policyd)"; }
# Nobody lets them go on, but the kernel.
policyd_all_stopped() { kill -s STOP "$(lab_pid eu.policyd)" "$(child policyd)"; }
milter_child_killed() { kill -9 "$(child milter)"; }
milter_parent_killed() { kill -9 "$(lab_pid eu.milter)"; }
milter_child_frozen() { kill -s STOP "$(child milter)"; }
milter_parent_frozen() { freeze 2 "$(lab_pid eu.milter)"; }
milter_all_stopped() { kill -s STOP "$(lab_pid eu.milter)" "$(child milter)"; }
sync_killed() { kill -9 "$(lab_pid eu.sync)"; }
# Longer than stale_after, as by a debugger: the snapshot counts as stale, and goes on serving.
sync_frozen() {
	"$lab_tools/asker" freeze "$(lab_pid eu.sync)" 5500 &
	frozen=$!
	sleep 5
	still_taken
	wait "$frozen"
}
sync_stopped() {
	kill -s STOP "$(lab_pid eu.sync)"
	still_taken
}
daemons_reloaded() { kill -s HUP "$(lab_pid eu.policyd)" "$(lab_pid eu.milter)" "$(lab_pid eu.sync)"; }
daemons_terminated() { kill -s TERM "$(lab_pid eu.policyd)" "$(lab_pid eu.milter)" "$(lab_pid eu.sync)"; }

start_postfix() {
	lab_pf eu pf_stop
	lab_pf eu pf_start
}
master_killed() {
	kill -9 "$(tr -d ' ' <"$LAB/eu/spool/pid/master.pid")"
	start_postfix
}
master_frozen() { freeze 2 "$(tr -d ' ' <"$LAB/eu/spool/pid/master.pid")"; }
postfix_killed() {
	# shellcheck disable=SC2046
	kill -9 $(lab_pf eu pf_pids)
	start_postfix
}

database_stopped() {
	lab_pg pg_stop "$LAB/pg" immediate
	sleep 2
	still_taken
	lab_pg pg_start "$LAB/pg" port=5432 bind=192.0.2.5 host_auth=scram-sha-256
}
database_frozen() {
	frozen=$(pgrep postgres)
	# shellcheck disable=SC2086
	kill -s STOP $frozen
	sleep 3
	still_taken
	# shellcheck disable=SC2086
	kill -s CONT $frozen 2>/dev/null || true
}
database_cut_off() {
	lab_in auth ip link set eth0 down
	sleep 3
	still_taken
	lab_in auth ip link set eth0 up
	for net in 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24; do
		lab_in auth ip route replace "$net" dev eth0 src 192.0.2.5
	done
}

# Readers look at the file once a second: what follows is asked after they have seen it.
snapshot_truncated() {
	truncate -s 4096 "$LAB/eu/state/snapshot/data.mdb"
	sleep 1.2
}
snapshot_emptied() {
	: >"$LAB/eu/state/snapshot/data.mdb"
	sleep 1.2
}
snapshot_overwritten() {
	dd if=/dev/urandom of="$LAB/eu/state/snapshot/data.mdb" bs=4096 seek=2 count=60 conv=notrunc status=none
	sleep 1.2
}
snapshot_removed() {
	rm -rf "$LAB/eu/state/snapshot"
	sleep 1.2
}
lock_overwritten() {
	dd if=/dev/urandom of="$LAB/eu/state/snapshot/lock.mdb" bs=4096 count=8 conv=notrunc status=none
	sleep 1.2
}
# Whoever has it open goes on; a child that starts now needs it.
lock_removed() {
	rm -f "$LAB/eu/state/snapshot/lock.mdb"
	kill -9 "$(child policyd)"
}
snapshot_is_a_directory() {
	rm -rf "$LAB/eu/state/snapshot"
	mkdir -p "$LAB/eu/state/snapshot/data.mdb"
	sleep 1.2
}
disk_full() {
	dd if=/dev/zero of="$LAB/eu/state/filler" bs=1M status=none 2>/dev/null || true
	lab_soc "update mxhold.domain set note = 'changed ' || clock_timestamp() where name like 'filler%'"
	kill -9 "$(lab_pid eu.sync)"
	sleep 2
	still_taken
	rm -f "$LAB/eu/state/filler"
}

primary_away() {
	lab_primary down
	sleep 2
	still_taken
	lab_primary up
}
primary_refuses() {
	lab_primary at rcpt reply '550 5.1.1 User unknown'
	sleep 1
	lab_primary at end reply '554 5.6.0 not this'
	lab_primary at rcpt ok
	sleep 1
	lab_primary reset
}
primary_forgets() {
	lab_primary at end lose
	sleep 0.5
	lab_primary reset
}
domains_come_and_go() {
	lab_soc "delete from mxhold.domain where name like 'filler1%'"
	lab_soc "insert into mxhold.domain (name, customer) select 'filler' || n || '.example', 'acme'
		from generate_series(1, 500) n on conflict do nothing"
}
sockets_removed() { rm -f "$LAB/eu/spool/mxhold/policy" "$LAB/eu/spool/mxhold/map" "$LAB/eu/spool/mxhold/milter"; }
# What is no configuration must not be taken: the daemons go on with the one they have.
configuration_broken() {
	cp "$LAB/eu/mxhold.conf" "$LAB/mxhold.conf.good"
	head -c 4000 /dev/urandom >"$LAB/eu/mxhold.conf"
	daemons_reloaded
	sleep 1
	still_taken
	cp "$LAB/mxhold.conf.good" "$LAB/eu/mxhold.conf"
}
all_stopped() {
	# shellcheck disable=SC2046
	kill -s STOP $(lab_pid eu.policyd) $(child policyd) $(lab_pid eu.milter) $(child milter) $(lab_pid eu.sync)
}
all_killed() {
	# shellcheck disable=SC2046
	kill -9 $(lab_pid eu.policyd) $(child policyd) $(lab_pid eu.milter) $(child milter) $(lab_pid eu.sync) $(lab_pf eu pf_pids)
	start_postfix
}

faults='policyd_child_killed policyd_parent_killed policyd_child_frozen policyd_parent_frozen milter_child_killed
milter_parent_killed milter_child_frozen milter_parent_frozen sync_killed sync_frozen sync_stopped master_killed master_frozen
database_stopped database_frozen database_cut_off snapshot_truncated snapshot_overwritten snapshot_emptied snapshot_removed
snapshot_is_a_directory lock_overwritten lock_removed sockets_removed configuration_broken disk_full primary_away primary_refuses primary_forgets domains_come_and_go daemons_reloaded daemons_terminated
policyd_all_stopped milter_all_stopped all_stopped postfix_killed all_killed'

# --- the load ------------------------------------------------------------------------------------------------------------

served_addresses() {
	for user in $(seq 1 20); do
		echo "served user$user@customer.example"
		echo "served user$user@hop-hops.example"
		echo "served user$user@hop-cname.example"
		echo "served user$user@a.sub.example"
	done
}

other_addresses() {
	cat <<-'OTHERS'
		foreign x@nowhere.example
		foreign x@deep.customer.example
		region x@hkonly.example
		suspended x@suspended.example
		removed x@gone.example
		odd x%customer.example@nowhere.example
	OTHERS
}

# load NAME ARGUMENTS...: a sender in the background; its summary comes to $LAB/NAME.summary.
load() {
	load_name=$1
	shift
	# shellcheck disable=SC2046
	$(lab_words sender) "$lab_tools/sender" -s 192.0.2.11:25 -r "$LAB/$load_name.addresses" -l "$LAB/$load_name.ledger" \
		-i "$load_name" "$@" >"$LAB/$load_name.summary" 2>&1 &
	printf '%s\n' "$!" >"$LAB/run/$load_name.pid"
}

# To an address of its own each time: an smtpd remembers how one resolved, also that it could not be told.
takes_mail() {
	case $(LAB_PATIENCE=10 lab_rcpt eu "probe$(date +%s%N)@customer.example" 2>/dev/null) in 250*) ;; *) return 1 ;; esac
}

one_fault() {
	began=$(date +%s%N)
	"$1" >>"$LAB/log/faults.log" 2>&1 || note "$1: the fault itself failed, status $?"
	if wait_for 40 takes_mail; then healed=0; else healed=1; fi
	ok "$healed" "$1: mail is taken again after $((($(date +%s%N) - began) / 100000000)) tenths of a second"
}

all_faults() {
	end=$(($(date +%s) + seconds))
	first=yes
	while [ "$first" = yes ] || [ "$(date +%s)" -lt "$end" ]; do
		for fault in $faults; do
			[ "$first" = yes ] || [ "$(date +%s)" -lt "$end" ] || break
			one_fault "$fault"
			sleep 0.3
		done
		first=no
	done
}

sender_ended() {
	lab_gone "$(cat "$LAB/run/$1.pid")"
}

# --- the proof --------------------------------------------------------------------------------------------------------------

# replies FILE CONDITION: how many replies in a sender's ledger; finals: how many outcomes.
# Fields: time id <recipient> label attempt stage code text.
replies() {
	awk -F'\t' "\$6 != \"final\" && ($2) { n++ } END { print n + 0 }" "$1"
}

finals() {
	awk -F'\t' "\$6 == \"final\" && ($2) { n++ } END { print n + 0 }" "$1"
}

accepted() {
	awk -F'\t' '$6 == "end" && $7 >= 200 && $7 < 300 { print $2 "\t" $3 }' "$1" | sort -u
}

ledger() {
	accepted "$LAB/served.ledger" >"$LAB/accepted"
	awk -F'\t' '{ print $2 "\t" $4 }' "$LAB/primary/ledger" | grep '^served-' | sort >"$LAB/arrived.all"
	sort -u "$LAB/arrived.all" >"$LAB/arrived"
	comm -23 "$LAB/accepted" "$LAB/arrived" >"$LAB/missing"
	comm -13 "$LAB/accepted" "$LAB/arrived" >"$LAB/unasked"
	note "the ledger: recipients of all messages sent: $(finals "$LAB/served.ledger" 1), replies: $(replies "$LAB/served.ledger" 1)"
	note "  accepted by the relay (250 seen by the sender): $(wc -l <"$LAB/accepted")"
	note "  arrived at the primary: $(wc -l <"$LAB/arrived"), of these more than once: $(($(wc -l <"$LAB/arrived.all") - $(wc -l <"$LAB/arrived"))) copies"
	note "  accepted and missing: $(wc -l <"$LAB/missing")"
	note "  arrived though the sender saw no 250 (the connection was lost): $(wc -l <"$LAB/unasked")"
	note "  temporary refusals of served recipients, by reply:"
	awk -F'\t' '$6 != "final" && $7 != 250 { sub(/<[^>]*>/, "<...>", $8); print $6, $7, $8 }' "$LAB/served.ledger" |
		sort | uniq -c | sort -rn | sed -n '1,15s/^/#   /p'
	is "$(cat "$LAB/missing")" '' 'each message that got 250 arrived at the primary'
	like "$(wc -l <"$LAB/accepted")" '[1-9][0-9][0-9]' 'and these were many'
	is "$(replies "$LAB/served.ledger" '$7 >= 500')" 0 'no recipient whom the relay serves got 5xx, at any stage'
	is "$(finals "$LAB/served.ledger" '$7 != 250')" 0 'each of them was taken in the end'
}

others() {
	note "recipients whom the relay does not serve, by label, stage and reply:"
	awk -F'\t' '$6 != "final" { sub(/<[^>]*>/, "<...>", $8); print $4, $6, $7, $8 }' "$LAB/others.ledger" |
		sort | uniq -c | sort -rn | sed -n '1,25s/^/#   /p'
	is "$(replies "$LAB/others.ledger" '$7 >= 200 && $7 < 300')" 0 'nobody else ever got 250'
	is "$(replies "$LAB/others.ledger" '$7 >= 500 && $4 != "foreign"')" 0 \
		'another region, a suspension, a removed domain and an odd address are never 5xx'
	is "$(replies "$LAB/others.ledger" '$7 >= 500 && $8 !~ /^5\.7\.1 .*Relay access denied/')" 0 \
		'each 5xx is explained by a rule: the domain is not served here'
	is "$(grep -Evc '@(customer|hop-hops|hop-cname|a\.sub)\.example>' "$LAB/primary/ledger" || true)" 0 \
		'nothing of theirs came to the primary'
}

mkdir -p "$LAB/eu/state"
mount -t tmpfs -o size=100m,mode=0750,uid=64101,gid=64100 state "$LAB/eu/state"
lab_hosts
lab_authority
authorise
lab_primary_start
lab_catcher_start
LAB_POSTFIX='service_throttle_time=2s' lab_relay eu
try 'the relay is in step with the authority' wait_for 60 lab_in_step
lab_soc_now "delete from mxhold.domain where name = 'gone.example'"

served_addresses >"$LAB/served.addresses"
other_addresses >"$LAB/others.addresses"
# Two recipients a message, often of two domains: each has a fate of his own.
load served -k 2 -n 1000000 -q "$rate" -m 20 -b 10 -w 1000 -g 60 -t 20
load others -n 1000000 -q 2 -m 4 -w 5000 -g 2 -t 20
all_faults
is "$(cat "$LAB/felt" 2>/dev/null)" '' \
	'PostgreSQL down, frozen, cut off, sync frozen, a broken configuration, disk full, primary away: authorised mail is taken all the while'
kill -s USR1 "$(cat "$LAB/run/served.pid")" "$(cat "$LAB/run/others.pid")"
try 'the senders come to their end' wait_for 100 sender_ended served
wait_for 30 sender_ended others || true
lab_primary reset
lab_primary up
lab_flush eu
try 'the queue is empty in the end' wait_for 120 lab_queue_empty eu
ledger
others
is "$(grep -hcE 'status=(bounced|expired)' "$LAB/eu/log/mail.log" || true)" 0 'no message bounced or expired'
is "$(wc -l <"$LAB/catcher/ledger")" 0 'no notice came to the sender'
wait_for 60 lab_in_step && state=yes || state=no
is "$state" yes 'the relay is in step with the authority again'
lab_done
