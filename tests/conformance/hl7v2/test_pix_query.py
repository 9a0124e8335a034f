"""
IHE ITI-9: the six cases and their neighbours, byte for byte, over a registry in memory; then over the real one.
"""

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.identity.model import RecordKey
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, KEY_C, KEY_D, Feed, Reply, query

B77 = "B77^^^SITE-B&2.999.1.2&ISO"
SITE_A = "^^^SITE-A&2.999.1.1&ISO"
SITE_C = "^^^SITE-C&2.999.1.3&ISO"


@pytest.fixture
def feed():
    feed = Feed()
    feed.registry.linked = [
        {
            RecordKey(KEY_A, "A1001"),
            RecordKey(KEY_A, "A1377"),
            RecordKey(KEY_B, "B77"),
            RecordKey(KEY_C, "C5"),
            RecordKey(KEY_D, "D9"),
        },
        {RecordKey(KEY_B, "B78")},
    ]
    return feed


def body(reply):
    """Everything but MSH, whose time and control id are the responder's."""
    return reply.lines[1:-1]


def test_the_header_of_an_answer(feed):
    msh = feed.send(query(B77, SITE_A)).segments("MSH")[0]

    assert msh[2:6] == ["MPI", "FED", "VIEWER_B", "SITE_B"]
    assert msh[8] == "RSP^K23^RSP_K23"
    assert msh[10:18] == ["P", "2.5", "", "", "", "", "FRA", "UNICODE UTF-8"]


def test_q01_known_with_corresponding_identifiers(feed):
    """[Q01] Known, with corresponding identifiers: AA, OK, one PID, its name neutral, QPD as it came."""
    assert body(feed.send(query("B77^^^SITE-B&2.999.1.2&ISO", SITE_C))) == [
        "MSA|AA|Q-0001",
        "QAK|QT-0001|OK",
        f"QPD|IHE PIX Query|QT-0001|{B77}|{SITE_C}",
        "PID|||C5^^^SITE-C&2.999.1.3&ISO^PI||~^^^^^^S",
    ]


def test_q02_known_without_identifier_in_the_domains_asked_for(feed):
    """[Q02] Known, and nothing in the domains asked for: AA, NF, no PID, no ERR."""
    assert body(feed.send(query("B78^^^SITE-B&2.999.1.2&ISO", SITE_A))) == [
        "MSA|AA|Q-0001",
        "QAK|QT-0001|NF",
        f"QPD|IHE PIX Query|QT-0001|B78^^^SITE-B&2.999.1.2&ISO|{SITE_A}",
    ]


def test_q03_unknown_identifier_in_a_known_domain(feed):
    """[Q03] An unknown identifier: AE, 204 at QPD^1^3^1^1, no PID."""
    assert body(feed.send(query("B999^^^SITE-B&2.999.1.2&ISO", SITE_A))) == [
        "MSA|AE|Q-0001",
        "ERR||QPD^1^3^1^1|204^Unknown key identifier^HL70357|E",
        "QAK|QT-0001|AE",
        f"QPD|IHE PIX Query|QT-0001|B999^^^SITE-B&2.999.1.2&ISO|{SITE_A}",
    ]


@pytest.mark.parametrize(
    "who",
    [
        pytest.param("B77^^^NOWHERE&2.999.9&ISO", id="Q04 unknown"),
        pytest.param("B77^^^&2.999.1.2", id="Q04 universal id without type"),
        pytest.param("B77", id="Q04 none"),
        pytest.param("D9^^^SITE-D&2.999.1.4&ISO", id="Q04 not for this consumer to see"),
        pytest.param("D0^^^SITE-D&2.999.1.4&ISO", id="Q04 not for it to see, and unknown"),
    ],
)
def test_q04_unknown_source_domain(feed, who):
    """[Q04] An unknown or incomplete domain in QPD-3, or one not to be seen: AE, 204 at QPD^1^3^1^4, no PID."""
    assert body(feed.send(query(who, SITE_A))) == [
        "MSA|AE|Q-0001",
        "ERR||QPD^1^3^1^4|204^Unknown key identifier^HL70357|E",
        "QAK|QT-0001|AE",
        f"QPD|IHE PIX Query|QT-0001|{who}|{SITE_A}",
    ]
    assert feed.registry.asked == []


