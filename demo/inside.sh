#!/bin/sh
# inside: the part of the demo that runs in its own pid, mount and network namespaces: the hosts, the steps, and the
# commands with which one reaches a demo that was kept.
#
#   inside.sh run            the demo; as the first process of its pid namespace, its end is the end of everything in it
#   inside.sh VERB ARGS...   one of the commands that `demo.sh help` names, in a demo that runs already
#
# In: LAB (an empty directory, to be covered by a tmpfs), LAB_OUT (what outlives us: namespaces, result, logs), BUILD,
# KEEP, DEMO_COLOUR. Out: the narration in the pipe LAB_OUT/narration, LAB_OUT/result (`kept`, `passed` or `failed`). No process
# that stays may hold the pipe (descriptor 3), else whoever reads it would wait for ever: hence the 3>&- below.
set -eu

LAB_TOP=$(cd "$(dirname "$0")/.." && pwd)
# Senders' networks pass the fence as well: what keeps notices in must not be the fence.
LAB_FENCE='198.51.100.0/24, 2001:db8:51::/48, 203.0.113.0/24, 2001:db8:113::/48'
LAB_QUEUED=yes
export LAB_TOP LAB_FENCE LAB_QUEUED
# shellcheck source=tests/lab/lab.sh
. "$LAB_TOP/tests/lab/lab.sh"
# shellcheck source=demo/show.sh
. "$LAB_TOP/demo/show.sh"
# shellcheck source=demo/queue.sh
. "$LAB_TOP/demo/queue.sh"

