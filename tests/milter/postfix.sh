#!/bin/sh
# mxhold-milter behind a real Postfix: the size to the octet, by DATA and by BDAT, declared or not; which recipients are
# judged; whom it tells mxhold-queued of; and what the sender sees when the milter is away or refuses to negotiate.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
. tests/lib/postfix.sh
. tests/milter/lib.sh

port=10825
milter_dir
pf=$dir/p
at_exit "pf_stop '$pf'"

relay_conf() {
	milter_conf "$@"
	sed -i "s|^socket_dir = .*|socket_dir = $pf/spool/mxhold|; s|^socket_group = .*|socket_group = postfix|" "$conf"
}

postfix_up() {
	pf_create "$pf" relay.example "127.0.0.1:$port"
	echo 'mxhold unix - - y - - smtp' >>"$pf/etc/master.cf"
	pf_set "$pf" \
		relay_domains=ok.example,soft.example,big.example,far.example,off.example,new.example \
		'transport_maps = inline:{ { ok.example = mxhold: }, { soft.example = mxhold: }, { big.example = mxhold: }, { far.example = mxhold: }, { off.example = mxhold: }, { new.example = mxhold: } }' \
		'mynetworks = 127.0.0.1' 'mydestination = relay.example' local_recipient_maps= 'defer_transports = mxhold, smtp' \
		smtpd_reject_unlisted_recipient=no message_size_limit=52428800 mailbox_size_limit=0 \
		'smtpd_milters = { unix:mxhold/milter, default_action=tempfail }' smtpd_error_sleep_time=0 \
		smtpd_forbid_bare_newline=normalize smtpd_forbid_bare_newline_exclusions= smtpd_hard_error_limit=100
	pf_start "$pf"
}

# smtp LINE...: the lines of tests/tools/dialogue; prints the replies, the banner's first.
smtp() {
	printf '%s\n' "$@" | timeout 60 "$BUILD/tests/tools/dialogue" -t 20 127.0.0.1 "$port"
}

# message MAIL-PARAMETERS RECIPIENT LINE...: one message by DATA; the lines are dialogue's `!` lines. Prints the last reply.
message() {
	parameters=$1
	recipient=$2
	shift 2
	smtp 'EHLO c.example' "MAIL FROM:<a@sender.example>$parameters" "RCPT TO:<$recipient>" DATA "$@" '.' | tail -1
}

# sized BYTES PARAMETERS RECIPIENT: content of so many octets, header, empty line and all.
sized() {
	message "$2" "$3" '!send Subject: x\r\n\r\n' "!fill $(($1 - 14))"
}

# chunked BYTES PARAMETERS RECIPIENT: the same by BDAT, in two chunks.
chunked() {
	smtp 'EHLO c.example' "MAIL FROM:<a@sender.example>$2" "RCPT TO:<$3>" \
		'!send BDAT 1014\r\nSubject: x\r\n\r\n' '!fill 1000' '!read' \
		"!send BDAT $(($1 - 1014)) LAST\\r\\n" "!fill $(($1 - 1014))" '!read' | tail -1
}

limit=10485760
over=$((limit + 1))

relay_conf
postfix_up
socket=$pf/spool/mxhold/milter
milter_start

# Twice: with the header completed by Postfix at its end (clients of the host itself), and without.
for rewrite in permit_inet_interfaces ''; do
	pf_set "$pf" "local_header_rewrite_clients = $rewrite"
	pf_reload "$pf"
	what=${rewrite:+, header completed by Postfix}
	like "$(sized $limit '' u@ok.example)" '^250 ' "DATA, undeclared, $limit octets$what"
	like "$(sized $over '' u@ok.example)" '^552 5\.3\.4 ' "DATA, undeclared, $over octets$what"
	like "$(sized $limit " SIZE=$limit" u@ok.example)" '^250 ' "DATA, declared, $limit octets$what"
	like "$(sized $over " SIZE=$over" u@ok.example)" '^552 5\.3\.4 ' "DATA, declared, $over octets$what"
	like "$(chunked $limit '' u@ok.example)" '^250 ' "BDAT, undeclared, $limit octets$what"
	like "$(chunked $over '' u@ok.example)" '^552 5\.3\.4 ' "BDAT, undeclared, $over octets$what"
	like "$(chunked $limit " SIZE=$limit" u@ok.example)" '^250 ' "BDAT, declared, $limit octets$what"
	like "$(chunked $over " SIZE=$over" u@ok.example)" '^552 5\.3\.4 ' "BDAT, declared, $over octets$what"
