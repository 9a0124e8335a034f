"""F01 to F10: patient identity feeds, ITI-8 and ITI-30, as far as a message and its acknowledgement go."""

import pytest

from mpi.identity.model import RecordKey
from mpi.index.events import MessageState
from tests.unit.feeds.hl7v2.fakes import (
    KEY_A,
    KEY_C,
    PID,
    SITE_A,
    STRUCTURES,
    Feed,
    adt,
    change,
    link,
    merge,
)

A1001 = "A1001^^^SITE-A&2.999.1.1&ISO^PI"
A1377 = "A1377^^^SITE-A&2.999.1.1&ISO^PI"
A1500 = "A1500^^^SITE-A&2.999.1.1&ISO^PI"


@pytest.fixture
def feed():
    return Feed()


@pytest.mark.parametrize("event", ["A01", "A04", "A05", "A08"])
@pytest.mark.parametrize(
    "cx",
    [
        pytest.param("A1001^^^SITE-A", id="F01 namespace only"),
        pytest.param("A1001^^^&2.999.1.1&ISO", id="F01 universal id and type"),
        pytest.param("A1001^^^SITE-A&2.999.1.1&ISO", id="F01 all three"),
        pytest.param("A1001", id="F01 no authority: the source's own"),
    ],
)
def test_f01_every_valid_authority_is_taken_and_completed(feed, event, cx):
    reply = feed.send(adt(event, f"PID|||{cx}||ROUX^ANNE||1980|F", version="2.3.1"))

    assert (reply.msa_1, reply.first("MSA", 2)) == ("AA", "F-0001")
    assert reply.first("MSH", 8) == f"ACK^{event}^ACK"
    assert feed.latest(KEY_A, "A1001").identifier.authority == SITE_A


