"""IHE ITI-21: whom a demographics query finds, page by page, byte for byte."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName
from mpi.index.parties import ClientCertificate, Directory
from mpi.index.search import Why
from tests.unit.feeds.hl7v2.fakes import (
    KEY_A,
    KEY_B,
    KEY_C,
    NOW,
    Feed,
    Reply,
    adt,
    cancellation,
    federation,
    search,
)
from tests.unit.feeds.hl7v2.people import found, person

LOUISE = ("@PID.5.1.1^CHANTEREAU", "@PID.7^19840229", "@PID.8^F")
SITES_A_B = "^^^SITE-A&2.999.1.1&ISO~^^^SITE-B&2.999.1.2&ISO"
QPD = f"QPD|IHE PDQ Query|PT-0001|{'~'.join(LOUISE)}|||||{SITES_A_B}"
PID = (
    "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI~B77^^^SITE-B&2.999.1.2&ISO^PI||CHANTEREAU^LOUISE^^^^^L||19840229|F"
    "|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H"
)


@pytest.fixture
def feed():
    feed = Feed()
    feed.registry.people = [found(person())]
    return feed


@pytest.fixture
def crowd(feed):
    """Twenty-three people."""
    feed.registry.people = [found(person(n, f"A:A{n:02}")) for n in range(1, 24)]
    return feed


def body(reply):
    """Everything but MSH, whose time and control id are the responder's."""
    return reply.lines[1:-1]


def ids(reply):
    return [pid[3].split("^")[0] for pid in reply.segments("PID")]


def counts(reply):
    return reply.segments("QAK")[0][4:]


def page(feed, dsc="", *, size=10, **more):
    return feed.send(search(*LOUISE, rcp=f"RCP|I|{size}^RD", dsc=dsc, **more))


def pointer(reply):
    return reply.first("DSC", 1)


# --------------------------------------------------------------------------------------- the cases


def test_d01_found_with_every_identifier_known(feed):
    """[D01] QPD-8 empty, found: AA, OK, each patient with every identifier the consumer may see."""
    feed.registry.people = [found(person(identifiers="A:A1001 B:B77 C:C5"))]

    assert body(feed.send(search(*LOUISE))) == [
        "MSA|AA|P-0001",
        "QAK|PT-0001|OK|IHE PDQ Query|1|1|0",
        f"QPD|IHE PDQ Query|PT-0001|{'~'.join(LOUISE)}",
        PID.replace("&ISO^PI||C", "&ISO^PI~C5^^^SITE-C&2.999.1.3&ISO^PI||C"),
    ]


def test_d01_the_header_of_an_answer(feed):
    """[D01] RSP^K22 in the structure RSP_K21; MSH-3 is what the query was addressed to."""
    msh = feed.send(search(*LOUISE)).segments("MSH")[0]

    assert msh[2:6] == ["MPI", "FED", "VIEWER_B", "SITE_B"]
    assert msh[8] == "RSP^K22^RSP_K21"
    assert msh[10:18] == ["P", "2.5", "", "", "", "", "FRA", "UNICODE UTF-8"]


def test_d03_identifiers_of_the_domains_asked_for(feed):
    """[D03] QPD-8 recognised: identifiers of those domains, and who has none there is left out of the count too."""
    feed.registry.people = [
        found(person(1, "A:A1001 B:B77 C:C5")),
        found(person(2, "C:C6")),
        found(person(3, "B:B78 C:C7")),
    ]
    reply = feed.send(search(*LOUISE, domains=SITES_A_B))

    assert body(reply)[:4] == ["MSA|AA|P-0001", "QAK|PT-0001|OK|IHE PDQ Query|2|2|0", QPD, PID]
    assert ids(reply) == ["A1001", "B78"]


def test_d02_nobody_found(feed):
    """[D02] Nobody found: AA, NF, no PID, no ERR."""
    feed.registry.people = []

    assert body(feed.send(search(*LOUISE, domains=SITES_A_B))) == [
        "MSA|AA|P-0001",
        "QAK|PT-0001|NF|IHE PDQ Query|0|0|0",
        QPD,
    ]


