"""easel run as a session: typed on a terminal, against a scripted server."""
import base64
import os
import re
import signal
import subprocess
import threading
import unittest

import cli
from cli import DONE, EASEL, PNG, SHOW, step
from fake_server import Answer, Stream
from terminal import Terminal

HINT = ">>> \x1b[38;5;245mDescribe an image to generate (/help for commands)\x1b[50D\x1b[0m"
LOADED = Answer({"model": "m", "done": True, "done_reason": "load"})
UP, DOWN, LEFT, RIGHT = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C"


class Session(cli.Cli):
    def begin(self, *answers, args=(), show=None, env=None, load=LOADED, **options):
        """A session behind its loading; answers are those to the pictures."""
        self.server = self.serve({"POST /api/show": Answer({**SHOW, **(show or {})}),
                                  "POST /api/generate": [load, *answers]})
        env = self.environment(self.server, {"HOME": os.path.join(self.folder, "home"), "EASEL_GRAPHICS": "none",
                                             **(env or {})})
        os.makedirs(env["HOME"], exist_ok=True)
        terminal = Terminal([EASEL, "run", "m", *args], cwd=self.folder, env=env, **options)
        self.addCleanup(terminal.close)
        return terminal

    def prompted(self, *answers, **options):
        terminal = self.begin(*answers, **options)
        terminal.expect(HINT)
        return terminal

    def drawings(self):
        """The bodies of the requests for pictures."""
        return [body for request, body in self.server.requests if request == "POST /api/generate"][1:]

    def prompts(self):
        return [body["prompt"] for body in self.drawings()]

    def history(self):
        return self.read("home/.ollama/history").decode()

    def leave(self, terminal):
        terminal.send("/bye\r")
        self.assertEqual(terminal.wait()[0], 0)
        self.assertTrue(terminal.restored())

    def saved(self, terminal):
        text = terminal.expect(re.compile(rb"Image saved to: [^\n]+\n\n"))
        terminal.expect(HINT)
        return text


class Basics(Session):
    def test_a_picture(self):
        terminal = self.begin(Stream(step(0), step(4), 0.3, DONE), args=("--keepalive", "10m", "--width", "512"))
        self.assertIn("⠋".encode(), terminal.expect(HINT))
        terminal.send("a cat\r")
        output = self.saved(terminal)
        self.assertIn("Generating  44% ▕████     ▏ 4/9".encode(), output)
        name = re.search(rb"Image saved to: (a-cat-\d{8}-\d{6}[.]png)\n\n$", output).group(1).decode()
        self.assertEqual(self.read(name), PNG)
        self.leave(terminal)
        self.assertEqual([body for _, body in self.server.requests[2:]], [
            {"model": "m", "prompt": "", "keep_alive": "10m0s"},
            {"model": "m", "prompt": "a cat", "width": 512, "keep_alive": "10m0s"}])

    def test_ends(self):
        for keys in ("/bye\r", "  /bye now \r", "\x04", "x\x08\x04"):
            with self.subTest(keys):
                terminal = self.prompted()
                terminal.send(keys)
                status, output = terminal.wait()
                self.assertEqual(status, 0)
                self.assertTrue(output.endswith(b"\r\n\x1b[?2004l"), output)
                self.assertTrue(terminal.restored())

    def test_terminal_that_goes_away(self):
        terminal = self.prompted()
        terminal.hang_up()
        self.assertIn(terminal.process.wait(30), (0, -signal.SIGHUP))

    def test_model_that_does_not_load(self):
        for load, error in ((Answer({"error": "no memory"}, 500), b"500 Internal Server Error: no memory"),
                            (Stream({"error": "the runner ended"}), b"the runner ended")):
            terminal = self.begin(load=load)
            status, output = terminal.wait()
            self.assertEqual(status, 1)
            self.assertTrue(output.endswith(b"Error: failed to load model: " + error + b"\n"), output)
            self.assertTrue(terminal.restored())

    def test_interrupted_while_loading(self):
        asked, gone = threading.Event(), threading.Event()
        terminal = self.begin(load=lambda body: asked.set() or Stream(gone))
        self.assertTrue(asked.wait(30))
        terminal.send("\x03")
        self.assertEqual(terminal.wait()[0], -signal.SIGINT)
        self.assertTrue(gone.wait(10) and terminal.restored())

    def test_answers_to_a_pipe_need_a_prompt(self):
        terminal = self.begin(stdout=subprocess.DEVNULL)
        self.assertEqual(terminal.wait(), (1, b"Error: image generation models require a prompt. "
                                              b'Usage: easel run z-image "your prompt here"\n'))

    def test_pictures_and_answers_go_where_they_belong(self):
        """Prompt and results on stdout, everything else on stderr."""
        with open(os.path.join(self.folder, "stderr"), "w+b") as errors:
            terminal = self.prompted(Stream(step(1), DONE), Answer({"error": "no"}, 500), stderr=errors)
            terminal.send("/help\r/show\r/foo\r/set steps 3\ra\rb\r")
            self.saved(terminal)
            self.leave(terminal)
            errors.seek(0)
            text = errors.read().decode()
        self.assertTrue(text.startswith("Commands:\n  /set width <n>     Set image width\n"), text)
        for part in ("\nCurrent settings:\n", "\nUnknown command: /foo (try /help)\nSet steps to 3\n",
                     "Generating: step 1/9\n"):
            self.assertIn(part, text)
        self.assertTrue(text.endswith("Error: 500 Internal Server Error: no\n"), text)

    def test_dumb_terminal(self):
        terminal = self.begin(Stream(DONE), Stream(threading.Event()), env={"TERM": "dumb"})
        terminal.expect(">>> ")
        terminal.send("a cät\n")
        terminal.expect("Image saved to: ")
        terminal.expect(">>> ")
        terminal.send("\x03")
        terminal.expect("Use Ctrl + d or /bye to exit.\n>>> ")
        terminal.send("\x04")
        status, _ = terminal.wait()
        self.assertEqual((status, self.prompts()), (0, ["a cät"]))
        self.assertNotIn(b"\x1b", terminal.output)


