"""Passwords and tokens of the compose file, made once: `make_secrets.py FOLDER`. Each service mounts only its own sub-folder. Standard library only.

Run as root it hands every file to the user that reads it; what is there already stays.
"""

import base64
import hashlib
import os
import secrets
import sys
from pathlib import Path

GATEWAYS = {"edge-1": "GW-350102-01", "edge-2": "GW-350203-01"}
OURS, MOSQUITTO, INFLUX, POSTGRES = 10001, 1883, 1000, 999
"""User ids in the images."""


def mosquitto_line(user: str, password: str) -> str:
    """A line of Mosquitto's password file: PBKDF2-HMAC-SHA512."""
    salt, rounds = secrets.token_bytes(12), 101
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n"


class Folder:
    """Where the secrets lie: one sub-folder a service."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, service: str, name: str, owner: int, content: str = "") -> str:
        """Write a secret unless it is there; returns what is there then. Without `content` it is a random one."""
        path = self._root / service / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_text(content or secrets.token_hex(20), "utf-8")
            fresh.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(path.parent, owner, owner)
                os.chown(fresh, owner, owner)
            fresh.replace(path)
        return path.read_text("utf-8")


def main(root: Path) -> None:
    """Make everything that is missing. The broker learns of gateways by the files that the server writes; only the load simulator is told it here."""
    folder = Folder(root)
    folder.keep("server", "broker-password", OURS)
    credentials = ""
    for service, gateway in GATEWAYS.items():
        password, token = folder.keep(service, "broker-password", OURS), folder.keep(service, "server-token", OURS, f"awg_{secrets.token_hex(20)}")
        credentials += f"{gateway} {password} {token}\n"
    folder.keep("server", "gateway-credentials", OURS, credentials)
    folder.keep("server", "first-password", OURS)
    folder.keep("sms", "token", OURS, folder.keep("server", "sms-token", OURS))
    folder.keep("influxdb", "token", INFLUX, folder.keep("server", "influx-token", OURS))
    folder.keep("influxdb", "password", INFLUX)
    folder.keep("postgres", "password", POSTGRES, folder.keep("server", "postgres-password", OURS))
    folder.keep("broker", "fleet", MOSQUITTO, mosquitto_line("fleet", folder.keep("fleet", "broker-password", OURS)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