@pytest.mark.parametrize("unknown", ["^^^NOWHERE", "^^^SITE-D&2.999.1.4&ISO", "^^^SITE-A&2.999.1.1"])
def test_d04_an_unknown_domain_fails_the_whole_query(feed, unknown):
    """[D04] QPD-8 with domains that are unknown, incomplete or not to be seen: AE, one ERR for each, no PID."""
    domains = f"{unknown}~^^^SITE-A~{unknown}"

    assert body(feed.send(search(*LOUISE, domains=domains))) == [
        "MSA|AE|P-0001",
        "ERR||QPD^1^8^1|204^Unknown key identifier^HL70357|E",
        "ERR||QPD^1^8^3|204^Unknown key identifier^HL70357|E",
        "QAK|PT-0001|AE|IHE PDQ Query",
        f"QPD|IHE PDQ Query|PT-0001|{'~'.join(LOUISE)}|||||{domains}",
    ]
    assert feed.registry.searches == []


@pytest.mark.parametrize("criteria", [["@PID.3.1^A1001"], ["@PID.3^A1001"], [*LOUISE, "@PID.3.1^A1001"]])
def test_d06_an_identifier_without_its_authority_is_refused(feed, criteria):
    """[D06] PID.3.1 without PID.3.4: AE, 101 at the repetition that asks for it; nobody is looked for."""
    reply = feed.send(search(*criteria))

    assert (reply.msa_1, reply.first("QAK", 2)) == ("AE", "AE")
    assert reply.lines[2] == (
        f"ERR||QPD^1^3^{len(criteria)}|101^Required field missing^HL70357|E"
        "||||an identifier is looked for with its authority (@PID.3.4)"
    )
    assert feed.registry.searches == []


def test_too_broad_a_question_names_nobody(feed):
    """[D02] Too many people: AE and the advice to ask for more, not NF, and never some of them."""
    feed.registry.too_broad = True

    assert body(feed.send(search("@PID.5.1.1^MA*", rcp="RCP|I|10^RD")))[:3] == [
        "MSA|AE|P-0001",
        "ERR||QPD^1^3|101^Required field missing^HL70357|E"
        "||||too many people, or nothing to begin with: ask for more of them; nobody is named",
        "QAK|PT-0001|AE|IHE PDQ Query",
    ]


def test_nobody_is_known_by_an_account_number(feed):
    """[D02] PID.18 may be asked for: nobody is found, and a warning says that accounts are not kept."""
    reply = feed.send(search("@PID.8^F", "@PID.18.1^N42"))

    assert body(reply)[:3] == [
        "MSA|AA|P-0001",
        "ERR||QPD^1^3^2|204^Unknown key identifier^HL70357|W"
        "||||account numbers are not kept here: nobody is found by one",
        "QAK|PT-0001|NF|IHE PDQ Query|0|0|0",
    ]
    assert feed.registry.searches == []
    assert feed.registry.refusals == [("consumer:viewer-b", "query.search", "QPD^1^3^2")]


@pytest.mark.parametrize(
    ("message", "err_2", "err_3"),
    [
        (search(*LOUISE, name="IHE PIX Query"), "QPD^1^1", "103"),
        (search(), "QPD^1^3", "101"),
        (search("@PID.8^", "@PID.5.1^"), "QPD^1^3", "101"),
        (search(*LOUISE, rcp="RCP|D"), "RCP^1^1", "103"),
        (search(*LOUISE, rcp="RCP|I|0^RD"), "RCP^1^2", "102"),
        (search(*LOUISE, rcp="RCP|I|ten"), "RCP^1^2", "102"),
        (search(*LOUISE, rcp="RCP|I|10^CH"), "RCP^1^2", "102"),
        (search(*LOUISE, application="OTHER"), "MSH^1^3", "204"),
        (search("@PID.5.1^" + "X" * 257), "QPD^1^3", "102"),
        (search(*LOUISE, dsc="x-1|F"), "DSC^1^2", "103"),
    ],
)
def test_a_query_that_cannot_be_answered_says_where(feed, message, err_2, err_3):
    reply = feed.send(message)

    assert (reply.msa_1, reply.first("QAK", 2), reply.err_2, reply.err_3) == ("AE", "AE", err_2, err_3)
    assert reply.segments("PID") == []
    assert feed.registry.searches == []
    assert len(feed.registry.refusals) == 1