class Commands(Session):
    def answers(self, *lines, **options):
        """What is shown after each line."""
        terminal = self.prompted(**options)
        shown = []
        for line in lines:
            terminal.send(line + "\r")
            text = terminal.expect(HINT).decode()
            shown.append(re.sub(r"\A.*\x1b\[\?2004l|\x1b\[\?2004h.*\Z", "", text, flags=re.S))
        self.leave(terminal)
        return shown

    def test_help(self):
        text = ("Commands:\n"
                "  /set width <n>     Set image width\n"
                "  /set height <n>    Set image height\n"
                "  /set steps <n>     Set denoising steps\n"
                "  /set seed <n>      Set random seed\n"
                "  /set negative <s>  Set negative prompt\n"
                "  /set guidance <x>  Set guidance scale\n"
                "  /set step-cache <how>  Set how steps reuse work\n"
                "  /set strength <x>  Set how much an image changes\n"
                "  /show              Show current settings\n"
                "  /bye               Exit\n\n"
                "Or type a prompt to generate an image.\n\n")
        self.assertEqual(self.answers("/help", "/?", " /helpme"), [text] * 3)

    def test_set(self):
        cases = {
            "/set width 512": "Set width to 512", "/set W 256": "Set width to 256",
            "/set height 64": "Set height to 64", "/set h 0": "Error: height must be a positive integer",
            "/set width -1": "Error: width must be a positive integer",
            "/set width 1e3": "Error: width must be a positive integer",
            "/set width 99999999999999999999": "Error: width must be a positive integer",
            "/set s 20": "Set steps to 20", "/set steps 0": "Set steps to 0",
            "/set steps many": "Error: steps must be a positive integer",
            "/set seed -7": "Set seed to -7", "/set seed 1.5": "Error: seed must be an integer",
            "/set neg  bad  stuff ": "Set negative prompt to: bad  stuff", "/set n x": "Set negative prompt to: x",
            "/set negative": "Cleared negative prompt",
            "/set strength 0.6": "Set strength to 0.6", "/set strength 1.1": "Error: strength must be a number "
            "from 0 to 1", "/set strength nan": "Error: strength must be a number from 0 to 1",
            "/set strength": "Cleared strength",
            "/set g 3.5": "Set guidance to 3.5", "/set guidance -1": "Error: guidance must be a number from 0 to 100",
            "/set step_cache teacache:0.2": "Set step_cache to: teacache:0.2", "/set step_cache": "Cleared step_cache",
            "/set step-cache on": "Error: step_cache must be off, teacache or reference, also with a threshold as in "
            "teacache:0.2",
            "/set foo 1": "Error: unknown option: foo (try /help)", "/set width": "Error: usage: /set <option> <value>",
            "/set foo": "Error: usage: /set <option> <value>", "/set": "Unknown command: /set (try /help)",
            "/settle down": "Unknown command: /settle (try /help)", "/foo bar": "Unknown command: /foo (try /help)",
        }
        for (line, text), shown in zip(cases.items(), self.answers(*cases)):
            self.assertEqual(shown, text + "\n", line)

    def test_show(self):
        shown = self.answers("/show", "/set negative bad stuff", "/set steps 5", "/set strength .25", "/showall")
        self.assertEqual(shown[0], "Current settings:\n  width:    1024\n  height:   1024\n  steps:    0\n"
                                   "  seed:     0 (0=random)\n\n")
        self.assertEqual(shown[4], "Current settings:\n  width:    1024\n  height:   1024\n  steps:    5\n"
                                   "  seed:     0 (0=random)\n  negative: bad stuff\n  strength: 0.25\n\n")
        shown = self.answers("/show", args=("--height", "64", "--seed", "3"), show={
            "parameters": "steps                          9\nwidth                          128"})
        self.assertEqual(shown, ["Current settings:\n  width:    128\n  height:   64\n  steps:    0\n"
                                 "  seed:     3 (0=random)\n\n"])

    def test_settings_are_sent(self):
        terminal = self.prompted(Stream(DONE), Stream(DONE))
        terminal.send("/set width 512\r/set seed 7\r/set neg blur\r/set strength 0.5\r/set guidance 2\r"
                      "/set step_cache reference\ra\r")
        self.saved(terminal)
        terminal.send("/set seed 0\r/set negative\r/set strength\r/set guidance\r/set step_cache\r"
                      "/set steps 2\rb\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.drawings(), [
            {"model": "m", "prompt": "a", "width": 512, "options": {"seed": 7, "step_cache": "reference"},
             "negative": "blur", "strength": 0.5, "guidance": 2.0},
            {"model": "m", "prompt": "b", "width": 512, "steps": 2}])


