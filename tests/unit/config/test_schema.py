from __future__ import annotations

from asgi_arbiter.config.records import Record, defaults_of
from asgi_arbiter.config.schema import Kind, Reach, section_slug, setting


class Small(Record):
    width: int = setting(
        3,
        kind=Kind.COUNT,
        section="Odd Things",
        flags=("-W", "--width"),
        also=("--breadth",),
        keys=("wide",),
        gunicorn="girth",
        help="How wide.",
    )
    pause: float = setting(1.0, kind=Kind.SECONDS, section="Odd Things", help="How long.")
    quiet: bool = setting(False, kind=Kind.FLAG, section="Odd Things", flags=("--no-noise",), help="Be quiet.")


WIDTH, PAUSE, QUIET = (entry.option for entry in defaults_of(Small).values())


def test_a_field_has_its_default_and_its_metadata() -> None:
    assert Small().width == 3
    assert (WIDTH.section, WIDTH.help, WIDTH.reach, WIDTH.since) == ("Odd Things", "How wide.", Reach.WORKERS, "0.1")


def test_the_primary_flag_is_the_first_long_one() -> None:
    assert WIDTH.flag == "--width"
    assert PAUSE.flag == ""


def test_a_setting_has_every_name_under_which_another_server_knows_it() -> None:
    assert WIDTH.names("width") == ("width", "wide", "girth", "breadth")


def test_a_negative_flag_is_no_name() -> None:
    assert QUIET.names("quiet") == ("quiet",)


def test_units_and_bounds_follow_from_the_kind() -> None:
    assert (PAUSE.unit, PAUSE.least) == ("seconds", 0)
    assert (WIDTH.unit, WIDTH.least) == ("", 0)


def test_the_table_of_a_section_is_written_without_blanks() -> None:
    assert section_slug("Odd Things") == "odd_things"
