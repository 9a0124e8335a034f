"""N01 and F04: ITI-10, as a consumer receives it."""

from datetime import UTC, datetime

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from mpi.errors import UnreadableMessage
from mpi.feeds.hl7v2.notification import Answer, Parties, read_answer, update_notification
from mpi.identity.model import AssigningAuthority, PatientIdentifier
from mpi.index.review import Verdict
from tests.federation import RecordKey
from tests.integration.consumers import acknowledgement, consuming, control_id
from tests.integration.notified import feed, served, telling
from tests.integration.running import a28, field

EXAMPLE = (
    "MSH|^~\\&|MPI|FED|PACS_B|SITE_B|20260302103000||ADT^A31^ADT_A05|N-0001|P|2.5|||||FRA|UNICODE UTF-8|||ITI-10^IHE\r"
    "EVN||20260302103000\r"
    "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI~B77^^^SITE-B&2.999.1.2&ISO^PI|| \r"
    "PV1||N\r"
)


def identifier(value, site, number):
    return PatientIdentifier(value, AssigningAuthority(f"SITE-{site}", f"2.999.1.{number}", "ISO"), "PI")


def example(*identifiers):
    return update_notification(
        identifiers or (identifier("A1001", "A", 1), identifier("B77", "B", 2)),
        parties=Parties("MPI", "FED", "PACS_B", "SITE_B"),
        control_id="N-0001",
        at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    )


def key(site, value):
    return RecordKey(f"2.999.1.{'ABCDEFGH'.index(site) + 1}", value)


def test_the_example_byte_by_byte():
    """[N01] MSH-21 ITI-10^IHE, PID-3 fully qualified, PID-5 one space, PV1-2 N."""
    assert example().decode() == EXAMPLE


def test_it_is_valid_by_hl7():
    """[N01] hl7apy finds every field of ADT_A05 where version 2.5 has it; one space is nothing to it."""
    named = EXAMPLE.replace("|| \r", "||X\r")

    assert parse_message(named, validation_level=VALIDATION_LEVEL.STRICT, find_groups=False).validate()


def test_what_an_identifier_holds_stays_in_it():
    """[N01] Delimiters in a value are escaped; letters are UTF-8."""
    message = example(identifier("A|1^2&3~4\\é\r", "A", 1)).decode()

    assert message.count("\r") == 4
    assert "PID|||A\\F\\1\\S\\2\\T\\3\\R\\4\\E\\é\\X0D\\^^^SITE-A" in message


def test_a_link_then_a_split(sqlite_url, tmp_path):
    """[N01] One notification when identifiers are linked, two with disjoint sets when they are split."""
    with consuming() as pacs, served(tmp_path, telling(sqlite_url, pacs=pacs)) as service:
        feed(service, a28("A", "A1001", "M1"), a28("B", "B77", "M2"))
        pacs.wait_for(1)
        service.registry.relate(
            Verdict.DIFFERENT, key("A", "A1001"), key("B", "B77"), reviewer="anne", reason="looked"
        )
        pacs.wait_for(3)

    assert pacs.sets() == [
        {("SITE-A", "A1001"), ("SITE-B", "B77")},
        {("SITE-A", "A1001")},
        {("SITE-B", "B77")},
    ]
    for message in pacs.received:
        assert field(message, "MSH", 9) == "ADT^A31^ADT_A05"
        assert field(message, "MSH", 21) == "ITI-10^IHE"
        assert (field(message, "MSH", 5), field(message, "MSH", 6)) == ("PACS", "SITE_ABCD")
        assert (field(message, "PID", 5), field(message, "PV1", 2)) == (" ", "N")
        assert b"CHANTEREAU" not in message


