import pytest

from mpi.errors import UnreadableMessage
from mpi.feeds.hl7v2 import er7, problems
from tests.unit.feeds.hl7v2.fakes import KEY_A, Feed, adt

HEAD = b"MSH|^~\\&|RIS_A|SITE_A|MPI|FED|20260302101500||ADT^A28^ADT_A05|F-1|P|2.5|||||FRA|"


def message(*segments: str, charset: str = "UNICODE UTF-8", end: str = "\r") -> er7.Message:
    return er7.read(HEAD + charset.encode() + end.join(("", *segments, "")).encode())


def test_fields_are_numbered_as_in_the_standard():
    msh = message("PID|1").msh

    assert [msh.field(n) for n in (1, 2, 3, 10, 18, 40)] == [
        "|",
        "^~\\&",
        "RIS_A",
        "F-1",
        "UNICODE UTF-8",
        "",
    ]


def test_repetitions_components_and_subcomponents():
    pid = message("PID|||1^^^A&2.999&ISO^PI~~2").segment("PID")
    assert pid is not None
    first, second, third = pid.repetitions(3)

    assert (first.value(1), first.value(4, 2), first.value(4, 4), first.value(9)) == ("1", "2.999", "", "")
    assert second.raw == ""
    assert third.value() == "2"
    assert pid.repetitions(4) == []


def test_empty_and_null_are_two_things():
    pid = message('PID|||1|""|""^LOU^^^^^D~ROUX||').segment("PID")
    assert pid is not None

    assert pid.is_null(4)
    assert not pid.is_null(6)
    assert pid.value(4) == pid.value(6) == ""
    assert pid.repetitions(5)[0].is_null(1)
    assert not pid.repetitions(5)[0].is_null(3)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n\r"])
def test_line_ends_and_blank_segments_are_tolerated(end):
    pid = message("PID|||1", "PV1||N", end=end).segment("PID")

    assert pid is not None
    assert pid.value(3) == "1"


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        (r"A\T\B", "A&B"),
        (r"\F\\S\\T\\R\\E\ ".strip(), "|^&~\\"),
        (r"\E\F\E\ ".strip(), "\\F\\"),
        (r"\XC389\MILE", "ÉMILE"),
        (r"A\.br\B\H\C\N\ ".strip(), r"A\.br\B\H\C\N\ ".strip()),
        (r"A\Z1\B", r"A\Z1\B"),
        (r"A\X0D\B", r"A\X0D\B"),
        (r"A\XFF\B", r"A\XFF\B"),
        (r"A\XF\B", r"A\XF\B"),
        (r"C:\dir", r"C:\dir"),
    ],
)
def test_escapes_are_decoded_once_after_splitting(raw, meant):
    pid = message(f"PID|||{raw}").segment("PID")

    assert pid is not None
    assert pid.value(3) == meant


def test_delimiters_come_from_the_message():
    frame = b"MSH$*!?%$RIS_A$SITE_A$$$20260302$$ADT*A28$F-1$P$2.5\rPID$$$1*x?S?y!2***A%2.999%ISO|\r"
    pid = er7.read(frame).segment("PID")
    assert pid is not None
    first, second = pid.repetitions(3)

    assert (first.value(1), first.value(2), second.value(4, 3)) == ("1", "x*y", "ISO|")


