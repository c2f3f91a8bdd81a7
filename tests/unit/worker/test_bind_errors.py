"""What the kernel says, in the words of an operator."""

from __future__ import annotations

import errno
import os

import pytest

from asgi_arbiter.config.address import Address
from asgi_arbiter.config.errors import BindError, ExitCode
from asgi_arbiter.worker.bind_errors import explain, refuse

TCP = Address.tcp("127.0.0.1", 8000)


def said(text: str, code: int) -> str:
    return explain(Address.parse(text), OSError(code, os.strerror(code)))


@pytest.mark.parametrize(
    ("address", "code", "begins"),
    [
        ("0.0.0.0:80", errno.EACCES, "permission denied; a port below 1024 needs root, the capability CAP_NET_BIND"),
        ("0.0.0.0:8080", errno.EACCES, "permission denied"),
        ("unix:/run/app/s", errno.EACCES, "permission denied; the directory /run/app must be writable"),
        ("unix:s", errno.EACCES, "permission denied; the directory . must be writable"),
        ("10.0.0.1:80", errno.EADDRNOTAVAIL, "address not available; no network interface"),
        ("[::1]:80", errno.EAFNOSUPPORT, "this machine does not support IPv6"),
        ("127.0.0.1:80", errno.EAFNOSUPPORT, "address family not supported"),
        ("unix:/nowhere/s", errno.ENOENT, "the directory /nowhere does not exist"),
        ("unix:/dev/null/s", errno.ENOTDIR, "the directory /dev/null does not exist"),
        ("unix:/sys/s", errno.EROFS, "the file system is read-only"),
        ("127.0.0.1:80", errno.ENOBUFS, "no buffer space available"),
        ("unix:@name", errno.EADDRINUSE, "address already in use; stop the other server first"),
        ("127.0.0.1:1", errno.EADDRINUSE, "address already in use"),
    ],
)
def test_each_answer_of_the_kernel_has_its_words(address: str, code: int, begins: str) -> None:
    assert said(address, code).startswith(begins)


def test_an_unknown_user_of_the_port_is_to_be_found_by_a_command() -> None:
    assert said("127.0.0.1:1", errno.EADDRINUSE).endswith(
        "(ss -ltnp 'sport = :1' shows by whom); stop it first or choose another --bind"
    )


def test_the_error_names_the_address_and_has_the_exit_code_for_it() -> None:
    with pytest.raises(BindError, match=r"^cannot listen on 127\.0\.0\.1:8000: permission denied$") as caught:
        refuse(TCP, OSError(errno.EACCES, "Permission denied"))
    assert caught.value.exit_code is ExitCode.BIND
    assert caught.value.__cause__ is None
