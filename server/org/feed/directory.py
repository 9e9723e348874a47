"""People from an LDAP directory (Active Directory, OpenLDAP): read only, in pages, over LDAPS or with StartTLS unless plain is asked for.

Every run is a whole list of the units that occur in it. Attributes are mapped by the settings; who has the value of `left` in the state attribute has
left. A directory that cannot be reached changes nobody.
"""

import ssl
from collections.abc import Iterator
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException

from server.org import feed
from server.secret_files import secret
from server.settings import LdapSettings
from server.store.session import Database

NAME = "ldap"
_PAGE = 500
_TIMEOUT_S = 20


class _Tls(ldap3.Tls):  # type: ignore[misc]
    """The certificate and the name in it are checked in the handshake, before anything is sent. ldap3 looks at the name afterwards, with a function
    that Python has deprecated and 3.12 no longer has.
    """

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: ARG002 - as ldap3 calls it
        context = ssl.create_default_context(cafile=self.ca_certs_file)
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


def run_once(db: Database, settings: LdapSettings, now: int) -> bool:
    """Read the directory and take its list over; returns whether that went well, else a notice stands."""
    try:
        rows = list(read(settings))
        if not rows:
            raise feed.FeedError("目录里没有找到人员")
        feed.absorb(db, NAME, rows, whole=True, now=now)
    except (LDAPException, OSError, ValueError) as error:
        feed.failed(db, NAME, str(error) or type(error).__name__, now)
        return False
    feed.taken(db, NAME, now)
    return True


def read(settings: LdapSettings) -> Iterator[dict[str, str]]:
    """People of the directory as rows of the import. Raises LDAPException, SecretFileError."""
    password = secret(settings.password_file) or None
    tls = _Tls(ca_certs_file=str(settings.ca) if settings.ca is not None else None)
    server = ldap3.Server(settings.url, tls=tls, connect_timeout=_TIMEOUT_S, get_info=ldap3.NONE)
    bind = ldap3.AUTO_BIND_TLS_BEFORE_BIND if settings.start_tls else ldap3.AUTO_BIND_NO_TLS
    with ldap3.Connection(
        server,
        settings.user,
        password,
        auto_bind=bind,
        read_only=True,
        receive_timeout=_TIMEOUT_S,
        raise_exceptions=True,
        check_names=False,
        auto_referrals=False,  # else a directory could send us, with our password, to wherever it likes
    ) as connection:
        wanted = [name for name in (*settings.attributes.values(), settings.state_attribute) if name]
        found = connection.extend.standard.paged_search(
            settings.base, settings.filter, attributes=wanted, paged_size=_PAGE, generator=True
        )  # fmt: skip
        for entry in found:
            if entry.get("type") == "searchResEntry":
                yield _row(settings, entry["attributes"])


def _row(settings: LdapSettings, attributes: Any) -> dict[str, str]:
    row = {column: _text(attributes.get(name)) for column, name in settings.attributes.items()}
    state = _text(attributes.get(settings.state_attribute)) if settings.state_attribute else ""
    return row | {"state": "离职" if state and state in settings.left else ""}


def _text(value: Any) -> str:
    first = value[0] if isinstance(value, list | tuple) and value else "" if isinstance(value, list | tuple) or value is None else value
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first).strip()