def test_a01_the_index_is_asked_for_what_the_consumer_may_see(feed):
    """[A01] An ITI-21 query is audited with MSH-10 and its tag, and never with what was asked for."""
    feed.send(search(*LOUISE, domains=SITES_A_B))
    wanted, visible, actor, most, as_of = feed.registry.searches[0]

    assert (visible, actor, as_of) == (frozenset({KEY_A, KEY_B, KEY_C}), "consumer:viewer-b", None)
    assert (wanted.active, most) == (None, 50)
    assert feed.registry.traces == [{"control_id": "P-0001", "tag": "PT-0001"}]


def test_retired_identifiers_find_nobody_where_the_policy_says_so():
    feed = Feed(queries=QueryPolicy(follow_retired=False, max_found=7))
    feed.send(search("@PID.3.1^A1377", "@PID.3.4.1^SITE-A"))
    wanted, _, _, most, _ = feed.registry.searches[0]

    assert (wanted.active, most) == (True, 7)


# -------------------------------------------------------------------------------------- the people


def test_names_in_the_french_order_with_their_types(feed):
    feed.registry.people = [
        found(
            person(
                birth_name=PersonName("CHANTEREAU", "LOUISE", "LOUISE ANNE-MARIE", use=NameUse.BIRTH),
                used_name=PersonName("OEUVRARD", "ANNE-MARIE", prefix="Mme", use=NameUse.USED),
                pseudonym=PersonName("DARK", "JEANNE", use=NameUse.PSEUDONYM),
                birth_date=PartialDate(1984, 2),
                birth_place="OULIMES",
                birth_place_code="29999",
                mother_birth_name="ROUX",
                phones=("0555000000",),
                emails=("louise@example.org",),
                multiple_birth=True,
                birth_order=2,
                doubtful=True,
            )
        )
    ]
    pid = feed.send(search(*LOUISE)).segments("PID")[0]

    assert pid[5].split("~") == [
        "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L",
        "OEUVRARD^ANNE-MARIE^^^Mme^^D",
    ]
    assert (pid[6], pid[7]) == ("ROUX^^^^^^M", "198402")
    assert pid[11] == "12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^OULIMES^^^^BDL^^29999"
    assert pid[13] == "0555000000^PRN^PH^^^^^^^^^0555000000~^NET^Internet^louise@example.org"
    assert (pid[24], pid[25], pid[32]) == ("Y", "2", "DOUT")


def test_a_person_that_is_answered_reads_back_as_the_same_person(feed):
    """[D01] PID of an answer, sent as a statement, states what the answer was made of."""
    names = (
        PersonName("CHANTEREAU|^", "LOUISE", "LOUISE ANNE-MARIE", use=NameUse.BIRTH),
        PersonName("OEUVRARD", "ANNE-MARIE", prefix="Mme", use=NameUse.USED),
    )
    rest = {
        "birth_place": "OULIMES",
        "birth_place_code": "29999",
        "mother_birth_name": "ROUX",
        "phones": ("0555000000", "0666000000"),
        "emails": ("louise@example.org",),
        "multiple_birth": True,
        "birth_order": 2,
    }
    feed.registry.people = [found(person(1, "A:A1001", birth_name=names[0], used_name=names[1], **rest))]
    pid = next(line for line in feed.send(search(*LOUISE)).lines if line.startswith("PID"))
    (record,) = feed.handler.prepare(adt("A28", pid).encode()).read().records

    assert record.warnings == ()
    assert record.demographics == Demographics(
        names=names,
        birth_date=PartialDate(1984, 2, 29),
        sex="F",
        address="12 RUE DES LILAS",
        city="LIMOGES",
        postal_code="87000",
        country="FRA",
        **rest,
    )


