"""What Tab offers in bash, zsh and fish, and that the manuals are well formed. A shell
that is not installed is skipped."""
import os
import re
import shutil
import subprocess
import unittest

import cli
from cli import DIGEST, EASEL
from fake_server import Answer
from harness import BUILD, binary
from terminal import Terminal

MODELS = {"models": [{"name": "z-image:latest", "digest": DIGEST}, {"name": "zebra:4b", "digest": DIGEST},
                     {"name": "x/klein:9b", "digest": DIGEST}, {"name": "$(touch pwned);`id`", "digest": DIGEST}]}


def script(shell):
    return binary("completions", {"bash": "easel", "zsh": "_easel", "fish": "easel.fish"}[shell])


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed")


class Shell(cli.Cli):
    def setUp(self):
        super().setUp()
        for name in ("a.png", "b c.PNG", "note.txt", "photos/x.webp", "photos/sub/y.jpg"):
            self.write(name)
        self.server = self.serve({"GET /api/tags": Answer(MODELS)})

    def shell_environment(self):
        env = self.environment(self.server, {"HOME": self.folder, "LC_ALL": "C.UTF-8"})
        return {**env, "PATH": os.path.dirname(EASEL) + os.pathsep + env["PATH"]}

    def shell(self, *command):
        result = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, stdin=subprocess.DEVNULL,
                                env=self.shell_environment(), timeout=60, check=False)
        self.assertEqual((result.stderr, result.returncode), ("", 0))
        return result.stdout.splitlines()


# What a user types, and what is offered for the last word; the same in every shell.
CASES = [
    ("easel ", ["cp", "create", "help", "list", "ps", "pull", "push", "rm", "run", "serve", "show", "stop", "verify"]),
    ("easel p", ["ps", "pull", "push"]),
    ("easel run z", ["z-image:latest", "zebra:4b"]),
    ("easel stop x", ["x/klein:9b"]),
    ("easel rm zebra:4b z-", ["z-image:latest"]),
    ("easel run --str", ["--strength"]),
    ("easel run m --steps 4 --ma", ["--mask", "--mask-mode"]),
    ("easel run m --mask-mode ", ["alpha", "white"]),
    ("easel run m --mask-mode a", ["alpha"]),
    ("easel ls --q", ["--quiet"]),
    ("easel create m -q n", ["nvfp4"]),
    ("easel help st", ["stop"]),
    ("easel create m ph", ["photos/"]),
    ("easel run z-image a", ["a.png"]),
    ("easel run z-image --image n", []),
    ("easel create m -f n", ["note.txt"]),
    ("easel show a", ["a.png"]),
    ("easel run z-image -o ph", ["photos/"]),
    ("easel pull z", []),
]


@needs("bash")
class Bash(Shell):
    DRIVER = r"""
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
set -f
# As readline breaks lines, with what is in COMP_WORDBREAKS.
mapfile -t COMP_WORDS < <(sed -E 's/[:=]/\n&\n/g; s/ +/\n/g' <<<"$2" | sed '/^$/d')
[[ $2 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_easel easel "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
(( ${#COMPREPLY[@]} == 0 )) || printf '%s\n' "${COMPREPLY[@]}"
"""

    def offered(self, line):
        return sorted(self.shell("bash", "--norc", "-c", self.DRIVER, "bash", script("bash"), line))

    def test_cases(self):
        for line, words in CASES:
            with self.subTest(line):
                self.assertEqual(self.offered(line), [word.rstrip("/") for word in words])

    def test_broken_words(self):
        for line, words in (("easel run zebra:", ["4b"]), ("easel stop x/klein:9", ["9b"]),
                            ("easel run m --mask-mode=", ["alpha", "white"]), ("easel run m --mask-mode=w", ["white"])):
            with self.subTest(line):
                self.assertEqual(self.offered(line), words)

    def test_names_are_never_expanded(self):
        self.assertEqual(self.offered("easel run "), ["x/klein:9b", "z-image:latest", "zebra:4b"])
        self.assertNotIn("pwned", self.files())

    def test_typed(self):
        terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], cwd=self.folder,
                            env={**self.shell_environment(), "PS1": "$ ", "TERM": "dumb"})
        self.addCleanup(terminal.close)
        terminal.send(f"source {script('bash')}; echo read\r")
        terminal.expect(re.compile(rb"\nread\r?\n"))
        terminal.send("easel stop zeb\t#\r")
        terminal.expect("zebra:4b")
        terminal.send("exit\r")
        terminal.wait()

    @needs("shellcheck")
    def test_shellcheck(self):
        self.assertEqual(self.shell("shellcheck", "-s", "bash", script("bash")), [])


