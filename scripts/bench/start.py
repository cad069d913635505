"""Starting the provider as terraform does: to its handshake line, and to its schema over mutual TLS."""

import base64
import os
import socket
import ssl
import subprocess
import time

COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
WINDOW = 2**30


class Client:
    """A client certificate like the one terraform makes: self-signed, P-521."""

    def __init__(self, directory):
        self.certificate = os.path.join(directory, "client.pem")
        self.key = os.path.join(directory, "client.key")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp521r1 -nodes -days 1 -subj /CN=localhost"
        subprocess.run(
            [*command.split(), "-keyout", self.key, "-out", self.certificate],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with open(self.certificate) as file:
            self.pem = file.read()

    def context(self, server_certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(cadata=server_certificate)
        context.set_alpn_protocols(["h2"])
        return context


def measure(binary, client):
    """Seconds to the handshake line, seconds to the schema, its size, and the process's peak resident KiB by then."""
    environment = dict(
        os.environ,
        TF_PLUGIN_MAGIC_COOKIE=COOKIE,
        PLUGIN_PROTOCOL_VERSIONS="6",
        PLUGIN_CLIENT_CERT=client.pem,
    )
    began = time.perf_counter()
    process = subprocess.Popen(
        [binary], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        line = process.stdout.readline().decode()
        handshake = time.perf_counter() - began
        fields = line.strip().split("|")
        if fields[:3] != ["1", "6", "unix"] or len(fields) < 6:
            raise SystemExit(f"not a handshake: {line!r}")
        certificate = base64.b64decode(fields[5] + "=" * (-len(fields[5]) % 4))
        size = call(fields[3], client.context(certificate), "/tfplugin6.Provider/GetProviderSchema")
        schema = time.perf_counter() - began
        return handshake, schema, size, peak(process.pid)
    finally:
        process.kill()
        process.wait()


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def call(path, context, method):
    """One gRPC call with an empty message; answers the size of the reply."""
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(path)
    with context.wrap_socket(plain, server_hostname="localhost") as stream:
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        settings = (4).to_bytes(2, "big") + WINDOW.to_bytes(4, "big")  # SETTINGS_INITIAL_WINDOW_SIZE
        stream.sendall(
            PREFACE
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))
            + frame(HEADERS, END_HEADERS, 1, b"".join(map(literal, headers)))
            + frame(DATA, END_STREAM, 1, bytes(5))
        )
        return read_reply(stream)


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(header):
    """A header field without indexing and without compression (RFC 7541, 6.2.2)."""
    name, value = (text.encode() for text in header)
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def read_reply(stream):
    reader = stream.makefile("rb")
    received = 0
    while True:
        head = reader.read(9)
        if len(head) < 9:
            raise SystemExit("the provider closed the connection before its schema was complete")
        length, kind, flags, number = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        payload = reader.read(length)
        if kind == SETTINGS and not flags & ACK:
            stream.sendall(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            stream.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA and number == 1:
            received += length
        elif kind not in (DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE):
            raise SystemExit(f"the provider ended the call with frame type {kind}: {payload!r}")
        if number == 1 and kind in (DATA, HEADERS) and flags & END_STREAM:
            if received <= 5:
                raise SystemExit("the provider answered no schema")
            return received
