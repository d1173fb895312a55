"""Whole screens: what stands on terminals of several widths, on dumb ones and on those that
show pictures, while easel works and when it has ended."""
import os
import re
import signal
import threading
import time
import unittest

import cli
from cli import DIGEST, DONE, EASEL, PULL, SHOW, after, step
from fake_server import Answer, Stream, Wait
from harness import write_png
from terminal import Screen, Terminal

WIDTHS = (40, 80, 200)
HINT = "Describe an image to generate (/help for commands)"
SAVED = re.compile(rb"Image saved to: [^\n]+\n")


class Screens(cli.Cli):
    def begin(self, *args, columns=80, rows=24, env=None, case=None):
        self.server = self.serve({"POST /api/show": Answer(SHOW), **(case or {})})
        env = self.environment(self.server, {"HOME": self.folder, "EASEL_GRAPHICS": "none", **(env or {})})
        terminal = Terminal([EASEL, *args], rows=rows, columns=columns, cwd=self.folder, env=env)
        terminal.size = (rows, columns)
        self.addCleanup(terminal.close)
        return terminal

    def screen(self, terminal):
        return Screen(*terminal.size).feed(terminal.output)

    def shows(self, terminal, text):
        """Waits until exactly this stands on the screen."""
        deadline = time.monotonic() + terminal.patience
        while True:
            try:
                seen = self.screen(terminal).text()
            except AssertionError as error:     # half of something
                seen = str(error)
            if seen == text:
                return
            if time.monotonic() > deadline:
                self.assertEqual(seen, text)
            terminal.read(0.1)

    def ends(self, terminal, text, status=0):
        self.assertEqual(terminal.wait()[0], status)
        screen = self.screen(terminal)
        self.assertEqual((screen.text(), screen.cursor), (text, True))
        self.assertTrue(terminal.restored())


class Commands(Screens):
    def test_run(self):
        bars = {40: "Generating  44% ▕████     ▏ 4/9", 80: "Generating  44% ▕████     ▏ 4/9",
                200: "Generating  44% ▕████     ▏ 4/9", 24: " 44% ▕████     ▏ 4/9", 12: "4/9"}
        for columns, bar in bars.items():
            go = threading.Event()

            def lines(_):
                return Stream(step(0), step(4), Wait(go), DONE)
            terminal = self.begin("run", "m", "x", "-o", "a.png", columns=columns, case={"POST /api/generate": lines})
            self.shows(terminal, "\n" + bar)
            go.set()
            self.ends(terminal, "Image saved to: a.png" if columns > 20 else "Image saved\nto: a.png")

    def test_many_steps(self):
        for columns, width in zip(WIDTHS, (13, 53, 173)):
            go = threading.Event()
            terminal = self.begin("run", "m", "x", "-o", "a.png", columns=columns, case={
                "POST /api/generate": lambda _, go=go: Stream(step(0, 900), step(450, 900), Wait(go), DONE)})
            filled = width // 2
            self.shows(terminal, f"\nGenerating  50% ▕{'█' * filled}{' ' * (width - filled)}▏ 450/900")
            go.set()
            self.ends(terminal, "Image saved to: a.png")

    def test_pull(self):
        middle = {40: "pulling model  88% ▕███ ▏  790 B/ 897 B",
                  80: "pulling model:  88% ▕██████████████████████   ▏  790 B/ 897 B",
                  200: "pulling model:  88% ▕" + "█" * 127 + " " * 18 + "▏  790 B/ 897 B"}
        end = {40: "pulling model 100% ▕████▏  897 B", 80: "pulling model: 100% ▕" + "█" * 25 + "▏  897 B",
               200: "pulling model: 100% ▕" + "█" * 145 + "▏  897 B"}
        for columns in WIDTHS:
            go = threading.Event()
            terminal = self.begin("pull", "m", columns=columns, case={
                "POST /api/pull": lambda _, go=go: Stream(*PULL[:3], Wait(go), *PULL[3:])})
            self.shows(terminal, "pulling manifest\n" + middle[columns])
            go.set()
            self.ends(terminal, f"pulling manifest\n{end[columns]}\nwriting manifest\nsuccess")

    def test_more_lines_than_rows(self):
        """The last rows are redrawn, and the ones that do not fit are not."""
        self.write("model_index.json", "{}")
        statuses = [{"status": f"importing transformer/{i}"} for i in range(9)]
        terminal = self.begin("create", "m", rows=6, case={
            "POST /api/create": Stream(*statuses, {"status": "success"})})
        self.ends(terminal, "\n".join([*(f"importing transformer/{i}" for i in (6, 7, 8)), "success",
                                       "Created image generation model 'm'"]))

    def test_list(self):
        models = {"models": [{"name": "猫:latest", "digest": DIGEST, "size": 5, "modified_at": after(hours=-5)},
                             {"name": "z-image:latest", "digest": DIGEST, "size": 13999999999,
                              "modified_at": after(days=-3, minutes=-5)}]}
        terminal = self.begin("list", case={"GET /api/tags": Answer(models)})
        self.ends(terminal, "NAME              ID              SIZE     MODIFIED\n"
                            "猫:latest         16542dce28da    5 B      5 hours ago\n"
                            "z-image:latest    16542dce28da    13 GB    3 days ago")

    def test_interrupt(self):
        gone = threading.Event()
        terminal = self.begin("run", "m", "x", case={"POST /api/generate": Stream(step(0), step(4), gone)})
        self.shows(terminal, "\nGenerating  44% ▕████     ▏ 4/9")
        terminal.send("\x03")
        self.assertEqual(terminal.wait()[0], -signal.SIGINT)
        screen = self.screen(terminal)
        self.assertEqual((screen.text().replace("^C", ""), screen.cursor), ("", True))
        self.assertTrue(gone.wait(10))

    def test_dumb(self):
        for columns in WIDTHS:
            terminal = self.begin("run", "m", "x", "-o", "a.png", columns=columns,
                                  env={"TERM": "dumb", "EASEL_GRAPHICS": "auto", "KITTY_WINDOW_ID": "1"},
                                  case={"POST /api/generate": Stream(step(0), step(4), step(9), DONE)})
            self.ends(terminal, "Generating: step 4/9\nGenerating: step 9/9\nImage saved to: a.png")
            self.assertNotIn(b"\x1b", terminal.output)


