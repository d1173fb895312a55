"""kill -9 at random points of create, copy, delete and of a start's sweep: what was answered
holds, every tag is whole, the next start works and leaves nothing over.

EASEL_CRASH_ROUNDS=5000 makes it long, EASEL_CRASH_SECONDS bounds it (120), EASEL_CRASH_SEED
repeats the choices of one run, as far as the machine's timing lets it.
"""
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import PATIENCE, SOURCE, Server, alive, binary, wait_for

ROUNDS = int(os.environ.get("EASEL_CRASH_ROUNDS", "500"))
SECONDS = float(os.environ.get("EASEL_CRASH_SECONDS", "120" if ROUNDS <= 500 else "1e9"))
WORLDS = 3                      # side by side: a server mostly waits for its death
SEED = os.environ.get("EASEL_CRASH_SEED", str(random.randrange(1 << 30)))

MODEL = os.path.join(SOURCE, "tests", "data", "goldens", "models", "klein-b")
VARIANTS = ({}, {"quantize": "int8"}, {"quantize": "mxfp8"}, {"parameters": {"steps": 3}})
NAMES = ("a", "b", "x/c:1", "host.example/y/d:2")
DIGEST = re.compile(r"sha256-[0-9a-f]{64}")
TREES = ("manifests", "manifests-v2")
# Only imports need the real runner: asking it for devices would take longer than all else.
RUNNER = "#!/bin/sh\n[ \"$1\" = --import ] && exec '{}' \"$@\"\nexit 1\n"


class Broken(AssertionError):
    """The store is not what it must be."""


def require(holds, *what):
    if not holds:
        raise Broken(" ".join(map(str, what)))


def parts(name):
    """A name as its four folders."""
    rest, _, tag = name.partition(":")
    path = rest.split("/")
    return [*["registry.ollama.ai", "library"][:3 - len(path)], *path, tag or "latest"]


