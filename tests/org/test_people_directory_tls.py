"""The people feed against a real OpenLDAP server over TLS: encrypted before the password is sent, and only to a server that proves its name."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.org.feed import directory
from server.settings import LdapSettings
from server.store.session import Database
from server.store.tables import Person
from server.store.tables_org import Notice
from tests.certificates import Authority
from tests.org.conftest import COUNTY, T0

SLAPD = shutil.which("slapd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/openldap")
pytestmark = pytest.mark.skipif(SLAPD is None, reason="the directory server OpenLDAP (slapd) is not installed")

READER = "cn=reader,dc=example"
PEOPLE = f"""dn: dc=example
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: uid=p7,dc=example
objectClass: inetOrgPerson
uid: p7
cn: 林国建
sn: 林
employeeNumber: P7
departmentNumber: {COUNTY}
mobile: 13900000007
mail: p7@example.cn
employeeType: 在职

dn: ou=elsewhere,dc=example
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://localhost:{{inner}}/ou=elsewhere,dc=example
"""


def two_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture(scope="module")
def inner() -> Iterator[socket.socket]:
    """A listener that nobody named to us, only the directory."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory, inner: socket.socket) -> Iterator[tuple[dict[str, str], Authority]]:
    """A directory with one person that gives nothing away unencrypted; its addresses by kind, and who vouches for it."""
    folder = tmp_path_factory.mktemp("slapd")
    authority, (plain, secure) = Authority(folder, "ca"), two_ports()
    certificate, key = authority.issue("directory", host="localhost")
    (folder / "data").mkdir()
    (folder / "slapd.conf").write_text(
        "\n".join(
            (
                *(f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson")),
                "modulepath /usr/lib/ldap", "moduleload back_mdb",
                f"TLSCACertificateFile {authority.file}", f"TLSCertificateFile {certificate}", f"TLSCertificateKeyFile {key}",
                "security simple_bind=128", "database mdb", 'suffix "dc=example"', f'rootdn "{READER}"', "rootpw geheim",
                f"directory {folder / 'data'}",
            )
        )
        + "\n",
        "utf-8",
    )  # fmt: skip
    subprocess.run(
        [str(SLAPD), "-T", "add", "-f", folder / "slapd.conf"],
        input=PEOPLE.format(inner=inner.getsockname()[1]).encode(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    urls = {"plain": f"ldap://localhost:{plain}", "tls": f"ldaps://localhost:{secure}"}
    process = subprocess.Popen([str(SLAPD), "-f", folder / "slapd.conf", "-h", " ".join(urls.values()), "-d", "0"], stderr=subprocess.DEVNULL)
    try:
        until_it_answers(plain, process)
        yield urls, authority
    finally:
        process.terminate()
        process.wait(20)


def until_it_answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(3000):
        try:
            return socket.create_connection(("localhost", port), 1).close()
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"slapd has ended: {process.wait(0.01)}") from None
    raise AssertionError("slapd does not answer")


def settings(url: str, folder: Path, *, ca: Path | None, start_tls: bool = False) -> LdapSettings:
    (folder / "password").write_text("geheim\n", "utf-8")
    return LdapSettings(url=url, base="dc=example", user=READER, password_file=folder / "password", ca=ca, start_tls=start_tls)


def trouble(db: Database) -> str:
    with db.read() as session:
        return "".join(row.sentence for row in session.query(Notice).filter(Notice.kind == "feed", Notice.open_key.is_not(None)))


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_people_come_over_an_encrypted_line(db: Database, tmp_path: Path, slapd: tuple[dict[str, str], Authority], kind: str) -> None:
    urls, authority = slapd
    assert directory.run_once(db, settings(urls[kind], tmp_path, ca=authority.file, start_tls=kind == "plain"), T0), trouble(db)
    with db.read() as session:
        assert session.query(Person).filter_by(code="P7").one().name == "林国建"


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_a_server_that_does_not_prove_its_name_gets_no_password(
    db: Database, tmp_path: Path, slapd: tuple[dict[str, str], Authority], kind: str
) -> None:
    urls, authority = slapd
    (tmp_path / "others").mkdir()
    others = Authority(tmp_path / "others", "other")
    wrong_name = urls[kind].replace("localhost", "127.0.0.1")
    for url, ca in ((urls[kind], None), (urls[kind], others.file), (wrong_name, authority.file)):
        assert not directory.run_once(db, settings(url, tmp_path, ca=ca, start_tls=kind == "plain"), T0), (url, ca)
        assert "certificate" in trouble(db).lower(), trouble(db)
    with db.read() as session:
        assert session.query(Person).filter_by(code="P7").count() == 0


def test_this_directory_refuses_a_password_in_the_clear(db: Database, tmp_path: Path, slapd: tuple[dict[str, str], Authority]) -> None:
    assert not directory.run_once(db, settings(slapd[0]["plain"], tmp_path, ca=None), T0)
    assert "confidentiality" in trouble(db).lower(), trouble(db)


def test_a_directory_cannot_send_us_elsewhere(db: Database, tmp_path: Path, slapd: tuple[dict[str, str], Authority], inner: socket.socket) -> None:
    urls, authority = slapd
    asked = settings(urls["tls"], tmp_path, ca=authority.file).model_copy(update={"base": "ou=elsewhere,dc=example"})
    assert not directory.run_once(db, asked, T0)
    with pytest.raises(BlockingIOError):
        inner.accept()
