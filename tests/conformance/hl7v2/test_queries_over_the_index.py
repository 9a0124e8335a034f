"""ITI-9 and ITI-21 over the real index: what feeds said is what queries answer, on every store."""

import pytest

from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.index.audit_events import coded
from mpi.index.parties import Directory, PatientIdentitySource
from mpi.index.review import Verdict
from tests.federation import World
from tests.unit.feeds.hl7v2.fakes import (
    KEY_D,
    Reply,
    adt,
    cancellation,
    federation,
    link,
    merge,
    query,
    search,
)

LOUISE = "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L||19840229|F"
HOME = "|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^^^^FRA^BDL^^29999"
THEO = "OEUVRARD^THEO^THEO^^^^L||19510714|M|||^^^^^FRA^BDL^^29998"
SENDERS = {
    "A": ("RIS_A", "SITE_A"),
    "B": ("HUB", "SITE_B"),
    "C": ("HUB", "SITE_B"),
    "D": ("RIS_D", "SITE_D"),
}
ASKED = ("@PID.5.1.1^CHANTEREAU", "@PID.7^19840229", "@PID.8^F")


def cx(site, value):
    return f"{value}^^^SITE-{site}&2.999.1.{'ABCD'.index(site) + 1}&ISO"


class Federation:
    """Messages to a real index, each under a control id of its own."""

    def __init__(self, store, queries=None):
        known = federation()
        parties = Directory(
            own=known.own,
            domains=known.domains,
            sources=[*known.sources, PatientIdentitySource("ris-d", (KEY_D,), "RIS_D", "SITE_D")],
            consumers=known.consumers,
        )
        self.world = World(store, parties=parties)
        self.handler = Hl7Handler(self.world.registry, self.world.parties, self.world.clock, queries)
        self._sent = 0

    def feed(self, message):
        self._sent += 1
        reply = Reply(self.handler.handle(message.replace("|F-00", f"|M{self._sent}-", 1).encode()), "utf-8")
        assert reply.msa_1 == "AA"

    def state(self, site, value, who=LOUISE + HOME, codes=""):
        application, facility = SENDERS[site]
        pid = f"PID|||{cx(site, value)}^PI||{who}".split("|")
        pid += [""] * (32 - len(pid)) + [codes]
        self.feed(
            adt(
                "A28",
                "|".join(pid).rstrip("|"),
                application=application,
                facility=facility,
                charset="UNICODE UTF-8",
            )
        )

    def ask(self, message):
        return Reply(self.handler.handle(message.encode()), "utf-8")

    def audited(self, kind):
        with self.world.store.read() as uow:
            return [item.event for item in uow.audit.chain() if item.event.kind == kind]


@pytest.fixture
def index(store):
    """Louise is A1001 and A1377, B77 and C5; Theo is B78 only."""
    index = Federation(store)
    for site, value in (("A", "A1001"), ("B", "B77"), ("C", "C5")):
        index.state(site, value)
    index.state("B", "B78", THEO)
    return index


@pytest.fixture
def small(sqlite_store):
    return Federation(sqlite_store)


def body(reply):
    return reply.lines[1:-1]


def ids(reply):
    return [[each.split("^")[0] for each in pid[3].split("~")] for pid in reply.segments("PID")]


# ------------------------------------------------------------------------------------------- ITI-9


def test_q01_to_q06_over_the_index(index):
    """[Q01] The six cases of ITI-9, byte for byte, from what feeds said."""
    asked = {
        1: (cx("B", "B77"), "^^^SITE-A&2.999.1.1&ISO"),
        2: (cx("B", "B78"), "^^^SITE-A&2.999.1.1&ISO"),
        3: (cx("B", "B999"), "^^^SITE-A&2.999.1.1&ISO"),
        4: ("B77^^^NOWHERE&2.999.9&ISO", "^^^SITE-A&2.999.1.1&ISO"),
        5: (cx("B", "B77"), "^^^SITE-A&2.999.1.1&ISO~^^^NOWHERE"),
        6: (cx("B", "B77"), ""),
    }
    replies = {case: index.ask(query(*each)) for case, each in asked.items()}
    pid = "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI{}||~^^^^^^S"

    def refused(place):
        return ["MSA|AE|Q-0001", f"ERR||{place}|204^Unknown key identifier^HL70357|E", "QAK|QT-0001|AE"]

    assert [body(replies[case])[:-1] for case in (2, 3, 4, 5)] == [
        ["MSA|AA|Q-0001", "QAK|QT-0001|NF"],
        refused("QPD^1^3^1^1"),
        refused("QPD^1^3^1^4"),
        refused("QPD^1^4^2"),
    ]
    for case, more in ((1, ""), (6, "~C5^^^SITE-C&2.999.1.3&ISO^PI")):
        assert body(replies[case])[:2] == ["MSA|AA|Q-0001", "QAK|QT-0001|OK"]
        assert body(replies[case])[-1] == pid.format(more)
    for case, reply in replies.items():
        qpd = "QPD|IHE PIX Query|QT-0001|{}|{}".format(*asked[case]).rstrip("|")
        assert qpd in body(reply)


