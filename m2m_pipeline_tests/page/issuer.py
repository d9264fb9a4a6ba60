"""An OpenID Connect issuer that signs everybody in at once, and asks for PKCE."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from m2m_pipeline_tests.world import TENANT

CLIENT_ID, CLIENT_SECRET = "m2m-page", "page-5ecret"
KEY = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """`claims` are put into the identity token in place of the right ones (None: left out)."""

    def __init__(self) -> None:
        self.claims: dict[str, object] = {}
        self.asked: dict[str, dict[str, str]] = {}  # what each code was asked for with
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                if address.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", issuer.authorize(_fields(address.query)))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self._answer(200, issuer.keys() if address.path == "/keys" else issuer.discovery())

            def do_POST(self) -> None:
                fields = _fields(self.rfile.read(int(self.headers["Content-Length"])).decode())
                token = issuer.redeem(fields, self.headers["Authorization"])
                self._answer(200 if token else 400, {"id_token": token} if token else {"error": "invalid_grant"})

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def discovery(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in paths.items()}}

    def keys(self) -> dict[str, Any]:
        return {
            "keys": [{**json.loads(ECAlgorithm.to_jwk(KEY.public_key())), "kid": "k", "alg": "ES256", "use": "sig"}]
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes on."""
        code = f"code-{len(self.asked)}"
        self.asked[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def redeem(self, fields: dict[str, str], signed: str | None) -> str | None:
        """The token for a code, once, for who began with it."""
        asked = self.asked.pop(fields.get("code", ""), None)
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        client = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if asked is None or asked["code_challenge"] != challenge or signed != f"Basic {client}":
            return None
        now = int(time.time())
        good = {"iss": self.url, "aud": CLIENT_ID, "sub": "u1", "exp": now + 60, "nonce": asked["nonce"], "name": "Ada"}
        claims = {**good, "tenant": TENANT, "role": "viewer", **self.claims}
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(told, KEY, "ES256", {"kid": "k"})


def _fields(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
