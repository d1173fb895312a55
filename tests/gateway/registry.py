"""Registries for tests, all on loopback: Debian's docker-registry as it is, a server of
signed tokens for it, and a proxy in front that breaks what a test wants broken and counts
bytes. Standard library only; signing is done by the openssl program.
"""
import base64
import hashlib
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

from server import wait_for

PROGRAM = "docker-registry"
PATIENCE = 30.0
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def available():
    return shutil.which(PROGRAM) is not None


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Registry:
    """The stock registry with a folder of its own; auth is the tokens' server, or None."""

    def __init__(self, folder, auth=None):
        os.makedirs(folder, exist_ok=True)
        self.root = os.path.join(folder, "data")
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = {"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": self.root}, "delete": {"enabled": True}},
                  "http": {"addr": self.host}}
        if auth:
            config["auth"] = {"token": {"realm": auth.url, "service": "test", "issuer": "easel-tests",
                                        "rootcertbundle": auth.certificate}}
        path = os.path.join(folder, "config.yml")        # JSON is YAML
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.log = open(os.path.join(folder, "registry.log"), "wb")
        self.process = subprocess.Popen([PROGRAM, "serve", path], stdout=self.log, stderr=self.log)
        wait_for("the registry to listen", self.answers, PATIENCE)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("the registry ended")
        try:
            return self.request("GET", "/v2/")[0] in (200, 401)
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def put_blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        _, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        place = urllib.parse.urlsplit(headers["Location"])
        status, _, body = self.request("PUT", f"{place.path}?{place.query}&digest={digest}", data,
                                       {"Content-Type": "application/octet-stream"})
        assert status == 201, body
        return digest, len(data)

    def put_manifest(self, repository, tag, manifest):
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        status, _, body = self.request("PUT", f"/v2/{repository}/manifests/{tag}", data, {"Content-Type": MANIFEST})
        assert status == 201, body
        return data

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Listening:
    """An HTTP server of handler's class, in threads; of HTTPS with a tls, which is an SSLContext."""

    def __init__(self, handler, address="127.0.0.1", tls=None, port=0):
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass            # clients that leave are a part of the game

        self.server = Server((address, port), type("Handler", (handler,), {"owner": self}))
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.host = f"{address}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class TokenHandler(Quiet):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        owner = self.owner
        owner.requests.append((self.path, dict(self.headers)))
        refusal = owner.check(self.path, query, self.headers)
        if refusal:
            self.answer(refusal, b'{"errors":[{"code":"UNAUTHORIZED"}]}', owner.extra)
        else:
            self.answer(200, json.dumps({owner.member: owner.token(query.get("scope", []))}).encode())