def test_q06_two_identifiers_of_one_domain_stand_together(index):
    """[Q06] Two identifiers of one person in one domain follow one another; one of them names the other."""
    index.state("A", "A1377")

    assert ids(index.ask(query(cx("B", "B77")))) == [["A1001", "A1377", "C5"]]
    assert ids(index.ask(query(cx("A", "A1001"), "^^^SITE-A"))) == [["A1377"]]


def test_q07_candidates_are_not_answered_until_somebody_decides(small):
    """[Q07] A link that waits for a person is NF; decided, it is answered at once."""
    small.state("A", "A1", "DUVIVIER^ANNE^^^^^L||19700105|F")
    small.state("B", "B1", "DUVIVIER^ANNE^^^^^L||19700501|F")
    (task,) = small.world.tasks()

    assert small.ask(query(cx("A", "A1"))).first("QAK", 2) == "NF"
    small.world.decide(task.id, Verdict.SAME)
    assert ids(small.ask(query(cx("A", "A1")))) == [["B1"]]


def test_doubtful_identities_are_answered_while_their_links_stand(small):
    """[Q07] A doubtful identity is linked by nobody but people: NF, then answered, without its doubt in ITI-9."""
    small.state("A", "A1", codes="PROV~DOUT")
    small.state("B", "B1")
    assert small.ask(query(cx("B", "B1"))).first("QAK", 2) == "NF"
    small.feed(link(cx("A", "A1"), cx("B", "B1"), application="GAM_A"))
    reply = small.ask(query(cx("B", "B1")))

    assert body(reply)[-1] == "PID|||A1^^^SITE-A&2.999.1.1&ISO^PI||~^^^^^^S"


@pytest.mark.parametrize("codes", ["PROV~ANOM", "PROV~CACH"])
def test_protected_identities_are_not_there(small, codes):
    """[Q03] An anonymous or hidden identity is unknown to every query, and found by none."""
    small.state("A", "A1", codes=codes)
    unknown = small.ask(query(cx("A", "A2")))
    protected = small.ask(query(cx("A", "A1")))

    assert [line.replace("A1^", "A2^") for line in body(protected)] == body(unknown)
    assert small.ask(search(*ASKED)).first("QAK", 2) == "NF"
    assert small.ask(search("@PID.3^" + cx("A", "A1"))).first("QAK", 2) == "NF"


@pytest.mark.parametrize(
    ("follow", "pix", "pdq"), [(True, [["A1001", "B77"]], [["A1001", "B77"]]), (False, [], [])]
)
def test_identifiers_that_were_merged_away(sqlite_store, follow, pix, pdq):
    """[Q03] A retired identifier answers for what it became, which is audited; or is unknown, where policy says so."""
    index = Federation(sqlite_store, QueryPolicy(follow_retired=follow))
    for site, value in (("A", "A1001"), ("A", "A1377"), ("B", "B77")):
        index.state(site, value)
    index.feed(merge(cx("A", "A1001"), cx("A", "A1377")))
    asked = index.ask(query(cx("A", "A1377")))

    assert ids(asked) == pix
    assert asked.err_2 == (None if follow else "QPD^1^3^1^1")
    assert ids(index.ask(search("@PID.3^" + cx("A", "A1377")))) == pdq
    assert ids(index.ask(query(cx("B", "B77")))) == [["A1001"]]
    assert index.audited("query.cross_reference")[0].details["retired"] is True


