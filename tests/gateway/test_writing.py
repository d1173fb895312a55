"""A picture that is drawn but not yet sent: the model is free for the next request, and stays."""
import base64
import json
import os
import signal
import threading

from gateway_test import GatewayTest, unittest, wait_for


def body(model, **members):
    return {"model": model, "prompt": "a tree", "stream": False, "seed": 7, **members}


class Writing(GatewayTest):
    models = ("lazy-writer", "slow-writer", "crash-writer", "ok")
    env = {"EASEL_MAX_LOADED_MODELS": "1"}

    def setUp(self):
        for model in self.models:
            self.gateway.post("/api/generate", {"model": model, "keep_alive": 0})
        wait_for("all runners to end", lambda: not self.gateway.runners())
        self.answers = {}

    def start(self, model, name, **members):
        """A request whose picture is drawn, but not sent by itself."""
        def ask():
            self.answers[name] = self.gateway.post("/api/generate", body(model, prompt=name, **members))
        before = self.n_drawn()
        thread = threading.Thread(target=ask)
        thread.start()
        wait_for("the picture to be drawn", lambda: self.n_drawn() > before)
        return thread

    def n_drawn(self):
        return self.gateway.log().count("is drawn")

    def state(self):
        return [m["state"] for m in self.gateway.ps()]

    def picture(self, name):
        self.assertEqual(self.answers[name].status, 200)
        return json.loads(base64.b64decode(self.answers[name].json["image"]).rstrip(b"\0"))

    def test_the_next_request_is_drawn_meanwhile(self):
        """This runner sends a picture only once the next one is being drawn."""
        threads = [self.start("lazy-writer", name, seed=seed)
                   for name, seed in (("one", 11), ("two", 12), ("three", 13))]
        for thread in threads[:2]:
            thread.join()
        self.assertEqual(self.state(), ["busy"])
        self.assertNotIn("three", self.answers)
        last = self.start("lazy-writer", "four", seed=14)
        threads[2].join()
        for name, seed in (("one", 11), ("two", 12), ("three", 13)):
            picture = self.picture(name)
            self.assertEqual((picture["prompt"], picture["seed"]), (name, seed))
            self.assertEqual(self.answers[name].json["seed"], seed)
        self.kill_runner()
        last.join()
        self.assertEqual(self.answers["four"].status, 500)

    def kill_runner(self):
        (pid,) = self.gateway.runners()
        os.kill(pid, signal.SIGKILL)

    def test_the_runner_stays_while_it_writes(self):
        """Neither keep_alive 0 nor another model that wants the place ends it."""
        first = self.start("slow-writer", "one", keep_alive=0)
        other = self.gateway.post("/api/generate", body("ok"))
        first.join()
        self.assertEqual(self.picture("one")["prompt"], "one")
        self.assertEqual(other.status, 200)

    def test_a_crash_fails_both(self):
        first = self.start("crash-writer", "one")
        second = self.gateway.post("/api/generate", body("crash-writer"))
        first.join()
        self.assertEqual((self.answers["one"].status, second.status), (500, 500))

    def test_the_client_leaves_while_its_picture_is_written(self):
        before = self.n_drawn()
        sock = self.gateway.send("POST", "/api/generate", body("lazy-writer"))
        wait_for("the picture to be drawn", lambda: self.n_drawn() > before)
        self.assertEqual(self.state(), ["busy"])
        (pid,) = self.gateway.runners()
        sock.close()
        wait_for("the runner to be idle", lambda: self.state() == ["idle"])
        self.assertEqual(self.gateway.runners(), [pid])

    def test_pictures_of_one_request_come_in_order(self):
        answer = self.gateway.post("/v1/images/generations", {
            "model": "slow-writer", "prompt": "a tree", "n": 2, "seed": 5, "response_format": "b64_json"})
        self.assertEqual(answer.status, 200)
        seeds = [json.loads(base64.b64decode(d["b64_json"]))["seed"] for d in answer.json["data"]]
        self.assertEqual((seeds, [d["seed"] for d in answer.json["data"]]), ([5, 6], [5, 6]))


if __name__ == "__main__":
    unittest.main()