done
like "$(sized $over ' SIZE=1000' u@ok.example)" '^552 5\.3\.4 ' 'declared too small'
like "$(sized $over '' u@soft.example)" '^452 4\.3\.4 ' 'oversize = defer: 452'
like "$(sized $over '' u@big.example)" '^250 ' 'a larger limit of its own'
like "$(smtp 'EHLO c' 'MAIL FROM:<a@b.example> SIZE=20000000' 'RCPT TO:<u@ok.example>' | tail -1)" \
	'^552 5\.3\.4 ' 'declared far too large: refused at RCPT'

# What is not quite a message, to the octet: N octets pass, N + 1 do not.
# edge TEXT LESS LINE...: LESS octets are not counted (in the sender's favour).
edge() {
	text=$1
	less=$2
	length=$3
	shift 3
	like "$(message '' u@ok.example "$@" "!fill $((limit - length))")" '^250 ' "$text: $limit octets pass"
	like "$(message '' u@ok.example "$@" "!fill $((limit - length + 1 + less))")" '^552 ' \
		"$text: $((1 + less)) more do not"
}
edge 'no header at all' 0 6 '!send body\r\n'
edge 'an empty line first' 2 2 '!send \r\n'
edge 'an mbox separator first' 0 16 '!send From a\r\nA: b\r\n\r\n'
edge 'a folded field' 0 19 '!send Subject: x\r\n\ty\r\n\r\n '
edge 'fields without blanks' 0 11 '!send A:b\r\nC:\r\n\r\n'
edge '8-bit' 0 11 '!send A: \xe4\xff\r\n\r\n\xe4 '
edge 'dots' 0 12 '!send A: b\r\n\r\n...\r\n'
edge 'NUL in the body' 0 10 '!send A: b\r\n\r\n\0 '
edge 'Received fields' 0 28 '!send Received: a\r\nReceived: b\r\n\r\n'
edge 'a line of 10,000 octets' 0 10010 '!send A: b\r\n\r\n' '!long 10000' '!send \r\n'

# Line ends that are none. The dots of the first: a bare CR is a blank to smtpd(8), a bare LF a line end.
like "$(message '' u@ok.example '!send A: b\r\n\r\nx\ry\r\n')" '^250 ' 'a bare CR'
like "$(message '' u@ok.example '!send A: b\n\nx\ny\r\n')" '^250 ' 'bare LFs'
like "$(message '' u@ok.example '!send A: b\0c\r\n\r\nx\r\n')" '^250 ' 'NUL in the header'
like "$(message '' u@ok.example '!send A: b\r\n')" '^250 ' 'no body'
like "$(message '' u@ok.example)" '^250 ' 'nothing at all'
like "$(message '' u@ok.example '!send A: ' '!long 120000' '!send \r\n\r\nx\r\n')" '^250 ' 'a field of 120,000 octets'

# Recipients: by the resolved address.
rcpt() {
	smtp 'EHLO c' 'MAIL FROM:<a@sender.example>' "RCPT TO:<$1>" | tail -1
}
like "$(rcpt u@ok.example)" '^250 ' 'an authorised domain'
like "$(rcpt U@OK.Example.)" '^250 ' 'the same in another spelling'
like "$(rcpt '"J D"@ok.example')" '^250 ' 'a quoted local part'
like "$(rcpt u@far.example)" '^450 4\.7\.1 .*region' 'another region'
like "$(rcpt 'u%far.example@relay.example')" '^450 4\.7\.1 .*region' 'another region, behind a percent sign'
like "$(rcpt '@relay.example:u@far.example')" '^450 4\.7\.1 .*region' 'another region, by a source route'
like "$(rcpt u@off.example)" '^450 4\.7\.1 .*suspended' 'a suspended domain'
like "$(rcpt u@new.example)" '^450 4\.7\.1 ' 'Postfix knows a domain that the snapshot does not have'
like "$(rcpt u@elsewhere.example)" '^250 ' 'other mail of the host is left alone'

