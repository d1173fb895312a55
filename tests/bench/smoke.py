#!/usr/bin/env python3
"""The benches run and print what scripts read: on toy shapes, with the demo model. What
they measure is nobody's business here. Environment: EASEL_BUILD, EASEL_SOURCE.
"""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import DEMO, Server, binary  # noqa: E402

SECONDS = 120


def bench(*args, env=None):
    return subprocess.run([binary("runner", "easel-runner"), "--bench", *args], capture_output=True, text=True,
                          timeout=SECONDS, env={**os.environ, "LP_NUM_THREADS": "0", **(env or {})}, check=False)


class Ops(unittest.TestCase):
    def rows(self, *args):
        done = bench("--tiny", "--json", "--rounds", "2", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["rounds"], 2)
        return answer["rows"]

    def test_every_row_has_a_time_and_a_rate(self):
        rows = self.rows()
        names = {row["name"] for row in rows}
        for start in ("multiply-add", "memory read", "linear 8x32x64 BF16", "linear 8x32x64 F16", "attention",
                      "conv3x3", "group norm", "rms norm", "rope", "add", "swiglu"):
            self.assertTrue(any(name.startswith(start) for name in names), start)
        for row in rows:
            self.assertEqual(len(row["seconds"]), 2, row)
            self.assertGreater(row["ms"], 0, row)
            self.assertTrue("gflops" in row or "gbytes" in row, row)
        memory = [row for row in rows if row.get("of") == "memory read"]
        self.assertTrue(memory)
        self.assertTrue(all(row["part"] > 0 for row in memory))

    def test_filter_and_variants(self):
        rows = self.rows("rms norm", "--kernels", "default,shuffle")
        self.assertEqual([(row["name"], row["kernels"]) for row in rows if row["group"] == "op"],
                         [("rms norm 8x64 BF16", "default"), ("rms norm 8x64 BF16", "shuffle")])

    def test_table(self):
        done = bench("--tiny", "rope", "--rounds", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("rope 8x2x64", done.stdout)

    def test_wrong_arguments(self):
        for args, text in ((["--rounds", "0"], "--rounds must be a number"), (["--size", "3"], "--size must look"),
                           (["--what"], "unknown"), (["a", "b"], "one filter"), (["--kernels", ","], "needs a name")):
            done = bench(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(text, done.stderr)
        done = bench("no such op")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no op is called", done.stderr)
        done = bench("--tiny", "--openblas", "/nowhere.so")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere.so", done.stderr)


class Stages(unittest.TestCase):
    def test_demo_model(self):
        server = Server()
        self.addCleanup(server.close)
        server.create("demo", os.path.join(DEMO, "model"))
        env = {"EASEL_MODELS": server.store}
        done = bench("--model", "demo", "--size", "64x64", "--steps", "2", "--rounds", "2", "--json", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
        self.assertEqual(list(rows), ["load", "text encode", "first steps", "step", "decode"])
        for row in rows.values():
            self.assertEqual(len(row["seconds"]), 2)
            self.assertTrue(all(seconds > 0 for seconds in row["seconds"]), row)
        done = bench("--model", "missing", env=env)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not found", done.stderr)


if __name__ == "__main__":
    unittest.main()