def test_a01_every_query_leaves_one_event_that_names_nobody_by_their_traits(index):
    """[A01] ITI-9 and ITI-21: EventID 110112, action E, who asked, MSH-10 and tag; no value of the question."""
    before = len(index.audited("query.cross_reference")) + len(index.audited("query.search"))
    index.ask(query(cx("B", "B77"), control_id="Q-7"))
    index.ask(search(*ASKED, control_id="P-7"))
    events = [*index.audited("query.cross_reference"), *index.audited("query.search")]
    with index.world.store.read() as uow:
        trail = str([item.event for item in uow.audit.chain()])

    assert len(events) == before + 2
    assert [(coded(e).event_id.code, e.action, coded(e).transaction.code, e.actor) for e in events] == [
        ("110112", "E", "ITI-9", "consumer:viewer-b"),
        ("110112", "E", "ITI-21", "consumer:viewer-b"),
    ]
    assert [(e.details["control_id"], e.details["tag"]) for e in events] == [
        ("Q-7", "QT-0001"),
        ("P-7", "PT-0001"),
    ]
    assert len(events[0].details["named"]) == 2
    assert events[1].details["found"] == 1
    assert all(secret not in trail for secret in ("CHANTEREAU", "LOUISE", "1984", "LILAS"))


def test_control_characters_in_what_is_audited_do_no_harm(index):
    """[Q03] A control character in MSH-10, tag or value never reaches the store: AE, or an answer."""
    asked = query(cx("B", "B77"), control_id="Q\x00\x1f1").replace("QT-0001", "T\x002")

    assert index.ask(asked).err_2 == "QPD^1^2"
    assert index.audited("query.cross_reference.refused")[-1].details["control_id"] == "Q1"
    assert index.ask(query(cx("B", "B77"), control_id="Q\x002")).first("QAK", 2) == "OK"
    assert index.audited("query.cross_reference")[-1].details["control_id"] == "Q2"


# ------------------------------------------------------------------------------------------ ITI-21


def test_d01_over_the_index(index):
    """[D01] Found by name, birth date and sex: the person with every identifier, names in the French order."""
    reply = index.ask(search(*ASKED))

    assert body(reply) == [
        "MSA|AA|P-0001",
        "QAK|PT-0001|OK|IHE PDQ Query|1|1|0",
        f"QPD|IHE PDQ Query|PT-0001|{'~'.join(ASKED)}",
        "PID|||A1001^^^SITE-A&2.999.1.1&ISO^PI~B77^^^SITE-B&2.999.1.2&ISO^PI~C5^^^SITE-C&2.999.1.3&ISO^PI"
        "||CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L||19840229|F"
        "|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^^^^^BDL^^29999",
    ]


def test_d02_d03_d04_over_the_index(index):
    """[D02, D03, D04] QPD-8 filters identifiers and drops who has none left; nobody is NF; an unknown domain is AE."""
    by_birth = "@PID.7^19510714"

    assert ids(index.ask(search(*ASKED, domains="^^^SITE-B"))) == [["B77"]]
    assert (
        index.ask(search(by_birth, domains="^^^SITE-A"))
        .lines[2]
        .startswith("QAK|PT-0001|NF|IHE PDQ Query|0|0|0")
    )
    assert ids(index.ask(search(by_birth, domains="^^^SITE-A~^^^SITE-B"))) == [["B78"]]
    assert index.ask(search("@PID.7^19990101")).first("QAK", 2) == "NF"
    assert index.ask(search(*ASKED, domains="^^^SITE-A~^^^NOWHERE")).err_2 == "QPD^1^8^2"


@pytest.mark.parametrize(
    "criteria",
    [
        ("@PID.5.1.1^CHA*", "@PID.7^19840229"),
        ("@PID.5.1.1^Chantereau", "@PID.7^198402"),
        ("@PID.5.1.1^Châ*", "@PID.7^1984"),
        ("@PID.5.1.1^CHANTEREAU", "@PID.5.2^LOUISE"),
        ("@PID.7^19840229", "@PID.8^F", "@PID.11.5^87000"),
        ("@PID.7^19840229", "@PID.11.3^LIMOGES"),
        ("@PID.3.1^B77", "@PID.3.4.1^SITE-B"),
        ("@PID.3.1^B7*", "@PID.3.4.2^2.999.1.2", "@PID.3.4.3^ISO", "@PID.5.1^CHANTEREAU"),
        ("@PID.5.1.1^BRUN&CHANTEREAU", "@PID.7^19840229"),
    ],
)
def test_whom_criteria_find(index, criteria):
    """[D01] Wildcards, partial dates, accents, addresses, identifiers and choices find the same person."""
    assert ids(index.ask(search(*criteria))) == [["A1001", "B77", "C5"]]