@needs("fish")
class Fish(Shell):
    def offered(self, line):
        words = self.shell("fish", "--no-config", "-c", 'source $argv[1]; complete -C $argv[2]', script("fish"), line)
        return sorted(word.split("\t")[0] for word in words)

    def test_cases(self):
        for line, words in CASES:
            with self.subTest(line):
                found = self.offered(line)
                # fish offers folders wherever it offers pictures.
                self.assertEqual([word for word in found if word in words or not word.endswith("/")], words)

    def test_names_are_never_expanded(self):
        self.assertEqual(self.offered("easel run "), ["x/klein:9b", "z-image:latest", "zebra:4b"])
        self.assertNotIn("pwned", self.files())


@needs("zsh")
class Zsh(Shell):
    def typed(self, line):
        """What the line becomes, and what is listed, when Tab is pressed behind it."""
        terminal = Terminal(["zsh", "-f", "-i"], cwd=self.folder, columns=200,
                            env={**self.shell_environment(), "PS1": "$ ", "TERM": "dumb"})
        self.addCleanup(terminal.close)
        terminal.send(f"fpath=({os.path.dirname(script('zsh'))} $fpath); autoload -U compinit; compinit -u -D; "
                      "unsetopt zle_bracketed_paste; LISTMAX=1000; echo rea''dy\r")
        terminal.expect("ready")
        terminal.expect("$ ")
        terminal.send(line + "\t\x05 #en''d\r")
        output = terminal.expect("#en''d").decode()
        terminal.send("\x15exit\r")
        terminal.wait()
        return output

    def test_typed(self):
        for line, words in (("easel sto", ["easel stop "]), ("easel p", ["ps", "pull", "push"]),
                            ("easel stop zeb", ["zebra:4b"]), ("easel run z-image --mask-mode a", ["alpha"]),
                            ("easel run z-image --stre", ["--strength="]), ("easel run --json z-image a", ["a.png"])):
            with self.subTest(line):
                output = self.typed(line)
                for word in words:
                    self.assertIn(word, output)

    def test_names_are_never_expanded(self):
        self.typed("easel run ")
        self.assertNotIn("pwned", self.files())


class Manuals(cli.Cli):
    def manual(self, name):
        return os.path.join(BUILD, "man", name)

    def test_names(self):
        with open(self.manual("easel.1"), encoding="utf-8") as file:
            text = file.read()
        for command in re.findall(r"^  ([a-z]+) {3,}[A-Z]", self.cli().stdout, re.M):
            self.assertRegex(text, rf"\.It Cm {command}\b")
            for flag in re.findall(r" --([a-z-]+)", self.cli(command, "--help").stdout):
                self.assertRegex(text, rf"\.It Fl ([a-z] , )?-{flag}\b|Fl -help", command)
        with open(self.manual("easel-gateway.8"), encoding="utf-8") as file:
            text = file.read()
        for name in re.findall(r"EASEL_\w+", self.cli("serve", "--help").stdout):
            self.assertIn(f".It Ev {name}\n", text)

    @needs("mandoc")
    def test_lint(self):
        for name in ("easel.1", "easel-gateway.8"):
            result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", self.manual(name)], capture_output=True,
                                    text=True, timeout=60, check=False)
            self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
