"""E-mail by SMTP: to a mailbox that a unit reads, beside the texts and never instead of them.

Message-ID carries the notification's id. Options: `host`, `port` (25), `tls` (none | starttls | tls), `ca_file`, `username`; `sender` is the From
address. With TLS the server's certificate is checked, against `ca_file` or the system's: else whoever stands between gets the password and the news.
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, OneWay, Receipt


class Email(OneWay):
    """The channel."""

    last_word = "sent"
    abilities = Abilities(lookup=False, receipts=False, way="email")

    def __init__(self, settings: ChannelSettings) -> None:
        self.name = settings.name or "email"
        options = settings.options
        self._host, self._port = options.get("host", "127.0.0.1"), int(options.get("port", "25"))
        self._tls, self._username, self._token = options.get("tls", "none"), options.get("username", ""), settings.token
        self._sender, self._timeout = settings.sender or "archivewatch@localhost", settings.timeout_s
        if self._tls not in ("none", "starttls", "tls"):
            raise ValueError("tls of the e-mail channel is none, starttls or tls")
        try:
            self._trusted = None if self._tls == "none" else ssl.create_default_context(cafile=options.get("ca_file") or None)
        except OSError as error:
            raise ValueError(f"ca_file of the e-mail channel cannot be used: {error}") from error

    def send(self, message: Message) -> Receipt:
        """Hand over to the server. Raises ChannelError: 5xx never works, 4xx later, a cut after the text leaves us in doubt."""
        letter = self._letter(message)
        try:
            with self._connect() as server:
                server.send_message(letter)
        except smtplib.SMTPResponseException as error:
            raise ChannelError("邮件服务器拒收", Failure.PERMANENT if error.smtp_code >= 500 else Failure.RETRY, error.smtp_code) from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise ChannelError(
                "邮箱地址被拒", Failure.PERMANENT if min(codes, default=550) >= 500 else Failure.RETRY, min(codes, default=0)
            ) from error
        except smtplib.SMTPServerDisconnected as error:
            raise ChannelError("与邮件服务器的通信中断", Failure.AMBIGUOUS) from error
        except ssl.SSLCertVerificationError as error:
            raise ChannelError("邮件服务器的证书不可信", Failure.RETRY) from error
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelError("连不上邮件服务器", Failure.RETRY) from error
        return Receipt(str(letter["Message-ID"])[:64], "sent")

    def _connect(self) -> smtplib.SMTP:
        if self._tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=self._trusted)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._tls == "starttls":
                server.starttls(context=self._trusted)
            if self._username:
                server.login(self._username, self._token)
        except BaseException:
            server.close()
            raise
        return server

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["From"], letter["To"] = self._sender, message.phone
        letter["Subject"] = message.text.partition("。")[0][:60]
        letter["Message-ID"] = f"<aw-{message.id}@archivewatch>"
        letter["Date"] = formatdate(message.since / 1000)
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.text + "\n", charset="utf-8")
        return letter


def make(settings: ChannelSettings) -> Email:
    """From the settings. Raises ValueError."""
    return Email(settings)
