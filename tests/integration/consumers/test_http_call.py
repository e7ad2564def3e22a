"""Outgoing calls against a real server on loopback, which the settings of these tests allow."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.base.errors import ApiError, Permanent, Transient
from sync.base.outbound import OutboundRefused
from sync.base.outbound_http import OutboundClient
from sync.base.sealing import Sealer, new_key
from sync.base.settings import OutboundSettings, SecretsSettings
from sync.consumers.one_off import HttpCall, HttpCaller, one_off_kinds
from sync.consumers.secrets import OrgSecrets
from sync.consumers.signing import signature_headers
from sync.jobs.model import NewJob
from sync.store.engine import Database
from tests.fakes.http_receiver import HttpReceiver, Reply, http_receiver
from tests.fakes.jobs import AT_ONCE, eventually, job_runtime, member

LOOPBACK = OutboundSettings(allow="127.0.0.1/32", max_response_bytes=1000)


class Names:
    """A resolver with a fixed answer per name, each used once: the second look-up would get the next one."""

    def __init__(self, **answers: Sequence[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if not self.answers.get(host):
            raise OSError("no such name")
        return self.answers[host].pop(0)


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def secrets(db: Database) -> OrgSecrets:
    return OrgSecrets(db, Sealer(SecretsSettings.model_validate({"keys": {"k1": new_key()}, "current": "k1"})))


def client(settings: OutboundSettings = LOOPBACK, **names: Sequence[list[str]]) -> OutboundClient:
    return OutboundClient(settings, Names(**names)) if names else OutboundClient(settings)


async def get(client: OutboundClient, url: str, timeout_s: float = 5) -> Any:
    return await client.send("GET", url, headers={}, content=b"", timeout_s=timeout_s)


async def test_a_job_delivers_its_webhook_under_one_id(
    db: Database, secrets: OrgSecrets, receiver: HttpReceiver
) -> None:
    key = await secrets.put("acme", "hooks", "ada")
    await secrets.put("acme", "crm-token", "ada", value="Bearer 123")
    receiver.script(Reply(503, {"retry-after": "0"}), Reply(429), Reply(204))
    kind = dataclasses.replace(one_off_kinds(HttpCaller(secrets, LOOPBACK))[0], backoff=AT_ONCE)
    async with job_runtime(db, [kind]) as runtime, member(runtime):
        result = await runtime.queue.enqueue(
            NewJob(
                "http.call",
                HttpCall(
                    url=receiver.url,
                    body={"event": "deal.won"},
                    headers={"X-Trace": "7"},
                    signing_key="hooks",
                    secret_headers={"Authorization": "crm-token"},
                ),
                org_id="acme",
            )
        )
        await eventually(lambda: len(receiver.received) == 3)
        await eventually(lambda: db.fetch_value("SELECT count(*) = 1 FROM job_run WHERE outcome = 0"))
    for call in receiver.received:
        assert call.method == "POST" and call.target == "/hook"
        assert json.loads(call.body) == {"event": "deal.won"}
        assert call.headers["content-type"] == "application/json"
        assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert call.headers["x-trace"] == "7" and call.headers["authorization"] == "Bearer 123"
        sent_at = int(call.headers["webhook-timestamp"])
        expected = signature_headers(f"msg_{result.job_id}", sent_at, call.body, [key])
        assert {name: call.headers[name] for name in expected} == expected
    stored = await db.fetch_all("SELECT args FROM job UNION ALL SELECT error FROM job_run")
    assert "Bearer 123" not in str(stored) and key not in str(stored)


async def test_a_refused_call_is_dead_at_once_and_says_why(
    db: Database, secrets: OrgSecrets, receiver: HttpReceiver
) -> None:
    receiver.script(Reply(410, body=b"this hook is gone"))
    kind = dataclasses.replace(one_off_kinds(HttpCaller(secrets, LOOPBACK))[0], backoff=AT_ONCE)
    async with job_runtime(db, [kind]) as runtime, member(runtime):
        await runtime.queue.enqueue(NewJob("http.call", HttpCall(url=receiver.url), org_id="acme"))
        dead = await eventually(lambda: db.fetch_one("SELECT error_class, meta FROM job_dead"))
    assert dead["error_class"] == "Permanent" and "this hook is gone" in str(dead["meta"])
    assert len(receiver.received) == 1


async def test_a_missing_secret_is_named(db: Database, secrets: OrgSecrets, receiver: HttpReceiver) -> None:
    await secrets.put("globex", "hooks", "bob")
    kind = dataclasses.replace(one_off_kinds(HttpCaller(secrets, LOOPBACK))[0], backoff=AT_ONCE)
    async with job_runtime(db, [kind]) as runtime, member(runtime):
        call = HttpCall(url=receiver.url, signing_key="hooks")
        await runtime.queue.enqueue(NewJob("http.call", call, org_id="acme"))
        dead = await eventually(lambda: db.fetch_one("SELECT meta FROM job_dead"))
    assert "no secret named hooks" in str(dead["meta"])
    assert receiver.received == []


async def test_loopback_is_refused_unless_allowed(receiver: HttpReceiver) -> None:
    outbound = client(OutboundSettings(ports=f"80,443,{receiver.port}"))
    numbers = f"{127 << 24 | 1}", "0x7f000001", "127.1"
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", *numbers):
        with pytest.raises(OutboundRefused, match="private or reserved"):
            await get(outbound, f"http://{host}:{receiver.port}/")
    assert receiver.received == []


async def test_a_name_is_resolved_once_and_the_call_goes_to_that_address(receiver: HttpReceiver) -> None:
    names = Names(hook_test=[["127.0.0.1"], ["169.254.169.254"]])
    outbound = OutboundClient(LOOPBACK, names)
    answer = await get(outbound, f"http://hook.test:{receiver.port}/path?q=1")
    assert answer.status == 200 and names.asked == ["hook.test"]
    assert receiver.received[0].target == "/path?q=1"
    assert receiver.received[0].headers["host"] == f"hook.test:{receiver.port}"
    with pytest.raises(OutboundRefused):
        await get(outbound, f"http://hook.test:{receiver.port}/")


async def test_one_private_address_among_others_refuses_the_call(receiver: HttpReceiver) -> None:
    outbound = client(hook_test=[["127.0.0.1", "10.0.0.7"]])
    with pytest.raises(OutboundRefused):
        await get(outbound, f"http://hook.test:{receiver.port}/")
    assert receiver.received == []


async def test_the_next_address_of_a_name_is_tried(receiver: HttpReceiver) -> None:
    outbound = client(OutboundSettings(allow="127.0.0.0/8"), hook_test=[["127.0.0.99", "127.0.0.1"]])
    assert (await get(outbound, f"http://hook.test:{receiver.port}/")).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://ada:secret@127.0.0.1/",
        "http:///path",
        "http://exa mple.com/",
        "javascript:alert(1)",
        "nonsense",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://0177.0.0.1/",
        "http://" + "a" * 70 + ".com/",
        "https://example.com/" + "a" * 3000,
    ],
)
async def test_urls_that_cannot_be_called_are_final(url: str) -> None:
    with pytest.raises(Permanent):
        await get(client(), url)


async def test_redirects_are_not_followed(receiver: HttpReceiver) -> None:
    receiver.script(Reply(302, {"location": f"{receiver.url}/elsewhere"}))
    assert (await get(client(), receiver.url)).status == 302
    assert len(receiver.received) == 1


async def test_proxies_of_the_environment_play_no_part(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert (await get(client(), receiver.url)).status == 200


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(drip=True)], ids=["silent", "dripping"])
async def test_a_slow_server_costs_no_more_than_the_time_out(receiver: HttpReceiver, reply: Reply) -> None:
    receiver.script(reply)
    started = asyncio.get_running_loop().time()
    with pytest.raises(Transient, match=r"within 0\.3 s"):
        await get(client(OutboundSettings(allow="127.0.0.1/32")), receiver.url, timeout_s=0.3)
    assert asyncio.get_running_loop().time() - started < 3


async def test_a_large_answer_is_cut(receiver: HttpReceiver) -> None:
    receiver.script(Reply(endless=True), Reply(body=b"y" * 1000))
    cut = await get(client(), receiver.url)
    assert cut.truncated and len(cut.body) == 1000
    whole = await get(client(), receiver.url)
    assert not whole.truncated and len(whole.body) == 1000


async def test_a_closed_port_and_an_unknown_name_are_passing_trouble(receiver: HttpReceiver) -> None:
    with pytest.raises(Transient, match="connection failed"):
        await get(client(), "http://127.0.0.1:1/")
    with pytest.raises(Transient, match="does not resolve"):
        await get(client(hook_test=[]), "http://hook.test/")


async def test_tls_checks_the_name_although_the_call_goes_to_an_address(tmp_path: Path) -> None:
    ca_file, server = _certificates(tmp_path, "hook.test")
    settings = OutboundSettings(allow="127.0.0.1/32", ca_file=ca_file)
    async with http_receiver(server) as receiver:
        outbound = client(settings, hook_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
        assert (await get(outbound, f"https://hook.test:{receiver.port}/")).status == 200
        with pytest.raises(Transient, match=r"(?i)certificate"):
            await get(outbound, f"https://other.test:{receiver.port}/")
        assert len(receiver.received) == 1


async def test_secrets_are_sealed_rotated_and_removed(db: Database, secrets: OrgSecrets) -> None:
    first = await secrets.put("acme", "hooks", "ada")
    assert first.encode() not in bytes(await db.fetch_value("SELECT sealed FROM org_secret"))
    second = await secrets.put("acme", "hooks", "ada")
    assert await secrets.reveal("acme", ["hooks"]) == {"hooks": [second, first]}
    await secrets.drop_previous("acme", "hooks", "ada")
    assert await secrets.reveal("acme", ["hooks"]) == {"hooks": [second]}
    (info,) = await secrets.list("acme")
    assert info.name == "hooks" and info.rotated_at is not None and not info.has_previous
    await secrets.delete("acme", "hooks", "ada")
    assert await secrets.list("acme") == []
    with pytest.raises(ApiError) as gone:
        await secrets.delete("acme", "hooks", "ada")
    assert gone.value.status == 404


async def test_a_secret_moved_to_another_org_does_not_open(db: Database, secrets: OrgSecrets) -> None:
    await secrets.put("acme", "hooks", "ada")
    await db.execute("UPDATE org_secret SET org_id = 'globex'")
    with pytest.raises(Permanent):
        await secrets.reveal("globex", ["hooks"])


@pytest.mark.parametrize(("name", "value"), [("Hooks!", None), ("hooks", ""), ("hooks", "line\nbreak")])
async def test_unusable_secrets_are_refused(secrets: OrgSecrets, name: str, value: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        await secrets.put("acme", name, "ada", value)
    assert refused.value.status == 422


def _certificates(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A fresh authority, and a server context with a certificate of it for `host`."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, key: Any, extension: x509.ExtensionType) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(authority_key, hashes.SHA256())
        )

    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
    issued = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), server_key, names)
    root = certificate(authority, authority_key, x509.BasicConstraints(ca=True, path_length=0))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    ca_file, both = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(root.public_bytes(pem))
    key_bytes = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    both.write_bytes(issued.public_bytes(pem) + key_bytes)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return ca_file, context
