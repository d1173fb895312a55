"""Routes for text, accounts and registries: looked up, then refused in their own words."""
from gateway_test import GatewayTest, unittest

OPENAI = '{"error":{"message":"%s","type":"%s","param":null,"code":null}}\n'


class Refusals(GatewayTest):
    CHAT = ("/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions")
    EMBED = ("/api/embed", "/api/embeddings", "/v1/embeddings")

    def message(self, answer):
        return answer.error

    def test_models_are_looked_up_first(self):
        for path in self.CHAT + self.EMBED:
            missing = "model \"nope\" not found, try pulling it first" if path in self.EMBED else \
                "model 'nope' not found"
            for body, status, text in (({}, 400, "model is required"), ({"model": "nope"}, 404, missing),
                                       ({"model": "a b"}, 400, "invalid model name"),
                                       ({"model": "x:cloud"}, 403,
                                        "ollama cloud is disabled: remote model is unavailable"),
                                       ({"model": 3}, 400, "cannot read integer 3 as member 'model' of type string"),
                                       (b"[]", 400, None), (b"{", 400, "unexpected EOF"),
                                       (b"", 400, "missing request body" if path.startswith("/api") else "EOF")):
                answer = self.gateway.post(path, body)
                self.assertEqual(answer.status, status, (path, body))
                if text:
                    self.assertEqual(self.message(answer), text, path)

    def test_refusals(self):
        body = {"model": "OK", "name": "", "messages": [{"role": "user", "content": "hi"}]}
        for path, text in ((("/api/chat"), '"OK" does not support chat'),
                           ("/v1/chat/completions", '"OK" does not support chat'),
                           ("/v1/responses", '"OK" does not support chat'),
                           ("/v1/completions", '"OK" does not support generate'),
                           ("/api/embed", "this model does not support embeddings"),
                           ("/api/embeddings", "this model does not support embeddings"),
                           ("/v1/embeddings", "this model does not support embeddings")):
            self.refused(self.gateway.post(path, body), 400, text)
        answer = self.gateway.post("/v1/chat/completions", body)
        self.assertEqual((answer.headers["Content-Type"], answer.body.decode()),
                         ("application/json", OPENAI % (r'\"OK\" does not support chat', "invalid_request_error")))
        self.refused(self.gateway.post("/v1/chat/completions", {"model": "ok"}), 400, "[] is too short - 'messages'")

    def test_messages_has_a_shape_of_its_own(self):
        answer = self.gateway.post("/v1/messages", {"model": "ok", "messages": []})
        self.assertEqual(answer.status, 400)
        self.assertRegex(answer.body, rb'^\{"type":"error","error":\{"type":"invalid_request_error","message":'
                         rb'"\\"ok\\" does not support chat"\},"request_id":"req_[0-9a-f]+"\}\n$')
        self.assertEqual(self.gateway.post("/v1/messages", {"model": "no"}).json["error"]["type"], "not_found_error")

    def test_chat_unloads(self):
        self.gateway.post("/api/generate", {"model": "ok"})
        for body in ({"keep_alive": 0}, {"keep_alive": "0", "messages": []}):
            answer = self.gateway.post("/api/chat", {"model": "ok", **body})
            self.assertRegex(answer.body, rb'^\{"model":"ok","created_at":"[^"]+Z","message":\{"role":"assistant",'
                             rb'"content":""\},"done":true,"done_reason":"unload"\}$')
        self.assertEqual([m for m in self.gateway.ps() if m["state"] != "stopping"], [])
        self.refused(self.gateway.post("/api/chat", {"model": "ok", "keep_alive": 5}), 400, '"ok" does not support chat')
        self.refused(self.gateway.post("/api/chat", {"model": "ok", "keep_alive": "x"}), 400,
                     'time: invalid duration "x"')

    def test_account(self):
        for path, status, text in (
                ("/api/me", 401, "unauthorized"), ("/api/signout", 401, "you are not currently signed in"),
                ("/api/experimental/web_search", 403, "ollama cloud is disabled: web search is unavailable"),
                ("/api/experimental/web_fetch", 403, "ollama cloud is disabled: web fetch is unavailable")):
            self.refused(self.gateway.post(path, b""), status, text)
        for method in ("GET", "POST"):
            self.assertEqual(self.gateway.request(method, "/api/experimental/model-recommendations").body,
                             b'{"recommendations":[]}')
        answer = self.gateway.post("/v1/audio/transcriptions", b"")
        self.assertEqual((answer.status, answer.body), (404, b"404 page not found"))

    def test_transfers(self):
        for path, missing in (("/api/pull", "invalid model name"), ("/api/push", "model is required")):
            self.refused(self.gateway.post(path, {}), 400, missing)
            self.refused(self.gateway.post(path, {"name": "a b"}), 400, "invalid model name")
            self.refused(self.gateway.post(path, {"model": "x:cloud"}), 403,
                         "ollama cloud is disabled: remote model is unavailable")
            self.assertEqual(self.gateway.post(path, {"model": "ok", "insecure": "x"}).status, 400)

    def test_syntax_errors(self):
        for body, error in ((b"{x}", "invalid character 'x' looking for beginning of object key string"),
                            (b'{"a" 1}', "invalid character '1' after object key"),
                            (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
                            (b'{"a":[1 2]}', "invalid character '2' after array element"),
                            (b'{"a":}', "invalid character '}' looking for beginning of value"),
                            ("{\"a\":\u00e9\u00e9}".encode(), "invalid character '\u00e9' looking for beginning of value"),
                            (b'{"a":"\\x"}', "invalid escape near"), (b"\xef\xbb\xbf{}", "invalid character '\ufeff' looking")):
            for path in ("/api/generate", "/v1/images/generations"):
                answer = self.gateway.post(path, body)
                self.assertEqual(answer.status, 400)
                self.assertTrue(answer.error.startswith(error), (body, answer.error))

    def test_slash_below_a_prefix(self):
        answer = self.gateway.get("/v1/models/ok/?x")
        self.assertEqual((answer.status, answer.headers["Location"]), (301, "/v1/models/ok?x"))
        self.assertEqual(self.gateway.get("/v1/models/ok%2F").status, 400)
        answer = self.gateway.get("/v1/models//ok")
        self.assertEqual((answer.status, answer.headers["Location"]), (307, "/v1/models/ok"))


if __name__ == "__main__":
    unittest.main()