def test_a_pending_candidate_is_not_notified(sqlite_url, tmp_path):
    """[N01] Only decided links: a question to a person is nobody else's business."""
    with consuming() as pacs, served(tmp_path, telling(sqlite_url, pacs=pacs)) as service:
        feed(
            service,
            a28("A", "A1", "M1"),
            a28("B", "B1", "M2", name="BOUVET^LOUISE^LOUISE ANNE-MARIE^^^^L"),
            a28("C", "C1", "M3"),
        )
        pacs.wait_for(1)
        tasks = service.registry.tasks()

    assert tasks
    assert pacs.sets() == [{("SITE-A", "A1"), ("SITE-C", "C1")}]


def test_an_update_that_makes_two_agree_is_told_once(sqlite_url, tmp_path):
    """[F04] The link appears; ITI-10 is sent once for each consumer and content."""
    with (
        consuming() as pacs,
        consuming() as ris,
        served(tmp_path, telling(sqlite_url, pacs=pacs, ris=ris)) as service,
    ):
        feed(
            service,
            a28("A", "A1", "M1"),
            a28("B", "B1", "M2", name="MARTIN^HUGO^HUGO^^^^L", born="19900502", sex="M"),
            a28("C", "C1", "M3", name="LEROY^MANON^MANON^^^^L", born="19551103"),
        )
        update = a28("B", "B2", "M4", name="INCONNU^X^X^^^^L", born="", event="A08")
        feed(service, update)
        agrees = a28("B", "B2", "M5", event="A08", at="20260302111500")
        feed(service, agrees, agrees, a28("B", "B2", "M6", event="A08", at="20260302121500"))
        pacs.wait_for(1)
        ris.wait_for(1)

    for consumer in (pacs, ris):
        assert consumer.sets() == [{("SITE-A", "A1"), ("SITE-B", "B2")}]
        assert len(consumer.received) == 1
    assert control_id(pacs.received[0]) != control_id(ris.received[0])


@pytest.mark.parametrize("code", ["AA", "CA", "AE", "CE", "AR", "CR"])
def test_an_acknowledgement_of_the_very_message(code):
    """[N01] MSA-1 of either mode, MSA-2 equal to MSH-10."""
    assert read_answer(acknowledgement("N-0001", code), "N-0001") == Answer(code)


@pytest.mark.parametrize(
    ("code", "error", "is_final"),
    [
        ("AE", "204", True),
        ("AR", "206", False),
        ("AR", "207", False),
        ("AR", "200", True),
        ("AR", "203", True),
    ],
)
def test_what_is_not_to_be_sent_again(code, error, is_final):
    """[N01] AE for good; AR may be sent again, but for MSH-9, 11 and 12."""
    reply = acknowledgement("N-0001", code) + f"ERR|||{error}^x^HL70357|E\r".encode()

    assert read_answer(reply, "N-0001").is_final is is_final


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(acknowledgement("N-0002"), id="another message"),
        pytest.param(acknowledgement("N-000"), id="the beginning of its name"),
        pytest.param(acknowledgement("N-0001 "), id="its name and a space"),
        pytest.param(acknowledgement("n-0001"), id="in small letters"),
        pytest.param(acknowledgement(""), id="no name"),
        pytest.param(acknowledgement("N-0001", "A"), id="half a code"),
        pytest.param(acknowledgement("N-0001", "OK"), id="no code"),
        pytest.param(acknowledgement("N-0001").split(b"MSA")[0], id="no MSA"),
        pytest.param(acknowledgement("N-0001") + b"MSA|AA|N-0002\r", id="two MSA"),
        pytest.param(acknowledgement("N-0001").replace(b"ACK^A31^ACK", b"ADT^A31"), id="no acknowledgement"),
        pytest.param(acknowledgement("N-0001")[4:], id="its beginning is missing"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x06", id="a commit block of MLLP release 2"),
        pytest.param(b"\xff\xfe", id="noise"),
    ],
)
def test_what_is_no_acknowledgement_of_it(reply):
    """[N01] Late, swapped, cut or invented answers never count."""
    with pytest.raises(UnreadableMessage):
        read_answer(reply, "N-0001")
