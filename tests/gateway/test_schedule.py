"""When models are loaded and unloaded: one runner per model, keep_alive, stop, queue, limit."""
import re
import threading

from gateway_test import Gateway, GatewayTest, read_until, unittest, wait_for


def body(model="ok", **members):
    return {"model": model, "prompt": "a tree", "stream": False, **members}


class Schedule(GatewayTest):
    models = ("ok", "other", "slow-load", "long", "bad-model")

    def states(self):
        return {m["name"].split(":")[0]: m["state"] for m in self.gateway.ps()}

    def unload_all(self):
        for model in self.models:
            self.gateway.post("/api/generate", {"model": model, "keep_alive": 0})
        wait_for("all runners to end", lambda: not self.gateway.runners())

    def setUp(self):
        self.unload_all()

    def test_parallel_first_requests_share_one_runner(self):
        def n_started():
            return len(re.findall(r"slow-load:latest\[\d+\]: started", self.gateway.log()))

        before = n_started()
        results = []
        threads = [threading.Thread(target=lambda: results.append(
            self.gateway.post("/api/generate", body("slow-load")).status)) for _ in range(20)]
        for thread in threads:
            thread.start()
        wait_for("the load", lambda: self.states().get("slow-load") == "loading")
        self.assertEqual(len(self.gateway.runners()), 1)
        for thread in threads:
            thread.join()
        self.assertEqual(results, [200] * 20)
        self.assertEqual(len(self.gateway.runners()), 1)
        self.assertEqual(n_started(), before + 1)

    def test_client_gone_while_loading_keeps_the_load(self):
        sock = self.gateway.send("POST", "/api/generate", body("slow-load"))
        wait_for("the load", lambda: self.states().get("slow-load") == "loading")
        (pid,) = self.gateway.runners()
        sock.close()
        self.assertEqual(self.gateway.post("/api/generate", body("slow-load")).status, 200)
        self.assertEqual(self.gateway.runners(), [pid])

    def test_client_gone_while_loading_with_keep_alive_zero_stops_the_load(self):
        sock = self.gateway.send("POST", "/api/generate", body("slow-load", keep_alive=0))
        wait_for("the load", lambda: self.states().get("slow-load") == "loading")
        sock.close()
        wait_for("the runner to end", lambda: not self.gateway.runners())

    def test_stopping_a_runner_that_only_begins_stops_nothing_else(self):
        """A signal for a child that has not reached exec must not be taken for one's own."""
        for _ in range(60):
            sock = self.gateway.send("POST", "/api/generate", body("slow-load", keep_alive=0))
            wait_for("the load", lambda: self.states().get("slow-load") == "loading")
            sock.close()
            wait_for("the runner to end", lambda: not self.gateway.runners())

    def test_keep_alive_zero_unloads_after_the_request(self):
        self.assertEqual(self.gateway.post("/api/generate", body(keep_alive=0)).status, 200)
        wait_for("the runner to end", lambda: not self.gateway.runners())

    def test_keep_alive_ends(self):
        self.assertEqual(self.gateway.post("/api/generate", body(keep_alive="300ms")).status, 200)
        self.assertEqual(len(self.gateway.runners()), 1)
        wait_for("the keep-alive to end", lambda: not self.gateway.runners())

    def test_the_latest_keep_alive_holds(self):
        self.gateway.post("/api/generate", body(keep_alive=3600))
        first = self.gateway.ps()[0]["expires_at"]
        self.gateway.post("/api/generate", body())
        self.assertGreater(self.gateway.ps()[0]["expires_at"], first)
        self.gateway.post("/api/generate", {"model": "ok", "keep_alive": 60})
        self.assertLess(self.gateway.ps()[0]["expires_at"], first)

    def test_stop_of_an_idle_model(self):
        self.gateway.post("/api/generate", body())
        answer = self.gateway.post("/api/generate", {"model": "ok", "keep_alive": 0})
        self.assertEqual(answer.json["done_reason"], "unload")
        wait_for("the runner to end", lambda: not self.gateway.runners())

    def test_stop_of_a_busy_model_lets_it_finish(self):
        sock = self.gateway.send("POST", "/api/generate", {"model": "long", "prompt": "a", "steps": 20})
        read_until(sock, b'"total"')
        (pid,) = self.gateway.runners()
        self.assertEqual(self.gateway.post("/api/generate", {"model": "long", "keep_alive": 0}).status, 200)
        self.assertEqual(self.states(), {"long": "draining"})
        # Who comes now gets a fresh runner, after this one.
        second = self.gateway.send("POST", "/api/generate", body("long", steps=1))
        self.assertIn(b'"image"', read_until(sock, b'"}\n\r\n0\r\n\r\n'))
        self.assertIn(b"200 OK", read_until(second, b'"image"'))
        self.assertNotEqual(self.gateway.runners(), [pid])

    def test_requests_run_in_order(self):
        first = self.gateway.send("POST", "/api/generate", body("long", steps=10, stream=True))
        read_until(first, b'"total"')
        later = [self.gateway.send("POST", "/api/generate", body("long", steps=1, stream=True)) for _ in range(3)]
        later[1].close()
        for sock in (first, later[0], later[2]):
            read_until(sock, b'"done":true')
        wait_for("the runner to be idle", lambda: self.states() == {"long": "idle"})

    def test_failed_load_fails_all_who_wait_and_the_next_tries_again(self):
        for _ in range(2):
            self.refused(self.gateway.post("/api/generate", body("bad-model")), 500, "blob sha256:1234 is missing")
        wait_for("the runner to end", lambda: not self.gateway.runners())

    def test_recreated_name_stops_with_its_name(self):
        self.gateway.post("/api/generate", body())
        self.gateway.store.model("ok", params={"steps": 3})
        self.gateway.post("/api/generate", {"model": "ok", "keep_alive": 0})
        wait_for("the old runner to end", lambda: not self.gateway.runners())


