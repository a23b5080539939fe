"""TLS in the server: what is served, what is refused at start, and certificates that change while streams run."""
import socket
import ssl
import subprocess
import time

import grpc
import pytest

from access_files import Authority, access, put
from client import Client, failed, request
from conftest import TINY
from refusal import CONFIG, USAGE, refused
from server import Server, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(authority, tmp_path):
    """Paths of a certificate and a key that a server may watch."""
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    for path, text in zip((cert, key), authority.issue("server")):
        path.write_text(text)
    return cert, key


def flags(cert, key, *more):
    return ["--backend=cpu", f"--tls_cert_file={cert}", f"--tls_key_file={key}", *more]


def serial(address):
    """Of the certificate that is shown now."""
    host, port = address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as secure:
        der = ssl.DER_cert_to_PEM_cert(secure.getpeercert(True))
    return serial_of(der)


def serial_of(pem):
    out = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True, check=True)
    return out.stdout.strip()


def test_calls_with_tls_and_none_without(pair, authority):
    with Server(TINY, *flags(*pair)) as server:
        with Client(server.address, credentials=authority.credentials()) as client:
            assert len(client.greedy([1], 5).ids) == 5
        with Client(server.address) as plain:
            assert failed(plain.model).code == "UNAVAILABLE"
        with Client(server.address, credentials=grpc.ssl_channel_credentials(pair[0].read_bytes())) as stranger:
            stranger.model()  # whoever trusts that one certificate
        other = Authority(pair[0].parent / "other")
        with Client(server.address, credentials=other.credentials()) as distrustful:
            assert failed(distrustful.model).code == "UNAVAILABLE"


@pytest.mark.parametrize("version, served", [("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_versions_of_tls(pair, version, served):
    with Server(TINY, *flags(*pair)) as server:
        done = subprocess.run(["openssl", "s_client", "-connect", server.address, f"-{version}", "-alpn", "h2",
                               "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=20)
        assert (b"BEGIN CERTIFICATE" in done.stdout) == served, done.stdout + done.stderr


def test_clients_must_show_a_certificate(pair, authority):
    with Server(TINY, *flags(*pair, f"--tls_client_ca_file={authority.cert}")) as server:
        with Client(server.address, credentials=authority.credentials("client")) as client:
            client.model()
        with Client(server.address, credentials=authority.credentials()) as anonymous:
            assert failed(anonymous.model).code == "UNAVAILABLE"
        stranger = Authority(pair[0].parent / "stranger")
        cert, key = (text.encode() for text in stranger.issue("client"))
        credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes(), key, cert)
        with Client(server.address, credentials=credentials) as client:
            assert failed(client.model).code == "UNAVAILABLE"


def test_rotation_under_load(pair, authority, full):
    """New connections get the new certificate, running streams go on, and a bad pair changes nothing."""
    cert, key = pair
    failures = 'barista_reload_failures_total{what="tls"}'
    with (Server(TINY, *flags(cert, key)) as server,
          Client(server.address, credentials=authority.credentials()) as client):
        stream = client.inference.Generate(request([1], {}, {"max_tokens": 1 << 20, "ignore_eos": True}), timeout=600)
        next(stream)
        assert serial(server.address) == serial_of(cert.read_text())
        for i in range(20 if full else 2):
            fresh = authority.issue(f"server{i}")
            put(cert, fresh[0])
            put(key, fresh[1])
            begin = time.monotonic()
            until(lambda f=fresh: serial(server.address) == serial_of(f[0]), what="the new certificate")
            assert time.monotonic() - begin < 10
            next(stream)
        good = serial(server.address)
        bad = {"not its key": (authority.issue("other")[0], key.read_text()),
               "a key cut short": (cert.read_text(), key.read_text()[:100]),
               "expired": authority.issue("expired", days=-1)}
        for count, (new_cert, new_key) in enumerate(bad.values(), 1):
            put(cert, new_cert)
            put(key, new_key)
            until(lambda c=count: server.metrics()[failures] >= c, what="a refusal")
            assert serial(server.address) == good
            next(stream)
        assert server.metrics()[failures] == len(bad)
        assert "not reloaded" in server.log() and "PRIVATE" not in server.log()
        fresh = authority.issue("last")
        put(cert, fresh[0])
        put(key, fresh[1])
        until(lambda: serial(server.address) == serial_of(fresh[0]), what="a good pair after bad ones")
        next(stream)
        stream.cancel()


def test_bad_files_at_start(pair, authority, tmp_path):
    cert, key = pair
    expired = tmp_path / "expired"
    expired_cert, expired_key = Authority(expired).pair("old")
    text = Authority(expired, "again").issue("old", days=-1)
    expired_cert.write_text(text[0])
    expired_key.write_text(text[1])
    for bad_cert, bad_key, words in [(tmp_path / "none", key, ["none", "No such file"]),
                                     (key, key, ["no certificate"]),
                                     (cert, cert, ["private key"]),
                                     (authority.cert, key, ["does not belong"]),
                                     (tmp_path, key, ["not a regular file"]),
                                     (expired_cert, expired_key, ["expired"])]:
        refused(CONFIG, "tls_cert_file", *words, flags=flags(bad_cert, bad_key))
    refused(CONFIG, "tls_client_ca_file", "no certificate", flags=flags(cert, key, f"--tls_client_ca_file={key}"))


@pytest.mark.parametrize("given, words", [
    (["--tls_cert_file=a"], ["--tls_key_file", "--tls_cert_file"]),
    (["--tls_key_file=a"], ["--tls_cert_file"]),
    (["--tls_client_ca_file=a"], ["--tls_client_ca_file", "--tls_cert_file"]),
    (["--peer_cert_file=a", "--peer_ca_file=b"], ["--peer_key_file"]),
    (["--peer_cert_file=a", "--peer_key_file=b"], ["--peer_ca_file"]),
    (["--access_file=a", "--tenant_header=b"], ["--tenant_header", "--access_file"])])
def test_flags_that_need_another(given, words):
    refused(USAGE, *words, flags=given)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "127.0.0.1.evil.test", "*", "example.com", "[::1%lo]"])
def test_a_port_that_others_reach_needs_tls_and_keys(pair, host):
    wanted = ["--listen", "--tls_cert_file", "--tls_key_file", "--access_file"]
    for given in ([], flags(*pair), ["--access_file=a"]):
        refused(USAGE, *wanted, flags=[f"--listen={host}:0", *given])


def test_a_port_that_others_reach_with_both(pair, authority, tmp_path):
    path = tmp_path / "access.json"
    path.write_text(access({"k": "acme"}))
    with (Server(TINY, *flags(*pair, f"--access_file={path}"), listen="0.0.0.0:0") as server,
          Client(server.address.replace("0.0.0.0", "127.0.0.1"), credentials=authority.credentials(),
                 metadata=[("authorization", "Bearer k")]) as client):
        client.model()
