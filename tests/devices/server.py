"""A real SSH server on loopback, started by the test as whoever runs it, with keys and settings of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.devices.running import absent

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Server:
    """An OpenSSH server that only this test can log in to.

    Attributes:
        port: on 127.0.0.1.
        config: of the client: its key, and the file of known hosts.
        folder: of the server; ``device`` in it is where edgekit keeps its files on this "board".
    """

    def __init__(self, folder: Path, *, session: str = "", device_folder: Path | None = None, **env: str) -> None:
        """Args:
        folder: for keys, settings and the device's files.
        session: shell commands before every command there, in namespaces where that user is root: to mount something.
        device_folder: where edgekit keeps its files there; a folder beside the keys by default.
        env: variables of every session.
        """
        if SSHD is None or shutil.which("ssh") is None:
            absent("there is no OpenSSH server and client: apt install openssh-server openssh-client")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, _free_port()
        self.config, self.known_hosts = folder / "client.conf", folder / "known_hosts"
        self.device_folder = device_folder or folder / "device"
        (folder / "tmp").mkdir(exist_ok=True)
        self._session, self._env = session, {"TMPDIR": str(folder / "tmp"), **env}  # another server is another device
        self._process: subprocess.Popen[bytes] | None = None
        for key in ("host_key", "client_key"):
            _new_key(folder / key)
        shutil.copyfile(folder / "client_key.pub", folder / "authorized_keys")
        self.trust()
        self._write()
        self.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def user(self) -> str:
        return getpass.getuser()

    def spec(self, **options: object) -> str:
        """The device as users name it; ``None`` leaves an option out."""
        given = {"python": sys.executable, "config": self.config, "folder": self.device_folder, **options}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return f"ssh://{self.user}@127.0.0.1:{self.port}?{query}"

    def start(self) -> None:
        """Run it, and wait until it listens."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # it separates privileges, and wants this folder for that
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "server.conf")],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Cut every connection at once, as a device that loses its power does."""
        if self._process is None:
            return
        for pid in [*_descendants(self._process.pid, "sshd"), self._process.pid]:
            _kill(pid)
        self._process.wait()
        self._process = None

    def cut(self) -> None:
        """Cut every connection, and go on listening."""
        assert self._process is not None
        for pid in _descendants(self._process.pid, "sshd"):
            _kill(pid)

    def trust(self) -> None:
        """Let the client know the present host key."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def new_host_key(self) -> None:
        """Give the server another host key, as when a board is set up anew."""
        self.stop()
        (self.folder / "host_key").unlink()
        (self.folder / "host_key.pub").unlink()
        _new_key(self.folder / "host_key")
        self.start()

    def _write(self) -> None:
        forced = ""
        if self._session:
            script = self.folder / "session.sh"
            script.write_text(f'{self._session}\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
            forced = f"ForceCommand exec unshare -Urm sh -e {script}\n"
        (self.folder / "server.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder / 'host_key'}\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\nPrintMotd no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nMaxStartups 50\n"
            + forced
            + "".join(f'SetEnv "{name}={value}"\n' for name, value in self._env.items())
        )
        self.config.write_text(
            f"IdentityFile {self.folder / 'client_key'}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.known_hosts}\nGlobalKnownHostsFile /dev/null\n"
        )


def require_namespaces() -> None:
    """Skip where ``session=`` of a server cannot work, but not in continuous integration."""
    done = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(f"this user may make no namespaces: {done.stderr.strip()}")


def left_behind(server: Server) -> list[str]:
    """What is still there of jobs, once whatever was ending has ended."""
    folder, deadline = server.device_folder / "jobs", time.monotonic() + 30
    while (found := [path.name for path in folder.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it went by itself
        os.kill(pid, signal.SIGKILL)


def _new_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _descendants(pid: int, name: str) -> list[int]:
    """Processes of one name under a process, the deepest first."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # one ends meanwhile
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found += _descendants(child, name)
                if Path(f"/proc/{child}/comm").read_text().strip().startswith(name):
                    found.append(child)
    return found
