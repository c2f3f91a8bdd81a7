from __future__ import annotations

import pytest

from asgi_arbiter.config.address import UNIX_PATH_LIMIT, Address, AddressKind
from asgi_arbiter.config.errors import InvalidSetting


@pytest.mark.parametrize(
    ("text", "printed", "url"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost", "localhost:8000", "http://localhost:8000"),
        (":80", "0.0.0.0:80", "http://0.0.0.0:80"),
        ("example.org:0", "example.org:0", "http://example.org:0"),
        ("[::1]:9", "[::1]:9", "http://[::1]:9"),
        ("[::]", "[::]:8000", "http://[::]:8000"),
        ("::1", "[::1]:8000", "http://[::1]:8000"),
        ("fe80::1%eth0", "[fe80::1%eth0]:8000", "http://[fe80::1%eth0]:8000"),
        ("tcp://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1"),
        ("unix:/run/app.sock", "unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:app.sock", "unix:app.sock", "unix:app.sock"),
        ("unix:///run/app.sock", "unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:@app", "unix:@app", "unix:@app"),
        ("fd://3", "fd://3", "fd://3"),
        ("fd://0", "fd://0", "fd://0"),
        ("fd://web", "fd://web", "fd://web"),
        ("fd://shop-8443.socket", "fd://shop-8443.socket", "fd://shop-8443.socket"),
        (" 127.0.0.1:1 ", "127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_each_form_is_read_and_printed_in_its_plain_form(text: str, printed: str, url: str) -> None:
    address = Address.parse(text)
    assert (str(address), address.url) == (printed, url)
    assert Address.parse(printed) == address


def test_the_kind_tells_what_the_other_fields_mean() -> None:
    assert Address.parse("h:1") == Address(AddressKind.TCP, host="h", port=1)
    assert Address.parse("unix:@x") == Address(AddressKind.UNIX, path="@x")
    assert Address.parse("fd://7") == Address(AddressKind.FD, fd=7)
    assert Address.parse("fd://7a") == Address(AddressKind.FD, name="7a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the address is empty"),
        ("localhost:http", '"http" in "localhost:http" is not a port number'),
        ("localhost:", '"" in "localhost:" is not a port number'),
        ("localhost:-1", '"-1" in "localhost:-1" is not a port number'),
        ("localhost:65536", "port 65536 is not between 0 and 65535"),
        ("[::1:80", '"[::1:80" is not [IPv6]:PORT'),
        ("[::1]80", '"[::1]80" is not [IPv6]:PORT'),
        ("[]:80", '"[]:80" is not [IPv6]:PORT'),
        ("a:b:c", '"a:b:c" is not an IPv6 address'),
        ("my host:1", '"my host" is neither a host name nor an IP address'),
        ("http://127.0.0.1:8000/", '"http://127.0.0.1:8000/" is a URL; write 127.0.0.1:8000'),
        ("unix:", "the path of the Unix socket is missing"),
        ("unix:@", "the path of the Unix socket is missing"),
        ("unix:\0app", "the path of the Unix socket has a zero byte; write an abstract name as @app"),
        ("fd://a b", '"fd://a b" is not fd://N with N a number, nor fd://NAME of a socket passed by systemd'),
        ("fd://a:b", '"fd://a:b" is not fd://N with N a number, nor fd://NAME of a socket passed by systemd'),
        ("fd://", '"fd://" is not fd://N with N a number, nor fd://NAME of a socket passed by systemd'),
    ],
)
def test_what_is_no_address_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidSetting) as refusal:
        Address.parse(text)
    assert str(refusal.value) == message


def test_the_longest_unix_path_is_taken_and_one_byte_more_is_refused_with_both_numbers() -> None:
    path = "/" + "x" * (UNIX_PATH_LIMIT - 1)
    assert Address.parse(f"unix:{path}").path == path
    with pytest.raises(InvalidSetting, match="has 108 bytes, the system allows 107: /xxx"):
        Address.parse(f"unix:{path}x")


def test_the_length_of_a_unix_path_is_counted_in_bytes() -> None:
    with pytest.raises(InvalidSetting, match="has 121 bytes"):
        Address.unix("/" + "ü" * 60)
