"""Delivery by e-mail, for people."""

import asyncio
import json
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from m2m_pipeline.domain.notices import Destination, Event, Failed

TIMEOUT_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The server that takes our mail. `starttls`: the connection is encrypted before anything is said."""

    host: str
    port: int
    sender: str
    starttls: bool
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"SmtpServer({self.host}:{self.port})"


class MailSender:
    """Sends one mail for each event."""

    def __init__(self, server: SmtpServer | None) -> None:
        self._server = server

    async def send(self, destination: Destination, event: Event) -> Failed | None:
        """Hand the mail to the server; its 250 confirms it."""
        if self._server is None:
            return Failed("No SMTP server is set: see M2M_SMTP_HOST.", final=True)
        try:
            mail = _mail(self._server.sender, destination.address, event)
            await asyncio.to_thread(_hand_over, self._server, mail)
        except smtplib.SMTPResponseException as error:
            # 4xx is the server's "later", 5xx its "never".
            return Failed(f"The SMTP server answered {error.smtp_code}.", final=error.smtp_code >= _NEVER)
        except smtplib.SMTPRecipientsRefused as refused:
            code = max(code for code, _ in refused.recipients.values())
            return Failed(f"The SMTP server refuses the recipient ({code}).", final=code >= _NEVER)
        except (smtplib.SMTPException, OSError, ssl.SSLError) as error:
            return Failed(f"The SMTP server does not take it ({type(error).__name__}).")
        except ValueError as error:
            return Failed(f"No mail can be made of it ({type(error).__name__}).")
        return None


_NEVER = 500


def _hand_over(server: SmtpServer, mail: EmailMessage) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS) as smtp:
        if server.starttls:
            smtp.starttls(context=ssl.create_default_context())
        if server.username:
            smtp.login(server.username, server.password)
        smtp.send_message(mail)


def _mail(sender: str, recipient: str, event: Event) -> EmailMessage:
    content: dict[str, Any] = json.loads(event.body)
    data: dict[str, Any] = content["data"]
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, recipient
    title = " ".join(str(data.get("title") or event.type.value).split())  # a subject is one line
    mail["Subject"] = f"[m2m] {title}"
    mail["Message-ID"] = f"<{event.id}@m2m-pipeline>"  # the same at each delivery: a mail reader shows it once
    mail.set_content(data.get("text") or json.dumps(content, indent=2))
    return mail
