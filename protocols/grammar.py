"""The grammar of request heads, as expressions: what RFC 9110, RFC 9112 and RFC 3986 call valid."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["TOKEN", "is_authority", "is_host", "is_target", "is_token", "is_version", "split_absolute_form"]

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
is_token = re.compile(TOKEN).fullmatch
# RFC 9112 section 3.2: visible characters only; a fragment never travels, so "#" is refused.
is_target = re.compile(rb"[!-\"$-~]+").fullmatch
is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
split_absolute_form = re.compile(rb"(?i:https?)://([^/?]*)([^?]*)(?:\?(.*))?").fullmatch
is_authority = re.compile(rb"[^/?@]+:[0-9]+").fullmatch
# RFC 3986 section 3.2.2, RFC 9110 section 7.2: uri-host [":" port]; never user information.
is_host = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]{0,5})?"
).fullmatch