class Drawing(Session):
    def test_cancel(self):
        gone = threading.Event()
        terminal = self.prompted(Stream(step(0), step(2), gone), Stream(DONE))
        terminal.send("a cat\r")
        terminal.expect("2/9")
        terminal.send("\x03")
        output = terminal.expect(HINT)
        self.assertNotIn(b"Error", output)
        self.assertNotIn(b"^C", output)
        self.assertIn(b"\x1b[2K\x1b[1G\x1b[?25h", output)
        self.assertTrue(gone.wait(10), "the connection is closed")
        terminal.send("a dog\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["a cat", "a dog"])

    def test_terminated(self):
        gone = threading.Event()
        terminal = self.prompted(Stream(step(2), gone))
        terminal.send("a cat\r")
        terminal.expect("2/9")
        terminal.process.terminate()
        self.assertEqual(terminal.wait()[0], -signal.SIGTERM)
        self.assertTrue(gone.wait(10) and terminal.restored())
        terminal = self.prompted()
        terminal.process.terminate()
        self.assertEqual(terminal.wait()[0], -signal.SIGTERM)
        self.assertTrue(terminal.restored())

    def test_failures_go_on(self):
        terminal = self.prompted(
            Answer({"error": "too large"}, 400), Stream(step(0), {"error": "the runner ended"}), Stream(step(1)),
            Stream({**DONE, "image": "!!!"}), Stream(DONE), Stream(DONE), args=("-o", "out"))
        for line, error in (("a", "Error: 400 Bad Request: too large"), ("b", "Error: the runner ended"),
                            ("c", "Error: image generation completed but no image was returned"),
                            ("d", "Error decoding image: illegal base64 data at input byte 0")):
            terminal.send(line + "\r")
            self.assertIn(error.encode() + b"\n", terminal.expect(HINT))
        os.mkdir(os.path.join(self.folder, "out"))
        os.chmod(os.path.join(self.folder, "out"), 0o500)
        if os.geteuid():
            terminal.send("e\r")
            self.assertRegex(terminal.expect(HINT), rb"Error saving image: [^\n]+Permission denied\n")
        os.chmod(os.path.join(self.folder, "out"), 0o700)
        terminal.send("f\r")
        self.saved(terminal)
        self.leave(terminal)

    def test_typed_ahead(self):
        """What is typed while a picture is drawn is the next line, and not echoed."""
        terminal = self.prompted(Stream(step(2), 0.4, DONE), Stream(DONE))
        terminal.send("one\r")
        terminal.expect("2/9")
        terminal.send("two\r")
        output = terminal.expect("Image saved to: ")
        self.assertNotIn(b"two", output)
        terminal.expect("Image saved to: ")
        terminal.expect(HINT)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["one", "two"])

    def test_output_to_the_terminal_is_refused(self):
        terminal = self.begin(args=("-o", "-"))
        status, output = terminal.wait()
        self.assertEqual((status, output), (1, b"Error: failed to save image: standard output is a terminal\n"))

    def picture(self, name, data=PNG):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_dropped_files(self):
        first = self.picture("my pictures/a (1).png", PNG + b"1")
        second = self.picture("b.webp", b"RIFF\0\0\0\0WEBPVP8 " + b"2")
        flag = self.picture("flag.jpg", b"\xff\xd8\xff\xe0 3")
        terminal = self.prompted(Stream(DONE), Stream(DONE), Stream(DONE), args=("--image", "flag.jpg"))
        escaped = first.replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)")
        terminal.send(f"{escaped} make it blue '{second}' \r")
        output = self.saved(terminal).decode()
        self.assertIn(f"Added image '{first}'\nAdded image '{second}'\n", output)
        self.assertIn("Image saved to: make-it-blue-", output)
        terminal.send("/nowhere/x.png stays\r")
        self.saved(terminal)
        terminal.send("plain\r")
        self.saved(terminal)
        images = [base64.b64encode(self.read(name)).decode() for name in (flag, first, second)]
        self.assertEqual(self.drawings(), [
            {"model": "m", "prompt": "make it blue", "images": images},
            {"model": "m", "prompt": "/nowhere/x.png stays", "images": images[:1]},
            {"model": "m", "prompt": "plain", "images": images[:1]}])
        self.picture("text.png", b"no picture")
        terminal.send("./text.png blue\r")
        self.assertIn(b"Error: invalid image type: text/plain; charset=utf-8\n", terminal.expect(HINT))
        terminal.send("./b.webp\r")
        self.assertIn(b"Error: say what to make of the image\n", terminal.expect(HINT))
        self.leave(terminal)


