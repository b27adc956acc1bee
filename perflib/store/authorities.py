"""The TLS of an https connection: which certificates are trusted, and which one is shown."""

import ssl
from pathlib import Path

import httpx

from perflib.spec import InputError
from perflib.spec.secret import Secret
from perflib.spec.tls import Tls
from perflib.store.named_files import named_file

_PEM = "in PEM; of DER or PKCS #12 openssl makes it"


def tls_context(tls: Tls | None = None, folder: Path = Path()) -> ssl.SSLContext:
    """The TLS of every https connection.

    The authorities are those of `tls`, whose files lie in `folder`; else of certifi, or of $SSL_CERT_FILE or
    $SSL_CERT_DIR.

    Raises:
        InputError: for a file that cannot be used.
    """
    tls = tls or Tls()
    context = _trusting(tls, folder)
    context.set_alpn_protocols(["http/1.1"])
    if tls.client_cert is not None:
        _show_certificate(context, tls, folder)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trusting(tls: Tls, folder: Path) -> ssl.SSLContext:
    named = None if tls.ca_file is None else _certificates(tls.ca_file, folder, "tls.ca_file")
    try:
        if named is None:
            return httpx.create_ssl_context()
        context = ssl.create_default_context(cafile=named)
    except OSError as error:
        raise InputError(
            f"SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE names a file that cannot be used ({error}); mend or unset it"
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # what openssl and curl trust, a CA made in an afternoon too
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _certificates(file: str | Secret, folder: Path, key: str) -> Path:
    """A file that holds some."""
    path = named_file(file, folder, key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise InputError(f"{key}: {path} holds no certificate {_PEM}") from None
    return path


def _show_certificate(context: ssl.SSLContext, tls: Tls, folder: Path) -> None:
    assert tls.client_cert is not None
    certificate = _certificates(tls.client_cert, folder, "tls.client_cert")
    key = None if tls.client_key is None else named_file(tls.client_key, folder, "tls.client_key")
    where = f"tls.client_cert: {certificate}" if key is None else f"tls.client_key: {key}"

    def encrypted() -> str:
        raise InputError(f"{where}: its key is encrypted; name one that `openssl pkey -in FILE -out NEW` decrypted")

    try:
        context.load_cert_chain(certificate, key, encrypted)
    except OSError as error:
        raise InputError(f"{where}{_why_no_key(error, certificate, key)}") from None


def _why_no_key(error: OSError, certificate: Path, key: Path | None) -> str:
    reason = getattr(error, "reason", None)
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return f" is the key of another certificate than {certificate}; name the key that it was made with"
    if reason in (None, "PEM_LIB", "NO_START_LINE"):
        mend = "; name its key in tls.client_key" if key is None else f" {_PEM}"
        return f" holds no private key{mend}"
    return f" cannot be used ({reason.lower().replace('_', ' ')}); have a new one made"
