"""A real Dovecot 2.3 of one's own: free port, own configuration, mail in Maildirs that a test can write to."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_CONFIG = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {user}
mail_gid = {group}
mail_home = {home}/mail/%u
mail_location = maildir:~/Maildir
mail_max_userip_connections = 10
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
auth_cache_size = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {home}/oauth2.ext
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%u {home}/users/%u
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={home}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service stats {{
  chroot =
}}
"""
_OAUTH2 = (
    "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={home}/keys/\nusername_attribute = email\n"
)


class Dovecot:
    """Start it once per session; give each test a mailbox of its own with `add_user`."""

    @staticmethod
    def installed() -> bool:
        return shutil.which("dovecot") is not None

    def start(self) -> None:
        # Not below pytest's own directory, which only its owner may enter: the server runs as another user.
        self.home = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self._owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        group = "nogroup" if os.getuid() == 0 else _group_name(self._owner.pw_gid)
        self.port = _free_port()
        self._delivered = 0
        for folder in ("run", "mail", "keys", "users"):
            (self.home / folder).mkdir()
        (self.home / "oauth2.ext").write_text(_OAUTH2.format(home=self.home))
        config = self.home / "dovecot.conf"
        config.write_text(_CONFIG.format(home=self.home, port=self.port, user=self._owner.pw_name, group=group))
        self.home.chmod(0o755)
        self._own(self.home)
        self._process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_for_greeting()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        shutil.rmtree(self.home, ignore_errors=True)

    def add_user(self, user: str, password: str) -> None:
        self._maildir(user)
        self.set_password(user, password)

    def set_password(self, user: str, password: str) -> None:
        """Returns once the server accepts it: it looks at a password file once a second."""
        draft = self.home / "users" / f".{user}"
        draft.write_text(f"{user}:{{PLAIN}}{password}::::::\n")
        draft.chmod(0o644)
        draft.replace(self.home / "users" / user)
        deadline = time.monotonic() + 30
        while not self._accepts(user, password):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Dovecot does not accept the new password of {user}.")

    def _accepts(self, user: str, password: str) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            file = connection.makefile("rwb")
            file.readline()
            file.write(f'a LOGIN "{user}" "{password}"\r\n'.encode())
            file.flush()
            return file.readline().startswith(b"a OK")

    def deliver(self, user: str, *mails: bytes) -> None:
        """Put mails into the user's INBOX; UIDs follow the order of delivery."""
        inbox = self._maildir(user) / "new"
        for mail in mails:
            self._delivered += 1
            path = inbox / f"{1_700_000_000 + self._delivered}.M{self._delivered}.test"
            path.write_bytes(mail)
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def remove_all(self, user: str) -> None:
        """Expunge everything behind the server's back."""
        for folder in ("new", "cur"):
            for path in (self._maildir(user) / folder).iterdir():
                path.unlink()

    def renumber(self, user: str) -> None:
        """Forget all UIDs: the next visit shows another UIDVALIDITY. Only while nobody has the mailbox open."""
        maildir = self._maildir(user)
        for path in maildir.iterdir():
            if path.name == "dovecot-uidlist" or path.name.startswith("dovecot.index"):
                path.unlink()
        for path in (maildir / "cur").iterdir():  # renamed so that the new UIDs come in the order of delivery again
            path.rename(maildir / "new" / path.name.partition(":")[0])

    def _maildir(self, user: str) -> Path:
        maildir = self.home / "mail" / user / "Maildir"
        if not maildir.exists():
            for folder in ("new", "cur", "tmp"):
                (maildir / folder).mkdir(parents=True)
            self._own(self.home / "mail" / user)
        return maildir

    def _own(self, folder: Path) -> None:
        if os.getuid() != 0:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _wait_for_greeting(self) -> None:
        # The first greeting takes some seconds: the login process waits for a service that is switched off here.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError("Dovecot ended: " + (self.home / "log").read_text()[-2000:])
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    if connection.recv(100).startswith(b"* OK"):
                        return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("Dovecot did not greet within 30 s.")


def _group_name(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
