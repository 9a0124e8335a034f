import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

import mpi.errors
from mpi.errors import (
    FeedError,
    InvalidIdentity,
    LinkConflict,
    MpiError,
    NotPermitted,
    RegistryError,
    StoreError,
    UnknownAuthority,
    UnreadableMessage,
    UnsupportedMessage,
)
from mpi.feeds.hl7v2 import er7, problems
from mpi.feeds.hl7v2.ack import ANSWERS, acknowledge, answer_of
from tests.unit.feeds.hl7v2.fakes import NOW, adt


def ack(error=None, **header):
    header_segment = er7.read_header(adt(**header).encode())
    return acknowledge(header_segment, error, at=NOW, own_application="MPI")


def lines(error=None, **header):
    return ack(error, **header).split("\r")


def leaves(kind=MpiError):
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == mpi.errors.__name__]
    return {kind} if not below else set().union(*map(leaves, below))


def test_every_error_has_an_answer():
    assert leaves() | {StoreError} == set(ANSWERS)
    assert not {FeedError, RegistryError, MpiError} & set(ANSWERS)


def test_a_store_error_is_never_answered():
    with pytest.raises(StoreError):
        answer_of(StoreError("down"))


def test_an_acceptance():
    msh, msa, end = lines(charset="8859/1", control_id="A-7", version="2.5^FRA^2.11")
    fields = msh.split("|")

    assert fields[:8] == ["MSH", "^~\\&", "MPI", "FED", "RIS_A", "SITE_A", "20260302101501+0100", ""]
    assert fields[8] == "ACK^A28^ACK"
    assert 0 < len(fields[9]) <= 20
    assert fields[10:] == ["P", "2.5", "", "", "", "", "FRA", "8859/1"]
    assert (msa, end) == ("MSA|AA|A-7", "")


def test_control_ids_of_ours_are_not_repeated():
    assert len({line.split("|")[9] for line in (lines()[0] for _ in range(100))}) == 100


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4"])
def test_before_2_5_the_error_is_in_err_1_and_the_version_is_repeated(version):
    msh, msa, err, _ = lines(UnknownAuthority("PID^1^3^1^4"), version=version)

    assert msh.split("|")[11] == version
    assert msa == "MSA|AE|F-0001"
    assert err == (
        "ERR|PID^1^3^204&Unknown key identifier|PID^1^3^1^4|204^Unknown key identifier^HL70357|E"
        "||||unknown assigning authority"
    )


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.5^FRA^2.11", "", "2.9"])
def test_since_2_5_the_error_is_in_err_2_to_4(version):
    msh, _, err, _ = lines(InvalidIdentity("PID^1^7", problems.NOT_A_DATE), version=version)

    assert msh.split("|")[11] == "2.5"
    assert err == "ERR||PID^1^7|102^Data type error^HL70357|E||||not a date (expected YYYY[MM[DD]])"


@pytest.mark.parametrize(
    ("error", "msa_1", "code"),
    [
        (UnsupportedMessage("MSH^1^9^1^1", "x"), "AR", 200),
        (UnsupportedMessage("MSH^1^9^1^2", "x"), "AR", 201),
        (UnsupportedMessage("MSH^1^11", "x"), "AR", 202),
        (UnsupportedMessage("MSH^1^12", "x"), "AR", 203),
        (UnreadableMessage("MSH^1", problems.NO_MSH), "AR", 100),
        (UnreadableMessage("MSH^1^2", problems.BAD_ENCODING_CHARACTERS), "AR", 102),
        (UnreadableMessage("MSH^1^18", problems.UNDECODABLE), "AE", 102),
        (InvalidIdentity("PID^1^3", problems.REQUIRED), "AE", 101),
        (InvalidIdentity("PID^1^8", problems.NOT_IN_TABLE), "AE", 103),
        (InvalidIdentity("MRG^1", problems.SEGMENT_MISSING), "AE", 100),
        (InvalidIdentity("MRG^1^1", problems.SAME_IDENTIFIER), "AE", 205),
        (InvalidIdentity("PID-3", "anything else"), "AE", 102),
        (UnknownAuthority("PID^1^3^1^4"), "AE", 204),
        (NotPermitted("no"), "AE", 204),
        (LinkConflict("no"), "AE", 205),
        (MpiError("a defect"), "AE", 207),
        (RuntimeError("a defect"), "AE", 207),
    ],
)
def test_error_to_code(error, msa_1, code):
    assert answer_of(error) == (msa_1, code)


def test_every_problem_has_a_code_of_the_table():
    texts = {value for name, value in vars(problems).items() if name.isupper() and isinstance(value, str)}

    assert texts == set(problems.CODES)
    assert set(problems.CODES.values()) <= set(problems.TABLE_0357)


def test_what_a_sender_may_not_do_is_told_with_its_place():
    err = lines(problems.SenderNotPermitted("PID^1^3^2^4", "not yours"))[2]

    assert err == "ERR||PID^1^3^2^4|204^Unknown key identifier^HL70357|E||||not yours"


def test_a_place_that_is_no_hl7_location_is_left_out():
    err = lines(InvalidIdentity("(0010,0020)", problems.REQUIRED))[2]

    assert err.startswith("ERR|||101^")


def test_a_message_without_header_is_answered_all_the_same():
    text = acknowledge(None, UnreadableMessage("MSH^1", problems.NO_MSH), at=NOW, own_application="MPI")
    msh, msa, err, _ = text.split("\r")

    assert msh.startswith("MSH|^~\\&|MPI||||20260302101501+0100||ACK|")
    assert msa == "MSA|AR|"
    assert err.startswith("ERR||MSH^1|100^Segment sequence error^HL70357|E")


def test_foreign_delimiters_are_rewritten_in_ours():
    header = er7.read_header(b"MSH$*!?%$RIS|A$SITE*1$MPI$FED$2026$$ADT*A28$F?S?1$P$2.5")
    msh, msa, _ = acknowledge(header, None, at=NOW, own_application="MPI").split("\r")

    assert msh.split("|")[2:6] == ["MPI", "FED", r"RIS\F\A", "SITE^1"]
    assert msa == "MSA|AA|F*1"


@pytest.mark.parametrize("version", ["2.3.1", "2.5", "2.5^FRA^2.11"])
@pytest.mark.parametrize("error", [None, InvalidIdentity("PID^1^3", problems.REQUIRED), NotPermitted("no")])
def test_hl7apy_validates_what_is_sent(version, error):
    text = ack(error, version=version, charset="8859/1")
    if error is not None and version == "2.3.1":  # ERR-2 to ERR-8 are the addition 2.3.1 readers ignore
        head, _, rest = text.partition("ERR|")
        text = head + "ERR|" + rest.split("|")[0] + "\r"

    assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()
