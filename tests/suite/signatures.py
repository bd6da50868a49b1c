"""Signature Version 4, verified as AWS does it: the signature is made again, by AWS's own library, from the request as it
arrived and the secret that both sides know.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

SCHEME = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})")


class Verifier(SigV4Auth):
    """Takes the list of signed headers from the request, as a server must, where a client would choose."""

    def headers_to_sign(self, request):
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers.add_header(name.lower(), value)
        return headers


def wrong(call, keys, region, service="bedrock"):
    """What is wrong with the signature of a request: a list of sentences."""
    found = SCHEME.fullmatch(call.header("authorization") or "")
    if found is None:
        yield f"authorization is {call.header('authorization')!r}"
        return
    key, day, *scope, signed, signature = found.groups()
    if (key, *scope) != (keys[0], region, service):
        yield f"the signature is for {key} {scope}"
    names = signed.split(";")
    if missing := {"host", "x-amz-date", "content-type"} - set(names):
        yield f"{sorted(missing)} are not signed"
    if unsigned := {name for name, _ in call.headers if name.startswith("x-amz-")} - set(names):
        yield f"{sorted(unsigned)} are not signed"
    date = call.header("x-amz-date") or ""
    if not re.fullmatch(day + r"T\d{6}Z", date):
        yield f"x-amz-date is {date!r}"
        return
    age = datetime.now(UTC) - datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(age) > timedelta(minutes=5):
        yield f"the signature is {age} old"
    if call.header("x-amz-content-sha256") != hashlib.sha256(call.body).hexdigest():
        yield f"x-amz-content-sha256 is not that of the body: {call.header('x-amz-content-sha256')}"
    headers = {name: value for name, value in call.headers if name in names}
    request = AWSRequest(call.method, f"http://{call.header('host')}{call.path}", headers=headers, data=call.body)
    request.context["timestamp"] = date
    verifier = Verifier(Credentials(*keys), service, region)
    text = verifier.string_to_sign(request, verifier.canonical_request(request))
    if not hmac.compare_digest(verifier.signature(text, request), signature):
        yield f"the signature does not match the one of\n{verifier.canonical_request(request)}"
