"""Tokens as a login service would sign them."""

import base64
import hashlib
import hmac
import json
import time

SECRET = b"a secret that only the tests know"
HOUR_S = 3600


def _encode(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def now():
    return int(time.time())


def signed(claims, secret=SECRET):
    """Any claims; valid for an hour unless they say otherwise."""
    head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = _encode(json.dumps({"exp": now() + HOUR_S, **claims}).encode())
    signature = hmac.new(secret, head + b"." + body, hashlib.sha256).digest()
    return b".".join([head, body, _encode(signature)]).decode()


def of(user, **claims):
    return signed({"sub": user, **claims})


def for_channel(user, channel, **claims):
    return signed({"sub": user, "channel": channel, **claims})
