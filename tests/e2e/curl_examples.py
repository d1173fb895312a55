"""The examples of the reference's page on image generation, word for word, through bash:
only host, port and size are others, and the demo model is called z-image."""
import base64
import json
import os
import re
import shutil
import subprocess
import unittest

from harness import DEMO, EaselTest, PATIENCE, binary, read_file, read_png, wait_for

QUICK_START = 'ollama run z-image "a sunset over mountains"'

CLI_USAGE = """
# Generate an image
ollama run z-image "a cat playing piano"

# Check if model is running
ollama ps

# Stop the model
ollama stop z-image
"""

REQUEST = """
{
  "model": "z-image",
  "prompt": "a sunset over mountains",
  "size": "1024x1024",
  "response_format": "b64_json"
}
"""

CURL = """
curl http://localhost:11434/v1/images/generations \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "z-image",
    "prompt": "a white cat",
    "size": "1024x1024"
  }'
"""

SAVE_TO_FILE = """
curl -s http://localhost:11434/v1/images/generations \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "z-image",
    "prompt": "a white cat",
    "size": "1024x1024"
  }' | jq -r '.data[0].b64_json' | base64 -d > image.png
"""

STREAMING = """
curl http://localhost:11434/v1/images/generations \\
  -H "Content-Type: application/json" \\
  -d '{"model": "z-image", "prompt": "a sunset", "stream": true}'
"""

IMPORT = """
cd ./weights/Z-Image-Turbo
ollama create z-image
"""

IMPORT_FP8 = """
cd ./weights/Z-Image-Turbo
ollama create z-image-fp8 --quantize fp8
"""

SIDE = 64
STEPS = 3


@unittest.skipUnless(shutil.which("curl"), "curl is not installed")
class Examples(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create("z-image", os.path.join(DEMO, "model"),
                          parameters={"width": SIDE, "height": SIDE, "steps": STEPS})
        tools = os.path.join(cls.server.folder, "bin")
        os.mkdir(tools)
        os.symlink(binary("cli", "easel"), os.path.join(tools, "ollama"))
        shutil.copytree(os.path.join(DEMO, "model"), os.path.join(cls.server.folder, "weights", "Z-Image-Turbo"))
        cls.address = f"127.0.0.1:{cls.server.port}"
        cls.environment = {**cls.server.environment(), "OLLAMA_HOST": cls.address,
                           "PATH": tools + os.pathsep + os.environ["PATH"]}

    def bash(self, example):
        """What the example writes; every program of it must end well."""
        script = example.replace("localhost:11434", self.address).replace("1024x1024", f"{SIDE}x{SIDE}")
        result = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.server.folder,
                                env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def assert_picture(self, png):
        self.assertEqual(read_png(png)[:2], (SIDE, SIDE))

    def assert_answer(self, answer):
        self.assertGreater(answer["created"], 1704067200)
        (image,) = answer["data"]
        self.assert_picture(base64.b64decode(image["b64_json"]))

    def assert_saved(self, output):
        (name,) = re.findall(r"^Image saved to: (.+)$", output, re.MULTILINE)
        self.assert_picture(read_file(self.server.folder, name))

    def test_quick_start(self):
        self.assert_saved(self.bash(QUICK_START))

    def test_cli(self):
        output = self.bash(CLI_USAGE)
        self.assert_saved(output)
        self.assertRegex(output, r"(?m)^NAME .*\nz-image:latest ")
        wait_for("the model to be stopped", lambda: "z-image" not in self.bash("ollama ps"))

    def test_request(self):
        answer = self.bash(f"curl -s http://localhost:11434/v1/images/generations -d '{REQUEST}'")
        self.assert_answer(json.loads(answer))

    def test_curl(self):
        self.assert_answer(json.loads(self.bash(CURL)))

    @unittest.skipUnless(shutil.which("jq"), "jq is not installed")
    def test_save_to_file(self):
        self.assertEqual(self.bash(SAVE_TO_FILE), "")
        self.assert_picture(read_file(self.server.folder, "image.png"))

    def test_streaming(self):
        events = re.findall(r"event: (.+)\ndata: (.+)\n\n", self.bash(STREAMING))
        self.assertEqual([name for name, _ in events], ["progress"] * STEPS + ["done"])
        self.assertEqual([json.loads(data) for _, data in events[:-1]],
                         [{"step": step, "total": STEPS} for step in range(1, STEPS + 1)])
        self.assert_answer(json.loads(events[-1][1]))

    def test_import(self):
        """As the page has it, then drawn with: at 64x64, the demo's own size being larger."""
        for name, example in (("z-image", IMPORT), ("z-image-fp8", IMPORT_FP8)):
            self.addCleanup(self.server.create, "z-image", os.path.join(DEMO, "model"),
                            parameters={"width": SIDE, "height": SIDE, "steps": STEPS})
            self.bash(example)
            self.assertIn(f"{name}:latest", self.bash("ollama list"))
            self.assert_saved(self.bash(f'ollama run {name} "a red circle" --width {SIDE} --height {SIDE} --steps 2'))


if __name__ == "__main__":
    unittest.main()