@pytest.mark.parametrize(
    ("start", "place", "problem"),
    [
        (b"", "MSH^1", problems.NO_MSH),
        (b"EVN|A28", "MSH^1", problems.NO_MSH),
        (b"MSH\r", "MSH^1^1", problems.BAD_FIELD_SEPARATOR),
        (b"MSHA^~\\&A", "MSH^1^1", problems.BAD_FIELD_SEPARATOR),
        (b"MSH ^~\\& A", "MSH^1^1", problems.BAD_FIELD_SEPARATOR),
        (b"MSH|^", "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
        (b"MSH|^~\\&#!|A", "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
        (b"MSH|^^\\&|A", "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
        (b"MSH|^~1&|A", "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
        (b'MSH|^~"&|A', "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
        (b"MSH|^~\\\xe9|A", "MSH^1^2", problems.BAD_ENCODING_CHARACTERS),
    ],
)
def test_unusable_delimiters_are_refused(start, place, problem):
    with pytest.raises(UnreadableMessage) as refused:
        er7.read(start + b"|x\r")

    assert (refused.value.place, refused.value.problem) == (place, problem)


def test_escape_and_subcomponent_delimiters_may_be_left_out():
    pid = er7.read(b"MSH|^~|A\rPID|||A\\T\\B&C^D\r").segment("PID")

    assert pid is not None
    assert (pid.value(3), pid.value(3, 2)) == ("A\\T\\B&C", "D")


@pytest.mark.parametrize(
    ("charset", "sent", "read"),
    [
        ("8859/1", b"\xc9MILE", "ÉMILE"),
        ("8859/15", b"\xbcUVRARD", "ŒUVRARD"),
        ("8859/1", b"\xbcUVRARD", "¼UVRARD"),
        ("8859/1", b"\x8cUVRARD", "ŒUVRARD"),  # Windows-1252 declared as 8859/1
        ("UNICODE UTF-8", "ŒUVRARD".encode(), "ŒUVRARD"),
        ("UNICODE", "ŒUVRARD".encode(), "ŒUVRARD"),
        ("", b"\xc9MILE", "ÉMILE"),
        ("8859/1~8859/15", b"\xc9MILE", "ÉMILE"),
    ],
)
def test_the_declared_character_set_decodes_the_message(charset, sent, read):
    pid = er7.read(HEAD + charset.encode() + b"\rPID|||1||" + sent + b"\r").segment("PID")

    assert pid is not None
    assert pid.value(5) == read


def test_the_first_of_several_character_sets_is_read_and_answered_in():
    feed = Feed()
    reply = feed.send(adt("A28", "PID|||A1||ÉMILE", charset="8859/1~8859/15").encode("latin-1"))

    assert feed.latest(KEY_A, "A1").warnings == ("MSH^1^18: several character sets; read in the first",)
    assert reply.segments("MSH")[0][17] == "8859/1"


@pytest.mark.parametrize(
    ("charset", "sent", "problem"),
    [
        ("UNICODE UTF-8", b"\xc9MILE", problems.UNDECODABLE),
        ("UNICODE UTF-8", b"\xc0\xafMILE", problems.UNDECODABLE),
        ("ASCII", b"\xc9MILE", problems.UNDECODABLE),
        ("8859/1", b"\x81", problems.UNDECODABLE),
        ("ISO IR87", b"A", problems.UNKNOWN_CHARSET),
    ],
)
def test_what_cannot_be_decoded_is_refused_and_never_mangled(charset, sent, problem):
    with pytest.raises(UnreadableMessage) as refused:
        er7.read(HEAD + charset.encode() + b"\rPID|||1||" + sent + b"\r")

    assert (refused.value.place, refused.value.problem) == ("MSH^1^18", problem)


@pytest.mark.parametrize("charset", ["8859/1", "8859/15", "ISO-8859-1", "", "8859/1~UNICODE UTF-8"])
@pytest.mark.parametrize("name", ["ŒUVRARD^HÉLÈNE", "Prévôt^Zoé", "LEÃO^JOÃO", "İÞ^ŁUKASZ"])
@pytest.mark.parametrize("default_charset", ["8859/1", "8859/15"])
def test_utf_8_under_another_declaration_is_read_as_what_it_is(charset, name, default_charset):
    frame = HEAD + charset.encode() + b"\rPID|||1||" + name.encode() + b"\r"
    found = er7.read(frame, default_charset=default_charset)

    assert "^".join((found.segment("PID").value(5), found.segment("PID").value(5, 2))) == name
    assert found.codec == "utf-8"
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("MSH^1^18: ")
    assert found.warnings[0].endswith(" is UTF-8")


@pytest.mark.parametrize(
    ("charset", "codec"), [("8859/1", "latin-1"), ("8859/15", "iso8859-15"), ("", "latin-1")]
)
@pytest.mark.parametrize("name", ["LEÃO^SÃO", "ÉMILE^PRÉVÔT", "Ã^JOÃ", "IÃŠAÄ", "ÂGE^ÇA", "À^Æ"])
def test_a_genuine_single_byte_message_stays_what_it_declares(charset, codec, name):
    if codec == "latin-1":
        name = name.replace("Š", "S")
    found = er7.read(HEAD + charset.encode() + b"\rPID|||1||" + name.encode(codec) + b"\r")

    assert found.segment("PID").field(5) == name
    assert found.codec == codec


def test_one_byte_that_is_not_utf_8_makes_the_whole_message_something_else():
    found = er7.read(HEAD + b"8859/1\rPID|||1||H\xc3\xa9L\xc8NE\r")

    assert found.codec == "latin-1"


@pytest.mark.parametrize("charset", ["8859/1", "8859/15", ""])
def test_a_header_in_undeclared_utf_8_names_its_sender_right(charset):
    frame = HEAD.replace(b"SITE_A", "HÔPITAL".encode()) + charset.encode() + b"\rPID|||1\r"
    header = er7.read_header(frame)

    assert (header.value(4), header.codec) == ("HÔPITAL", "utf-8")


def test_guessing_a_character_set_leaves_a_warning():
    blank = er7.read(HEAD + b"\rPID|||1||\xa4\r", default_charset="8859/15")
    windows = er7.read(HEAD + b"8859/1\rPID|||1||\x80\r")

    assert blank.segment("PID").value(5) == windows.segment("PID").value(5) == "€"
    assert [len(blank.warnings), len(windows.warnings)] == [1, 1]
    assert er7.read(HEAD + b"\rPID|||1\r").warnings == ()


@pytest.mark.parametrize(
    ("segments", "place", "problem"),
    [
        (["PID|||1", "ROUX^ANNE"], "MSH^1", problems.NOT_A_SEGMENT),
        (["pid|||1"], "MSH^1", problems.NOT_A_SEGMENT),
        (["MSH|^~\\&|OTHER"], "MSH^2", problems.SEVERAL_MESSAGES),
        (["OBX|1"] * er7.MAX_SEGMENTS, "MSH^1", problems.TOO_MANY_SEGMENTS),
        (["EVN", "PID|||" + "~" * er7.MAX_REPETITIONS], "PID^1^3", problems.TOO_MANY_REPETITIONS),
    ],
)
def test_what_is_no_message_or_too_large_is_refused(segments, place, problem):
    with pytest.raises(UnreadableMessage) as refused:
        message(*segments)

    assert (refused.value.place, refused.value.problem) == (place, problem)


def test_the_limits_themselves_are_taken():
    many = message(*["OBX|1"] * (er7.MAX_SEGMENTS - 1))
    repeated = message("PID|||" + "~".join("1" * er7.MAX_REPETITIONS))

    assert len(many.segments("OBX")) == er7.MAX_SEGMENTS - 1
    assert len(repeated.segment("PID").repetitions(3)) == er7.MAX_REPETITIONS


def test_recode_writes_a_field_in_canonical_delimiters():
    separators = er7.Separators("$", "*", "!", "?", "%")

    assert er7.recode("a|b*c?S?d!e%f", separators) == r"a\F\b^c*d~e&f"
    assert er7.recode("a^b", er7.CANONICAL) == "a^b"