@pytest.mark.parametrize(
    ("targets", "repetition"),
    [
        pytest.param("^^^NOWHERE", 1, id="Q05 unknown"),
        pytest.param(f"{SITE_A}~^^^NOWHERE&2.999.9&ISO", 2, id="Q05 known and unknown"),
        pytest.param(f"^^^NOWHERE~{SITE_A}", 1, id="Q05 unknown and known"),
        pytest.param(f"{SITE_A}~^^^SITE-D", 2, id="Q05 not for this consumer to see"),
    ],
)
def test_q05_unknown_target_domain_fails_the_whole_query(feed, targets, repetition):
    """[Q05] An unknown domain in QPD-4, or one not to be seen: AE, 204 at QPD^1^4^n without component, no PID."""
    assert body(feed.send(query(B77, targets))) == [
        "MSA|AE|Q-0001",
        f"ERR||QPD^1^4^{repetition}|204^Unknown key identifier^HL70357|E",
        "QAK|QT-0001|AE",
        f"QPD|IHE PIX Query|QT-0001|{B77}|{targets}",
    ]
    assert feed.registry.asked == []


def test_q06_several_identifiers_in_one_domain_are_consecutive(feed):
    """[Q06] Several identifiers in one domain: one PID, they follow one another, all fully qualified."""
    assert body(feed.send(query(B77))) == [
        "MSA|AA|Q-0001",
        "QAK|QT-0001|OK",
        f"QPD|IHE PIX Query|QT-0001|{B77}",
        "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI~A1377^^^SITE-A&2.999.1.1&ISO^PI~C5^^^SITE-C&2.999.1.3&ISO^PI"
        "||~^^^^^^S",
    ]


def test_q06_other_identifiers_of_the_domain_asked_from(feed):
    """[Q06] QPD-4 may name the domain of QPD-3: the person's other identifiers there, never the one asked for."""
    reply = feed.send(query("A1001^^^SITE-A", SITE_A))

    assert reply.first("PID", 3) == "A1377^^^SITE-A&2.999.1.1&ISO^PI"


def test_q07_a_pending_candidate_is_not_answered(feed):
    """[Q07] A link that nobody decided is not answered: NF."""
    assert feed.send(query("B78^^^SITE-B")).first("QAK", 2) == "NF"


def test_q08_one_error_for_each_unknown_target(feed):
    """[Q08] Two unknown domains and a known one in QPD-4: AE, one ERR for each of the two, no PID."""
    targets = f"^^^NOWHERE~{SITE_A}~^^^&2.999.9&ISO"

    assert body(feed.send(query(B77, targets))) == [
        "MSA|AE|Q-0001",
        "ERR||QPD^1^4^1|204^Unknown key identifier^HL70357|E",
        "ERR||QPD^1^4^3|204^Unknown key identifier^HL70357|E",
        "QAK|QT-0001|AE",
        f"QPD|IHE PIX Query|QT-0001|{B77}|{targets}",
    ]


@pytest.mark.parametrize("cx", ["B77^^^SITE-B", "B77^^^&2.999.1.2&ISO", " B77^^^SITE-B&2.999.1.2&ISO^PI"])
def test_every_valid_way_to_name_the_domain_is_taken(feed, cx):
    assert feed.send(query(cx)).first("QAK", 2) == "OK"


def test_the_index_is_asked_for_what_the_consumer_may_see(feed):
    feed.send(query(B77, f"{SITE_A}~{SITE_A}"))
    feed.send(query(B77, "~"))
    visible = frozenset({KEY_A, KEY_B, KEY_C})

    assert feed.registry.asked == [
        (RecordKey(KEY_B, "B77"), frozenset({KEY_A}), visible, "consumer:viewer-b"),
        (RecordKey(KEY_B, "B77"), None, visible, "consumer:viewer-b"),
    ]


