"""A small LDAP server: bind with one name and password, search in pages (RFC 4511, RFC 2696). It stands for a personnel directory.

`entries` may be replaced while it runs. Filters are not evaluated: every entry is a person. Plain TCP; the line is this machine.
"""

import socketserver
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ldap3.protocol import rfc2696, rfc4511
from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import SubstrateUnderrunError

PAGED = "1.2.840.113556.1.4.319"
_SUCCESS, _REFUSED = 0, 49
Entry = Mapping[str, str]


class LdapServer(socketserver.ThreadingTCPServer):
    """Serves `entries` below "ou=people" to whoever binds as `user` with `password`; `page` limits a page whatever the client asks for."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, entries: Sequence[Entry], *, user: str, password: str, page: int = 100) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.entries, self.user, self.password, self.page = list(entries), user, password, page
        self.searches = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ldap://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(server: LdapServer) -> Any:
    """Serve in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Talk(socketserver.BaseRequestHandler):
    server: LdapServer

    def handle(self) -> None:
        self.bound, waiting = False, b""
        while data := self.request.recv(65_536):
            waiting += data
            while waiting:
                try:
                    message, waiting = decoder.decode(waiting, asn1Spec=rfc4511.LDAPMessage())
                except SubstrateUnderrunError:
                    break
                if not self._answer(message):
                    return

    def _answer(self, message: Any) -> bool:
        ident, name = int(message["messageID"]), message["protocolOp"].getName()
        request = message["protocolOp"].getComponent()
        if name == "bindRequest":
            given = (str(request["name"]), bytes(request["authentication"].getComponent()).decode())
            self.bound = given == (self.server.user, self.server.password)
            self._send(ident, "bindResponse", _result(rfc4511.BindResponse(), _SUCCESS if self.bound else _REFUSED))
        elif name == "searchRequest":
            self._search(ident, request, message)
        return bool(name != "unbindRequest")

    def _search(self, ident: int, request: Any, message: Any) -> None:
        if not self.bound:
            self._send(ident, "searchResDone", _result(rfc4511.SearchResultDone(), _REFUSED))
            return
        self.server.searches += 1
        size, start = _page_of(message)
        size = min(size or len(self.server.entries), self.server.page)
        wanted = [str(attribute) for attribute in request["attributes"]]
        for number, entry in enumerate(self.server.entries[start : start + size], start):
            self._send(ident, "searchResEntry", _entry(number, entry, wanted))
        more = start + size if start + size < len(self.server.entries) else None
        self._send(ident, "searchResDone", _result(rfc4511.SearchResultDone(), _SUCCESS), more)

    def _send(self, ident: int, name: str, body: Any, more: int | None = None) -> None:
        message = rfc4511.LDAPMessage()
        message["messageID"] = ident
        message["protocolOp"] = rfc4511.ProtocolOp().setComponentByName(name, body)
        if more is not None:
            value = rfc2696.RealSearchControlValue()
            value["size"], value["cookie"] = rfc2696.Size(0), rfc2696.Cookie(str(more).encode())
            control = rfc4511.Control()
            control["controlType"], control["controlValue"] = PAGED, rfc4511.ControlValue(encoder.encode(value))
            message["controls"] = rfc4511.Controls().setComponentByPosition(0, control)
        self.request.sendall(encoder.encode(message))


def _result(body: Any, code: int) -> Any:
    body["resultCode"], body["matchedDN"], body["diagnosticMessage"] = code, "", ""
    return body


def _page_of(message: Any) -> tuple[int, int]:
    """(page size, first entry) that the paging control asks for; (0, 0) without one."""
    for control in message["controls"] if message["controls"].isValue else ():
        if str(control["controlType"]) == PAGED:
            value, _ = decoder.decode(bytes(control["controlValue"]), asn1Spec=rfc2696.RealSearchControlValue())
            return int(value["size"]), int(bytes(value["cookie"]) or b"0")
    return 0, 0


def _entry(number: int, entry: Entry, wanted: Iterable[str]) -> Any:
    body = rfc4511.SearchResultEntry()
    body["object"] = f"uid=p{number},ou=people,dc=example"
    attributes = rfc4511.PartialAttributeList()
    for position, name in enumerate(name for name in wanted if name in entry):
        attribute = rfc4511.PartialAttribute()
        attribute["type"] = name
        attribute["vals"] = rfc4511.Vals().setComponentByPosition(0, entry[name].encode())
        attributes.setComponentByPosition(position, attribute)
    body["attributes"] = attributes
    return body