class Sessions(Screens):
    CASE = {"POST /api/generate": [Answer({"model": "m", "done": True}), Stream(DONE), Stream(DONE)]}

    def session(self, **options):
        return self.begin("run", "m", "-o", "a.png", case={k: list(v) for k, v in self.CASE.items()}, **options)

    def test_a_session(self):
        for columns in WIDTHS:
            terminal = self.session(columns=columns)
            first = ">>> " + (HINT if columns > 54 else "")
            self.shows(terminal, first.rstrip())
            terminal.send("a cat")
            self.shows(terminal, ">>> a cat")
            terminal.send("\r")
            done = ">>> a cat\nImage saved to: a.png\n\n"
            self.shows(terminal, (done + first).rstrip())
            terminal.send("/set width 512\r")
            done += ">>> /set width 512\nSet width to 512\n"
            self.shows(terminal, (done + first).rstrip())
            terminal.send("/bye\r")
            self.ends(terminal, done + ">>> /bye")

    def test_long_lines(self):
        for columns in WIDTHS:
            terminal = self.session(columns=columns)
            self.shows(terminal, (">>> " + (HINT if columns > 54 else "")).rstrip())
            text = "".join(chr(ord("a") + i % 26) for i in range(columns + 30))
            terminal.send(text + "\x01>\x05<")
            line = ">>> >" + text + "<"
            wrapped = "\n".join(line[i:i + columns] for i in range(0, len(line), columns))
            self.shows(terminal, wrapped)
            terminal.send("\x15\x04")
            self.ends(terminal, ">>>")

    def test_wide_characters_at_the_edge(self):
        terminal = self.session(columns=41)
        self.shows(terminal, ">>>")
        terminal.send("猫" * 20)
        self.shows(terminal, ">>> " + "猫" * 18 + "\n" + "猫" * 2)
        terminal.send("\x15\x04")
        self.ends(terminal, ">>>")

    def test_paste(self):
        terminal = self.session()
        self.shows(terminal, ">>> " + HINT)
        terminal.send("\x1b[200~one\rtwo\x1b[201~")
        self.shows(terminal, ">>> one\n... two")
        terminal.send("\x15\x04")
        self.ends(terminal, ">>>")


