"""POST /api/create with the name of a model that is not here: it is pulled first."""
import os
import socket

from gateway_test import unittest, wait_for
from transfer_test import Model, TransferTest, check_store


class CreateFrom(TransferTest):
    def create(self, model="new", **members):
        return self.gateway.post("/api/create", {"model": model, "from": self.name(), "insecure": True, **members})

    def names(self):
        return [entry["name"] for entry in self.gateway.get("/api/tags").json["models"]]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.gateway.process.pid}/fd"))

    def test_pulled_first(self):
        model = Model("from", [200000, 5]).put(self.registry)
        lines = self.create().lines
        states = [line.get("status") for line in lines]
        self.assertEqual((states[0], states[-2:]), ("pulling manifest", ["writing manifest for x", "success"]), lines)
        self.assertEqual(states.count("success"), 1)
        self.assertLess(states.index("writing manifest"),
                        states.index("importing transformer/model.safetensors (7 tensors)"))
        self.assertEqual(check_store(self.root, self.proxy.host), model.manifest)
        # Now it is here: nobody is asked.
        before = len(self.proxy.requests)
        self.assertEqual(self.create().lines[-1], {"status": "success"})
        self.assertEqual(len(self.proxy.requests), before)
        self.assertEqual(self.create(stream=False).body, b'{"status":"success"}')

    def test_unreachable(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.assertEqual(self.names(), [])      # from then on the tags are watched
        before, unreachable = self.descriptors(), f"127.0.0.1:{port}/library/m"
        lines = self.create(**{"from": unreachable}).lines
        self.assertEqual(lines[0], {"status": "pulling manifest"})
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("pull model manifest", lines[1]["error"])
        answer = self.create(**{"from": unreachable, "stream": False})
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (500, "application/json"))
        self.assertIn("pull model manifest", answer.error)
        self.assertEqual((self.names(), self.gateway.runners(), self.files()), ([], [], []))
        wait_for("its descriptors", lambda: self.descriptors() <= before)

    def test_unknown_there(self):
        Model("there", [5]).put(self.registry)
        self.fails(self.create(**{"from": self.name("library/other")}), "pull model manifest: file does not exist")
        self.assertEqual(self.names(), [])

    def partials(self):
        folder, found = f"/proc/{self.gateway.process.pid}/fd", []
        for fd in os.listdir(folder):
            try:
                found += [fd] if os.readlink(os.path.join(folder, fd)).endswith(".tmp") else []
            except FileNotFoundError:
                pass
        return found

    def test_client_gone_while_it_is_pulled(self):
        Model("slow", [3000000]).put(self.registry)
        self.gateway = self.serve(EASEL_TRANSFER_RATE="20000", EASEL_TRANSFER_STALL="30s")
        sock = self.gateway.send("POST", "/api/create", {"model": "new", "from": self.name(), "insecure": True})
        wait_for("data on its way", self.partials)
        sock.close()
        wait_for("the pull to end", lambda: not self.partials())
        self.assertEqual((self.names(), self.gateway.runners()), ([], []))


if __name__ == "__main__":
    unittest.main()
