"""TLS contexts from real certificates, and what is said of certificates that are wrong."""

from __future__ import annotations

import ssl
import textwrap
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from asgi_arbiter.config import AppImportError, Config, ConfigError, ConflictingSettings, InvalidSetting
from asgi_arbiter.config.tls import prepared_context, server_context
from asgi_arbiter.config.tls_pair import certificate_of


class Files:
    """Certificates on disk, made once."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        first, second = authority.issue_cert("localhost"), authority.issue_cert("localhost")
        self.ca = self._write(folder / "ca.pem", authority.cert_pem.bytes())
        self.cert = self._write(folder / "cert.pem", first.cert_chain_pems[0].bytes())
        self.key = self._write(folder / "key.pem", first.private_key_pem.bytes())
        self.other_key = self._write(folder / "other.pem", second.private_key_pem.bytes())
        self.both = self._write(folder / "both.pem", first.private_key_and_cert_chain_pem.bytes())
        key = serialization.load_pem_private_key(first.private_key_pem.bytes(), None)
        self.encrypted = self._write(
            folder / "encrypted.pem",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
        )
        self.text = self._write(folder / "text.pem", b"hello\n")
        broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        self.broken_cert = self._write(folder / "broken.pem", broken)
        self.broken_key = self._write(folder / "broken_key.pem", broken.replace(b"CERTIFICATE", b"PRIVATE KEY"))

    @staticmethod
    def _write(path: Path, content: bytes) -> str:
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def handshake(server: ssl.SSLContext, files: Files, **client: Any) -> ssl.SSLObject:
    """A handshake in memory; the client's side of it."""
    context = ssl.create_default_context(cafile=files.ca)
    for name, value in client.items():
        if callable(getattr(context, name)):
            getattr(context, name)(*value)
        else:
            setattr(context, name, value)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(5):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return theirs