demo_path=$lab_bin:$lab_tools:/usr/sbin:/sbin:$PATH
for demo_bin in /usr/lib/postgresql/*/bin; do demo_path=$demo_bin:$demo_path; done
demo_overlay=$LAB_TOP/postfix-conf/overlay.conf

# --- commands on a host ---------------------------------------------------------------------------------------------

# demo_env HOST COMMAND...: with the paths of our programs; Postfix's commands find the host's instance.
demo_env() {
	demo_host=$1
	shift
	lab_in "$demo_host" env PATH="$demo_path" MAIL_CONFIG="$LAB/$demo_host/etc" PGHOST="$LAB/pg" PGDATABASE=postgres \
		PGCONNECT_TIMEOUT=10 SWAKS_OPT_helo=mail.out.example "$@"
}

# What is left out of long replies: the features that EHLO lists, and swaks's own words.
demo_trim() {
	sed -e 's/^  \([CS]: \)/\1/' -e '/^===/d' -e '/^ -> X-Mailer:/d' -e '/^ -> $/d' -e '/^<-  250-/d' -e '/^S: 250-/d' \
		-e '/^<-  250 [A-Z0-9]*$/d' -e '/^S: 250 [A-Z0-9]*$/d'
}

# on HOST LINE: shows the command line, runs it there, shows what it says ($said).
on() {
	case $1 in
	eu | hk | auth) show_command "$1#" "$2" ;;
	*) show_command "$1\$" "$2" ;;
	esac
	said=$(demo_env "$1" timeout 60 sh -c "$2" 2>&1 3>&- </dev/null | demo_trim)
	show_output "$said"
}

# soc SQL: as an operator of the SOC types it.
soc() {
	show_command 'soc=>' "$1"
	said=$(demo_env auth psql -X -U soc -v ON_ERROR_STOP=1 -P footer=off -c "$1" 2>&1 3>&-) ||
		show_failed 'the statement is accepted' 'no error' "$said"
	show_output "$said"
}

# In a shell of its own, so that what fails there can still be told here.
background() {
	("$@") >>"$LAB/log/demo-setup.log" 2>&1 3>&- </dev/null
}

wait_shown() {
	wait_for "$@" 3>&-
}

# --- the start ------------------------------------------------------------------------------------------------------

demo_zone() {
	cat <<-'ZONE'
		asia.example.	MX	10 mail.asia.example.
		asia.example.	MX	20 hongkong.mx.backup.example.
		mail.asia.example.	A	198.51.100.26
	ZONE
}

demo_relays() {
	LAB_POSTFIX=$queue_patience
	LAB_QUICK=no
	lab_relay hk &
	demo_job=$!
	lab_relay eu
	wait "$demo_job"
}

start_all() {
	tell "${show_bold}mxhold: relays that hold a customer's mail while his own server is down.$show_plain" \
		'What follows is done with real programs: Postfix, PostgreSQL, NSD (DNS), swaks (an SMTP client).' \
		'They run on hosts of our own, in network namespaces that nobody else sees; their files are on a' \
		"tmpfs at $LAB, seen only in there. Your system's own services are not touched." '' \
		'    sender    203.0.113.9     somebody who writes to customers; his own server takes notices' \
		'    auth      192.0.2.5       PostgreSQL, where the security operations centre (SOC) works' \
		'    eu        192.0.2.11      relay in region "eu": europe.mx.backup.example' \
		'    hk        192.0.2.12      relay in region "hk": hongkong.mx.backup.example' \
		"    primary   198.51.100.25   the customer's own server: mail.customer.example" '' \
		'eu#, hk#, sender$ ... is the host on which a command runs; long replies are shortened.' ''
	show_progress 'network, hosts, DNS'
	demo_zone >"$LAB/more.zone"
	background lab_hosts
	show_progress 'PostgreSQL: the authority (sql/), and the journal of the region (sql/journal/)'
	background lab_authority
	background queue_journal
	show_progress "the customer's server, and the sender's"
	background lab_primary_start
	background lab_catcher_start
	show_progress 'two relays: Postfix, mxhold-sync, mxhold-policyd, mxhold-milter, mxhold-queued,'
	show_progress '            mxhold-helper, mxholdctl postfix apply'
	background demo_relays
	check_that 'both relays follow the authority' wait_shown 60 lab_in_step
	on eu "mxholdctl -c $LAB/eu/mxhold.conf postfix status \\
  --overlay $demo_overlay"
	check 'what mxhold changed in Postfix is known, and can be taken back' 'applied' "$said"
}

# --- 1: the SOC -----------------------------------------------------------------------------------------------------

# watch_answer HOST: notes in a file when the relay's Postfix would first take customer.example.
watch_answer() {
	demo_tries=1000
	while [ "$demo_tries" -gt 0 ]; do
		if demo_env "$1" postmap -q customer.example "socketmap:unix:$LAB/$1/spool/mxhold/map:relay_domains" \
			>/dev/null 2>&1; then
			date +%s%N >"$LAB/run/answered.$1"
			return 0
		fi
		demo_tries=$((demo_tries - 1))
		sleep 0.01
	done
}

# Milliseconds from $demo_typed to the answer of HOST; "" when it never came.
answer_ms() {
	wait_shown 10 test -s "$LAB/run/answered.$1" || return 0
	echo $((($(cat "$LAB/run/answered.$1") - demo_typed) / 1000000))
}

step_authorise() {
	show_step 1 'The SOC authorises a domain, in SQL' 'SQL only; both relays have it within 5 s'
	tell 'Customer "acme" permits that his mail is held in Europe and in Hong Kong, nowhere else. The SOC' \
		'works in psql (as the login "soc", a member of role mxhold_soc), with plain tables:'
	soc "insert into mxhold.customer (name) values ('acme');"
	soc "insert into mxhold.customer_region (customer, region)
values ('acme', 'eu'), ('acme', 'hk');"
	background watch_answer eu &
	background watch_answer hk &
	sleep 0.2
	demo_typed=$(date +%s%N)
	soc "insert into mxhold.domain (name, customer) values ('customer.example', 'acme');"
	demo_eu=$(answer_ms eu)
	demo_hk=$(answer_ms hk)
	check 'Postfix on both relays knows the domain, at most 5 s after the SOC pressed Enter' '^[0-4]?[0-9]{1,3} [0-4]?[0-9]{1,3}$' \
		"$demo_eu $demo_hk"
	tell "    (eu after $demo_eu ms, hk after $demo_hk ms)"
	check_that 'both relays have confirmed it' wait_shown 60 lab_in_step
	soc "select state, reason, confirmed from mxhold.domain_status
where domain = 'customer.example';"
	check 'the SOC reads from SQL that the relays have it' 'green .*on all relays of eu, hk .*\{eu1,hk1\}' "$said"
	soc "select unnest(mx_records) as \"MX records for the customer\" from mxhold.domain_status
where domain = 'customer.example';"
	check 'and the MX records to hand to the customer' '20 hongkong.mx.backup.example' "$said"
	tell '' 'The customer changes his MX records to these, and nothing else. A postmaster asks his relay:'
	on eu "mxholdctl -c $LAB/eu/mxhold.conf domain check customer.example"
	check 'the relay says that it takes the domain, and by which rule' 'permit, rule 12' "$said"
	show_seen "eu after $demo_eu ms, hk after $demo_hk ms"
}

# --- 2: mail is held ------------------------------------------------------------------------------------------------

# The queue id in swaks's last lines.
queue_id() {
	printf '%s\n' "$1" | sed -n 's/.*250 2\.0\.0 Ok: queued as \([0-9A-Za-z]*\).*/\1/p' | tail -n 1
}