class Tokens(Listening):
    """Gives tokens that the stock registry believes. check() -> status of a refusal, or None."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.key, self.certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out",
                        self.certificate, "-days", "2", "-subj", "/CN=easel-tests"], check=True, capture_output=True)
        self.requests, self.member, self.extra = [], "token", {}
        self.check = lambda path, query, headers: None
        self.lifetime = 300
        super().__init__(TokenHandler)
        self.url = f"http://{self.host}/token"

    def token(self, scopes):
        access = [{"type": kind, "name": name, "actions": actions.split(",")}
                  for kind, name, actions in (scope.split(":") for scope in scopes)]
        now = int(time.time())
        der = subprocess.run(["openssl", "x509", "-in", self.certificate, "-outform", "DER"], check=True,
                             capture_output=True).stdout
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": "easel-tests", "aud": "test", "sub": "", "exp": now + self.lifetime, "nbf": now - 30,
                  "iat": now, "jti": str(now), "access": access}
        text = base64url(json.dumps(head).encode()) + "." + base64url(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(),
                                   check=True, capture_output=True).stdout
        return text + "." + base64url(signature)


class ProxyHandler(Quiet):
    """Forwards to the registry; owner.rule(request) may say what to do instead."""

    def handle_expect_100(self):
        """Not before it is known whether the body is wanted."""
        return True

    def go_on(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()

    def handle_any(self):
        request = Request(self)
        with self.owner.lock:
            self.owner.requests.append(request)
        try:
            self.handle_request(request)
        finally:
            request.done = True

    def handle_request(self, request):
        owner = self.owner
        rule = owner.rule(request) or {}
        if rule.get("hang"):
            owner.released.wait(PATIENCE)
            self.close_connection = True
        elif "answer" in rule:
            if rule.get("early"):
                self.answer(*rule["answer"])
                self.connection.shutdown(socket.SHUT_WR)
                self.drain(request)
                self.close_connection = True
            else:
                if not rule.get("mute"):
                    self.go_on()
                self.drain(request)
                self.answer(*rule["answer"])
        else:
            self.forward(request, rule)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def drain(self, request):
        """Counts and hashes what the client sends, as far as it does."""
        left, md5 = int(self.headers.get("Content-Length") or 0), hashlib.md5()
        while left:
            data = self.rfile.read1(min(left, 1 << 20))
            if not data:
                break
            md5.update(data)
            left -= len(data)
            request.received += len(data)
        request.md5 = md5.digest()

    def read_body(self, request, rule):
        """Pieces of the client's body."""
        left, cut = int(self.headers.get("Content-Length") or 0), rule.get("cut_upload")
        while left:
            data = self.rfile.read(min(left, 65536))
            request.received += len(data)
            left -= len(data)
            if not data or (cut is not None and request.received > cut):
                raise ConnectionResetError
            yield data
            if rule.get("pace"):
                time.sleep(rule["pace"])

    def forward(self, request, rule):
        self.go_on()
        headers = {name: value for name, value in self.headers.items()
                   if not (rule.get("ignore_range") and name.lower() == "range")}
        upstream = http.client.HTTPConnection("127.0.0.1", self.owner.registry.port, timeout=PATIENCE)
        try:
            has_body = self.headers.get("Content-Length") is not None
            upstream.request(self.command, self.path, self.read_body(request, rule) if has_body else None, headers)
            self.relay(request, rule, upstream.getresponse())
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    def relay(self, request, rule, answer):
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("date", "server", "connection", "transfer-encoding"):
                self.send_header(name, rule.get("headers", {}).get(name, value))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent, corrupt = 0, rule.get("corrupt")
        while data := answer.read(65536):
            if corrupt:
                data = bytes([data[0] ^ 1]) + data[1:]
                corrupt = False
            for limit in ("cut", "stall"):
                if rule.get(limit) is not None and sent + len(data) > rule[limit]:
                    data = data[:max(0, rule[limit] - sent)]
                    self.send(request, data)
                    if limit == "stall":
                        self.owner.released.wait(PATIENCE)
                    self.close_connection = True
                    return
            self.send(request, data)
            sent += len(data)
            if rule.get("pace"):
                time.sleep(rule["pace"])        # a slow line

    def send(self, request, data):
        self.wfile.write(data)
        self.wfile.flush()
        request.sent += len(data)


class TunnelHandler(Quiet):
    def do_CONNECT(self):
        self.owner.requests.append(self.path)
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=self.relay, args=(there, self.connection), daemon=True)
            back.start()
            self.relay(self.connection, there)
            back.join(PATIENCE)
        self.close_connection = True

    @staticmethod
    def relay(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Tunnel(Listening):
    """A proxy as companies have them: requests are whom it was asked for."""

    def __init__(self, address, port=0):
        self.requests = []
        super().__init__(TunnelHandler, address, port=port)
        self.url = f"http://{self.host}"


class Request:
    """What the proxy has seen of one."""

    def __init__(self, handler):
        self.method, self.path, self.headers = handler.command, handler.path, dict(handler.headers)
        self.began = time.monotonic()
        self.sent = self.received = 0
        self.status, self.done = None, False

    @property
    def is_blob(self):
        return self.method == "GET" and "/blobs/sha256:" in self.path

    @property
    def is_manifest(self):
        return "/manifests/" in self.path


class Proxy(Listening):
    """In front of a registry; host is what models are named by."""

    def __init__(self, registry, address="127.0.0.1", tls=None):
        self.registry = registry
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.reset()
        super().__init__(ProxyHandler, address, tls)

    def reset(self, rule=None):
        self.requests = []
        self.rule = rule or (lambda request: None)

    def blob_bytes(self):
        return sum(request.sent for request in self.requests if request.is_blob)

    def blob_requests(self):
        return [request for request in self.requests if request.is_blob]

    def upload_bytes(self):
        return sum(request.received for request in self.requests)

    def close(self):
        self.released.set()
        super().close()