class Limit(GatewayTest):
    models = ("ok", "other", "third", "long")
    env = {"OLLAMA_MAX_LOADED_MODELS": "2"}

    def names(self):
        return sorted(m["name"].split(":")[0] for m in self.gateway.ps() if m["state"] != "stopping")

    def test_least_recently_used_goes(self):
        for model in ("ok", "other", "ok", "third"):
            self.assertEqual(self.gateway.post("/api/generate", body(model)).status, 200)
        self.assertEqual(self.names(), ["ok", "third"])
        self.assertLessEqual(len(self.gateway.runners()), 2)


class One(GatewayTest):
    models = ("ok", "long")
    env = {"OLLAMA_MAX_LOADED_MODELS": "1"}

    def test_busy_victim_is_drained_not_revived(self):
        first = self.gateway.send("POST", "/api/generate", body("long", steps=15, keep_alive=300, stream=True))
        read_until(first, b'"total"')
        second = self.gateway.send("POST", "/api/generate", body("ok"))
        wait_for("the drain", lambda: self.gateway.ps()[0]["state"] == "draining")
        third = self.gateway.send("POST", "/api/generate", body("long", steps=1, keep_alive=300))
        read_until(first, b'"done":true')
        self.assertIn(b"200 OK", read_until(second, b'"image"'))
        self.assertIn(b"200 OK", read_until(third, b'"image"'))

    def test_victim_stays_when_nobody_wants_its_place_any_more(self):
        first = self.gateway.send("POST", "/api/generate", body("long", steps=25, stream=True))
        read_until(first, b'"total"')
        (pid,) = self.gateway.runners()
        second = self.gateway.send("POST", "/api/generate", body("ok"))
        wait_for("the drain", lambda: self.gateway.ps()[0]["state"] == "draining")
        second.close()
        wait_for("the drain to end", lambda: self.gateway.ps()[0]["state"] == "busy")
        read_until(first, b'"done":true')
        self.assertEqual(self.gateway.runners(), [pid])


class Queue(unittest.TestCase):
    BUSY = "server busy, please try again.  maximum pending requests exceeded"

    def statuses(self, limit, model, n):
        gateway = Gateway(("long", "slow-load"), {"OLLAMA_MAX_QUEUE": str(limit)})
        self.addCleanup(gateway.close)
        if model == "long":
            gateway.post("/api/generate", {"model": "long"})
        socks = []
        for i in range(n):
            socks.append(gateway.send("POST", "/api/generate", body(model, steps=10)))
            if i == 0:
                wait_for("the first", lambda: gateway.ps() and gateway.ps()[0]["state"] in ("busy", "loading"))
            else:
                gateway.get("/")
        answers = []
        for sock in socks:
            data = read_until(sock, b"}")
            if b" 503 " in data:
                self.assertIn(self.BUSY.encode(), data)
                self.assertIn(b"Retry-After: 1", data)
            answers.append(int(data.split()[1]))
        return answers

    def test_loaded(self):
        self.assertEqual(self.statuses(2, "long", 5), [200, 200, 200, 503, 503])

    def test_loading(self):
        self.assertEqual(self.statuses(2, "slow-load", 5), [200, 200, 200, 503, 503])

    def test_no_waiting_at_all(self):
        self.assertEqual(self.statuses(0, "long", 2), [200, 503])
        self.assertEqual(self.statuses(0, "slow-load", 2), [200, 503])


if __name__ == "__main__":
    unittest.main()
