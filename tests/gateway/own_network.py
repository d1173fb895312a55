"""A network of a test's own, where this machine has public addresses and nobody else is: an
empty network namespace whose loopback interface is given what a test wants. Skips where the
kernel allows none. Standard library only.
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP = 1


def enter():
    """Runs the script anew inside of it."""
    if os.environ.get("EASEL_OWN_NETWORK"):
        return
    for flags in (["-n"], ["-rn"]):
        if subprocess.run(["unshare", *flags, "true"], check=False, capture_output=True).returncode == 0:
            os.environ["EASEL_OWN_NETWORK"] = "1"
            os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    print("skipped: no network namespace can be made here")
    sys.exit(77)


def add_addresses(*addresses):
    """Each for this machine alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        for i, address in enumerate(addresses):
            for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255")):
                fcntl.ioctl(sock, request, struct.pack("16sHH4s8x", f"lo:{i}".encode(), socket.AF_INET, 0,
                                                       socket.inet_aton(value)))


def name_server():
    """The machine's first one, or None."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8") as file:
            rows = [line.split() for line in file]
    except FileNotFoundError:
        return None
    servers = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver" and ":" not in row[1]]
    return servers[0] if servers else None