class Store:
    """A store read without any of our code. What it finds wrong raises Broken."""

    def __init__(self, root):
        self.root, self.hashed = root, {}

    def blob(self, name):
        return os.path.join(self.root, "blobs", name.replace(":", "-"))

    def hash(self, path):
        """Of a file that has not changed since it was asked for last: from memory."""
        st = os.lstat(path)
        key = path, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns
        if key not in self.hashed:
            with open(path, "rb") as file:
                self.hashed[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self.hashed[key]

    def tag_paths(self, name):
        host, *rest = parts(name)
        public = "ollama.com" if host == "registry.ollama.ai" else host
        return os.path.join(self.root, "manifests-v2", public, *rest), os.path.join(self.root, "manifests", host, *rest)

    def read(self, name):
        """The bytes of a tag, None when there is none: of its link, which is written first."""
        found = [path for path in self.tag_paths(name) if os.path.lexists(path)]
        for path in found:
            with open(path, "rb") as file:
                data = file.read()
            require(data.endswith(b"\n") and json.loads(data)["schemaVersion"] == 2, path, data[:80])
            if os.path.islink(path):
                require(os.path.basename(os.path.realpath(path))[7:] == hashlib.sha256(data).hexdigest(), path)
        if not found:
            return None
        with open(found[0], "rb") as file:
            return file.read()

    def check_tag(self, name):
        """None, or the digest of a tag all of whose blobs are whole; and those."""
        data = self.read(name)
        if data is None:
            return None, set()
        manifest = json.loads(data)
        used = {"sha256-" + hashlib.sha256(data).hexdigest()}
        for layer in [manifest["config"], *manifest["layers"]]:
            path = self.blob(layer["digest"])
            require(os.path.exists(path), name, layer, "is missing")
            require(os.path.getsize(path) == layer["size"], path, layer)
            require(self.hash(path) == layer["digest"][7:], path)
            used.add(os.path.basename(path))
        return hashlib.sha256(data).hexdigest(), used

    def tags(self):
        """Files and folders below both trees."""
        for tree in TREES:
            for folder, _, files in os.walk(os.path.join(self.root, tree)):
                yield folder, files

    def check_names(self):
        """Whatever is called by a digest is what that says: temporaries have other names."""
        for name in os.listdir(os.path.join(self.root, "blobs")):
            if DIGEST.fullmatch(name):
                require(self.hash(self.blob(name)) == name[7:], name)

    def check_record(self):
        """No blob is on record for what it is not."""
        path = os.path.join(self.root, ".easel-verified")
        if not os.path.exists(path):
            return
        with open(path, encoding="ascii") as file:
            for line in file:
                fields = line.split()
                blob = self.blob("sha256-" + fields[0])
                if len(fields) == 5 and os.path.exists(blob):
                    st = os.lstat(blob)
                    if [str(value) for value in (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)] == fields[1:]:
                        require(self.hash(blob) == fields[0], line)

    def age(self, used):
        """What nothing uses becomes two hours old, so that the next start sweeps it."""
        old = time.time() - 7200
        for name in os.listdir(os.path.join(self.root, "blobs")):
            if name not in used:
                os.utime(self.blob(name), (old, old))
        for folder, files in self.tags():
            for name in files:
                if name.startswith("."):
                    os.utime(os.path.join(folder, name), (old, old), follow_symlinks=False)

    def check_swept(self, used):
        require(set(os.listdir(os.path.join(self.root, "blobs"))) == used, "blobs left over:",
                set(os.listdir(os.path.join(self.root, "blobs"))) ^ used)
        for folder, files in self.tags():
            require(not [name for name in files if name.startswith(".")], folder, files)
            require(files or os.listdir(folder) or os.path.basename(folder) in TREES, folder, "is empty")


class Client(threading.Thread):
    """Asks for one thing after the other until the server dies."""

    def __init__(self, world, seed, steps):
        super().__init__(daemon=True)
        self.world, self.chance, self.steps = world, random.Random(seed), steps
        self.failure = None

    def run(self):
        try:
            while self.steps(self.chance):
                pass
        except (AssertionError, OSError, http.client.HTTPException) as error:
            if isinstance(error, Broken) or self.world.server.process.poll() is None and not self.world.dying:
                self.failure = error


class World:
    """A server that is killed again and again, its store, and what may be in that."""

    def __init__(self, seed):
        where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None      # nothing to sync, so more rounds
        self.folder = tempfile.mkdtemp(prefix="easel-crash-", dir=where)
        self.chance = random.Random(seed)
        runner = os.path.join(self.folder, "runner")
        with open(runner, "w", encoding="utf-8") as file:
            file.write(RUNNER.format(binary("runner", "easel-runner")))
        os.chmod(runner, 0o755)
        self.server = Server(os.path.join(self.folder, "store"), {"EASEL_RUNNER": runner})
        self.store = Store(self.server.store)
        self.dying, self.lock = False, threading.Lock()
        # What each name may be: digests, None for absent. One of it once it was looked at.
        self.may = {name: {None} for name in NAMES}
        self.counts = {}

    def close(self):
        self.server.close()
        shutil.rmtree(self.folder, True)

    # ---- what is asked of the server ----

    def learn_digests(self):
        """What each variant becomes is the same every time."""
        self.digests = []
        for variant in VARIANTS:
            self.server.create("a", MODEL, **variant)
            self.digests.append(self.store.check_tag("a")[0])
        require(len(set(self.digests)) == len(VARIANTS), self.digests)
        self.may["a"] = {self.digests[-1]}

    def ask(self, method, path, body, promised, name):
        """Both are possible until the answer is there."""
        with self.lock:
            self.may[name] |= promised
        answer = self.server.request(method, path, body)
        if answer.status == 200 and not (answer.body and b'"error"' in answer.body):
            with self.lock:
                self.may[name] = set(promised)
        return answer

    def create(self, chance):
        name, variant = chance.choice(NAMES[:2]), chance.randrange(len(VARIANTS))
        answer = self.ask("POST", "/api/create", {"model": name, "from": MODEL, "stream": False, **VARIANTS[variant]},
                          {self.digests[variant]}, name)
        # A helper that was killed is said so.
        require(answer.status in (200, 500), answer.status, answer.body)
        return True

    def copy_or_delete(self, chance):
        """Of and to names that no create changes meanwhile, but from those that one does."""
        name = chance.choice(NAMES[2:])
        if chance.random() < 0.4:
            answer = self.ask("DELETE", "/api/delete", {"model": name}, {None}, name)
        else:
            source = chance.choice(NAMES)
            with self.lock:
                promised = {digest for digest in self.may[source] if digest} | \
                           (set(self.digests) if source in NAMES[:2] else set())
            answer = self.ask("POST", "/api/copy", {"source": source, "destination": name}, promised, name)
        require(answer.status in (200, 404), answer.status, answer.body)
        return True

    # ---- killing ----

    def helpers(self):
        with open(f"/proc/{self.server.process.pid}/task/{self.server.process.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def kill_gateway(self):
        self.server.process.kill()
        self.server.process.wait()

    def kill(self, victim):
        helpers = self.helpers()
        if victim != "gateway":
            for pid in helpers:
                os.kill(pid, signal.SIGKILL)
        if victim != "helper":
            self.dying = True
            self.kill_gateway()
        return helpers

    def during_requests(self, chance):
        self.dying = False
        clients = [Client(self, chance.random(), steps) for steps in (self.create, self.copy_or_delete)]
        for client in clients:
            client.start()
        victim = chance.choice(("gateway", "gateway", "both", "both", "helper"))
        time.sleep(chance.random() * 0.08)              # the random point, not a wait for something
        helpers = self.kill(victim)
        if victim == "helper":                          # the server goes on, and dies later
            time.sleep(chance.random() * 0.03)
            helpers += self.kill("gateway")
        for client in clients:
            client.join(PATIENCE)
            require(not client.is_alive(), "a request never ended")
            if client.failure:
                raise client.failure
        wait_for("the helper to end", lambda: not any(alive(pid) for pid in helpers))
        return victim

    def during_start(self, chance):
        """Mostly while it sweeps: there is something to sweep."""
        with open(os.devnull, "wb") as log:
            process = subprocess.Popen([self.server.binary], stdout=log, stderr=log,
                                       env={"EASEL_HOST": "127.0.0.1:0", **self.server.environment()})
        time.sleep(chance.random() * 0.03)
        process.kill()
        process.wait()
        return "start"

    # ---- what must hold ----

    def check(self):
        """All blobs in use."""
        used = set()
        for name in NAMES:
            digest, blobs = self.store.check_tag(name)
            require(digest in self.may[name], name, "is", digest, "of", self.may[name])
            self.may[name] = {digest}
            used |= blobs
        self.store.check_names()
        self.store.check_record()
        return used

    def start(self):
        used = self.check()
        self.store.age(used)
        self.server.start()
        self.store.check_swept(used)
        require(self.check() == used)
        listed = {model["name"] for model in self.server.get("/api/tags").json["models"]}
        require(listed == {name if ":" in name else name + ":latest" for name in NAMES if self.may[name] != {None}},
                listed, self.may)

    def one_round(self):
        kinds = [self.during_requests(self.chance)]
        while self.chance.random() < 0.5:
            self.store.age(self.check())
            kinds.append(self.during_start(self.chance))
        self.start()
        for kind in kinds:
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def run(self, rounds, end):
        self.learn_digests()
        while sum(self.counts.values()) < rounds and time.monotonic() < end:
            self.one_round()
        done = self.server.cli("verify")
        require(done.returncode == 0, done.stderr)


class Crash(unittest.TestCase):
    def run_world(self, number, failures, counts):
        world = World(f"{SEED}.{number}")
        try:
            world.run(ROUNDS / WORLDS, self.end)
        except Exception as error:                      # of a thread: told by the test
            failures.append(f"seed {SEED}, world {number}, {world.counts}: {error!r}\n{world.server.log()[-3000:]}")
        finally:
            world.close()
            for kind, n in world.counts.items():
                counts[kind] = counts.get(kind, 0) + n

    def test_kill_at_random_points(self):
        print(f"seed {SEED}", flush=True)
        self.end = time.monotonic() + SECONDS
        failures, counts = [], {}
        threads = [threading.Thread(target=self.run_world, args=(i, failures, counts)) for i in range(WORLDS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{sum(counts.values())} rounds: {counts}")
        self.assertEqual(failures, [])
        self.assertGreater(sum(counts.values()), 20)


if __name__ == "__main__":
    unittest.main()
