"""Who may ask: Origin and Host."""
import subprocess

from gateway_test import GATEWAY, GatewayTest, unittest


class Access(GatewayTest):
    env = {"OLLAMA_ORIGINS": "https://good.example, chrome-extension://*"}

    def origin(self, origin, method="GET", path="/api/version", host=None):
        headers = {"Origin": origin}
        if host:
            headers["Host"] = host
        return self.gateway.request(method, path, headers=headers)

    def test_allowed(self):
        for origin in ("http://localhost", "https://localhost:3000", "http://127.0.0.1:8080", "http://0.0.0.0",
                       "app://x", "file://", "tauri://localhost", "vscode-webview://a", "https://good.example",
                       "chrome-extension://abcdef"):
            answer = self.origin(origin)
            self.assertEqual(answer.status, 200, origin)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin)
            self.assertEqual(answer.headers["Vary"], "Origin")

    def test_refused(self):
        for origin in ("http://evil.example", "null", "http://localhost:evil", "http://localhost:",
                       "http://localhost.evil.example", "moz-extension://x", "https://good.example.evil"):
            answer = self.origin(origin)
            self.assertEqual((answer.status, answer.body), (403, b""), origin)

    def test_same_origin_is_no_cors(self):
        answer = self.origin("http://localhost:1234", host="localhost:1234")
        self.assertEqual(answer.status, 200)
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)

    def test_preflight(self):
        for path in ("/api/generate", "/unknown"):
            answer = self.origin("http://localhost:3000", "OPTIONS", path)
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertEqual(answer.headers["Access-Control-Max-Age"], "43200")
            self.assertEqual(answer.headers["Access-Control-Allow-Methods"],
                             "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS")
            self.assertIn("X-Stainless-Runtime-Version,", answer.headers["Access-Control-Allow-Headers"])
        self.assertEqual(self.origin("http://evil.example", "OPTIONS").status, 403)

    def test_hosts(self):
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1:11434", "[::1]:80", "192.168.1.5", "10.0.0.1", "a.local",
                     "x.internal", "b.localhost", ""):
            self.assertEqual(self.gateway.get("/", Host=host).status, 200, host)
        for host in ("evil.example", "8.8.8.8", "evil.example:11434", "localhost.evil", "1.2.3"):
            answer = self.gateway.get("/", Host=host)
            self.assertEqual((answer.status, answer.body), (403, b""), host)
        self.assertEqual(self.gateway.request("OPTIONS", "/api/tags", headers={"Host": "localhost"}).status, 204)


class AllOrigins(GatewayTest):
    env = {"EASEL_ORIGINS": "*"}

    def test_star(self):
        answer = self.gateway.get("/", Origin="https://anything.example")
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")


class AllAddresses(GatewayTest):
    env = {"EASEL_HOST": ":0"}

    def test_any_host(self):
        self.assertEqual(self.gateway.get("/", Host="evil.example").status, 200)


class BadList(unittest.TestCase):
    def test_entry_without_scheme(self):
        result = subprocess.run([GATEWAY], env={"OLLAMA_ORIGINS": "good.example", "EASEL_HOST": "127.0.0.1:0",
                                                "EASEL_MODELS": "/nonexistent"},
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn('Error: OLLAMA_ORIGINS: "good.example"', result.stderr)


if __name__ == "__main__":
    unittest.main()
