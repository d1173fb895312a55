"""The running gateway against its own description: every route with edge cases and random
requests, right and wrong ones, by schemathesis (PyPI; scripts/clients.sh installs it).
EASEL_CONTRACT_EXAMPLES=500 in the environment makes it long.
"""
import json
import os
import re
import subprocess
import sys

from gateway_test import GatewayTest, unittest

EXAMPLES = os.environ.get("EASEL_CONTRACT_EXAMPLES", "20")

try:
    import schemathesis  # noqa: F401
except ImportError as error:
    print(f"skipped: {error} (scripts/clients.sh installs it)")
    sys.exit(77)


MOST = {"width": 4096, "height": 4096, "steps": 1000, "num_inference_steps": 1000}


def narrow_members(members, shared):
    """JSON Schema takes 1.0 for an integer, the API does not: integers become lists of them."""
    for name, schema in members.items():
        schema = {**shared[schema["$ref"].rsplit("/", 1)[1]], **schema} if "$ref" in schema else schema
        if "integer" in schema.get("type", ()):
            most = MOST.get(name, schema["maximum"])
            members[name] = {"enum": [schema["minimum"], most // 2, most, None]}
        narrow_members(schema.get("properties", {}), shared)


def narrow(document):
    """Leaves only requests that must succeed: of a model that is there, nothing too large."""
    schemas = document["components"]["schemas"]
    for name in ("GenerateRequest", "ShowRequest", "ImagesRequest"):
        members = schemas[name]["properties"]
        for member in ("images", "image", "mask", "name"):
            members.pop(member, None)
        members["model"] = {"enum": ["ok", "OK", "ok:latest", " library/ok "]}
        schemas[name]["required"] = ["model", *(["prompt"] if name == "ImagesRequest" else [])]
        narrow_members(members, schemas)
    schemas["ImagesRequest"]["properties"]["size"] = {"enum": ["64x64", "1024x512", "auto", "", None]}
    document["paths"] = {path: document["paths"][path] for path in (
        "/", "/api/version", "/api/status", "/livez", "/readyz", "/metrics", "/openapi.json", "/api/tags", "/api/ps",
        "/api/show", "/api/generate", "/v1/models", "/v1/images/generations",
        "/api/experimental/model-recommendations")}
    return document


class ContractTest(GatewayTest):
    """A gateway for each class: random requests delete models."""
    models = ("ok",)

    def check(self, document, *options):
        path = os.path.join(self.gateway.folder, "openapi.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        result = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", path,
             "--url", f"http://127.0.0.1:{self.gateway.port}", "--max-examples", EXAMPLES, "--seed", "1",
             "--generation-allow-x00", "false", "--request-timeout", "30", "--continue-on-failure", *options],
            cwd=self.gateway.folder, capture_output=True, text=True, timeout=1500, check=False)
        self.assertEqual(result.returncode, 0, result.stdout[-20000:] + result.stderr[-4000:])
        self.assertEqual(self.gateway.get("/livez").status, 200)
        print(result.stdout[result.stdout.rindex("= SUMMARY ="):], file=sys.stderr)

    def document(self):
        return self.gateway.get("/openapi.json").json


class AnyRequest(ContractTest):
    def test_any_request(self):
        """A schema cannot say which names exist or what a decoder refuses; methods nobody knows are test_http's."""
        self.check(self.document(), "--exclude-checks", "unsupported_method,positive_data_acceptance")


class RightRequests(ContractTest):
    def test_right_requests(self):
        self.check(narrow(self.document()), "--mode", "positive", "--exclude-checks", "unsupported_method")
        text = self.gateway.get("/metrics").body.decode()
        for route in ("/api/show", "/api/generate", "/v1/images/generations"):
            codes = re.findall(rf'easel_http_requests_total\{{route="{route}",method="POST",code="(\d+)"\}} (\d+)', text)
            self.assertGreater(int(dict(codes).get("200", 0)), 10, codes)

    def test_every_route_is_described(self):
        paths = self.document()["paths"]
        with open(os.path.join(os.path.dirname(__file__), "../../gateway/routes.c"), encoding="utf-8") as file:
            rows = [line.split('"') for line in file if line.startswith("\t{ \"")]
        for row in rows:
            method, path = row[1].lower(), row[3]
            found = [given for given in paths if given == path or
                     (path.endswith("*") and given.startswith(path[:-1]) and given.endswith("}"))]
            self.assertEqual(len(found), 1, path)
            self.assertIn(method, paths[found[0]], path)
        self.assertEqual(sum(len(set(path) - {"parameters"}) for path in paths.values()), len(rows))


if __name__ == "__main__":
    unittest.main()
