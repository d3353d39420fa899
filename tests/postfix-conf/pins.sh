#!/bin/sh
# The services of the overlay on a real Postfix, mxhold-pin above all: whoever cannot show what is pinned gets nothing, and
# mail waits in the queue when nobody tells what that is. What main.cf has for other mail does not reach them.
#
# mxhold-policyd is away: in place of its socket there is nothing at first, and then a server that answers as the test wants it.
# The primary speaks TLS with the certificate in $relay/server.pem, and greets with the line in $relay/banner.
set -eu

cd "$(dirname "$0")/../.."
# shellcheck source=tests/postfix-conf/lib.sh
. tests/postfix-conf/lib.sh

allow=127.0.0.0/8
hop="[127.0.0.3]:$((port + 1))"
helpers=
helpers_end() {
	# shellcheck disable=SC2086
	[ -z "$helpers" ] || kill $helpers 2>/dev/null || true
	relay_end
}
trap helpers_end EXIT

certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1.example" \
		-keyout "$relay/$1.key" -out "$relay/$1.crt" 2>>"$relay/log/openssl.log"
	cat "$relay/$1.key" "$relay/$1.crt" >"$relay/$1.pem"
}

# fingerprint NAME DIGEST: of the key, as Postfix writes it
fingerprint() {
	openssl x509 -in "$relay/$1.crt" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst "-$2" -c |
		sed 's/.*= //' | tr a-f A-F
}

# Writes each session's commands to $relay/seen, each connection as CONNECT, each message as GOT with its Subject.
primary_start() {
	python3 - "$relay" "$((port + 1))" <<-'PYTHON' &
		import os, socketserver, ssl, sys
		relay, port = sys.argv[1], int(sys.argv[2])
		class Server(socketserver.StreamRequestHandler):
		    def note(self, words):
		        with open(relay + "/seen", "a") as seen:
		            seen.write(words + "\n")
		    def say(self, words):
		        self.wfile.write(words.encode() + b"\r\n")
		        self.wfile.flush()
		    def content(self):
		        self.say("354 go ahead")
		        for line in iter(self.rfile.readline, b".\r\n"):
		            if not line:
		                return
		            if line.startswith(b"Subject: "):
		                self.note("GOT " + line[9:].strip().decode())
		        self.say("250 2.0.0 taken")
		    def encrypt(self):
		        self.say("220 2.0.0 go ahead")
		        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		        context.load_cert_chain(relay + "/server.pem")
		        self.connection = context.wrap_socket(self.connection, server_side=True)
		        self.rfile = self.connection.makefile("rb")
		        self.wfile = self.connection.makefile("wb")
		    def handle(self):
		        plain = True
		        self.note("CONNECT")
		        self.say(open(relay + "/banner").read().strip())
		        while line := self.rfile.readline():
		            verb = line[:4].decode("latin-1").upper()
		            self.note(verb.strip() if verb != "STAR" else "STARTTLS")
		            if verb == "EHLO":
		                offer = plain and os.path.exists(relay + "/server.pem")
		                self.say("250-server.example")
		                self.say("250 STARTTLS" if offer else "250 8BITMIME")
		            elif verb == "STAR":
		                plain = False
		                self.encrypt()
		            elif verb == "DATA":
		                self.content()
		            elif verb == "QUIT":
		                self.say("221 2.0.0 bye")
		                return
		            else:
		                self.say("250 2.0.0 ok")
		class Listener(socketserver.ThreadingTCPServer):
		    daemon_threads = allow_reuse_address = True
		    def handle_error(self, request, address):
		        pass
		Listener(("127.0.0.3", port), Server).serve_forever()
	PYTHON
	helpers="$helpers $!"
	wait_for 30 primary_listens
}

primary_listens() {
	ss -Hltn "sport = :$((port + 1))" | grep -q .
}

# In place of mxhold-policyd. The answer to `pins` stands in $relay/pins; a greeting, the first reply of a session, is right where
# it begins as the line in $relay/pinned; without that file there is no map of greetings, as with an older mxhold-policyd. What
# it was asked goes to $relay/asked.
maps_start() {
	python3 - "$relay" "$1/map" <<-'PYTHON' &
		import os, socketserver, sys
		relay, path = sys.argv[1:]
		def answer(name, key, first):
		    if name == "pins":
		        return open(relay + "/pins").read().strip("\n")
		    if name == "dns_reply":
		        return "OK IGNORE"
		    if name != "greeting":
		        return "NOTFOUND "
		    if not os.path.exists(relay + "/pinned"):
		        return "TEMP no map of that name"
		    if first and not key.startswith("220 " + open(relay + "/pinned").read().strip()):
		        return "OK 421 4.7.5 this is not the pinned server"
		    return "NOTFOUND "
		class Maps(socketserver.StreamRequestHandler):
		    def handle(self):
		        first = True
		        while True:
		            length = b""
		            while (byte := self.rfile.read(1)) not in (b":", b""):
		                length += byte
		            if not byte:
		                return
		            question = self.rfile.read(int(length) + 1)[:-1].decode("latin-1")
		            with open(relay + "/asked", "a") as asked:
		                asked.write(question + "\n")
		            name, key = question.split(" ", 1)
		            reply = answer(name, key, first).encode()
		            first = first and name != "greeting"
		            self.wfile.write(b"%d:%s," % (len(reply), reply))
		class Listener(socketserver.ThreadingUnixStreamServer):
		    daemon_threads = True
		server = Listener(path, Maps)
		os.chmod(path, 0o666)
		server.serve_forever()
	PYTHON
	helpers="$helpers $!"
	wait_for 30 test -S "$1/map"
}

