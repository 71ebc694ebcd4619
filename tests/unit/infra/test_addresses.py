"""Which addresses anybody may be sent to, and which only after a grant."""

import pytest

from infra.addresses import kind_of, read_address, read_networks


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::8.8.8.8", "public"),
        ("2002:808:808::1", "public"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:7f00:1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("64:ff9b::10.1.2.3", "private"),
        ("fd00:ec2::254", "private"),
        ("0.1.2.3", "private"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("240.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("2001:db8::1", "private"),
        ("2001:0:808:808::1", "private"),
    ],
)
def test_an_address_is_told_by_where_it_leads(address: str, kind: str) -> None:
    assert kind_of(read_address(address)) == kind


@pytest.mark.parametrize(
    "address",
    [
        "100.64.0.1",
        "::ffff:100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::127.0.0.1",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "3fff::1",
        "5f00::1",
        "4000::1",
    ],
)
def test_what_no_table_calls_private_is_not_therefore_public(address: str) -> None:
    assert not read_networks("127.0.0.0/8").allow(read_address(address))


@pytest.mark.parametrize(
    "text", ["", "localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "127.0.0.1/8", "[::1]"]
)
def test_an_odd_spelling_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4|IPv6"):
        read_address(text)


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("8.8.8.8", True),
        ("10.2.3.4", True),
        ("::ffff:10.2.3.4", True),
        ("192.168.1.7", True),
        ("fd00::9", True),
        ("10.3.0.1", False),
        ("192.168.1.8", False),
        ("127.0.0.1", False),
        ("fd01::9", False),
        # What is behind a translator is another network than the one that was granted.
        ("64:ff9b::10.2.3.4", False),
        ("2002:a02:304::", False),
    ],
)
def test_a_grant_is_for_its_networks_alone(address: str, *, is_allowed: bool) -> None:
    granted = read_networks("10.2.0.0/16, 192.168.1.7,fd00::/16")

    assert granted.allow(read_address(address)) is is_allowed


@pytest.mark.parametrize("text", ["10.2.0.0/33", "10.2.3.4/16", "localhost", "10.2.0.0/16,,10.3.0.0/16", "10.2.0.0-9"])
def test_what_is_no_network_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"'.*' is not a network such as 10\.2\.0\.0/16: "):
        read_networks(text)


def test_networks_are_written_as_they_are_read() -> None:
    granted = read_networks("10.2.0.0/16,192.168.1.7,fd00::/16")

    assert str(granted) == "10.2.0.0/16,192.168.1.7/32,fd00::/16"
    assert str(read_networks(str(granted))) == str(granted)
