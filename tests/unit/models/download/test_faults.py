"""The downloader against servers that do wrong: nothing wrong is handed over, nothing that was good is lost."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import random
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.fault_server import (
    Fault,
    Site,
    claiming,
    hang_up_after,
    in_pieces,
    packed,
    plainly,
    redirect,
    serve,
    stall_after,
    status,
    trickle,
)

from ultralab.kernel.errors import DiskFull, FetchFailed, FileDamaged, NotFound, RequestError
from ultralab.kernel.progress import SILENT
from ultralab.models.download import Patience, fetch, leftovers
from ultralab.models.sources.base import Access, RemoteFile

CONTENT = random.Random(4).randbytes(20 * 1024 * 1024 + 123)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SMALL = CONTENT[:300_000]
SMALL_SHA256 = hashlib.sha256(SMALL).hexdigest()
QUICK = Patience(tries=3, first_wait=0.01, longest=0.05, longest_wish=0.3, stall=0.4)


def remote(site: Site, sha256: str = SHA256, size: int | None = None, realm: str = "", *mirrors: str) -> RemoteFile:
    return RemoteFile("file.gguf", site.url, size, sha256, "", realm, mirrors)


def arrives(site: Site, into: Path, sha256: str = SHA256) -> None:
    fetched = fetch(remote(site, sha256), into, SILENT, patience=QUICK)
    assert (fetched.size, fetched.sha256) == (len(site.content), hashlib.sha256(site.content).hexdigest())
    assert fetched.path.read_bytes() == site.content
    assert list(into.iterdir()) == [fetched.path]


def test_parts_come_by_several_connections_and_no_byte_twice(tmp_path: Path) -> None:
    with serve(Site(CONTENT, etag='"1"', rate=20e6)) as site:
        arrives(site, tmp_path)
    assert site.most_at_work > 1
    assert site.sent == len(CONTENT)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    "fault", [hang_up_after(1_000_000), hang_up_after(2_000_000, reset=True), stall_after(600_000)]
)
def test_broken_and_silent_connections(tmp_path: Path, fault: Fault, hashed: bool) -> None:
    with serve(Site(CONTENT, etag='"1"', faults=[fault, plainly, fault, fault])) as site:
        arrives(site, tmp_path, SHA256 if hashed else "")


def test_a_connection_that_trickles_is_changed_for_another(tmp_path: Path) -> None:
    with serve(Site(SMALL, etag='"1"', faults=[trickle(10, 0.05)])) as site:
        arrives(site, tmp_path, SMALL_SHA256)
    assert len(site.asked) == 2


@pytest.mark.parametrize("name", ["stream", "parts"])
def test_a_server_without_ranges_has_one_connection(tmp_path: Path, name: str) -> None:
    with serve(Site(CONTENT, etag='"1"', ranges=False)) as site:
        arrives(site, tmp_path, SHA256 if name == "parts" else "")
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "lie",
    [
        claiming("bytes 7-{last}/{size}"),
        claiming("bytes {start}-{last}/40000000"),
        claiming("bytes {start}-{last}/5"),
        claiming("bytes {start}-{last}/*"),
        claiming("nonsense"),
        claiming(length=10**9),
        claiming(length=1000),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_answer_that_lies_about_its_part(tmp_path: Path, lie: Fault, first: bool) -> None:
    with serve(Site(CONTENT, etag='"1"', faults=[lie] if first else [plainly, lie])) as site:
        arrives(site, tmp_path)


def test_a_server_that_always_sends_another_part(tmp_path: Path) -> None:
    lie = claiming("bytes 7-{last}/{size}")
    with serve(Site(CONTENT, faults=[plainly], always=lie)) as site, pytest.raises(FetchFailed, match="another part"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert [left.have for left in leftovers(tmp_path)] == [8 * 1024 * 1024]


def test_bytes_from_another_place_under_a_right_head(tmp_path: Path) -> None:
    with serve(Site(CONTENT, faults=[plainly, claiming(shift=-1)])) as site, pytest.raises(FileDamaged):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_one_flipped_bit(tmp_path: Path) -> None:
    wrong = bytearray(CONTENT)
    wrong[12_345_678] ^= 4
    with serve(Site(bytes(wrong), etag='"1"')) as site, pytest.raises(FileDamaged):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_midway_starts_over(tmp_path: Path) -> None:
    site = Site(CONTENT[::-1], etag='"old"')

    def change(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        site.content, site.etag = CONTENT, '"new"'
        plainly(handler, site)

    site.faults = [plainly, change]
    with serve(site):
        arrives(site, tmp_path, "")


def test_a_file_that_changes_always_is_given_up(tmp_path: Path) -> None:
    site = Site(CONTENT)
    numbers = iter(range(1000))

    def another(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        with site.lock:
            site.etag = f'"{next(numbers)}"'
        plainly(handler, site)

    site.always = another
    with serve(site), pytest.raises(FetchFailed, match="again and again"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_redirects_without_an_end(tmp_path: Path) -> None:
    with serve(Site(SMALL, always=redirect("/file.gguf"))) as site, pytest.raises(FetchFailed, match="without an end"):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert len(site.asked) == 21


def test_a_signed_address_that_expires_is_asked_for_anew(tmp_path: Path) -> None:
    """Each signature is good for two requests."""
    with serve(Site(CONTENT, etag='"1"')) as far:

        def signed(handler: BaseHTTPRequestHandler, site: Site) -> None:
            with site.lock:
                uses = site.paths.count(handler.path)
            (plainly if uses <= 2 else status(403))(handler, site)

        def lead(handler: BaseHTTPRequestHandler, site: Site) -> None:
            redirect(f"{far.url}?signature={len(site.asked)}")(handler, site)

        far.always = signed
        with serve(Site(b"", always=lead)) as near:
            patience = Patience(tries=9, first_wait=0.01, longest=0.01)
            fetched = fetch(remote(near), tmp_path, SILENT, patience=patience, connections=2)
    assert fetched.sha256 == SHA256
    assert len(near.asked) >= 2
    assert far.sent == len(CONTENT)


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("hashed", [True, False])
def test_a_body_that_is_packed_or_only_says_so(tmp_path: Path, honest: bool, hashed: bool) -> None:
    with serve(Site(SMALL, always=packed(honest=honest))) as site:
        arrives(site, tmp_path, SMALL_SHA256 if hashed else "")


@pytest.mark.parametrize("content", [b"", b"x", SMALL, CONTENT[: 8 * 1024 * 1024], CONTENT[: 8 * 1024 * 1024 + 1]])
@pytest.mark.parametrize("kind", ["ranges", "stream", "pieces"])
@pytest.mark.parametrize("hashed", [True, False])
def test_files_of_every_size_by_every_way(tmp_path: Path, content: bytes, kind: str, hashed: bool) -> None:
    always = in_pieces() if kind == "pieces" else None
    with serve(Site(content, etag='"1"', ranges=kind == "ranges", always=always)) as site:
        arrives(site, tmp_path, hashlib.sha256(content).hexdigest() if hashed else "")


def test_a_size_other_than_the_promised_one(tmp_path: Path) -> None:
    for always in (None, in_pieces()):
        for promised in (len(SMALL) - 1, len(SMALL) + 1):
            with serve(Site(SMALL, always=always)) as site, pytest.raises(FileDamaged, match="promised"):
                fetch(remote(site, "", promised), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("realm", "token", "hint"), [
    ("hf", "", "Give a token for hf"), ("hf", "t0ken", "The token for hf"), ("", "", "rights"),
])  # fmt: skip
@pytest.mark.parametrize("code", [401, 403])
def test_no_access(tmp_path: Path, code: int, realm: str, token: str, hint: str) -> None:
    access = Access(token=lambda _realm: token)
    with serve(Site(SMALL, always=status(code))) as site, pytest.raises(RequestError) as caught:
        fetch(remote(site, SMALL_SHA256, None, realm), tmp_path, SILENT, access=access, patience=QUICK)
    assert hint in caught.value.hint
    assert len(site.asked) == 1


def test_the_token_goes_to_its_own_host_only(tmp_path: Path) -> None:
    access = Access(token={"hf": "t0ken"}.__getitem__)
    with serve(Site(SMALL)) as far, serve(Site(b"", always=redirect(far.url))) as near:
        fetch(remote(near, SMALL_SHA256, None, "hf"), tmp_path, SILENT, access=access, patience=QUICK)
        assert (near.tokens, far.tokens) == (["Bearer t0ken"], [""])
    with serve(Site(SMALL)) as mirror, serve(Site(b"", always=status(404))) as near:
        own = remote(near, SMALL_SHA256, None, "hf", mirror.url)
        fetch(own, tmp_path / "2", SILENT, access=access, patience=QUICK)
        assert (near.tokens, mirror.tokens) == (["Bearer t0ken"], [""])
    with serve(Site(SMALL, faults=[redirect("/elsewhere")])) as near:  # its own host, so the token may go along
        fetch(remote(near, SMALL_SHA256, None, "hf"), tmp_path / "3", SILENT, access=access, patience=QUICK)
        assert near.tokens == ["Bearer t0ken", "Bearer t0ken"]


@pytest.mark.parametrize("trouble", [status(404), status(403), status(503), status(500), plainly])
def test_a_mirror_helps(tmp_path: Path, trouble: Fault) -> None:
    with serve(Site(SMALL[::-1], always=trouble)) as site, serve(Site(SMALL)) as mirror:
        own = remote(site, SMALL_SHA256, len(SMALL), "", "http://127.0.0.1:9/closed", mirror.url)
        assert fetch(own, tmp_path, SILENT, patience=QUICK).path.read_bytes() == SMALL


def test_a_mirror_goes_on_where_the_address_broke_off(tmp_path: Path) -> None:
    with (
        serve(Site(CONTENT, etag='"a"', faults=[plainly], always=status(503))) as site,
        serve(Site(CONTENT, etag='"b"')) as mirror,
    ):
        fetched = fetch(remote(site, SHA256, None, "", mirror.url), tmp_path, SILENT, patience=QUICK)
    assert fetched.path.read_bytes() == CONTENT
    assert site.sent + mirror.sent == len(CONTENT)


def test_without_a_mirror_that_helps_the_first_error_is_told(tmp_path: Path) -> None:
    with serve(Site(SMALL, always=status(404))) as site, pytest.raises(NotFound):
        fetch(remote(site, "", None, "", "http://127.0.0.1:9/closed", "ftp://no"), tmp_path, SILENT, patience=QUICK)


def test_a_wish_to_be_asked_later_is_heard_within_bounds(tmp_path: Path) -> None:
    long = status(429, "Wed, 01 Jan 2120 00:00:00 GMT")
    with serve(Site(SMALL, faults=[long, status(503, "86400"), plainly])) as site:
        arrives(site, tmp_path, SMALL_SHA256)


def test_a_server_that_bears_one_connection_only(tmp_path: Path) -> None:
    site = Site(CONTENT, etag='"1"', rate=20e6)

    def one_at_a_time(handler: BaseHTTPRequestHandler, _site: Site) -> None:
        (plainly if site.at_work == 1 else status(429))(handler, site)

    site.always = one_at_a_time
    with serve(site):
        arrives(site, tmp_path)


def test_a_disk_that_has_not_the_space(tmp_path: Path) -> None:
    with serve(Site(CONTENT, etag='"1"')) as site:
        with pytest.raises(DiskFull):
            fetch(remote(site), tmp_path, SILENT, patience=QUICK, keep_free=10**18)
        assert site.asked == []
    huge = claiming("bytes {start}-{last}/999999999999999999")
    with serve(Site(SMALL, always=huge)) as site, pytest.raises(DiskFull):
        fetch(remote(site), tmp_path, SILENT, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    own = own_certificate(tmp_path)
    with serve(Site(SMALL), certificate=own) as site, pytest.raises(FetchFailed, match="certificate") as caught:
        fetch(remote(site), tmp_path / "into", SILENT, patience=QUICK)
    assert (caught.value.data["cause"], site.asked) == ("certificate", [])


def own_certificate(folder: Path) -> tuple[str, str]:
    """A certificate that only its maker trusts, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return str(chain), str(secret)