def test_a_pseudonym_stands_alone_or_not_at_all(feed):
    dark = PersonName("DARK", "JEANNE", use=NameUse.PSEUDONYM)
    feed.registry.people = [found(person(birth_name=None, pseudonym=dark))]

    assert feed.send(search(*LOUISE)).first("PID", 5) == "DARK^JEANNE^^^^^S"


def test_what_is_not_known_of_a_person_is_left_out(feed):
    nothing = dict.fromkeys(("birth_name", "birth_date", "sex", "address", "city", "postal_code", "country"))
    feed.registry.people = [found(person(**nothing))]

    assert feed.send(search(*LOUISE)).segments("PID")[0][4:] == ["", "^^^^^^U"]


def test_every_value_is_escaped(feed):
    feed.registry.people = [
        found(person(identifiers="A:A|1", birth_name=PersonName("O'^~&\\|", "\r", use=NameUse.BIRTH)))
    ]
    reply = feed.send(search(*LOUISE))

    assert reply.first("PID", 3) == r"A\F\1^^^SITE-A&2.999.1.1&ISO^PI"
    assert reply.first("PID", 5) == r"O'\S\\R\\T\\E\\F\^\X0D\^^^^^L"
    assert parse_message(reply.text.replace("\r\r", "\r"), validation_level=VALIDATION_LEVEL.TOLERANT)


def test_retired_identifiers_are_not_answered(feed):
    feed.registry.people = [
        found(person(1, "A:A1 A:A2", retired="A1")),
        found(person(2, "A:A3", retired="A3")),
    ]
    reply = feed.send(search(*LOUISE))

    assert (ids(reply), counts(reply)) == (["A2"], ["1", "1", "0"])


def test_who_is_not_found_exactly_as_asked_comes_with_how_sure_and_why(feed):
    feed.registry.people = [
        found(person(1), 1.0, family=Why.PREFIX, birth=Why.SAME),
        found(person(2), 0.814, family=Why.SOUNDS_ALIKE, given=Why.SAME, birth=Why.COMPATIBLE, sex=Why.SAME),
    ]
    names = [line[:3] for line in feed.send(search(*LOUISE)).lines[4:-1]]
    qri = feed.send(search(*LOUISE)).segments("QRI")

    assert names == ["PID", "PID", "QRI"]
    assert qri == [["QRI", "0.81", "DB~NA~NP"]]


@pytest.mark.parametrize(
    ("charset", "codec", "declared"),
    [
        ("UNICODE UTF-8", "utf-8", "UNICODE UTF-8"),
        ("8859/1", "latin-1", "8859/1"),
        ("8859/15", "iso8859-15", "8859/15"),
        ("", "latin-1", "8859/1"),
        ("ASCII", "utf-8", "UNICODE UTF-8"),
    ],
)
def test_accents_are_answered_in_the_character_set_of_the_query(feed, charset, codec, declared):
    feed.registry.people = [found(person(birth_name=PersonName("CHÂTEREAU", "LOÏC", use=NameUse.BIRTH)))]
    reply = Reply(feed.handler.handle(search("@PID.5.1^CHA*", charset=charset).encode("ascii")), codec)

    assert reply.first("PID", 5) == "CHÂTEREAU^LOÏC^^^^^L"
    assert reply.segments("MSH")[0][17] == declared


# --------------------------------------------------------------------------------------- the pages


