"""Whom a client trusts: the authorities of the system, and nobody where nothing is encrypted."""

import ssl

import pytest

from rollbook._wire import authorities_for


@pytest.mark.parametrize("url", ["https://rollbook.example", "HTTPS://rollbook.example:8443/api"])
def test_a_server_with_tls_is_checked_by_the_authorities_of_the_system(url: str) -> None:
    assert authorities_for(url) is True


def test_where_no_tls_is_spoken_none_are_read_and_no_certificate_would_do() -> None:
    trusted = authorities_for("http://127.0.0.1:8000")

    assert isinstance(trusted, ssl.SSLContext)
    assert trusted.get_ca_certs() == []
    assert (trusted.verify_mode, trusted.check_hostname) == (ssl.CERT_REQUIRED, True)