queue_files() {
	find "$LAB/eu/spool/maildrop" "$LAB/eu/spool/incoming" "$LAB/eu/spool/active" "$LAB/eu/spool/deferred" \
		"$LAB/eu/spool/hold" "$LAB/eu/spool/bounce" "$LAB/eu/spool/defer" "$LAB/eu/spool/trace" \
		"$LAB/eu/spool/corrupt" -type f
}

queue_count() {
	lab_queue eu | wc -l
}

# A listing can miss a message that moves from one part of the queue to another at that moment: hence, where a number of
# messages is claimed, it is asked for until it is so, and emptiness is asked for twice and looked for on disk too.
queue_holds() {
	[ "$(queue_count)" -eq "$1" ]
}

queue_is_empty() {
	lab_queue_empty eu && [ -z "$(queue_files)" ] && sleep 0.2 && lab_queue_empty eu && [ -z "$(queue_files)" ]
}

step_hold() {
	show_step 2 "The customer's server is down: his mail is held" '250 to the sender, message in the queue'
	background lab_primary down
	on eu 'swaks --server mail.customer.example --to bob@customer.example --quit-after CONNECT'
	check "the customer's server is down" 'refused' "$said"
	tell '' 'Alice writes to Bob. Her server finds the first MX dead, and takes the next, a relay:'
	on sender "swaks --server europe.mx.backup.example --from alice@out.example \\
  --to bob@customer.example --header 'Subject: The contract' \\
  --body 'The secret word is $demo_token'"
	demo_id=$(queue_id "$said")
	check 'the relay takes the message: 250' '^<-  250 2.0.0 Ok: queued as ' "$said"
	wait_shown 40 lab_is_deferred eu bob@customer.example || true
	on eu 'mailq'
	check 'it is shown in the queue, with its sender' "$demo_id.* alice@out.example" "$said"
	check 'with its recipient' '^ +bob@customer.example' "$said"
	check 'and with the reason' 'Connection refused' "$said"
	on eu "grep -rl $demo_token $LAB/eu/spool"
	check 'its words are in one file on disk (step 5 looks for them again)' "/spool/(deferred|active|incoming)/.*$demo_id" "$said"
	queue_down
	show_seen "250, held as $demo_id"
}

# --- 3: what is not taken -------------------------------------------------------------------------------------------

