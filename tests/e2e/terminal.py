"""A program on a terminal of its own, as a person sits before it: types, and waits until
something stands there. The terminal is the program's controlling one, so Ctrl-C works.
Screen is what the person then sees: the few escape sequences that easel uses, executed."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
import unittest


class Terminal:
    def __init__(self, command, rows=24, columns=80, patience=30, stdout=None, stderr=None, **options):
        try:
            self.leader, follower = pty.openpty()
        except OSError as error:
            raise unittest.SkipTest(f"no pseudo-terminal here: {error}") from error
        self.patience, self.output, self.seen = patience, b"", 0
        self.resize(rows, columns)
        # Newlines as they were written.
        attributes = termios.tcgetattr(follower)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(follower, termios.TCSANOW, attributes)
        self.modes = attributes[:4]
        self.process = subprocess.Popen(["setsid", "-c", *command], stdin=follower, stdout=stdout or follower,
                                        stderr=stderr or follower, **options)
        self.follower = follower            # kept, so that what was written last can be read

    def resize(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.leader, text if isinstance(text, bytes) else text.encode())

    def read(self, seconds):
        if not select.select([self.leader], [], [], seconds)[0]:
            return False
        self.output += os.read(self.leader, 65536)
        return True

    def expect(self, pattern):
        """Waits until the pattern (text, or a compiled regular expression of bytes) stands
        behind what was expected before. Returns the bytes up to its end."""
        if isinstance(pattern, str):
            pattern = re.compile(re.escape(pattern.encode()))
        deadline = time.monotonic() + self.patience
        while True:
            match = pattern.search(self.output, self.seen)
            if match:
                passed = self.output[self.seen:match.end()]
                self.seen = match.end()
                return passed
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern.pattern!r} in {self.output[self.seen:]!r}")
            self.read(0.1)

    def wait(self):
        """Waits for the end. Returns the exit status and what was written since."""
        deadline = time.monotonic() + self.patience
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"does not end after {self.output[self.seen:]!r}")
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.returncode, self.output[self.seen:]

    def restored(self):
        """Whether the terminal is in the modes that it was given in."""
        return termios.tcgetattr(self.follower)[:4] == self.modes

    def hang_up(self):
        os.close(self.follower)
        os.close(self.leader)
        self.leader = None

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.leader is not None:
            self.hang_up()


class Screen:
    """Rows and columns of characters, as a terminal makes them of bytes. Sequences that it
    does not know are a failure: easel may only use what every terminal has."""
    TOKEN = re.compile(r"\x1b\[([?>]?)([0-9;]*)([@-~])|\x1b\]([^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b([_P][^\x1b]*)\x1b\\|(.)", re.S)

    def __init__(self, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.lines = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.cursor = True
        self.strings = []                   # OSC, APC and DCS, pictures among them

    def feed(self, data):
        text = data.decode("utf-8")
        at = 0
        while at < len(text):
            match = self.TOKEN.match(text, at)
            if not match:
                raise AssertionError(f"half a sequence: {text[at:at + 40]!r}")
            at = match.end()
            private, parameters, final, osc, string, character = match.groups()
            if final:
                self.control(private, [int(p or 0) for p in parameters.split(";")], final)
            elif character:
                self.put(character)
            else:
                self.strings.append(osc if osc is not None else string)
        return self

    def control(self, private, parameters, final):
        n = max(parameters[0], 1)
        if private:
            if final in "hl" and parameters[0] in (25, 2004, 2026):
                self.cursor = final == "h" if parameters[0] == 25 else self.cursor
                return
        elif final in "ABCDGHJKm":
            getattr(self, "do_" + final)(n, parameters[0])
            return
        raise AssertionError(f"unknown sequence {private!r} {parameters} {final!r}")

    def do_A(self, n, _):
        self.row = max(self.row - n, 0)

    def do_B(self, n, _):
        self.row = min(self.row + n, self.rows - 1)

    def do_C(self, n, _):
        self.column = min(self.column + n, self.columns - 1)

    def do_D(self, n, _):
        self.column = max(min(self.column, self.columns - 1) - n, 0)

    def do_G(self, n, _):
        self.column = min(n, self.columns) - 1

    def do_H(self, *_):
        self.row = self.column = 0

    def do_J(self, _, kind):
        first = 0 if kind == 2 else self.row + 1
        if kind == 0:
            self.do_K(1, 0)
        for i in range(first, self.rows):
            self.lines[i] = [" "] * self.columns

    def do_K(self, _, kind):
        assert kind in (0, 2), kind
        start = 0 if kind else min(self.column, self.columns)
        self.lines[self.row][start:] = [" "] * (self.columns - start)

    def do_m(self, *_):
        pass

    def new_line(self):
        self.row += 1
        if self.row == self.rows:
            self.lines = self.lines[1:] + [[" "] * self.columns]
            self.row -= 1

    def put(self, character):
        if character == "\n":               # the terminal adds the return
            self.new_line()
            self.column = 0
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(self.column - 1, 0)
        elif character == "\a":
            pass
        elif ord(character) < 32 or 0x7f <= ord(character) < 0xa0:
            raise AssertionError(f"control character {character!r}")
        else:
            self.put_printable(character)

    def put_printable(self, character):
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self.column + width > self.columns:
            self.column = 0
            self.new_line()
        self.lines[self.row][self.column:self.column + width] = [character] + [""] * (width - 1)
        self.column += width

    def text(self):
        """The rows without blanks at their ends, up to the last one that is not empty."""
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip("\n")
