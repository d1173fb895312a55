"""A model that goes to a registry (Debian's) and comes back to be drawn with: the real programs."""
import os
import shutil
import sys
import tempfile
import unittest

from harness import EaselTest, read_png

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gateway"))
import registry  # noqa: E402

if not registry.available():
    print("skipped: no docker-registry (Debian package of that name)")
    sys.exit(77)


class Moved(EaselTest):
    @classmethod
    def prepare(cls):
        cls.folder = tempfile.mkdtemp(prefix="easel-moved-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.registry = registry.Registry(cls.folder)
        cls.addClassCleanup(cls.registry.close)
        cls.server.create_demo()

    def done(self, *args, **options):
        result = self.server.cli(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def test_there_and_back(self):
        name = f"{self.registry.host}/library/demo"
        self.done("cp", "demo", name)
        before = set(self.server.blobs())
        pushed = self.done("push", "--insecure", name)
        self.assertEqual(pushed.stdout, f"\nYou can find your model at:\n\n\t{name}:latest\n")
        self.assertRegex(pushed.stderr, "^retrieving manifest\n(pushing model [0-9]+%\n)*pushing model 100%\nsuccess\n$")
        self.done("rm", "demo", name)
        self.assertEqual(set(self.server.blobs()) & before, set())
        path = os.path.join(self.folder, "cat.png")
        drawn = self.done("run", "--insecure", name, "a white cat", "--width", "64", "--height", "64", "--steps", "2",
                          "--seed", "1", "-o", path)
        self.assertRegex(drawn.stderr, "pulling model: 100%\nwriting manifest\nsuccess\n")
        with open(path, "rb") as file:
            self.assertEqual(read_png(file.read())[:2], (64, 64))
        self.assertLessEqual(before, set(self.server.blobs()))
        self.done("pull", "--insecure", name)


if __name__ == "__main__":
    unittest.main()
