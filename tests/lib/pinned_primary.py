"""A mail server, and a stranger who takes its place from one session to the next. For tests.

    pinned_primary.py ADDRESS LEDGER,BANNER[,CERTIFICATE,KEY] LEDGER,BANNER[,CERTIFICATE,KEY]

It listens at port 25. Sessions that begin after SIGUSR1 are the second one's, after SIGUSR2 the first one's again. Who has a
certificate offers STARTTLS. A ledger has a line for each thing that its server is told: time, a word (connect, tls, EHLO,
MAIL, ..., or `taken`, written before the 250), what goes with it. The user `later` gets 450 until the stranger has come.
"""

import os
import signal
import socketserver
import ssl
import sys
import time

PATIENCE = 10  # seconds for a client's next line


class Face:
    def __init__(self, text):
        ledger, self.banner, *key = text.split(",")
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.tls = None
        if key:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*key)

    def note(self, word, what=""):
        os.write(self.ledger, f"{time.time():.3f}\t{word}\t{what}\n".encode())


class Session(socketserver.StreamRequestHandler):
    def setup(self):
        self.request.settimeout(PATIENCE)
        super().setup()
        self.recipients = []
        self.face = self.server.face

    def say(self, text):
        self.wfile.write(text.replace("\n", "\r\n").encode() + b"\r\n")

    def handle(self):
        self.face.note("connect")
        try:
            self.say("220 " + self.face.banner)
            while self.turn():
                pass
        except (OSError, ValueError) as problem:
            self.face.note("broken", problem)

    def turn(self):
        """One command. False: the session is over."""
        line = self.rfile.readline(4096).decode("latin-1").rstrip("\r\n")
        word = line.upper().partition(" ")[0]
        if word == "":
            return False
        self.face.note(word, line)
        if word == "QUIT":
            self.say("221 bye")
            return False
        getattr(self, "on_" + word.lower(), self.on_other)(line)
        return True

    def on_other(self, line):
        self.say("500 5.5.1 what?")

    def on_ehlo(self, line):
        starttls = self.face.tls and not isinstance(self.request, ssl.SSLSocket)
        self.say("250-primary\n" + ("250-STARTTLS\n" if starttls else "") + "250 8BITMIME")

    def on_starttls(self, line):
        self.say("220 go ahead")
        self.request = self.connection = self.face.tls.wrap_socket(self.request, server_side=True)
        self.face.note("tls", self.request.version())
        super().setup()

    def on_mail(self, line):
        self.recipients = []
        self.say("250 2.1.0 ok")

    def on_rcpt(self, line):
        recipient = line.partition("<")[2].partition(">")[0]
        if recipient.startswith("later@") and not self.server.changed:
            self.say("450 4.2.1 later")
            return
        self.recipients.append(recipient)
        self.say("250 2.1.5 ok")

    def on_data(self, line):
        self.say("354 go on")
        while (content := self.rfile.readline(65536)) not in (b".\r\n", b""):
            pass
        if content == b"":
            raise ValueError("lost in the content")
        for recipient in self.recipients:
            self.face.note("taken", recipient)
        self.recipients = []
        self.say("250 2.0.0 taken")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100
    changed = False

    def show(self, face):
        self.face = face
        self.changed = True
        face.note("comes")


first, second = Face(sys.argv[2]), Face(sys.argv[3])
server = Server((sys.argv[1], 25), Session)
server.face = first
signal.signal(signal.SIGUSR1, lambda *_: server.show(second))
signal.signal(signal.SIGUSR2, lambda *_: server.show(first))
first.note("listening")
server.serve_forever()
