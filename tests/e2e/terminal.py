"""A program on a terminal of its own, as a person sits before it: types, and waits until
something stands there. The terminal is the program's controlling one, so Ctrl-C works."""
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