def test_d05_23_people_by_10(crowd):
    """[D05] 23 people by 10: 10, 10 and 3, and the numbers of QAK; DSC-2 is I; the last page has no DSC."""
    first = page(crowd)
    second = page(crowd, f"{pointer(first)}|I", control_id="P-0002")
    third = page(crowd, f"{pointer(second)}|L", control_id="P-0003")

    assert [len(ids(reply)) for reply in (first, second, third)] == [10, 10, 3]
    assert ids(first) + ids(second) + ids(third) == [f"A{n:02}" for n in range(1, 24)]
    assert [counts(reply) for reply in (first, second, third)] == [
        ["23", "10", "13"],
        ["23", "10", "3"],
        ["23", "3", "0"],
    ]
    assert [reply.first("DSC", 2) for reply in (first, second, third)] == ["I", "I", None]
    assert [reply.first("MSA", 2) for reply in (first, second, third)] == ["P-0001", "P-0002", "P-0003"]
    assert {reply.first("QAK", 2) for reply in (first, second, third)} == {"OK"}


def test_d05_the_first_page_byte_for_byte(crowd):
    """[D05] The first page as the standard writes it: QAK, QPD, people, and DSC at the end."""
    reply = crowd.send(search(*LOUISE, domains=SITES_A_B, rcp="RCP|I|1^RD"))

    assert body(reply) == [
        "MSA|AA|P-0001",
        "QAK|PT-0001|OK|IHE PDQ Query|23|1|22",
        QPD,
        PID.replace(
            "A1001^^^SITE-A&2.999.1.1&ISO^PI~B77^^^SITE-B&2.999.1.2&ISO^PI", "A01^^^SITE-A&2.999.1.1&ISO^PI"
        ),
        f"DSC|{pointer(reply)}|I",
    ]


def test_d05_a_page_that_was_lost_can_be_asked_for_again(crowd):
    """[D05] The same pointer gives the same page."""
    first = page(crowd)

    assert body(page(crowd, pointer(first))) == body(page(crowd, pointer(first)))


def test_d05_cancel(crowd):
    """[D05] QCN^J01 is acknowledged; the pages of that query are then refused, those of another are not."""
    first = page(crowd)
    other = page(crowd, tag="PT-0002")
    acknowledged = crowd.send(cancellation())
    after = page(crowd, pointer(first))

    assert acknowledged.segments("MSH")[0][8] == "ACK^J01^ACK"
    assert body(acknowledged) == ["MSA|AA|P-0003"]
    assert body(after)[:3] == [
        "MSA|AE|P-0001",
        "ERR||DSC^1^1|204^Unknown key identifier^HL70357|E"
        "||||not the continuation of this query, or no longer",
        "QAK|PT-0001|AE|IHE PDQ Query",
    ]
    assert len(ids(page(crowd, pointer(other), tag="PT-0002"))) == 10


@pytest.mark.parametrize(
    ("message", "err_2", "err_3"),
    [
        (cancellation(tag=""), "QID^1^1", "101"),
        (cancellation(name="IHE PIX Query"), "QID^1^2", "103"),
        (cancellation(application="OTHER"), "MSH^1^3", "204"),
    ],
)
def test_d05_a_cancellation_that_is_none(feed, message, err_2, err_3):
    """[D05] A cancellation without its tag, of another query, or by nobody we know: AE, and where."""
    reply = feed.send(message)

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", err_2, err_3)


def test_d05_cancelling_what_is_not_there_is_acknowledged(feed):
    """[D05] A query that is over is cancelled already: AA."""
    assert feed.send(cancellation("NONE")).msa_1 == "AA"


@pytest.mark.parametrize(("minutes", "status"), [(9.9, "OK"), (10, "AE")])
def test_d05_a_pointer_expires(crowd, minutes, status):
    """[D05] Ten minutes after the question its pages are gone: AE."""
    first = page(crowd)
    crowd.now = NOW + timedelta(minutes=minutes)

    assert page(crowd, pointer(first)).first("QAK", 2) == status