def complaint(error: type[ConfigError] = InvalidSetting, **settings: Any) -> str:
    with pytest.raises(error) as caught:
        server_context(Config(**settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_context(Config()) is None


def test_a_client_shakes_hands_and_gets_http_1_1(files: Files) -> None:
    context = server_context(Config(certfile=files.cert, keyfile=files.key))
    assert context is not None
    side = handshake(context, files, set_alpn_protocols=(["h2", "http/1.1"],))
    assert side.version() == "TLSv1.3"
    assert side.selected_alpn_protocol() == "http/1.1"
    assert side.compression() is None


def test_certificate_and_key_may_be_in_one_file(files: Files) -> None:
    context = server_context(Config(certfile=files.both))
    assert context is not None
    assert handshake(context, files).version()


def test_tls_1_2_is_the_least(files: Files) -> None:
    context = server_context(Config(certfile=files.both))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_the_version_may_be_tls_1_2_alone(files: Files) -> None:
    context = server_context(Config(certfile=files.both, ssl_version=5))
    assert context is not None
    assert handshake(context, files).version() == "TLSv1.2"


@pytest.mark.parametrize("version", [2, 17, "TLS_SERVER", "TLSv1.2", "PROTOCOL_TLS"])
def test_versions_that_negotiate_are_accepted(files: Files, version: Any) -> None:
    assert server_context(Config(certfile=files.both, ssl_version=version)) is not None


@pytest.mark.parametrize("version", [0, 1, 3, 4, 16, 99, "tls9"])
def test_versions_that_are_broken_or_none_are_refused(files: Files, version: Any) -> None:
    message = complaint(certfile=files.both, ssl_version=version)
    assert message.startswith(f"ssl_version: found {version}, ")
    assert "expected 17" in message


def test_a_password_opens_an_encrypted_key(files: Files) -> None:
    config = Config(certfile=files.cert, keyfile=files.encrypted, keyfile_password="secret")
    context = server_context(config)
    assert context is not None
    assert handshake(context, files).version()


def test_an_encrypted_key_without_a_password_does_not_ask_for_one(files: Files) -> None:
    message = complaint(certfile=files.cert, keyfile=files.encrypted)
    assert message == f"keyfile: the key in {files.encrypted} is encrypted; set keyfile_password"


def test_a_wrong_password_is_named_and_not_shown(files: Files) -> None:
    message = complaint(certfile=files.cert, keyfile=files.encrypted, keyfile_password="guess")
    assert message == f"keyfile_password: it does not open the key in {files.encrypted}"


def test_a_key_of_another_certificate_is_named(files: Files) -> None:
    message = complaint(certfile=files.cert, keyfile=files.other_key)
    assert message == f"keyfile: the key in {files.other_key} does not belong to the certificate in {files.cert}"


def test_missing_files_are_named(files: Files) -> None:
    assert complaint(certfile="/no/cert") == "certfile: cannot read /no/cert: No such file or directory"
    assert complaint(certfile=files.cert, keyfile="/no/key").startswith("keyfile: cannot read /no/key")
    assert complaint(certfile=files.both, ca_certs="/no/ca").startswith("ca_certs: cannot read /no/ca")


def test_files_that_are_something_else_are_named(files: Files) -> None:
    assert complaint(certfile=files.text) == f"certfile: {files.text} holds no certificate in PEM form"
    assert complaint(certfile=files.cert, keyfile=files.text).startswith(f"keyfile: {files.text} holds no private key")
    assert complaint(certfile=files.cert).endswith("holds no private key in PEM form; set keyfile")
    assert complaint(certfile=files.both, ca_certs=files.text).startswith(f"ca_certs: {files.text} holds no certif")
    assert "cannot be read" in complaint(certfile=files.broken_cert, keyfile=files.key)
    assert complaint(certfile=files.cert, keyfile=files.broken_key).startswith("keyfile: the key in")


def test_ciphers_that_openssl_does_not_know_are_named(files: Files) -> None:
    assert complaint(certfile=files.both, ciphers="NONSENSE") == "ciphers: OpenSSL knows no cipher in 'NONSENSE'"


def test_ciphers_are_used(files: Files) -> None:
    context = server_context(Config(certfile=files.both, ciphers="ECDHE-RSA-AES256-GCM-SHA384"))
    assert context is not None
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert "ECDHE-RSA-AES256-GCM-SHA384" in names
    assert "ECDHE-RSA-AES128-GCM-SHA256" not in names


@pytest.mark.parametrize(("number", "mode"), [(1, ssl.CERT_OPTIONAL), (2, ssl.CERT_REQUIRED), (0, ssl.CERT_NONE)])
def test_client_certificates_are_asked_for(files: Files, number: int, mode: ssl.VerifyMode) -> None:
    context = server_context(Config(certfile=files.both, ca_certs=files.ca, cert_reqs=number))
    assert context is not None
    assert context.verify_mode is mode
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_client_without_the_certificate_that_is_required_is_refused(files: Files) -> None:
    context = server_context(Config(certfile=files.both, ca_certs=files.ca, cert_reqs=2))
    assert context is not None
    with pytest.raises(ssl.SSLError):
        handshake(context, files)
    assert handshake(context, files, load_cert_chain=(files.cert, files.key)).version()


def test_authorities_may_be_a_directory(files: Files, tmp_path: Path) -> None:
    assert server_context(Config(certfile=files.both, ca_certs=str(tmp_path), cert_reqs=2)) is not None


def test_settings_that_need_each_other_are_named(files: Files) -> None:
    assert complaint(ConflictingSettings, keyfile=files.key).startswith("keyfile: TLS needs a certificate")
    assert complaint(ConflictingSettings, ca_certs=files.ca).startswith("ca_certs: TLS needs a certificate")
    assert complaint(ConflictingSettings, certfile=files.both, cert_reqs=2).endswith("set ca_certs")
    assert complaint(certfile=files.both, cert_reqs=7).startswith("cert_reqs: found 7, expected 0")


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "tls_hooks_of_test.py").write_text(
        textwrap.dedent("""
            import ssl
            def tls13(config, default):
                context = default()
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                return context
            def own(config, default): return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            def wrong(config, default): return 5
            def fails(config, default): raise RuntimeError("vault is sealed")
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "tls_hooks_of_test", raising=False)
    return "tls_hooks_of_test"


def test_a_hook_may_change_the_context_or_make_its_own(files: Files, hooks: str) -> None:
    context = server_context(Config(certfile=files.both, ssl_context=f"{hooks}:tls13"))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert server_context(Config(ssl_context=f"{hooks}:own")) is not None


def test_a_hook_that_fails_is_named(files: Files, hooks: str) -> None:
    assert "returned a int, expected an ssl.SSLContext" in complaint(ssl_context=f"{hooks}:wrong")
    assert complaint(ssl_context=f"{hooks}:tls13").startswith("certfile: the ssl_context hook asked")
    with pytest.raises(InvalidSetting, match="raised RuntimeError: vault is sealed") as caught:
        server_context(Config(ssl_context=f"{hooks}:fails"))
    assert "in fails" in caught.value.traceback_text
    with pytest.raises(AppImportError):
        server_context(Config(ssl_context=f"{hooks}:missing"))


def test_a_program_may_hand_over_the_function_itself(files: Files) -> None:
    def own(config: Config, default: Any) -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def wrong(config: Config, default: Any) -> int:
        return 5

    given: Any = own
    assert server_context(Config(ssl_context=given)) is not None
    assert "wrong returned a int" in complaint(ssl_context=wrong)


def test_the_lowest_version_is_a_setting(files: Files) -> None:
    context = server_context(Config(certfile=files.both, ssl_min_version="1.3"))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert complaint(certfile=files.both, ssl_min_version="1.1") == "ssl_min_version: found '1.1', expected 1.2 or 1.3"
    told = complaint(ConflictingSettings, certfile=files.both, ssl_min_version="1.3", ssl_version=5)
    assert told.endswith("nothing is left")


def test_revocation_lists_are_read(files: Files, tmp_path: Path) -> None:
    told = complaint(certfile=files.both, ca_certs=files.ca, cert_reqs=2, ssl_crl=files.cert)
    assert told == f"ssl_crl: {files.cert} holds no revocation list in PEM form"
    assert complaint(certfile=files.both, ssl_crl="/no/list").startswith("ssl_crl: cannot read /no/list")


def test_names_need_no_default_and_each_pair_is_checked(files: Files, tmp_path: Path) -> None:
    (tmp_path / "localhost.pem").write_bytes(Path(files.both).read_bytes())
    context = server_context(Config(ssl_sni_dir=str(tmp_path)))
    assert context is not None
    assert handshake(context, files).version()
    (tmp_path / "other.example.pem").write_bytes(Path(files.cert).read_bytes())
    told = complaint(ssl_sni_dir=str(tmp_path))
    assert told == f"ssl_sni_dir: {tmp_path / 'other.example.pem'} holds no private key in PEM form"
    assert complaint(ConflictingSettings, ssl_sni_dir=str(tmp_path), keyfile=files.key).startswith("keyfile: ")


def test_what_is_prepared_outlives_the_files(files: Files, tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    pem.write_bytes(Path(files.both).read_bytes())
    config = Config(certfile=str(pem))
    prepared = prepared_context(config)
    assert prepared is not None
    pem.unlink()
    assert server_context(config, prepared) is prepared
    assert handshake(prepared, files).version()
    with pytest.raises(InvalidSetting):
        prepared_context(config)
    assert prepared_context(Config()) is None


def test_the_hook_gets_what_was_prepared_first_and_may_have_more(files: Files, tmp_path: Path) -> None:
    contexts: list[ssl.SSLContext] = []

    def hook(config: Config, default: Any) -> ssl.SSLContext:
        contexts.extend((default(), default()))
        return contexts[1]

    given: Any = hook
    config = Config(certfile=files.both, ssl_context=given)
    prepared = prepared_context(config)
    assert prepared is not None
    assert server_context(config, prepared) is contexts[1]
    assert contexts[0] is prepared is not contexts[1]
    assert certificate_of(contexts[1]) is None  # the hook may have loaded another
    # Whether the files are needed at all is for the hook to say.
    assert prepared_context(Config(certfile=str(tmp_path / "gone"), ssl_context=given)) is None
    assert prepared_context(Config(ssl_context=given)) is None
