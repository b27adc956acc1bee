"""The certificate authorities that this machine trusts, the same for the load and for what is asked beside it."""

import ssl

import httpx

from perflib.spec import InputError


def tls_context() -> ssl.SSLContext:
    """The TLS of every https connection: the authorities of certifi, or of $SSL_CERT_FILE or $SSL_CERT_DIR.

    Raises:
        InputError: where they cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise InputError(
            f"SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE names a file that cannot be used ({error}); mend or unset it"
        ) from None