@pytest.mark.parametrize(
    "criteria",
    [
        ("@PID.6.1^ROUX", "@PID.7^19790312"),
        ("@PID.13^0555123456",),
        ("@PID.13.4^zoe@example.org",),
        ("@PID.5.1^LE GOFF", "@PID.5.2^ZOE"),
        ("@PID.5.1^Kerbrat", "@PID.7^1979"),
        ("@PID.7^19790312", "@PID.8^F"),
    ],
)
def test_mothers_telephones_and_other_names_find(small, criteria):
    """[D01] The mother's name, a telephone, a mail address and the used name find as well."""
    pid = "LE GOFF^ZOÉ^^^^^L~KERBRAT^ZOÉ^^^^^D|ROUX^^^^^^M|19790312|F|||||0555123456~^NET^Internet^zoe@example.org"
    small.state("A", "A7", pid)
    small.state("A", "A8", THEO)

    assert ids(small.ask(search(*criteria))) == [["A7"]]


@pytest.mark.parametrize(
    "criteria",
    [
        ("@PID.5.1.1^CHANTEREAU", "@PID.7^19840228"),
        ("@PID.5.1.1^CHANTEREAU", "@PID.8^M"),
        ("@PID.5.1.1^CHANT", "@PID.7^19840229"),
        ("@PID.3.1^B77", "@PID.3.4.1^SITE-A"),
        ("@PID.3.1^B77", "@PID.3.4.1^SITE-B", "@PID.7^1951"),
    ],
)
def test_every_criterion_has_to_hold(index, criteria):
    """[D02] One criterion that does not hold, and nobody is found."""
    assert index.ask(search(*criteria)).first("QAK", 2) == "NF"


INS_AUTHORITY = "&1.2.250.1.213.1.4.8&ISO"
MATRICULE = "284022999912354"


@pytest.fixture
def qualified(small):
    """A qualified identity at A, somebody else at B."""
    pid = f"PID|||{cx('A', 'A1')}^PI~{MATRICULE}^^^{INS_AUTHORITY}^INS||{LOUISE}{HOME}".split("|")
    pid += [""] * (32 - len(pid)) + ["VALI"]
    small.feed(adt("A28", "|".join(pid), application="RIS_A", facility="SITE_A", charset="UNICODE UTF-8"))
    small.state("B", "B7", THEO)
    return small


@pytest.mark.parametrize(
    "criteria",
    [
        (f"@PID.3^{MATRICULE}^^^{INS_AUTHORITY}^INS",),
        (f"@PID.3.1^{MATRICULE}", f"@PID.3.4^{INS_AUTHORITY}"),
        ("@PID.3.1^2 84 02 29 999 123 54", "@PID.3.4.2^1.2.250.1.213.1.4.8", "@PID.3.4.3^ISO"),
        (f"@PID.3.1^{MATRICULE}", f"@PID.3.4^{INS_AUTHORITY}", "@PID.7^19840229"),
    ],
)
def test_d01_a_qualified_identity_is_found_by_its_ins(qualified, criteria):
    """[D01] The INS, under the OID that issues it, with or without other criteria. Source: RNIV (searching)."""
    assert ids(qualified.ask(search(*criteria))) == [["A1"]]


@pytest.mark.parametrize(
    ("criteria", "err_2"),
    [
        ((f"@PID.3.1^{MATRICULE}", "@PID.3.4^&1.2.250.1.213.1.4.10&ISO"), "QPD^1^3^2"),
        ((f"@PID.3.1^{MATRICULE}", "@PID.3.4^ASIP-SANTE-NIR"), "QPD^1^3^2"),
        ((f"@PID.3.1^{MATRICULE}", "@PID.3.4^&1.2.250.1.213.1.4.8"), "QPD^1^3^2"),
        ((f"@PID.3.4^{INS_AUTHORITY}",), "QPD^1^3^1"),
        (("@PID.3.1^28402*", f"@PID.3.4^{INS_AUTHORITY}"), "QPD^1^3^1"),
    ],
)
def test_d01_what_is_no_ins_of_this_platform_names_nobody(qualified, criteria, err_2):
    """[D01] A test INS on a real platform, an insurance number, half an authority, no number, a wildcard."""
    answer = qualified.ask(search(*criteria))

    assert (answer.msa_1, answer.err_2) == ("AE", err_2)


def test_d01_doubt_is_told(small):
    """[D01] A doubtful identity is found, and PID-32 says that it is doubtful."""
    small.state("A", "A1", codes="PROV~DOUT")

    assert small.ask(search(*ASKED)).segments("PID")[0][32] == "DOUT"


