"""An HTTP server that answers as a test scripts it, for the command line alone.

A case maps "METHOD /path" to an answer: an Answer below, a function of the request
body that makes one, or a list of them, one a request. HEAD / is answered by itself.
"""
import fcntl
import http.server
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import unittest


class Answer:
    """status, JSON body (or bytes), and whether it goes out in chunks."""

    def __init__(self, body=b"", status=200, reason=None, chunked=False, length=True):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.reason, self.chunked, self.length = status, reason, chunked, length


class Wait:
    """In a stream: silence until the test sets the event."""

    def __init__(self, event):
        self.event = event


class Stream:
    """NDJSON: objects go out a line each, numbers are seconds of silence, a Wait lasts until
    its event is set, a threading event ends the answer and is set when the client has
    gone, bytes go out as they are."""

    def __init__(self, *items):
        self.items = items


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def send_plain(self, answer):
        self.send_response(answer.status, answer.reason)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(answer.body), 7):
                self.chunk(answer.body[at:at + 7])
            self.wfile.write(b"0\r\n\r\n")
            return
        if answer.length:
            self.send_header("Content-Length", str(len(answer.body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_stream(self, stream):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for item in stream.items:
            if isinstance(item, (int, float)):
                time.sleep(item)
            elif isinstance(item, Wait):
                item.event.wait(30)
            elif hasattr(item, "is_set"):
                self.wait_for_client(item)
                return
            else:
                self.chunk(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n")
        self.wfile.write(b"0\r\n\r\n")

    def wait_for_client(self, gone):
        """Sets the event when the client closes its end."""
        select.select([self.connection], [], [], 30)
        gone.set()
        self.close_connection = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = self.headers.get("Content-Type") == "application/json"
        value = (json.loads(body) if is_json else body) if body else None
        self.server.seen.append((f"{self.command} {self.path}", value, dict(self.headers)))
        key = f"{self.command} {self.path}"
        answer = self.server.case.get(key)
        if answer is None and self.command == "HEAD":
            answer = Answer()
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer(value)
        if answer is None:
            answer = Answer({"error": f"the test has no answer to {key}"}, 500)
        (self.send_stream if isinstance(answer, Stream) else self.send_plain)(answer)

    do_GET = do_HEAD = do_POST = do_DELETE = handle_any


class FakeServer:
    def __init__(self, case=None, tls=None):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.case, self.http.seen = case or {}, []
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.http.server_address[1]}"

    @property
    def requests(self):
        """What was asked, in order: ("POST /api/show", body)."""
        return [(request, body) for request, body, _ in self.http.seen]

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def run_on_terminal(command, rows=24, columns=80, patience=30, on_output=None, **options):
    """Runs with stdout and stderr on a terminal of its own, stdin empty. Returns
    (status, bytes). on_output(process, bytes so far) may send it a signal."""
    try:
        leader, follower = pty.openpty()
    except OSError as error:
        raise unittest.SkipTest(f"no pseudo-terminal here: {error}") from error
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # Newlines as they were written.
    attributes = termios.tcgetattr(follower)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(follower, termios.TCSANOW, attributes)
    process = subprocess.Popen(command, stdout=follower, stderr=follower,
                               stdin=subprocess.DEVNULL, **options)
    os.close(follower)
    output, deadline = b"", time.monotonic() + patience
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.05)[0]:
                try:
                    data = os.read(leader, 65536)
                except OSError:
                    break
                if not data:
                    break
                output += data
            if on_output:
                on_output(process, output)
    finally:
        if process.poll() is None and time.monotonic() >= deadline:
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(leader)
    return process.returncode, output