step_refuse() {
	show_step 3 'What a relay does not take, and what it answers' '554; 450; 552 declared; 552 undeclared'
	tell 'a) A domain that nobody authorised. A relay is never an open relay:'
	on sender 'swaks --server europe.mx.backup.example --from alice@out.example \
  --to x@foreign.example --quit-after RCPT'
	check 'foreign domain: 554 5.7.1' '^<\*\* 554 5\.7\.1 ' "$said"
	tell '' 'b) Customer "asia" permits Hong Kong only. His mail must not be held in Europe:'
	soc "insert into mxhold.customer (name) values ('asia');
insert into mxhold.customer_region (customer, region) values ('asia', 'hk');
insert into mxhold.domain (name, customer) values ('asia.example', 'asia');"
	wait_shown 60 lab_in_step || true
	on sender 'swaks --server europe.mx.backup.example --from alice@out.example \
  --to li@asia.example --quit-after RCPT'
	check 'at the relay in Europe: 450, the sender keeps it and tries the next MX' '^<\*\* 450 4\.7\.1 ' "$said"
	on sender 'swaks --server hongkong.mx.backup.example --from alice@out.example \
  --to li@asia.example --quit-after RCPT'
	check 'at the relay in Hong Kong: taken' '^<-  250 2\.1\.5 ' "$said"
	tell '' 'c) More than 10 MB, and the sender says so beforehand (SIZE=):'
	on sender "printf '%s\\n' 'EHLO mail.out.example' 'MAIL FROM:<alice@out.example> SIZE=12000000' \\
  'RCPT TO:<bob@customer.example>' QUIT | dialogue -v 192.0.2.11 25 2>&1 >/dev/null"
	check 'declared: 552 5.3.4 before a byte of it is sent' '^S: 552 5\.3\.4 ' "$said"
	tell '' 'd) More than 10 MB, and the sender does not say so. 11 MB are sent:'
	head -c 11000000 /dev/zero | tr '\0' x | fold -w 76 >"$LAB/sender/large"
	on sender "swaks --server europe.mx.backup.example --from alice@out.example \\
  --to bob@customer.example --body @$LAB/sender/large --suppress-data"
	check 'undeclared: 552 5.3.4 after the last byte' '^<\*\* 552 5\.3\.4 ' "$said"
	check_that "nothing of all this came into the queue: it holds Alice's message only" wait_shown 20 queue_holds 1
	show_seen '554 5.7.1; 450 4.7.1; 552 5.3.4; 552 5.3.4'
}

# --- 4: faults ------------------------------------------------------------------------------------------------------

# PostgreSQL's processes, the postmaster first.
pg_processes() {
	demo_master=$(head -n 1 "$LAB/pg/data/postmaster.pid")
	printf '%s' "$demo_master"
	ps -o pid= --ppid "$demo_master" | while read -r demo_pid; do printf ' %s' "$demo_pid"; done
}

# mail_without_authority NAME: a message for a customer is taken, an unknown domain waits.
mail_without_authority() {
	on sender "swaks --server europe.mx.backup.example --from $1@out.example \\
  --to bob@customer.example --header 'X-Ledger-Id: $1' \\
  --body 'written without the authority' | tail -n 6"
	check 'authorised domain: taken, 250' '^<-  250 2.0.0 Ok: queued as ' "$said"
	on sender 'swaks --server europe.mx.backup.example --from alice@out.example \
  --to x@foreign.example --quit-after RCPT | grep "^<[*]"'
	check 'unknown domain: 450, since the relay cannot tell whether it was authorised meanwhile' '^<\*\* 450 4\.7\.1 ' "$said"
}

knows_again() {
	lab_rcpt eu x@foreign.example | grep -q '^554 '
}

knows_no_more() {
	lab_rcpt eu x@foreign.example | grep -q '^450 '
}

faults_postgresql() {
	tell 'a) PostgreSQL is stopped. Its relays go on with what they know:'
	on auth "setpriv --reuid=postgres --regid=postgres --clear-groups \\
  pg_ctl stop -D $LAB/pg/data -m fast | tail -n 1"
	check 'PostgreSQL is down' 'server stopped' "$said"
	show_progress 'the relay is left without the authority for longer than stale_after (here 5 s)'
	sleep 6
	wait_shown 20 knows_no_more || true
	mail_without_authority carol
	background lab_pg pg_up "$LAB/pg"
	check_that 'PostgreSQL is started: the relay catches up by itself (the foreign domain gets 554 again)' \
		wait_shown 60 knows_again
	tell '' 'b) Worse: PostgreSQL hangs (SIGSTOP). It accepts connections, and never answers:'
	demo_stopped=$(pg_processes)
	on auth "kill -STOP $demo_stopped"
	on auth 'timeout 3 psql -U soc -c "select 1"; echo "exit status: $? (124: no answer in time)"'
	check 'PostgreSQL hangs' '^exit status: 124' "$said"
	show_progress 'the relay is left without an answer for longer than stale_after'
	sleep 3
	wait_shown 20 knows_no_more || true
	mail_without_authority dave
	on auth "kill -CONT $demo_stopped"
	check_that 'PostgreSQL goes on: so does the relay' wait_shown 60 knows_again
}