@pytest.mark.parametrize(
    "another",
    [
        pytest.param({"tag": "PT-0002"}, id="tag"),
        pytest.param({"domains": "^^^SITE-A"}, id="question"),
        pytest.param({"application": "PORTAL_B"}, id="consumer"),
    ],
)
def test_d05_a_pointer_is_of_use_to_nobody_else(another):
    """[D05] A pointer is bound to its consumer, its tag and its question."""
    known = federation()
    portal = replace(known.consumers[0], name="portal-b", application="PORTAL_B")
    crowd = Feed(
        directory=Directory(own=known.own, domains=known.domains, consumers=[*known.consumers, portal])
    )
    crowd.registry.people = [found(person(n, f"A:A{n:02}")) for n in range(1, 24)]
    first = page(crowd)

    assert page(crowd, pointer(first), **another).first("QAK", 2) == "AE"
    assert page(crowd, pointer(first)).first("QAK", 2) == "OK"


def test_d05_a_pointer_is_bound_to_the_certificate(crowd):
    """[D05] Over TLS a pointer is of use only to the certificate it was given to."""

    def asked(message, fingerprint):
        return Reply(crowd.handler.handle(message.encode(), ClientCertificate("viewer", fingerprint)))

    first = asked(search(*LOUISE, rcp="RCP|I|10^RD"), "aa")
    later = search(*LOUISE, rcp="RCP|I|10^RD", dsc=pointer(first))

    assert [asked(later, each).first("QAK", 2) for each in ("bb", "aa")] == ["AE", "OK"]


@pytest.mark.parametrize("damage", ["{0}9", "x{0}", "", "-", "-1", "{0}-1", "0-10"])
def test_d05_a_pointer_that_was_never_given(crowd, damage):
    """[D05] A pointer nobody was given: AE; an empty one begins again."""
    first = page(crowd)
    status = page(crowd, damage.format(pointer(first)) or '""').first("QAK", 2)

    assert status == ("AE" if damage else "OK")


def test_d05_pages_show_people_as_they_were_but_never_who_became_protected(crowd):
    """[D05] A later page is of the instant of the question; who is protected since is not on it."""
    first = page(crowd)
    crowd.registry.people = [found(person(n, f"A:A{n:02}")) for n in (5, 11, 13, 24)]
    crowd.now = NOW + timedelta(minutes=5)
    second = page(crowd, pointer(first))
    wanted, visible, actor, most, as_of = crowd.registry.searches[-1]

    assert ids(second) == ["A11", "A13"]
    assert counts(second) == ["23", "2", "3"]
    assert wanted.persons == tuple(f"E{n}" for n in range(11, 21))
    assert (visible, actor, most, as_of) == (
        frozenset({KEY_A, KEY_B, KEY_C}),
        "consumer:viewer-b",
        10,
        NOW,
    )


def test_d05_what_is_remembered_is_bounded(crowd):
    """[D05] Of one consumer so many queries are remembered; the oldest is forgotten first."""
    tags = [f"T{n}" for n in range(QueryPolicy().max_continuations + 1)]
    pointers = {tag: pointer(page(crowd, tag=tag)) for tag in tags}

    assert len(crowd.handler._queries._continuations) == QueryPolicy().max_continuations
    assert page(crowd, pointers["T0"], tag="T0").first("QAK", 2) == "AE"
    assert page(crowd, pointers["T1"], tag="T1").first("QAK", 2) == "OK"


def test_everybody_at_once_leaves_nothing_to_remember(crowd):
    for rcp in ("RCP|I", "RCP|I|23^RD", "RCP|I|100", ""):
        reply = crowd.send(search(*LOUISE, rcp=rcp))
        assert (len(ids(reply)), counts(reply), pointer(reply)) == (23, ["23", "23", "0"], None)
    assert len(crowd.handler._queries._continuations) == 0


@pytest.mark.parametrize("message", [search(*LOUISE, rcp="RCP|I|1^RD"), search(), cancellation()])
def test_hl7apy_validates_what_is_sent(crowd, message):
    """HL7's own RSP_K21 wants a QRI for each person, which IHE leaves out: one is put there."""
    crowd.registry.people = [found(each.person, 0.9, family=Why.ONE_LETTER) for each in crowd.registry.people]
    lines = crowd.send(message).text.split("\r")
    text = "\r".join("QPD|IHE PDQ Query|T|@PID.8^F" if line.startswith("QPD") else line for line in lines)

    assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()