def test_a_consumer_nobody_configured_gets_nothing(feed):
    reply = feed.send(query(B77, application="OTHER"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^3", "204")
    assert reply.first("QAK", 2) == "AE"
    assert reply.first("PID", 3) is None


@pytest.mark.parametrize(
    ("qpd", "err_2", "err_3"),
    [
        (["QPD", "IHE PDQ Query", "T", B77], "QPD^1^1", "103"),
        (["QPD", "", "T", B77], "QPD^1^1", "103"),
        (["QPD", "IHE PIX Query", "T"], "QPD^1^3", "101"),
        (["QPD", "IHE PIX Query", "T", "^^^SITE-B"], "QPD^1^3^1^1", "101"),
    ],
)
def test_an_incomplete_query_says_where(feed, qpd, err_2, err_3):
    reply = feed.send(query(qpd=qpd))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", err_2, err_3)
    assert reply.segments("QPD")[0] == qpd


def test_extra_components_of_qpd_1_and_a_missing_tag_are_tolerated(feed):
    reply = feed.send(query(qpd=["QPD", "IHE PIX Query^x^HL70471", "", B77]))

    assert body(reply)[1:3] == ["QAK||OK", f"QPD|IHE PIX Query^x^HL70471||{B77}"]


@pytest.mark.parametrize(
    ("message", "msa_1", "err_2", "err_3"),
    [
        (query(event="Q21"), "AR", "MSH^1^9^1^2", "201"),
        (query(version="2.9"), "AR", "MSH^1^12", "203"),
        (query(control_id=""), "AE", "MSH^1^10", "101"),
        (query(qpd=["ZZZ"]), "AR", "QPD^1", "100"),
    ],
)
def test_what_is_no_answerable_query_gets_an_acknowledgement(feed, message, msa_1, err_2, err_3):
    reply = feed.send(message)

    assert (reply.msa_1, reply.err_2, reply.err_3) == (msa_1, err_2, err_3)
    assert reply.first("QAK", 1) is None


def test_an_identifier_the_request_cannot_spell_is_answered_in_utf_8(feed):
    feed.registry.linked = [{RecordKey(KEY_B, "B77"), RecordKey(KEY_A, "Œ1|2")}]
    reply = Reply(feed.handler.handle(query(B77, charset="ASCII").encode()), "utf-8")

    assert reply.first("PID", 3) == r"Œ1\F\2^^^SITE-A&2.999.1.1&ISO^PI"
    assert reply.segments("MSH")[0][17] == "UNICODE UTF-8"


MSH = r"MSH|^~\&|VIEWER_B|SITE_B|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|Q-0001|P|2.5|||||FRA|UNICODE UTF-8"


def test_q01_the_whole_answer_but_our_time_and_control_id(feed):
    """[Q01] The answer as a whole, delimiters and segment ends included."""
    raw = feed.handler.handle(f"{MSH}\rQPD|IHE PIX Query|QT-0001|{B77}|{SITE_A}\rRCP|I\r".encode())
    header, rest = raw.split(b"\r", 1)
    fields = header.split(b"|")

    assert b"|".join([*fields[:6], b"TIME", *fields[7:9], b"ID", *fields[10:]]) == (
        rb"MSH|^~\&|MPI|FED|VIEWER_B|SITE_B|TIME||RSP^K23^RSP_K23|ID|P|2.5|||||FRA|UNICODE UTF-8"
    )
    assert rest == (
        b"MSA|AA|Q-0001\rQAK|QT-0001|OK\r"
        b"QPD|IHE PIX Query|QT-0001|B77^^^SITE-B&2.999.1.2&ISO|^^^SITE-A&2.999.1.1&ISO\r"
        b"PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI~A1377^^^SITE-A&2.999.1.1&ISO^PI||~^^^^^^S\r"
    )


@pytest.mark.parametrize(
    "qpd",
    [
        f"QPD|IHE PIX Query^^HL70471|QT-0001|{B77}^PI^^20260101|^^^SITE-A~~^^^&2.999.1.3&ISO||||||",
        "QPD|IHE PIX Query|QT\\T\\1|B77^^^SITE-B&2.999.1.2&ISO&|A1^^^SITE-A&&",
        "QPD|IHE PIX Query||B77^^^SITE-B|^^^SITE-A^PI|||trailing",
    ],
)
def test_q01_qpd_comes_back_byte_for_byte(feed, qpd):
    """[Q01] QPD is echoed exactly: escapes, empty repetitions, dangling and trailing delimiters."""
    reply = Reply(feed.handler.handle(f"{MSH}\r{qpd}\rRCP|I\r".encode()))

    assert qpd in reply.lines
    assert reply.first("QAK", 1) == qpd.split("|")[2]
    assert reply.first("QAK", 2) == "OK"


def test_q04_universal_id_without_type_beside_a_namespace(feed):
    """[Q04] A universal id without its type is refused even beside a namespace that is known."""
    reply = feed.send(query("B77^^^SITE-B&2.999.1.2"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "QPD^1^3^1^4", "204")


@pytest.mark.parametrize("targets", ["", "^^^SITE-A", "^^^SITE-B", "^^^SITE-D"])
def test_q04_what_may_not_be_seen_is_answered_like_what_does_not_exist(feed, targets):
    """[Q04] The answer about a domain not to be seen differs in nothing from that about none."""
    hidden = feed.send(query("D9^^^SITE-D", targets))
    none = feed.send(query("D9^^^SITE-Z", targets))

    assert [line.replace("SITE-D", "SITE-Z", 1) for line in body(hidden)] == body(none)


def test_a_retired_identifier_answers_for_what_it_became_or_is_unknown(feed):
    """[Q03] An identifier that was merged away: followed by default, unknown where the policy says so."""
    for follow, expected in ((True, ("AA", "OK", None)), (False, ("AE", "AE", "QPD^1^3^1^1"))):
        asking = Feed(queries=QueryPolicy(follow_retired=follow))
        asking.registry.linked = feed.registry.linked
        asking.registry.retired = {RecordKey(KEY_A, "A1377")}
        reply = asking.send(query("A1377^^^SITE-A"))

        assert (reply.msa_1, reply.first("QAK", 2), reply.err_2) == expected


def test_a01_the_audit_trail_is_given_what_identifies_the_query_and_no_more(feed):
    """[A01] An ITI-9 query is audited with MSH-10 and its tag, answered or not."""
    feed.send(query(B77))
    feed.send(query("B999^^^SITE-B"))
    feed.send(query(B77, "^^^NOWHERE"))
    feed.send(query(B77, application="OTHER"))

    assert feed.registry.traces == [{"control_id": "Q-0001", "tag": "QT-0001"}] * 4
    assert feed.registry.refusals == [
        ("consumer:viewer-b", "query.cross_reference", "QPD^1^4^1"),
        ("consumer:unknown", "query.cross_reference", "MSH^1^3"),
    ]


def test_a_deferred_query_is_not_answered(feed):
    reply = feed.send(query(B77).replace("RCP|I", "RCP|D"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "RCP^1^1", "103")


@pytest.mark.parametrize("value", ["B\x0077", "B" * 257, "B\x1f77"])
def test_text_that_no_identifier_contains_is_refused(feed, value):
    reply = feed.send(query(f"{value}^^^SITE-B"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "QPD^1^3", "102")
    assert feed.registry.asked == []


def test_an_answer_to_a_query_that_declares_no_character_set_declares_its_own(feed):
    feed.registry.linked = [{RecordKey(KEY_B, "B77"), RecordKey(KEY_A, "É1")}]
    reply = Reply(feed.handler.handle(query(B77, charset="").encode()))

    assert reply.segments("MSH")[0][17] == "8859/1"
    assert reply.first("PID", 3) == "É1^^^SITE-A&2.999.1.1&ISO^PI"


@pytest.mark.parametrize("message", [query(B77), query("B999^^^SITE-B"), query("B78^^^SITE-B")])
def test_hl7apy_validates_what_is_sent(feed, message):
    text = feed.send(message).text

    assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()