policyd_child() {
	ps -o pid= --ppid "$(lab_pid eu.policyd)" | tr -d ' ' | head -n 1
}

policyd_serves() {
	demo_env eu postmap -q customer.example "socketmap:unix:$LAB/eu/spool/mxhold/map:relay_domains" >/dev/null 2>&1
}

# Is the stopped process gone, and does another one answer?
policyd_replaced() {
	[ ! -e "/proc/$demo_child" ] && policyd_serves
}

# A sending server with a ledger: 120 messages, 15 a second; it tries again after 4xx, as any server does.
send_stream() {
	echo 'stream bob@customer.example' >"$LAB/sender/recipients"
	demo_env sender sender -s 192.0.2.11:25 -r "$LAB/sender/recipients" -l "$LAB/sender/ledger" -f stream@out.example \
		-i stream -n 120 -q 15 -w 500 -g 40 -t 20 >"$LAB/sender/summary" 2>&1
}

faults_policyd() {
	tell '' 'c) A sender delivers 120 messages, 15 a second. Meanwhile mxhold-policyd, which Postfix asks about' \
		'each recipient, is killed, and then stopped. It is two processes: a parent that watches, a child' \
		'that answers.'
	background send_stream &
	demo_job=$!
	sleep 1
	demo_parent=$(lab_pid eu.policyd)
	on eu "kill -KILL $demo_parent $(policyd_child)"
	check_that 'killed: it is started again (here by a loop in the shell, elsewhere by systemd) and answers' \
		wait_shown 40 policyd_serves
	sleep 1
	demo_child=$(policyd_child)
	on eu "kill -STOP $demo_child"
	check_that 'stopped: the parent sees that the child does not answer, and puts another in its place' \
		wait_shown 40 policyd_replaced
	on eu "grep -E 'child-(killed|started)' $LAB/log/eu.policyd.log | tail -n 2"
	show_progress 'waiting until the sender has an answer for each message'
	wait "$demo_job" || true
	on sender "cat $LAB/sender/summary"
	check 'each of the 120 got 250 in the end' 'accepted=120 refused=0 pending=0' "$said"
	demo_deferrals=$(printf '%s\n' "$said" | sed -n 's/.*deferrals=//p')
	check_is "in the sender's ledger of all replies: no 5xx ($demo_deferrals were 4xx, and he tried again)" 0 \
		"$(cut -f7 "$LAB/sender/ledger" | grep -c '^5' || true)"
	check_that 'the queue holds all that was accepted: 120, and 3 from before' wait_shown 60 queue_holds 123
}

step_faults() {
	show_step 4 'Things break' 'at worst 4xx, nothing lost, heals by itself'
	faults_postgresql
	faults_policyd
	show_seen "250; with policyd away $demo_deferrals x 4xx, then 250"
}

# --- 5: the primary is back -----------------------------------------------------------------------------------------

# Each message that got 250, by its id in the ledgers of sender and primary.
accepted_ids() {
	printf 'carol\ndave\n'
	awk -F '\t' '$6 == "final" && $7 == 250 { print $2 }' "$LAB/sender/ledger"
}

step_return() {
	show_step 5 "The customer's server is back" 'all delivered once, gone from disk, logged'
	queue_up
	check_that 'the queue gets empty' wait_shown 90 queue_is_empty
	queue_did
	on eu 'mailq'
	check_is 'mailq says so' 'Mail queue is empty' "$said"
	accepted_ids | sort >"$LAB/tmp/accepted"
	cut -f2 "$LAB/primary/ledger" | grep -E '^(carol|dave|stream)' | sort >"$LAB/tmp/delivered"
	check_is 'all 122 messages of step 4 that got 250 are at the primary, each of them once' "$(cat "$LAB/tmp/accepted")" \
		"$(cat "$LAB/tmp/delivered")"
	check_is "so is Alice's (the primary's own files hold the secret word)" 1 \
		"$(grep -rl "$demo_token" "$LAB/primary/store" | wc -l)"
	tell '' "Is anything left on the relay's disk? The same search as in step 2, and all files of the queue:"
	on eu "grep -rl $demo_token $LAB/eu/spool; echo \"found: \$?  (1: nothing)\""
	check_is 'the words of the message are gone' 'found: 1  (1: nothing)' "$said"
	check_is 'and no file is left in any part of the queue' '' "$(queue_files)"
	tell '' 'What remains is the log: date, time, sender, recipient, size, outcome; no content:'
	wait_shown 10 lab_logged eu "$demo_id: removed" || true
	on eu "grep $demo_id $LAB/eu/log/mail.log | grep -E 'from=|status=sent|removed' | tail -n 3"
	check 'date, time and sender' '^[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} .*from=<alice@out.example>, size=' "$said"
	check 'recipient and outcome' 'to=<bob@customer.example>,' "$said"
	check 'delivered and removed' "$demo_id: removed" "$said"
	check_is 'the words of the message never were in the log' 0 "$(grep -c "$demo_token" "$LAB/eu/log/mail.log" || true)"
	show_seen "first after $queue_first s; 123 of 123, 0 files left"
}