# shows CERTIFICATE|none BANNER: what the primary has from now on
shows() {
	rm -f "$relay/server.pem"
	[ "$1" = none ] || cp "$relay/$1.pem" "$relay/server.pem"
	printf '%s\n' "$2" >"$relay/banner"
}

# submit NAME [DOMAIN]: a message with that name for subject and recipient
submit() {
	printf 'Subject: %s\n\nbody\n' "$1" |
		pf_run "$relay" sendmail -C "$relay/etc" -f a@b.example "$1@${2:-pinned.example}"
}

in_log() {
	grep -Eq -- "$1" "$relay/log/mail.log"
}

got() {
	grep -c "^GOT $1\$" "$relay/seen" || true
}

# arrives NAME TEXT
arrives() {
	submit "$1"
	try "$2" wait_for 40 grep -q "^GOT $1\$" "$relay/seen"
	try 'and the queue is empty' wait_for 20 queue_empty
}

# waits NAME REASON TEXT: it is deferred for that reason, lies in the queue, and the primary has had no more than EHLO and STARTTLS
waits() {
	: >"$relay/seen"
	submit "$1"
	try "$3: the mail waits" wait_for 40 in_log "to=<$1@pinned.example>.*dsn=4.*status=deferred.*$2"
	[ "$tap_status" -eq 0 ] || note "$(grep "to=<$1@" "$relay/log/mail.log" | tail -3)"
	try 'it lies in the queue' wait_for 10 queue_rests 1
	is "$(grep -v '^CONNECT$\|^EHLO$\|^STARTTLS$\|^QUIT$' "$relay/seen" || true)" '' 'and nothing of it has left'
	wait_for 20 queue_drops
}

# What is on its way between two parts of the queue is left behind by one postsuper.
queue_drops() {
	pf_run "$relay" postsuper -c "$relay/etc" -d ALL >/dev/null 2>&1
	queue_empty
}

relay_make dedicated
certificate pinned
certificate stranger
# What a postmaster may have for other mail, each of it such that it would let the stranger in, or the right server not.
pf_set "$relay" minimal_backoff_time=1s maximal_backoff_time=2s queue_run_delay=1s smtp_tls_loglevel=1 \
	smtp_tls_security_level=may smtp_tls_policy_maps=static:may smtp_tls_fingerprint_digest=md5 \
	"smtp_tls_fingerprint_cert_match=$(fingerprint stranger sha256)" \
	'smtp_reply_filter=regexp:{{/^220 pinned/ 421 4.3.0 inherited} {/^421/ 220 inherited}}' \
	smtp_connection_cache_destinations=static:all max_use=100
