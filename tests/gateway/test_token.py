"""Registries that ask who is there: signed requests for tokens, users and passwords."""
import base64
import json
import os
import subprocess
import urllib.parse

from transfer_test import Model, TransferTest, check_store, registry, unittest

BODY = base64.b64encode(b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").decode()


class Token(TransferTest):
    @classmethod
    def make_registry(cls):
        cls.tokens = registry.Tokens(os.path.join(cls.folder, "tokens"))
        cls.addClassCleanup(cls.tokens.close)
        return registry.Registry(cls.folder, cls.tokens)

    def setUp(self):
        super().setUp()
        self.tokens.requests.clear()
        self.tokens.check = lambda path, query, headers: None
        self.tokens.member, self.tokens.extra = "token", {}
        self.model = Model(self.id(), [200000, 3000, 70])
        self.put(self.model)

    def token(self, *scopes):
        return {"Authorization": "Bearer " + self.tokens.token(scopes)}

    def put(self, model, repository="library/m"):
        """Past the registry's door, with a token of our own."""
        request, token = self.registry.request, self.token(f"repository:{repository}:pull,push")
        self.registry.request = lambda method, path, body=None, headers=None: request(
            method, path, body, {**(headers or {}), **token})
        model.put(self.registry, repository)
        self.registry.request = request

    def know(self, gateway=None, **site):
        """What the gateway is told about the proxy's host."""
        gateway = gateway or self.gateway
        path = os.path.join(gateway.folder, ".config", "easel", "registries.json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({self.proxy.host: {"token_hosts": [self.tokens.host], **site}}, file)

    def make_key(self):
        """As ssh-keygen makes it; -> the public key's base64."""
        folder = os.path.join(self.gateway.folder, ".ollama")
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, "id_ed25519")],
                       check=True)
        with open(os.path.join(folder, "id_ed25519.pub"), encoding="utf-8") as file:
            return file.read().split()[1]

    def verify(self, path, authorization):
        """Checks the signature with openssl; -> the public key."""
        public, signature = authorization.split(":")
        raw = base64.b64decode(public)[-32:]
        der = bytes.fromhex("302a300506032b6570032100") + raw
        names = {}
        for name, data in (("key", der), ("signature", base64.b64decode(signature)),
                           ("text", f"GET,http://{self.tokens.host}{path},{BODY}".encode())):
            names[name] = os.path.join(self.folder, name)
            with open(names[name], "wb") as file:
                file.write(data)
        subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", names["key"], "-rawin",
                        "-in", names["text"], "-sigfile", names["signature"]], check=True, capture_output=True)
        return public

    def test_unsigned(self):
        self.know()
        self.succeeds(self.pull())
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)
        self.assertEqual(len(self.tokens.requests), 1)          # one for all
        path, headers = self.tokens.requests[0]
        self.assertEqual(urllib.parse.parse_qs(urllib.parse.urlsplit(path).query),
                         {"service": ["test"], "scope": ["repository:library/m:pull"]})
        self.assertNotIn("Authorization", headers)
        self.assertFalse(os.path.exists(os.path.join(self.gateway.folder, ".ollama")))

    def test_access_token(self):
        self.know()
        self.tokens.member = "access_token"
        self.succeeds(self.pull())

    def test_signed(self):
        self.know()
        public = self.make_key()
        self.succeeds(self.pull())
        (path, headers), = self.tokens.requests
        self.assertEqual(self.verify(path, headers["Authorization"]), public)
        query = urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)
        self.assertEqual([name for name, _ in query], ["nonce", "scope", "service", "ts"])
        self.assertEqual(len(dict(query)["nonce"]), 22)

    def test_key_is_made_for_a_push(self):
        self.know(ollama=True)
        self.succeeds(self.pull())
        self.assertNotIn("Authorization", self.tokens.requests[-1][1])
        self.succeeds(self.push())
        path, headers = self.tokens.requests[-1]
        folder = os.path.join(self.gateway.folder, ".ollama")
        with open(os.path.join(folder, "id_ed25519.pub"), encoding="utf-8") as file:
            self.assertEqual(self.verify(path, headers["Authorization"]), file.read().split()[1])
        self.assertEqual(os.stat(os.path.join(folder, "id_ed25519")).st_mode & 0o777, 0o600)
        subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", os.path.join(folder, "id_ed25519")], check=True,
                       capture_output=True)

    def test_push(self):
        self.know()
        self.succeeds(self.pull())
        self.gateway.request("POST", "/api/copy", {"source": self.name(), "destination": self.name("library/copy")})
        self.succeeds(self.push(self.name("library/copy")))
        scopes = urllib.parse.parse_qs(urllib.parse.urlsplit(self.tokens.requests[-1][0]).query)["scope"]
        self.assertTrue({"repository:library/copy:pull,push", "repository:library/copy:push,pull"} & set(scopes), scopes)

    def test_user_and_password(self):
        self.know(username="me", password="se:cret")
        good = "Basic " + base64.b64encode(b"me:se:cret").decode()
        self.tokens.check = lambda path, query, headers: None if headers["Authorization"] == good else 401
        self.succeeds(self.pull())
        self.know(username="me", password="wrong")
        self.fails(self.pull(self.name("library/x")), "^unauthorized: 401: ")

    def test_basic(self):
        """A registry without tokens: what the proxy plays."""
        token = self.token("repository:library/m:pull")
        good = "Basic " + base64.b64encode(b"me:secret").decode()

        def rule(request):
            if request.headers.get("Authorization") != good:
                return {"answer": (401, b"", {"WWW-Authenticate": 'Basic realm="x"'})}
            status, headers, body = self.registry.request(request.method, request.path, None, {
                **token, "Accept": registry.MANIFEST})
            return {"answer": (status, body)}
        self.proxy.reset(rule)
        self.know(username="me", password="secret")
        self.succeeds(self.pull())
        self.know(username="me", password="wrong")
        self.fails(self.pull(), "^unauthorized: access denied$")
        self.know()
        self.fails(self.pull(), 'realm host "" does not match original host')

    def test_refused_tokens(self):
        self.know()
        self.tokens.check = lambda path, query, headers: 403
        self.fails(self.pull(), "^unauthorized: 403: ")
        self.tokens.check = lambda path, query, headers: 500
        self.fails(self.pull(), "500: ")

    def test_wrong_clock(self):
        self.know()
        self.tokens.check = lambda path, query, headers: 401
        self.tokens.extra = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
        server_date = self.tokens.server.RequestHandlerClass.date_time_string
        self.tokens.server.RequestHandlerClass.date_time_string = lambda handler: "Mon, 01 Jan 2024 00:00:00 GMT"
        self.addCleanup(setattr, self.tokens.server.RequestHandlerClass, "date_time_string", server_date)
        self.fails(self.pull(), "the registry's clock says Mon, 01 Jan 2024 00:00:00 GMT, this machine's 20")

    def test_wrong_clock_of_the_registry(self):
        """It refuses a token that was given: by its Date that is no wonder."""
        realm = (f'Bearer realm="{self.tokens.url}",service="test",scope="repository:library/m:pull"')
        self.proxy.reset(lambda request: {"answer": (401, b"", {"WWW-Authenticate": realm})})
        handler = self.proxy.server.RequestHandlerClass
        handler.date_time_string = lambda handler: "Mon, 01 Jan 2024 00:00:00 GMT"
        self.know()
        self.fails(self.pull(), r"^unauthorized: access denied \(the registry's clock says Mon, 01 Jan 2024 00:00:00 GMT, "
                   "this machine's 20")

    def test_push_always_401(self):
        """Whatever request is refused although there is a token ends the push, after two tokens at most."""
        self.know()
        self.succeeds(self.pull())
        self.gateway.post("/api/copy", {"source": self.name(), "destination": self.name("library/copy")})
        realm = (f'Bearer realm="{self.tokens.url}",service="test",scope="repository:library/copy:pull,push"')
        for method in ("HEAD", "POST", "PUT"):
            self.tokens.requests.clear()
            self.proxy.reset(lambda request, m=method: {"answer": (401, b"", {"WWW-Authenticate": realm})}
                             if request.method == m else None)
            self.fails(self.push(self.name("library/copy")), "unauthorized: access denied$")
            self.assertLessEqual(len(self.tokens.requests), 2 * len(self.model.blobs))

    def test_mount_with_tokens(self):
        """Mounting needs a token for both repositories; the registry says so, and it is asked for."""
        self.know()
        self.succeeds(self.pull())
        self.gateway.post("/api/copy", {"source": self.name(), "destination": self.name("library/mounted")})
        self.proxy.reset()
        self.succeeds(self.push(self.name("library/mounted")))
        self.assertEqual(self.proxy.upload_bytes(), len(self.model.manifest))
        scopes = urllib.parse.parse_qs(urllib.parse.urlsplit(self.tokens.requests[-1][0]).query)["scope"]
        self.assertIn("repository:library/m:pull", scopes)

    def test_always_401(self):
        self.proxy.reset(lambda request: {"answer": (401, b"", {"WWW-Authenticate": (
            f'Bearer realm="{self.tokens.url}",service="test",scope="repository:library/m:pull"')})})
        self.know()
        self.fails(self.pull(), "^unauthorized: access denied$")
        self.assertLessEqual(len(self.tokens.requests), 2)

    def test_realms(self):
        """The token's server must be the registry's host, or a listed one."""
        elsewhere = registry.Tokens(os.path.join(self.folder, "elsewhere"))
        self.addCleanup(elsewhere.close)
        self.know()
        for realm, host in ((elsewhere.url, elsewhere.host), ("", ""), ("/token", ""), ("http://u:p@evil/x", "evil"),
                            ("https://" + self.proxy.host + ".evil/", self.proxy.host + ".evil")):
            self.proxy.reset(lambda request, r=realm: {"answer": (401, b"", {
                "WWW-Authenticate": f'Bearer realm="{r}",service="test"'})})
            self.fails(self.pull(), f'^realm host "{host}" does not match original host "{self.proxy.host}"$')
        self.assertEqual(elsewhere.requests, [])

    def test_token_goes_to_the_registry_alone(self):
        elsewhere = registry.Proxy(self.registry)
        self.addCleanup(elsewhere.close)
        data = {f"/v2/library/m/blobs/{digest}": data for digest, data in self.model.blobs.items()}
        elsewhere.reset(lambda request: {"answer": (200, data[request.path])})
        self.proxy.reset(lambda request: {"answer": (307, b"", {"Location": f"http://{elsewhere.host}{request.path}"})}
                         if request.is_blob else None)
        self.know()
        self.succeeds(self.pull())
        self.assertTrue(any("Authorization" in request.headers for request in self.proxy.requests))
        self.assertEqual([r for r in elsewhere.requests if "Authorization" in r.headers], [])

    def test_one_token_for_all(self):
        """Tokens that run out while many blobs are fetched."""
        model = Model("many", [3000] * 40)
        self.put(model, "library/many")
        self.gateway = self.serve(EASEL_TRANSFER_STALL="10s")   # signing is slow on a loaded machine
        self.know()
        sent = []

        def rule(request):
            token = request.headers.get("Authorization")
            if token and token not in sent and request.is_blob:
                sent.append(token)
            return None
        self.proxy.reset(rule)
        for answer in self.at_once(*[lambda: self.pull(self.name("library/many"))] * 2):
            self.succeeds(answer)
        self.assertLessEqual(len(self.tokens.requests), 2)      # one a pull

    def test_bad_files(self):
        for text, error in (("{", "registries.json"), ("[]", "object of hosts")):
            self.know()
            path = os.path.join(self.gateway.folder, ".config", "easel", "registries.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            answer = self.pull()
            self.assertGreaterEqual(answer.status, 400)
            self.assertIn(error, answer.error)

    def test_bad_keys(self):
        self.know()
        self.make_key()
        path = os.path.join(self.gateway.folder, ".ollama", "id_ed25519")
        with open(path, encoding="utf-8") as file:
            good = file.read()
        for text in ("", "x", good[:100], good[:100] + good[140:], good.replace("b3Bl", "AAAA")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.fails(self.pull(), "id_ed25519")


if __name__ == "__main__":
    unittest.main()