# Several messages a connection, RSET, a second limit, a message given up.
replies=$(smtp 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<u@ok.example>' RSET \
	'MAIL FROM:<a@b.example>' 'RCPT TO:<u@big.example>' 'RCPT TO:<u@ok.example>' 'RCPT TO:<u@elsewhere.example>' \
	DATA '!send A: b\r\n\r\n' "!fill $over" '.' \
	'MAIL FROM:<a@b.example> SIZE=100' 'RCPT TO:<u@big.example>' 'RCPT TO:<u@ok.example>' \
	DATA '!send A: b\r\n\r\nx\r\n' '.' QUIT | cut -c1-9 | tr '\n' '|')
is "$replies" \
	'220 relay|250-relay|250 2.1.0|250 2.1.5|250 2.0.0|250 2.1.0|250 2.1.5|452 4.5.3|452 4.5.3|354 End d|sent|sent|250 2.0.0|250 2.1.0|250 2.1.5|250 2.1.5|354 End d|sent|250 2.0.0|221 2.0.0|' \
	'RSET, limits of one transaction, several messages'
smtp 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<u@ok.example>' DATA "!fill $limit" '!reset' >/dev/null
like "$(sized 1000 '' u@ok.example)" '^250 ' 'after a message that broke off'

# Whom a message with several recipients was accepted for is told to mxhold-queued, under its own queue id, several messages a
# connection too; what one recipient was accepted for the log names.
heard=$dir/heard
python3 - "$pf/spool/mxhold/queue-ask" "$heard" "$dir/quiet" <<-'PYTHON' &
	import os, socket, sys, time
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	os.chmod(sys.argv[1], 0o666)
	out = open(sys.argv[2], "ab", 0)
	while True:
	    while os.path.exists(sys.argv[3]):
	        time.sleep(0.05)
	    out.write(s.recv(65536))
PYTHON
listener=$!
at_exit "kill -s KILL $listener 2>/dev/null || true"
wait_for 10 test -S "$pf/spool/mxhold/queue-ask"
printf '/^X-Bad:/ DISCARD\n' >"$pf/etc/header_checks"
pf_set "$pf" "header_checks = regexp:$pf/etc/header_checks"
pf_reload "$pf"

# several HEADER RECIPIENT...: the lines of a transaction, for smtp
several() {
	header=$1
	shift
	printf 'MAIL FROM:<a@b.example> SIZE=100\n'
	printf 'RCPT TO:<%s>\n' "$@"
	printf 'DATA\n!send %s\\r\\n\\r\\nx\\r\\n\n.\n' "$header"
}
told() { # RECIPIENT...: of the message that was queued as $id, in this order
	for one in "$@"; do printf 'recipient %s %s\n' "$id" "$one"; done >"$dir/expected"
	grep "^recipient $id " "$heard" 2>/dev/null | cmp -s - "$dir/expected"
}
{
	echo 'EHLO c'
	several 'Subject: x' u@ok.example v@ok.example
	several 'X-Bad: x' 'U@OK.Example.' '"J D"@ok.example' u@far.example w@elsewhere.example
	several 'X-Bad: x' one@ok.example
	several 'Subject: x' two@ok.example
	several 'X-Bad: x' x@ok.example y@big.example
} >"$dir/transactions"
ids=$(timeout 60 "$BUILD/tests/tools/dialogue" -t 20 127.0.0.1 "$port" <"$dir/transactions" | sed -n 's/.*queued as //p' | tr -d '\r')
is "$(echo "$ids" | wc -l)" 5 'five messages of one connection'
id=$(echo "$ids" | sed -n 1p)
try 'several recipients: told under the queue id' wait_for 10 told u@ok.example v@ok.example
id=$(echo "$ids" | sed -n 2p)
try 'one that header_checks discard: told who was accepted' wait_for 10 told U@OK.Example '"J D"@ok.example' w@elsewhere.example
id=$(echo "$ids" | sed -n 5p)
try 'the last one too' wait_for 10 told x@ok.example y@big.example
lines() { for id in $ids; do grep "^recipient $id " "$heard" || true; done | wc -l; }
is "$(lines)" 7 'and nothing else'
: >"$heard"
touch "$pf/spool/mxhold/queue-ask" # as another process of mxhold-queued does
again() { [ "$(lines)" -eq 7 ]; }
try 'another process reads there: it is told again' wait_for 10 again

# Nobody reads: more than the socket takes. mxhold-milter waits for nobody, and tells it all later.
: >"$dir/quiet"
several 'X-Bad: x' $(seq -f 'nobody.reads.this.now.%04g@ok.example' 100) >"$dir/many"
{
	echo 'EHLO c'
	for _ in $(seq 100); do cat "$dir/many"; done
} >"$dir/transactions"
: >"$heard"
is "$(timeout 60 "$BUILD/tests/tools/dialogue" -t 20 127.0.0.1 "$port" <"$dir/transactions" | grep -c 'queued as')" 100 \
	'a reader that hangs stops no mail'
rm "$dir/quiet"
all_told() { [ "$(grep -c '^recipient [0-9A-Za-z]* nobody\.reads\.this\.now\.[0-9]*@ok\.example$' "$heard")" -eq 10000 ]; }
try 'and hears all of it when it reads again' wait_for 30 all_told
kill -s KILL "$listener"
rm "$pf/spool/mxhold/queue-ask"
like "$(smtp 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<u@ok.example>' 'RCPT TO:<v@ok.example>' DATA '!send A: b\r\n\r\n' '.' | tail -1)" \
	'^250 ' 'and without a reader'

# A dedicated relay: all recipients.
milter_stop || true
relay_conf 'dedicated = yes'
milter_start
like "$(rcpt u@ok.example)" '^250 ' 'dedicated: an authorised domain'
like "$(rcpt u@elsewhere.example)" '^554 5\.7\.1 ' 'dedicated: an unknown domain, though Postfix would relay it'
like "$(rcpt postmaster)" '^250 ' 'dedicated: <postmaster>'
like "$(rcpt Postmaster@relay.example)" '^250 ' 'dedicated: <Postmaster@relay.example>'
like "$(rcpt postmaster@eu.mx.example)" '^250 ' 'dedicated: postmaster at the published name'
like "$(rcpt 'postmaster%elsewhere.example')" '^554 5\.7\.1 ' 'dedicated: <postmaster%elsewhere.example>'
like "$(rcpt 'elsewhere.example!postmaster')" '^554 5\.7\.1 ' 'dedicated: <elsewhere.example!postmaster>'
like "$(rcpt postmaster@elsewhere.example)" '^554 5\.7\.1 ' 'dedicated: postmaster elsewhere'

# The milter is away, and back; and an MTA that speaks too old a version.
milter_stop || true
like "$(rcpt u@ok.example)" '^(451 4\.7\.1|503 5\.5\.1)' 'no milter: nothing is taken'
like "$(smtp 'EHLO c' 'MAIL FROM:<a@b.example>' | tail -1)" '^451 4\.7\.1 ' 'no milter: 451'
milter_start
like "$(rcpt u@ok.example)" '^250 ' 'and back'
pf_set "$pf" milter_protocol=2
pf_reload "$pf" # an smtpd that is older than it may take one more session
refused() { smtp 'EHLO c' 'MAIL FROM:<a@b.example>' | tail -1 | grep -q '^451 4\.7\.1 '; }
try 'milter_protocol=2: 451' wait_for 20 refused
like "$(cat "$log")" 'event=mta-unsuitable' 'and the milter says why'
tap_done