@pytest.mark.parametrize("event", ["A01", "A04", "A05", "A08", "A28", "A31"])
@pytest.mark.parametrize(
    "hd",
    [
        pytest.param("&2.999.1.1", id="F02 universal id without type"),
        pytest.param("&&ISO", id="F02 type without universal id"),
        pytest.param("NOWHERE", id="F02 unknown namespace"),
        pytest.param("&2.999.9&ISO", id="F02 unknown universal id"),
        pytest.param("NOWHERE&2.999.9&ISO", id="F02 unknown in full"),
        pytest.param("SITE-A&2.999.1.2&ISO", id="F02 two authorities in one"),
    ],
)
def test_f02_an_unknown_or_partial_authority_is_refused(feed, event, hd):
    reply = feed.send(adt(event, f"PID|||A1001^^^{hd}||ROUX^ANNE||1980|F"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "PID^1^3^1^4", "204")
    assert feed.state is MessageState.QUARANTINED
    assert not feed.registry.records


def test_f02_in_2_3_1_the_error_is_in_err_1(feed):
    reply = feed.send(adt("A04", "PID|||A1001^^^NOWHERE||ROUX^ANNE", version="2.3.1"))

    assert reply.first("ERR", 1) == "PID^1^3^204&Unknown key identifier"
    assert (reply.err_2, reply.err_3) == ("PID^1^3^1^4", "204")


def test_f03_a_domain_of_another_source_is_refused(feed):
    reply = feed.send(adt("A28", "PID|||X1^^^SITE-B~B77^^^SITE-B||ROUX^ANNE"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "PID^1^3^1^4", "204")
    assert feed.state is MessageState.QUARANTINED
    assert not feed.registry.records


def test_f03_a_sender_nobody_configured_is_refused(feed):
    reply = feed.send(adt(application="RIS_Z"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^3", "204")
    assert not feed.registry.records


@pytest.mark.parametrize("event", ["A02", "A03", "A06", "A07", "A21", "A22", "A54", "Z99"])
def test_iti_31_a_movement_of_an_unknown_patient_states_them(feed, event):
    reply = feed.send(adt(event, PID, "PV1||I", version="2.5^FRA^2.11"))

    assert (reply.msa_1, reply.first("MSH", 8)) == ("AA", f"ACK^{event}^ACK")
    assert feed.latest(KEY_A, "A1001").warnings == ()


@pytest.mark.parametrize("event", ["A11", "A12", "A13", "A25", "A27", "A38", "A52", "A53", "A55"])
def test_iti_31_what_takes_back_a_visit_is_acknowledged_and_changes_nobody(feed, event):
    reply = feed.send(adt(event, PID, "PV1||I", version="2.5^FRA^2.11"))

    assert reply.msa_1 == "AA"
    assert feed.state is MessageState.APPLIED
    assert not feed.registry.records


def test_pam_fr_an_a08_is_taken_and_reported(feed):
    feed.send(adt("A08", version="2.5^FRA^2.11"))

    assert feed.latest(KEY_A, "A1001").warnings[0].startswith("MSH^1^9^1^2: A08 is not of this profile")


def test_i06_what_may_not_be_kept_is_not(feed):
    pid = PID + "||ZQX10" + "|" * 7 + "ZQX17" + "|" * 5 + "ZQX22"
    reply = feed.send(adt("A28", pid, "ZFA|ZQX", "ZFP|ZQX", "ZFS|ZQX"))

    assert reply.msa_1 == "AA"
    assert b"ZQX" not in feed.registry.journal[0][0].raw
    assert "ZQX" not in repr(feed.latest(KEY_A, "A1001"))


def test_a_birth_after_the_event_is_refused(feed):
    reply = feed.send(adt("A28", "PID|||A1001||ROUX^ANNE||20280101|F"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "PID^1^7", "102")
    assert not feed.registry.records


def test_f06_a_merge_repeated_changes_nothing(feed):
    replies = [feed.send(merge(A1001, A1377, control_id=f"F-{n}")) for n in range(2)]

    assert [reply.msa_1 for reply in replies] == ["AA", "AA"]
    assert len(feed.registry.merged) == 1


def test_f06_a_chain_of_merges_ends_at_its_last_survivor(feed):
    feed.send(merge(A1001, A1377, control_id="F-1"))
    reply = feed.send(merge(A1500, A1001, control_id="F-2"))

    assert reply.msa_1 == "AA"
    assert feed.registry.survivor(RecordKey(KEY_A, "A1377")) == RecordKey(KEY_A, "A1500")


def test_f06_the_reverse_of_a_merge_is_refused(feed):
    feed.send(merge(A1001, A1377, control_id="F-1"))
    reply = feed.send(merge(A1377, A1001, control_id="F-2"))

    assert (reply.msa_1, reply.err_3) == ("AE", "205")


@pytest.mark.parametrize(
    ("event", "segments"),
    [
        ("A24", (PID, f"PID|||{A1377}")),
        ("A37", (PID, f"PID|||{A1377}")),
        ("A40", (PID, f"MRG|{A1377}")),
        ("A43", (PID, f"MRG|{A1377}")),
        ("A44", (PID, f"MRG|{A1377}||N1")),
        ("A45", (PID, f"MRG|{A1377}||||V1", "PV1||I")),
        ("A47", (PID, f"MRG|{A1377}")),
    ],
)
@pytest.mark.parametrize("structure", [True, False])
def test_every_event_about_identifiers_is_taken_and_acknowledged_in_its_name(
    feed, event, segments, structure
):
    message = adt(event, *segments)
    if not structure:
        message = message.replace(f"{event}^{STRUCTURES[event]}|", f"{event}|")
    reply = feed.send(message)

    assert (reply.msa_1, reply.first("MSH", 8)) == ("AA", f"ACK^{event}^ACK")
    assert len(feed.registry.applied) == 1


def test_f07_a_change_to_the_same_identifier_is_refused(feed):
    reply = feed.send(change(A1001, A1001))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MRG^1^1", "205")


@pytest.mark.parametrize("event", ["A24", "A37"])
@pytest.mark.parametrize(
    ("left", "right", "err_2", "err_3"),
    [
        pytest.param(A1001, "B77^^^SITE-B", "PID^2^3", "204", id="F08 a domain the source may not link"),
        pytest.param("B77^^^SITE-B", A1001, "PID^1^3", "204", id="F08 in either order"),
        pytest.param(A1001, A1001, "PID^2^3", "205", id="F08 self"),
        pytest.param(A1001, "X^^^NOWHERE", "PID^2^3^1^4", "204", id="F08 unknown authority"),
        pytest.param(A1001, "", "PID^2^3", "101", id="F08 no identifier"),
    ],
)
def test_f08_a_link_that_cannot_be_is_refused(feed, event, left, right, err_2, err_3):
    reply = feed.send(link(left, right, event=event))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", err_2, err_3)
    assert not feed.registry.applied


def test_f08_a_link_needs_two_persons(feed):
    reply = feed.send(adt("A24", PID))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "PID^2", "100")


@pytest.mark.parametrize(
    ("mrg", "err_2", "err_3"),
    [
        pytest.param(f"MRG|{A1001}", "MRG^1^1", "205", id="F06 self"),
        pytest.param("MRG|", "MRG^1^1", "101", id="F06 MRG-1 missing"),
        pytest.param("PV1||N", "MRG^1", "100", id="F06 no MRG"),
        pytest.param("MRG|X^^^NOWHERE", "MRG^1^1^1^4", "204", id="F06 unknown authority"),
        pytest.param("MRG|X^^^&2.999.1.1", "MRG^1^1^1^4", "204", id="F06 partial authority"),
    ],
)
def test_f06_a_merge_that_cannot_be_is_refused(feed, mrg, err_2, err_3):
    reply = feed.send(adt("A40", PID, mrg))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", err_2, err_3)
    assert feed.registry.merged == {}


def test_f06_a_merge_across_domains_is_refused(feed):
    reply = feed.send(merge("B1^^^SITE-B", "C1^^^SITE-C", application="HUB", facility="SITE_B"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MRG^1^1^1^4", "204")


def test_f06_the_authority_of_mrg_1_is_completed(feed):
    reply = feed.send(merge("C1^^^SITE-C", "C2^^^&2.999.1.3&ISO", application="HUB", facility="SITE_B"))

    assert reply.msa_1 == "AA"
    assert feed.registry.merged == {RecordKey(KEY_C, "C2"): RecordKey(KEY_C, "C1")}


def test_f09_an_update_of_an_unknown_patient_creates_it(feed):
    reply = feed.send(adt("A31"))

    assert reply.msa_1 == "AA"
    assert feed.latest(KEY_A, "A1001").demographics.sex == "F"


@pytest.mark.parametrize(
    ("pid_11", "withdrawn"),
    [
        pytest.param("", False, id="F10 empty: kept"),
        pytest.param('""', True, id='F10 "": deleted'),
        pytest.param('""^^""^^""^""^H', True, id='F10 "" in every component: deleted'),
    ],
)
def test_f10_empty_keeps_and_null_deletes(feed, pid_11, withdrawn):
    reply = feed.send(adt("A31", f"PID|||A1001||ROUX^ANNE||1980|F|||{pid_11}"))
    deleted = feed.latest(KEY_A, "A1001").demographics.deleted

    assert reply.msa_1 == "AA"
    assert ({"address", "city", "postal_code", "country"} <= deleted) is withdrawn
