"""A reverse proxy that records every exchange, one JSON object a line.

    record.py UPSTREAM RECORDING

It listens on a loopback port of the kernel's choice, prints its address, and ends when its standard input does: it
cannot outlive the test that started it.  Nothing is rewritten but the Host header, which names the port.
"""

import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# RFC 9110, section 7.6.1: these belong to one connection, not to the message.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


class Recording:
    """The file that exchanges are written to, in the order in which they ended."""

    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, exchange):
        line = json.dumps(exchange) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


def handler(upstream, recording):
    """The request handler for one upstream (host:port)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def carry(self):
            body = self.body()
            headers = [(name, value) for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP]
            connection = http.client.HTTPConnection(upstream, timeout=180)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    connection.putheader(name, upstream if name.lower() == "host" else value)
                if body and "content-length" not in (name.lower() for name, _ in headers):
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body or None)
                answer = connection.getresponse()
                payload = answer.read()
            except OSError as error:
                # The upstream is gone: the client sees the connection end, as it would without the proxy.
                self.note(body, {"status": 0, "error": str(error)})
                self.close_connection = True
                return
            finally:
                connection.close()
            self.note(
                body,
                {"status": answer.status, "headers": dict(answer.getheaders()), "body": payload.decode("utf-8", "replace")},
            )
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP and name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        def body(self):
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self.chunks()
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def chunks(self):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)

        def note(self, body, response):
            # Credentials have no place in a file; the sandbox asks for none.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
            request = {
                "method": self.command,
                "target": self.path,
                "headers": headers,
                "body": body.decode("utf-8", "replace"),
            }
            recording.write({"request": request, "response": response})

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = carry

        def log_message(self, *_):
            pass

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    upstream, path = sys.argv[1:]
    server = Server(("127.0.0.1", 0), handler(urlsplit(upstream).netloc, Recording(path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
