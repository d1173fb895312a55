"""Where requests may go: public registries, redirects into networks, proxies, certificates.
Runs in a network of its own in which this machine has public addresses.
"""
import base64
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import own_network

own_network.enter()

from transfer_test import Model, TransferTest, check_store, registry, unittest  # noqa: E402

PUBLIC, OTHER, UNKNOWN, PRIVATE, PROXY = "203.0.113.1", "203.0.113.2", "203.0.113.3", "10.9.9.8", "10.9.9.9"
NAMES = own_network.name_server()
own_network.add_addresses(PUBLIC, OTHER, UNKNOWN, PRIVATE, PROXY,
                          *([NAMES] if NAMES and not NAMES.startswith("127.") else []))


class Reach(TransferTest):
    env = {"EASEL_TRANSFER_STALL": "400ms", "HTTPS_PROXY": ""}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        key, certificate = os.path.join(cls.folder, "tls.key"), os.path.join(cls.folder, "tls.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=easel-tests", "-addext",
                        f"subjectAltName=IP:{PUBLIC},IP:{OTHER},IP:127.0.0.1,IP:{PRIVATE},DNS:localhost"],
                       check=True, capture_output=True)
        cls.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.tls.load_cert_chain(certificate, key)
        cls.env = {**cls.env, "SSL_CERT_FILE": certificate}
        cls.model = Model("reach", [200000, 3000, 70]).put(cls.registry)

    def listen(self, address, tls=True):
        proxy = registry.Proxy(self.registry, address, self.tls if tls else None)
        self.addCleanup(proxy.close)
        return proxy

    def setUp(self):
        super().setUp()
        self.front = self.listen(PUBLIC)

    def pull_from(self, front, **members):
        return self.pull(self.name(host=front.host), **{"insecure": False, **members})

    def redirect(self, front, location):
        """Blobs are elsewhere; {} of location is the path."""
        front.reset(lambda request: {"answer": (307, b"", {"Location": location.format(request.path)})}
                    if request.is_blob else None)

    def know(self, front, **site):
        path = os.path.join(self.gateway.folder, ".config", "easel", "registries.json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({front.host: site}, file)

    def check_pulled(self, front):
        self.assertEqual(check_store(self.root, front.host), self.model.manifest)

    def test_https(self):
        self.succeeds(self.pull_from(self.front))
        self.check_pulled(self.front)
        self.assertEqual(self.front.blob_bytes(), self.model.bytes)

    def test_certificates(self):
        self.fails(self.pull_from(self.listen(UNKNOWN)), "(?i)certificate.*|no alternative certificate")
        self.gateway = self.serve(SSL_CERT_FILE="")
        self.fails(self.pull_from(self.front), "(?i)certificate")
        self.assertEqual(self.front.requests, [])

    def test_redirects_inwards(self):
        """From a registry out there none leads to this machine or its network, however it is spelled."""
        inner, private = self.listen("127.0.0.1"), self.listen(PRIVATE)
        for place in (f"127.0.0.1:{inner.port}", f"localhost:{inner.port}", f"2130706433:{inner.port}",
                      f"0x7f.1:{inner.port}", f"0.0.0.0:{inner.port}", f"[::1]:{inner.port}",
                      f"[::ffff:127.0.0.1]:{inner.port}", f"u:p@127.0.0.1:{inner.port}", private.host,
                      "169.254.169.254", "192.168.0.1", "172.16.0.1", "[fe80::1]", "[fd00::1]"):
            self.redirect(self.front, f"https://{place}{{}}")
            self.fails(self.pull_from(self.front), '^GET "https://.*": refused: a redirect to an address of this '
                       "machine or its network$")       # and not after retries
        self.assertEqual((inner.requests, private.requests), ([], []))

    def test_redirects_to_plain_http(self):
        plain = self.listen(OTHER, tls=False)
        for place in (plain.host, f"127.0.0.1:{self.proxy.port}"):
            self.redirect(self.front, f"http://{place}{{}}")
            self.fails(self.pull_from(self.front), "refused: a redirect from HTTPS to plain HTTP$")
        self.assertEqual((plain.requests, self.proxy.requests), ([], []))

    def test_redirects_elsewhere(self):
        """Another public host is fine, without what the registry was told; where that leads counts again."""
        other, inner = self.listen(OTHER), self.listen("127.0.0.1")
        secret = "Basic " + base64.b64encode(b"me:secret").decode()
        self.know(self.front, username="me", password="secret")

        def rule(request):
            if request.headers.get("Authorization") != secret:
                return {"answer": (401, b"", {"WWW-Authenticate": 'Basic realm="x"'})}
            return {"answer": (302, b"", {"Location": f"https://{other.host}{request.path}"})} if request.is_blob else None
        self.front.reset(rule)
        self.succeeds(self.pull_from(self.front))
        self.check_pulled(self.front)
        self.assertEqual(len(other.requests), len(self.model.blobs))
        self.assertEqual([r for r in other.requests if "Authorization" in r.headers], [])
        self.gateway = self.serve()
        self.know(self.front, username="me", password="secret")
        self.redirect(other, f"https://{inner.host}{{}}")
        self.fails(self.pull_from(self.front), "refused: a redirect to an address of this machine or its network$")
        self.assertEqual(inner.requests, [])

    def test_redirects_outwards(self):
        """A registry of this network may send anybody anywhere."""
        other = self.listen(OTHER)
        self.redirect(self.proxy, f"https://{other.host}{{}}")
        self.succeeds(self.pull())
        self.assertEqual(other.blob_bytes(), self.model.bytes)

    def test_plain_http(self):
        """Only for who is near, or listed; what is listed may not lead inwards either."""
        plain = self.listen(OTHER, tls=False)
        only = "refused: plain HTTP is only for this machine and its network"
        self.fails(self.pull_from(plain, insecure=True), only)
        self.assertEqual(plain.requests, [])
        self.know(plain, plain=True)
        self.succeeds(self.pull_from(plain, insecure=True))
        self.check_pulled(plain)
        self.redirect(plain, f"http://{self.proxy.host}{{}}")
        self.gateway.request("DELETE", "/api/delete", {"model": self.name(host=plain.host)})
        self.fails(self.pull_from(plain, insecure=True), "refused: a redirect to an address of this machine")
        self.know(plain)
        self.gateway.post("/api/copy", {"source": self.name(), "destination": self.name(host=plain.host)})
        self.succeeds(self.pull())
        self.gateway.post("/api/copy", {"source": self.name(), "destination": self.name(host=plain.host)})
        plain.reset()
        self.fails(self.push(self.name(host=plain.host)), only)
        self.assertEqual((plain.requests, self.proxy.blob_requests()[len(self.model.blobs):]), ([], []))

    def test_tokens_by_plain_http(self):
        plain = self.listen(PUBLIC, tls=False)
        self.know(self.front, token_hosts=[plain.host])
        self.front.reset(lambda request: {"answer": (401, b"", {
            "WWW-Authenticate": f'Bearer realm="http://{plain.host}/token",service="x"'})})
        self.fails(self.pull_from(self.front), "refused: the registry's token server speaks plain HTTP$")
        self.assertEqual(plain.requests, [])

    def test_uploads_by_plain_http(self):
        plain = self.listen(PUBLIC, tls=False)
        self.succeeds(self.pull_from(self.front))
        self.front.reset(lambda request: {"answer": (202, b"", {"Location": f"http://{plain.host}/x"})}
                         if request.method == "POST" else {"answer": (404, b"")} if request.method == "HEAD" else None)
        self.fails(self.push(self.name(host=self.front.host), insecure=False), "leads nowhere: no Location, or one of plain")
        # Nor may a later part's session.
        other = self.listen(OTHER)
        other.reset(lambda request: {"answer": (200, b"")})
        self.know(self.front, ollama=True)
        self.front.reset(lambda request: {"answer": {"HEAD": (404, b""), "POST": (202, b"", {"Location": "/session/0"}), "PATCH": (
            307, b"", {"Location": f"https://{other.host}/part", "Docker-Upload-Location": f"http://{plain.host}/x"}
            )}.get(request.method, (201, b""))})
        self.fails(self.push(self.name(host=self.front.host), insecure=False), "leads nowhere: no Location, or one of plain")
        self.assertEqual((plain.requests, other.requests), ([], []))

    def test_proxy(self):
        """What is behind a company's proxy is not near because the proxy is."""
        tunnel, private = registry.Tunnel(PROXY), self.listen(PRIVATE)
        self.addCleanup(tunnel.close)
        for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            self.gateway = self.serve(**{"HTTPS_PROXY": "", variable: tunnel.url})
            self.succeeds(self.pull_from(self.front))
            self.check_pulled(self.front)
            self.assertEqual(set(tunnel.requests), {self.front.host})
            tunnel.requests.clear()
        self.gateway = self.serve(HTTPS_PROXY=tunnel.url)
        for place in (private.host, f"127.0.0.1:{self.proxy.port}", "localhost:1"):
            self.redirect(self.front, f"https://{place}{{}}")
            self.fails(self.pull_from(self.front), "refused: a redirect to an address of this machine or its network$")
        self.assertEqual((set(tunnel.requests), private.requests), ({self.front.host}, []))
        # What is empty is as good as not there.
        self.gateway = self.serve(HTTPS_PROXY="", https_proxy="", ALL_PROXY=tunnel.url)
        tunnel.requests.clear()
        self.redirect(self.front, f"https://{private.host}{{}}")
        self.fails(self.pull_from(self.front), "refused: a redirect to an address of this machine or its network$")
        self.assertEqual((set(tunnel.requests), private.requests), ({self.front.host}, []))
        self.gateway = self.serve(HTTPS_PROXY=tunnel.url, NO_PROXY=PUBLIC)
        tunnel.requests.clear()
        self.front.reset()
        self.succeeds(self.pull_from(self.front))
        self.assertEqual(tunnel.requests, [])

    def test_proxy_of_the_registrys_port(self):
        """Its address is not the registry's either."""
        tunnel, private, other = registry.Tunnel(PROXY, self.front.port), self.listen(PRIVATE), self.listen(OTHER)
        self.addCleanup(tunnel.close)
        self.gateway = self.serve(HTTPS_PROXY=tunnel.url)
        self.redirect(self.front, f"https://{private.host}{{}}")
        self.fails(self.pull_from(self.front), "refused: a redirect to an address of this machine or its network$")
        self.assertEqual((set(tunnel.requests), private.requests), ({self.front.host}, []))
        self.redirect(self.front, f"https://{other.host}{{}}")
        self.succeeds(self.pull_from(self.front))
        self.assertEqual(set(tunnel.requests), {self.front.host, other.host})

    @unittest.skipIf(NAMES is None, "no name server that could be silent")
    def test_names_that_nobody_knows(self):
        """A name server that is silent must not stop the server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((NAMES, 53))
            answers = []
            thread = threading.Thread(target=lambda: answers.append(self.pull("registry.example/library/m", insecure=False)))
            thread.start()
            slowest = 0
            while thread.is_alive():
                began = time.monotonic()
                self.gateway.get("/api/version")
                slowest = max(slowest, time.monotonic() - began)
                thread.join(0.05)
        self.fails(answers[0], "^pull model manifest: ")
        self.assertLess(slowest, 2)


if __name__ == "__main__":
    unittest.main()