# --- 6: expiry ------------------------------------------------------------------------------------------------------

set_lifetime() {
	sed -i "s/^queue_lifetime = .*/queue_lifetime = $1/" "$LAB/eu/mxhold.conf"
}

catcher_count() {
	lab_server_do catcher count 3>&-
}

step_expire() {
	show_step 6 'A message expires: nobody is told' 'expired, and no notice leaves the relay'
	tell 'Mail is held five days. For the demo the postmaster of this relay makes that 8 seconds, and has' \
		'Postfix look through its queue more often:'
	set_lifetime 8s
	on eu 'postconf -e queue_run_delay=2s minimal_backoff_time=2s maximal_backoff_time=4s'
	on eu "mxholdctl -c $LAB/eu/mxhold.conf postfix apply \\
  --overlay $demo_overlay"
	check 'the shorter lifetime is in force' 'applied' "$said"
	background lab_primary down
	tell '' "Could a notice reach the sender's server at all? Yes; it takes mail from the relay:"
	on eu 'swaks --server mail.out.example --from "<>" --to alice@out.example --quit-after RCPT'
	check "the sender's server would take it" '^<-  250 .*' "$said"
	demo_before=$(catcher_count)
	tell '' 'The primary is down again. Alice asks to be told if it fails (NOTIFY=FAILURE,DELAY):'
	on sender "printf '%s\\n' 'EHLO mail.out.example' 'MAIL FROM:<alice@out.example> RET=FULL' \\
  'RCPT TO:<bob@customer.example> NOTIFY=FAILURE,DELAY' DATA \\
  '!send Subject: Too late\\r\\n\\r\\nhello\\r\\n.\\r\\n' '!read' QUIT |
  dialogue -v 192.0.2.11 25 2>&1 >/dev/null"
	check 'taken: 250' '^S: 250 2.0.0 Ok: queued as ' "$said"
	demo_late=$(queue_id "$said")
	show_progress 'waiting for the expiry'
	check_that 'the message expires, and the queue gets empty' wait_shown 90 queue_is_empty
	sleep 1
	wait_shown 10 lab_logged eu "$demo_late: removed" || true
	on eu "grep -E '$demo_late: (from=|to=.*status=|removed)' $LAB/eu/log/mail.log | tail -n 3"
	check 'the log says so ("returned" are the words of Postfix: the notice it writes is discarded)' 'status=expired' "$said"
	on eu "grep -E 'discard: ' $LAB/eu/log/mail.log | tail -n 1"
	check_is "the catcher, the sender's server, stays empty: no connection since, no message ever" "$demo_before" \
		"$(catcher_count)"
	check_is 'its ledger has no line' '' "$(cat "$LAB/catcher/ledger")"
	check_is "nor does the relay's log know of any mail to a sender" 0 \
		"$(grep -Ec 'to=<[a-z]*@out.example>.*status=sent \(2' "$LAB/eu/log/mail.log" || true)"
	show_seen 'status=expired; 0 messages at the sender'
}

# --- the end --------------------------------------------------------------------------------------------------------