def crowd(index, count=23):
    """As many people of one name, born on following days of one year."""
    for number in range(count):
        born = f"19{50 + number % 40:02}0{1 + number % 9}1{number % 9}"
        given = "".join(chr(ord("A") + (number * 7 + k * 5) % 26) for k in range(6))
        who = f"MOUSSAOUI^{given}^^^^^L||{born}|{'MF'[number % 2]}|||^^^^^FRA^BDL^^29{number:03}"
        index.state("A", f"N{number:02}", who)


def pages(index, size=10):
    replies = [index.ask(search("@PID.5.1.1^MOUSSA*", rcp=f"RCP|I|{size}^RD"))]
    while replies[-1].first("DSC", 1):
        dsc = f"{replies[-1].first('DSC', 1)}|I"
        replies.append(
            index.ask(
                search("@PID.5.1.1^MOUSSA*", rcp=f"RCP|I|{size}^RD", dsc=dsc, control_id=f"P-{len(replies)}")
            )
        )
    return replies


def test_d05_23_people_by_10_over_the_index(store):
    """[D05] 23 people by 10: 10, 10 and 3, each once, on every store."""
    index = Federation(store)
    crowd(index)
    replies = pages(index)

    assert [reply.segments("QAK")[0][4:] for reply in replies] == [
        ["23", "10", "13"],
        ["23", "10", "3"],
        ["23", "3", "0"],
    ]
    named = [one for reply in replies for (one,) in ids(reply)]
    assert sorted(named) == [f"N{number:02}" for number in range(23)]


def test_d05_later_pages_are_of_the_instant_of_the_question(small):
    """[D05] Who is stated, renamed or protected meanwhile: later pages show people as they were, the protected not."""
    crowd(small, 6)
    first = small.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|2^RD"))
    rest = [f"N{number:02}" for number in range(6) if [f"N{number:02}"] not in ids(first)]
    hidden, renamed = rest[:2]
    number = int(hidden[1:])
    born = f"19{50 + number}0{1 + number}1{number}"
    given = "".join(chr(ord("A") + (number * 7 + k * 5) % 26) for k in range(6))
    who = f"MOUSSAOUI^{given}^^^^^L||{born}|{'MF'[number % 2]}|||^^^^^FRA^BDL^^29{number:03}"
    small.state("A", hidden, who, codes="PROV~CACH")
    small.feed(merge(cx("A", "N99"), cx("A", renamed)))
    dsc = first.first("DSC", 1)
    second = small.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I", dsc=dsc, control_id="P-2"))

    assert second.segments("QAK")[0][2:] == ["OK", "IHE PDQ Query", "6", "3", "0"]
    assert sorted(one for (one,) in ids(second)) == sorted(set(rest) - {hidden})
    assert [hidden] not in ids(small.ask(search("@PID.5.1.1^MOUSSA*")))


def test_d05_cancelled_and_expired_over_the_index(small):
    """[D05] After QCN^J01, and after ten minutes, the next page is AE."""
    crowd(small, 3)
    asked = search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|1^RD")
    cancelled, expired = (small.ask(asked).first("DSC", 1) for _ in range(2))
    assert small.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|1^RD", dsc=expired)).msa_1 == "AA"
    for _ in range(600):  # the clock of these tests ticks a second at each reading
        small.world.clock()
    assert small.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|1^RD", dsc=expired)).err_2 == "DSC^1^1"

    assert small.ask(cancellation()).msa_1 == "AA"
    assert small.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|1^RD", dsc=cancelled)).err_2 == "DSC^1^1"


def test_too_many_people_and_nobody_is_named(sqlite_store):
    """[D02] One more than may be answered, and nobody is: AE and the advice to ask for more."""
    index = Federation(sqlite_store, QueryPolicy(max_found=4))
    crowd(index, 5)
    reply = index.ask(search("@PID.5.1.1^MOUSSA*", rcp="RCP|I|2^RD"))

    assert (reply.msa_1, reply.err_2, reply.segments("PID")) == ("AE", "QPD^1^3", [])
    assert len(ids(index.ask(search("@PID.5.1.1^MOUSSA*", "@PID.8^M")))) == 3


def test_what_a_consumer_may_not_see_changes_no_byte_of_its_answers(index):
    """[D04] Two worlds: what site D says of the same people alters neither ITI-9 nor ITI-21 for who may not see D."""
    asked = [
        query(cx("B", "B77")),
        search(*ASKED),
        search("@PID.5.1.1^CHA*"),
        search("@PID.3^" + cx("D", "D9")),
    ]
    before = [body(index.ask(each)) for each in asked]
    index.state("D", "D9")
    index.state("D", "D10", THEO)

    assert [body(index.ask(each)) for each in asked] == before