cp -a "$relay/etc" "$relay/etc.before"
relay_daemons
# An update has brought the new overlay, and nobody has restarted mxhold-policyd.
mkdir "$relay/spool/old"
ln -s ../mxhold/policy ../mxhold/milter "$relay/spool/old"
: >"$relay/asked"
maps_start "$relay/spool/old"
sed "s|^socket_dir = .*|socket_dir = $relay/spool/old|" "$relay/mxhold.conf" >"$relay/old.conf"
status=0
ctl -c "$relay/old.conf" postfix apply --overlay postfix-conf/overlay.conf >"$relay/out" 2>&1 || status=$?
is "$status" 69 'apply waits for an mxhold-policyd that knows pins'
like "$(cat "$relay/out")" 'old/map has no map greeting: an older mxhold-policyd is running, restart it' 'and says so'
try 'and has changed nothing' diff -r "$relay/etc" "$relay/etc.before"
try 'apply' pfc apply
relay_daemons_end
rm -f "$relay"/spool/mxhold/*
# Postfix is asked for the addresses of this test without mxhold-policyd; the services are those of the overlay.
pf_set "$relay" relay_domains= \
	"transport_maps=inline:{{pinned.example=mxhold-pin:$hop}, {plain.example=mxhold:$hop}, {tls.example=mxhold-tls:$hop}}"
: >"$relay/seen"
shows pinned '220 pinned.example ESMTP'
primary_start
pf_start "$relay"

# --- nobody answers
submit control plain.example
try 'control: by mxhold, mail is delivered' wait_for 40 grep -q '^GOT control$' "$relay/seen"
waits away '.*' 'no socket'
printf 'pinned.example\n' >"$relay/pinned"
: >"$relay/asked"

# --- the map of pins
printf 'NOTFOUND \n' >"$relay/pins"
maps_start "$relay/spool/mxhold"
shows stranger '220 pinned.example ESMTP'
waits nothing-pinned '.*' 'nothing is pinned'
try 'it was asked with the next hop' grep -qxF "pins $hop" "$relay/asked"
printf 'TEMP no snapshot\n' >"$relay/pins"
waits temporary '.*' 'the map cannot tell'
printf 'OK fingerprint match=%s|%s\n' "$(fingerprint pinned sha256 | tr '0-9A-F' '1-9A-F0')" "$(fingerprint pinned sha256)" >"$relay/pins"
waits other-key 'Server certificate not (verified|trusted)' 'another certificate'
shows none '220 pinned.example ESMTP'
waits no-tls 'TLS is required' 'no TLS'
shows pinned '220 pinned.example ESMTP'
arrives right-key 'the pinned certificate gets the mail'

# --- what main.cf may have for other servers that keeps smtp(8) from TLS, each alone: with all three transports, mail leaves by TLS
shows pinned '220 pinned.example'
for setting in smtp_never_send_ehlo=yes smtp_always_send_ehlo=no smtp_discard_ehlo_keywords=starttls \
	smtp_discard_ehlo_keyword_address_maps=static:starttls smtp_tls_connection_reuse=yes; do
	pf_set "$relay" "$setting"
	pf_reload "$relay"
	for domain in plain tls pinned; do
		: >"$relay/seen"
		submit inherited "$domain.example"
		wait_for 20 grep -q '^GOT' "$relay/seen" || true
		is "$(head -8 "$relay/seen" | tr '\n' ' ')" 'CONNECT EHLO STARTTLS EHLO MAIL RCPT DATA GOT inherited ' "$setting: $domain.example"
		pf_run "$relay" postsuper -c "$relay/etc" -d ALL >/dev/null 2>&1
	done
	pf_run "$relay" postconf -c "$relay/etc" -X "${setting%%=*}"
	pf_date_back "$relay/etc"
done
pf_reload "$relay"

# --- the map of greetings
printf 'OK may\n' >"$relay/pins"
shows none '220 stranger.example ESMTP'
waits other-greeting 'refused to talk to me: 421 4.7.5 this is not the pinned server' 'another greeting'
is "$(sort -u "$relay/seen" | grep -v '^QUIT$' | tr '\n' ' ')" 'CONNECT ' 'that one has seen a connection'
shows none '220 pinned.example ESMTP'
arrives right-greeting 'the pinned greeting gets the mail'

# --- each delivery asks for itself, and has a session of its own, also when there is much for one primary
printf 'TEMP not yet\n' >"$relay/pins"
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do submit "each-$number"; done
try 'twenty messages wait' wait_for 40 queue_rests 20
: >"$relay/seen"
: >"$relay/asked"
printf 'OK may\n' >"$relay/pins"
pf_run "$relay" postqueue -c "$relay/etc" -f
all_of_them() { [ "$(grep -c '^GOT each-' "$relay/seen")" -eq 20 ] && queue_empty; }
try 'then all of them go' wait_for 40 all_of_them
ok "$([ "$(grep -c '^pins ' "$relay/asked")" -ge 20 ]; echo $?)" 'each asks for the pin'
is "$(grep -c '^CONNECT' "$relay/seen")" 20 'and has a session of its own'

# --- master(8) is told not to run it
for disabled in mxhold-pin.unix mxhold-pin/unix; do
	pf_set "$relay" "master_service_disable=$disabled"
	pf_reload "$relay"
	waits disabled 'mail transport unavailable' "master_service_disable = $disabled"
	pfc status >"$relay/out" 2>&1 || true
	like "$(tr -s ' \n' ' ' <"$relay/out")" "master_service_disable = $disabled: .*mxhold-pin.* waits .*leaves nothing of mxhold out" 'status says so, and what to do'
done
pf_set "$relay" master_service_disable=
pf_reload "$relay"
shows pinned '220 pinned.example ESMTP'
arrives enabled 'run again, it delivers'

# --- an older overlay, which has no such service
pf_run "$relay" postconf -c "$relay/etc" -MX mxhold-pin/unix
pf_reload "$relay"
waits no-service 'mail transport unavailable' 'no service mxhold-pin'
try 'the log says so' in_log 'warning: connect to transport private/mxhold-pin: (No such file or directory|Connection refused)'
is "$(grep -c "^GOT \\(away\\|nothing-pinned\\|temporary\\|other\\|no-tls\\)" "$relay/seen" || true)" 0 'nothing that had to wait has come'

tap_done
