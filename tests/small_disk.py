"""A small file system for tests of full disks: a tmpfs of a limited size and number of files.
Standard library only.
"""
import os
import subprocess
import sys
import tempfile

PAGE = 4096
MOST = 64 << 20, 5000                   # bytes, files: enough for every test


def need_mounts():
    """Runs on as root or in a name space of its own; else ends as skipped, with status 77."""
    folder = tempfile.mkdtemp(prefix="easel-mount-")
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False).returncode == 0:
            subprocess.run(["umount", folder], check=True)
            return
    finally:
        os.rmdir(folder)
    inside = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    if inside and "EASEL_UNSHARED" not in os.environ:
        os.environ["EASEL_UNSHARED"] = "1"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
    print("skipped: no file system can be mounted here")
    sys.exit(77)


class SmallDisk:
    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="easel-disk-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", self.options(*MOST), "none", self.path], check=True)

    def options(self, size, inodes):
        return f"size={size},nr_inodes={inodes}"

    def limit(self, size=MOST[0], inodes=MOST[1]):
        # 0 would be no limit at all.
        subprocess.run(["mount", "-o", "remount," + self.options(max(size, PAGE), inodes), self.path], check=True)

    def used(self):
        """Bytes and files that are taken."""
        fs = os.statvfs(self.path)
        return (fs.f_blocks - fs.f_bfree) * fs.f_frsize, fs.f_files - fs.f_ffree

    def close(self):
        subprocess.run(["umount", self.path], check=True)
        os.rmdir(self.path)
