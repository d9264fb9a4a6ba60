"""An OpenID Connect issuer over a real socket, as who verifies its tokens meets it: in good days and in bad ones."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from m2m_pipeline_tests.world import TENANT

AUDIENCE = "m2m-pipeline"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Publishes its discovery document and its keys (after `slowly()`); counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = True
        self.slowly: Callable[[], object] = lambda: None
        self.dripping = threading.Event()
        """While it is set, its answers go on and on, one header after the other."""
        self.keys = [
            {**json.loads(RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "rsa", "alg": "RS256", "use": "sig"},
            {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "ec", "alg": "ES256", "use": "sig"},
        ]
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.slowly()
                found = {"issuer": issuer.url, "jwks_uri": issuer.keys_at}
                body = json.dumps({"keys": issuer.keys} if self.path == "/keys" else found).encode()
                try:
                    self.send_response(200 if issuer.answers else 500)
                    self.flush_headers()
                    while issuer.dripping.is_set():
                        self.wfile.write(b"X-More: x\r\n")
                        time.sleep(0.05)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the other side has waited enough

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.keys_at = f"{self.url}/keys"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.dripping.clear()
        self.server.shutdown()
        self.server.server_close()

    def claims(self, **changed: object) -> dict[str, Any]:
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "u1", "exp": now + 300, "tenant": TENANT, "role": "operator"}
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, key_id: str = "rsa", **changed: object) -> str:
        return jwt.encode(self.claims(**changed), RSA, "RS256", {"kid": key_id})