class Editing(Session):
    def typed(self, *keys, columns=80, **options):
        """The prompt that the keys make."""
        terminal = self.prompted(Stream(DONE), columns=columns, **options)
        terminal.send("".join(keys) + "\r")
        self.saved(terminal)
        self.leave(terminal)
        return self.prompts()[0]

    def test_keys(self):
        self.assertEqual(self.typed("bd", LEFT, "c", "\x01", "a", "\x05", "e"), "abcde")

    def test_paste_keeps_new_lines(self):
        self.assertEqual(self.typed("\x1b[200~a cat\r\non a mat\rat\x1b[201~\nhome"),
                         "a cat\non a mat\nat\nhome")
        self.assertEqual(self.history(), "a cat on a mat at home\n/bye\n")

    def test_interrupt_drops_the_line(self):
        terminal = self.prompted(Stream(DONE))
        terminal.send("half a li\x03")
        terminal.expect(">>> half a li\r")
        terminal.expect(re.compile(rb"\r\n\x1b\[\?2004lUse Ctrl \+ d or /bye to exit[.]\n"))
        terminal.expect(HINT)
        terminal.process.send_signal(signal.SIGINT)
        terminal.expect("Use Ctrl + d or /bye to exit.\n")
        terminal.expect(HINT)
        terminal.send("whole\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["whole"])
        self.assertEqual(self.history(), "whole\n/bye\n")

    def test_wide_characters(self):
        terminal = self.prompted(Stream(DONE))
        terminal.send("猫é" + LEFT + LEFT + "b")
        terminal.expect(">>> b猫é\r\x1b[5C")
        terminal.send("\x06")
        terminal.expect(">>> b猫é\r\x1b[7C")
        terminal.send("\x08\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["bé"])

    def test_long_lines_break(self):
        terminal = self.prompted(Stream(DONE), columns=60)
        terminal.send("x" * 70)
        terminal.expect(">>> " + "x" * 56 + "\r\n" + "x" * 14 + "\r\x1b[14C")
        terminal.send("\x01")
        terminal.expect("\x1b[1A\r\x1b[4C")
        terminal.send("\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["x" * 70])

    def test_no_color(self):
        terminal = self.begin(Stream(DONE), env={"NO_COLOR": "1"})
        terminal.expect(">>> Describe an image to generate (/help for commands)\x1b[50D")
        terminal.send("a cat\r")
        terminal.expect("Image saved to: ")
        self.leave(terminal)
        self.assertNotRegex(terminal.output, rb"\x1b\[[0-9;]*m")

    def test_narrow_terminals_get_no_hint(self):
        terminal = self.begin(columns=54)
        terminal.expect(re.compile(rb"\x1b\[J>>> $"))
        self.leave(terminal)
        self.assertNotIn(b"Describe", terminal.output)

    def test_suspend(self):
        """Outside of a shell nothing stops; the line stays."""
        terminal = self.prompted(Stream(DONE))
        terminal.send("a c\x1aat\x0c\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["a cat"])
        self.assertIn(b"\x1b[H\x1b[2J", terminal.output)


class History(Session):
    def test_recall_and_file(self):
        self.write("home/.ollama/history", "".join(f"line {i}\n" for i in range(120)))
        terminal = self.prompted(Stream(DONE), Stream(DONE), Stream(DONE))
        terminal.send("draft" + UP + UP + UP + DOWN + "!\r")
        self.saved(terminal)
        terminal.send("new\r")
        self.saved(terminal)
        terminal.send("kept" + UP + UP + "\x0e\x0e\r")
        self.saved(terminal)
        terminal.send("   \r")
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["line 118!", "new", "kept"])
        lines = [f"line {i}" for i in range(24, 120)] + ["line 118!", "new", "kept", "/bye"]
        self.assertEqual(self.history(), "\n".join(lines) + "\n")
        self.assertEqual(os.listdir(os.path.join(self.folder, "home/.ollama")), ["history"])
        self.assertEqual(os.stat(os.path.join(self.folder, "home/.ollama/history")).st_mode & 0o777, 0o600)

    def test_all_lines_can_be_reached_and_no_further(self):
        self.write("home/.ollama/history", "first\nsecond\n")
        terminal = self.prompted(Stream(DONE))
        terminal.send(UP * 5 + "\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["first"])

    def test_not_written(self):
        for name in ("EASEL_NOHISTORY", "OLLAMA_NOHISTORY"):
            self.write("home/.ollama/history", "old\n")
            terminal = self.prompted(Stream(DONE), env={name: "1"})
            terminal.send(UP + "er\r")
            self.saved(terminal)
            self.leave(terminal)
            self.assertEqual((self.prompts(), self.history()), (["older"], "old\n"))

    def test_damaged_file(self):
        """Control characters in the file do not reach the terminal; a folder is no file."""
        self.write("home/.ollama/history", "a\x1b]0;title\x07\x9bb\n")
        terminal = self.prompted(Stream(DONE))
        terminal.send(UP + "\r")
        self.saved(terminal)
        self.leave(terminal)
        self.assertEqual(self.prompts(), ["a]0;titleb"])
        os.remove(os.path.join(self.folder, "home/.ollama/history"))
        os.mkdir(os.path.join(self.folder, "home/.ollama/history"))
        terminal = self.prompted()
        terminal.send("/foo\r")
        self.assertIn(b"Warning: cannot write the history: ", terminal.expect("Unknown command: /foo"))
        terminal.expect(HINT)
        terminal.send("/foo\r")
        self.assertNotIn(b"Warning", terminal.expect("Unknown command: /foo"))
        self.leave(terminal)


if __name__ == "__main__":
    unittest.main()