class Pictures(Screens):
    """Terminals that are asked whether they show pictures."""
    ATTRIBUTES, KITTY, NAME = b"\x1b[c", b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", b"\x1b[>q"

    def asked(self, *answers, env=None):
        """Runs on a terminal that answers so; what it got besides the questions."""
        image = cli.base64.b64encode(write_png(30, 20)).decode()
        terminal = self.begin("run", "m", "x", "-o", "a.png", env={"EASEL_GRAPHICS": "", **(env or {})},
                              case={"POST /api/generate": Stream(0.2, {**DONE, "image": image})})
        questions = [self.ATTRIBUTES, self.KITTY + self.NAME + self.ATTRIBUTES]
        for question, answer in zip(questions, answers):
            terminal.expect(question.decode())
            terminal.send(answer)
        terminal.expect(SAVED)
        self.assertEqual(terminal.wait()[0], 0)
        self.assertTrue(terminal.restored())
        output = terminal.output
        for question in questions[len(answers):]:
            if answers or question != self.ATTRIBUTES:
                self.assertNotIn(question, output)
        for question in reversed(questions[:max(len(answers), 1)]):
            output = output.replace(question, b"", 1)
        return Screen(24, 80).feed(output)

    def test_silent(self):
        screen = self.asked()
        self.assertEqual((screen.text(), screen.strings), ("Image saved to: a.png", []))

    def test_old(self):
        """The Linux console and its kind would print the second question."""
        for answer in ("\x1b[?6c", "\x1b[?1;2c"):
            screen = self.asked(answer)
            self.assertEqual((screen.text(), screen.strings), ("Image saved to: a.png", []))

    def test_no_pictures(self):
        screen = self.asked("\x1b[?65;1;9c", "\x1bP>|VTE(7006)\x1b\\\x1b[?65;1;9c")
        self.assertEqual((screen.text(), screen.strings), ("Image saved to: a.png", []))

    def test_sixel(self):
        for answers in (("\x1b[?62;4;22c", "\x1bP>|foot(1.16)\x1b\\\x1b[?62;4;22c"), ("\x1b[?1;2;4c",)):
            screen = self.asked(*answers)
            self.assertEqual(len(screen.strings), 1)
            self.assertTrue(screen.strings[0].startswith('P0;1;0q"1;1;30;20#0;2;0;0;0'), screen.strings)
            self.assertEqual(screen.text(), "\nImage saved to: a.png")

    def test_kitty(self):
        screen = self.asked("\x1b[?62c", "\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.35)\x1b\\\x1b[?62c")
        self.assertTrue(screen.strings[0].startswith("_Ga=T,f=100,m=0;"), screen.strings)

    def test_iterm2(self):
        screen = self.asked("\x1b[?62;4c", "\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?62;4c")
        self.assertTrue(screen.strings[0].startswith("1337;File=inline=1;preserveAspectRatio=1:"), screen.strings)

    def test_multiplexers_hide_what_is_around_them(self):
        screen = self.asked("\x1b[?1;2c", env={"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x,1,0"})
        self.assertEqual((screen.text(), screen.strings), ("Image saved to: a.png", []))

    def test_chosen(self):
        image = cli.base64.b64encode(write_png(30, 20)).decode()
        for choice, start in (("sixel", "P0;1;0q"), ("kitty", "_Ga=T"), ("iterm2", "1337;")):
            terminal = self.begin("run", "m", "x", "-o", "a.png", env={"EASEL_GRAPHICS": choice},
                                  case={"POST /api/generate": Stream({**DONE, "image": image})})
            self.assertEqual(terminal.wait()[0], 0)
            self.assertTrue(self.screen(terminal).strings[0].startswith(start))

    def test_what_is_typed_is_not_taken_for_an_answer(self):
        asked, go = threading.Event(), threading.Event()

        def show(_):
            asked.set()
            go.wait(30)
            return Answer(SHOW)
        terminal = self.begin("run", "m", "x", "-o", "a.png", env={"EASEL_GRAPHICS": ""},
                              case={"POST /api/show": show, "POST /api/generate": Stream(DONE)})
        self.assertTrue(asked.wait(30))
        terminal.send("next command\n")
        # The terminal's own echo says that it has arrived.
        terminal.expect("next command")
        go.set()
        terminal.expect(SAVED)
        terminal.wait()
        self.assertNotIn(self.ATTRIBUTES, terminal.output)
        self.assertEqual(os.read(terminal.follower, 100), b"next command\n")


if __name__ == "__main__":
    unittest.main()
