"""This file runs Canaille, a real OpenID Connect provider, in the environment that tests/locks has for it.

It is told what to begin with on the first line of its input, as JSON, and prints its issuer; each further line `rotate`
makes it sign with a new key. It ends when its input does, so that it outlives no test.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any


def main() -> None:
    from canaille import create_app  # type: ignore[import-not-found]  # only in the peer's own environment
    from joserfc.jwk import RSAKey
    from werkzeug.serving import make_server

    wanted = json.loads(sys.stdin.readline())
    late: list[Any] = []
    server = make_server("127.0.0.1", 0, lambda environ, start: late[0](environ, start), threaded=True)
    host = f"127.0.0.1:{server.port}"
    keys = [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)]
    quick = {"pbkdf2_sha512__rounds": 1000}
    app = create_app(
        {
            "SECRET_KEY": wanted["secret_key"],
            "SERVER_NAME": host,
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE_OIDC": {
                "ACTIVE_JWKS": keys,
                "TRUSTED_DOMAINS": [],
                # Else two tokens of one person in one second are the same, which Canaille's own database refuses.
                "USERINFO_MAPPING": {"WEBSITE": "https://www.example/{{ range(1000000000) | random }}"},
            },
            "CANAILLE_SQL": {"DATABASE_URI": "sqlite:///" + wanted["database"], "PASSWORD_HASH_PARAMS": quick},
        }
    )
    late.append(app)
    _fill(app, wanted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{host}", flush=True)
    for line in sys.stdin:
        if line.strip() == "rotate":
            app.config["CANAILLE_OIDC"]["INACTIVE_JWKS"] = keys
            keys = [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)]
            app.config["CANAILLE_OIDC"]["ACTIVE_JWKS"] = keys
            print("rotated", flush=True)


def _fill(app: Any, wanted: dict[str, Any]) -> None:
    from canaille.app import models  # type: ignore[import-not-found]
    from canaille.backends import Backend  # type: ignore[import-not-found]

    with app.app_context(), Backend.instance.session():
        client = models.Client(
            client_id=wanted["client_id"],
            client_name="Modelway",
            client_uri="https://modelway.example",
            client_secret=wanted["client_secret"],
            redirect_uris=[wanted["redirect_uri"]],
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "profile", "email", "groups"],
            token_endpoint_auth_method="client_secret_basic",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
        people = {}
        for person in wanted["people"]:
            people[person["user_name"]] = models.User(
                user_name=person["user_name"],
                display_name=person["user_name"],
                formatted_name=person["full_name"],
                family_name=person["full_name"].split()[-1],
                emails=[person["email"]],
                password=person["password"],
            )
            Backend.instance.save(people[person["user_name"]])
        for name, members in wanted["groups"].items():
            Backend.instance.save(models.Group(display_name=name, members=[people[each] for each in members]))


if __name__ == "__main__":
    main()