save_logs() {
	demo_logs=$(mktemp -d "$1/demo.XXXXXX")
	cp -r "$LAB"/log/. "$demo_logs" 2>/dev/null || true
	for demo_file in "$LAB"/*/log/mail.log "$LAB"/*/etc/main.cf "$LAB"/*/etc/master.cf "$LAB"/*/mxhold.conf "$LAB/pg/data/log" \
		"$LAB/sender/ledger" "$LAB/primary/ledger"; do
		[ ! -f "$demo_file" ] || cp "$demo_file" "$demo_logs/$(printf '%s' "${demo_file#"$LAB"/}" | tr / -)"
	done
	printf '%s\n' "$demo_logs"
}

# The end of the demo, in whatever way; the kernel ends all else with this process.
leave() {
	demo_status=$?
	trap - EXIT
	[ "$demo_status" -ne 0 ] || exit 0
	set +e
	if [ -z "${show_told-}" ]; then
		show_line ''
		show_line "${show_bad}The demo broke off in $show_name$show_plain"
		tail -n 8 "$LAB/log/demo-setup.log" 2>/dev/null | while IFS= read -r show_text; do show_line "  | $show_text"; done
	fi
	mkdir -p "$BUILD/log"
	show_line "  logs:     $(save_logs "$BUILD/log")"
	echo failed >"$LAB_OUT/result"
	exit "$demo_status"
}

restore() {
	set_lifetime 5d
	# shellcheck disable=SC2086
	lab_pf eu pf_set $queue_patience
	lab_apply eu
}

# A demo that is kept has an init, which reaps what ends; demo.sh stop ends it.
keep() {
	show_progress 'restoring the lifetime of five days'
	background restore
	echo kept >"$LAB_OUT/result"
	exec 3>&-
	trap - EXIT
	while :; do sleep 3600; done
}

run() {
	mount -t tmpfs -o mode=0755,size=2g mxhold-demo "$LAB"
	mkdir -p "$LAB/run" "$LAB/log" "$LAB/host" "$LAB/tmp"
	export TMPDIR="$LAB/tmp"
	exec 3>"$LAB_OUT/narration" >>"$LAB/log/demo-setup.log" 2>&1
	trap leave EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	lab_remember self
	cd "$LAB_TOP"
	show_begin
	demo_token=mxhold$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
	start_all
	step_authorise
	step_hold
	step_refuse
	step_faults
	step_return
	step_expire
	step_journal
	step_mx
	show_table
	show_line ''
	show_line "$show_good$show_checks checks, all as promised, in $(show_clock).$show_plain"
	[ -z "${KEEP-}" ] || keep
	echo passed >"$LAB_OUT/result"
}

# --- a demo that was kept -------------------------------------------------------------------------------------------

verb() {
	demo_verb=$1
	shift
	case $demo_verb in
	psql)
		case ${1:-soc} in
		soc) demo_as='-U soc' demo_role='' ;;
		owner) demo_as='-U postgres' demo_role='-c role=mxhold_owner' ;;
		journal) demo_as='-U reader -d journal' demo_role='' ;;
		*) die 'psql soc, psql owner, or psql journal' ;;
		esac
		[ $# -eq 0 ] || shift
		# shellcheck disable=SC2086
		demo_env auth env PGOPTIONS="$demo_role" psql -X $demo_as "$@"
		;;
	mailq) demo_env "${1:-eu}" mailq ;;
	log) demo_env "${1:-eu}" tail -n 50 -f "$LAB/${1:-eu}/log/mail.log" ;;
	queued) demo_env "${1:-eu}" tail -n 50 -f "$LAB/log/${1:-eu}.queued.log" ;;
	alerts) demo_env "${1:-eu}" cat "$LAB/${1:-eu}/alerts" ;;
	mxholdctl) demo_env eu mxholdctl -c "$LAB/eu/mxhold.conf" "$@" ;;
	primary) lab_server_do primary "$@" ;;
	swaks) demo_env sender swaks --server europe.mx.backup.example --from alice@out.example "$@" ;;
	in)
		[ -f "$LAB/host/${1:-none}" ] || die "in HOST [COMMAND...]; hosts: $(find "$LAB/host" -type f -printf '%f ')"
		demo_host=$1
		shift
		[ $# -gt 0 ] || set -- bash --norc
		demo_env "$demo_host" env PS1="$demo_host# " "$@"
		;;
	*) die "there is no command $demo_verb" ;;
	esac
}

if [ "${1-}" = run ]; then run; else verb "$@"; fi
