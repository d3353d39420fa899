"""Signs a zone for the tests: one key (RSA, algorithm 8), NSEC, everything in one zone.

sign_zone.py DIRECTORY NAME[,NAME...] < records   ->   signed zone on stdout, DIRECTORY/root.key (the trust anchor)

Records: `name type rdata`, names absolute, one a line; types SOA, NS, MX, A, AAAA and TXT. The signatures of the sets at
the names given are spoilt. openssl(1) holds the key. RFC 4034 says what is signed, in which order.
"""
import base64, ipaddress, struct, subprocess, sys, time

TYPES = {"A": 1, "NS": 2, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48}
TTL, ALGORITHM = 5, 8


def name_wire(name):
    labels = [label for label in name.lower().split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def rdata_wire(kind, text):
    words = text.split()
    if kind == "A" or kind == "AAAA":
        return ipaddress.ip_address(text).packed
    if kind == "NS":
        return name_wire(text)
    if kind == "MX":
        return struct.pack("!H", int(words[0])) + name_wire(words[1])
    if kind == "TXT":
        data = text.strip('"').encode()
        return bytes([len(data)]) + data
    return name_wire(words[0]) + name_wire(words[1]) + struct.pack("!5I", *map(int, words[2:]))  # SOA


def key_rdata(directory):
    key = directory + "/zone.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
    text = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True).stdout
    modulus = bytes.fromhex(text.decode().strip().split("=")[1])
    return struct.pack("!HBB", 257, 3, ALGORITHM) + b"\x03\x01\x00\x01" + modulus


def key_tag(rdata):
    total = sum(byte << (0 if at & 1 else 8) for at, byte in enumerate(rdata))
    return (total + (total >> 16 & 0xFFFF)) & 0xFFFF


def nsec_rdata(follower, kinds):
    bits = bytearray(max(TYPES[kind] for kind in kinds) // 8 + 1)
    for kind in kinds:
        bits[TYPES[kind] // 8] |= 0x80 >> TYPES[kind] % 8
    return name_wire(follower) + bytes([0, len(bits)]) + bytes(bits)


def main():
    directory, spoilt = sys.argv[1], sys.argv[2].split(",")
    sets, texts = {}, {}
    for line in sys.stdin:
        name, kind, text = line.split(None, 2)
        sets.setdefault((name.lower(), kind), []).append(rdata_wire(kind, text.strip()))
        texts.setdefault((name.lower(), kind), []).append(text.strip())
    key = key_rdata(directory)
    sets[(".", "DNSKEY")] = [key]
    texts[(".", "DNSKEY")] = ["257 3 %d %s" % (ALGORITHM, base64.b64encode(key[4:]).decode())]
    names = sorted({name for name, _ in sets}, key=lambda name: [part.encode() for part in reversed(name.split("."))])
    for at, name in enumerate(names):
        follower = names[(at + 1) % len(names)]
        kinds = [kind for other, kind in sets if other == name] + ["NSEC", "RRSIG"]
        sets[(name, "NSEC")] = [nsec_rdata(follower, kinds)]
        texts[(name, "NSEC")] = ["%s %s" % (follower, " ".join(kinds))]
    now = int(time.time())
    for (name, kind), rdatas in sets.items():
        labels = len([label for label in name.split(".") if label])
        head = struct.pack("!HBBIIIH", TYPES[kind], ALGORITHM, labels, TTL, now + 86400, now - 86400, key_tag(key)) + b"\0"
        body = head
        for rdata in sorted(rdatas):
            body += name_wire(name) + struct.pack("!HHIH", TYPES[kind], 1, TTL, len(rdata)) + rdata
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", directory + "/zone.pem"], input=body, check=True,
                                   capture_output=True).stdout
        if name in spoilt:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        for text in texts[(name, kind)]:
            print(name, TTL, "IN", kind, text)
        stamp = [time.strftime("%Y%m%d%H%M%S", time.gmtime(at)) for at in (now + 86400, now - 86400)]
        print(name, TTL, "IN RRSIG", kind, ALGORITHM, labels, TTL, stamp[0], stamp[1], key_tag(key), ".",
              base64.b64encode(signature).decode())
    with open(directory + "/root.key", "w") as anchor:
        anchor.write(". 172800 IN DNSKEY %s\n" % texts[(".", "DNSKEY")][0])


main()
