"""
What can be wrong with a message, in the words its sender will read, and the HL7 code of each.

An error carries one of these texts as its problem; `ack` looks the code up here. The texts never
contain a value.

Source: HL7 v2.5 table 0357.
"""

from typing import Final

from mpi.errors import NotPermitted

REQUIRED: Final = "required and missing"
SEGMENT_MISSING: Final = "segment missing"
ONE_PERSON: Final = "one person per message"
ONE_PAIR: Final = "one PID and one MRG per message"
ONE_LINK: Final = "two persons per link"
NOT_A_DATE: Final = "not a date (expected YYYY[MM[DD]])"
NOT_IN_TABLE: Final = "not a value of its table"
AFTER_THE_EVENT: Final = "later than the event that states it"
CONTROL_CHARACTER: Final = "contains a control character"
TOO_LONG: Final = "longer than 256 characters"
NO_OWN_IDENTIFIER: Final = "no identifier of a domain this source feeds"
NEITHER_INS_NOR_NH: Final = "a national authority, and a type that is neither INS nor NH"
SEVERAL_SURVIVORS: Final = "more than one identifier of the domain of MRG-1"
SEVERAL_SUBSUMED: Final = "more than one local identifier"
SAME_IDENTIFIER: Final = "the same identifier as in PID-3"
CROSS_DOMAIN: Final = "no identifier of this domain in PID-3"
ONE_CHANGE: Final = "an INS and another identifier do not change in one message"
NO_NEW_INS: Final = "neither a new INS nor the withdrawal of one"
SEVERAL_ORIGINS: Final = "visits of more than one patient"
NOT_LINKABLE: Final = "no identifier that can be linked"
SEVERAL_LINKABLE: Final = "more than one identifier that can be linked"
SELF_LINK: Final = "the same identifier as in the other PID"
NOT_A_SEQUENCE_NUMBER: Final = "not a sequence number (-1 to 2000000000)"
NOT_A_PIX_QUERY: Final = "only IHE PIX Query is answered"
NOT_A_PDQ_QUERY: Final = "only IHE PDQ Query is answered"
NOT_AN_IMMEDIATE_QUERY: Final = "only immediate queries are answered (RCP-1 I)"
NOT_A_PAGE: Final = "a page is a number of records, at least 1 (n^RD)"
NOT_A_CRITERION: Final = "not @PID.field[.component[.subcomponent]] and a value"
NOT_SEARCHED: Final = "people are not looked for by this"
ASKED_TWICE: Final = "asked twice: each is asked once, with its choices separated by subcomponents"
NO_DOMAIN: Final = "an identifier is looked for with its authority (@PID.3.4)"
BAD_WILDCARD: Final = "a wildcard stands last, after two letters or digits"
NO_ACCOUNTS: Final = "account numbers are not kept here: nobody is found by one"
TOO_BROAD: Final = "too many people, or nothing to begin with: ask for more of them; nobody is named"
NO_SUCH_PAGE: Final = "not the continuation of this query, or no longer"
NOT_A_CONTINUATION: Final = "only interactive continuation (I)"
TRY_AGAIN: Final = "not taken now; send it again later"
QUARANTINE_FULL: Final = "nothing more is taken before what was quarantined of this source is looked into"

NO_MSH: Final = "does not start with an MSH segment"
BAD_FIELD_SEPARATOR: Final = "not a usable field separator"
BAD_ENCODING_CHARACTERS: Final = "not two to five distinct punctuation characters"
NOT_A_SEGMENT: Final = "not a segment"
SEVERAL_MESSAGES: Final = "more than one message in a frame"
TOO_MANY_SEGMENTS: Final = "too many segments"
TOO_MANY_REPETITIONS: Final = "too many repetitions"
UNKNOWN_CHARSET: Final = "character set not supported"
UNDECODABLE: Final = "the bytes are not in the declared character set"

CODES: Final = {
    REQUIRED: 101,
    SEGMENT_MISSING: 100,
    ONE_PERSON: 100,
    ONE_PAIR: 100,
    ONE_LINK: 100,
    NOT_A_DATE: 102,
    AFTER_THE_EVENT: 102,
    NOT_IN_TABLE: 103,
    CONTROL_CHARACTER: 102,
    TOO_LONG: 102,
    NO_OWN_IDENTIFIER: 101,
    NEITHER_INS_NOR_NH: 204,
    SEVERAL_SURVIVORS: 205,
    SEVERAL_SUBSUMED: 205,
    SAME_IDENTIFIER: 205,
    CROSS_DOMAIN: 204,
    ONE_CHANGE: 205,
    NO_NEW_INS: 101,
    SEVERAL_ORIGINS: 205,
    NOT_LINKABLE: 101,
    SEVERAL_LINKABLE: 205,
    SELF_LINK: 205,
    NOT_A_SEQUENCE_NUMBER: 102,
    NOT_A_PIX_QUERY: 103,
    NOT_A_PDQ_QUERY: 103,
    NOT_AN_IMMEDIATE_QUERY: 103,
    NOT_A_PAGE: 102,
    NOT_A_CRITERION: 102,
    NOT_SEARCHED: 103,
    ASKED_TWICE: 102,
    NO_DOMAIN: 101,
    BAD_WILDCARD: 102,
    NO_ACCOUNTS: 204,
    TOO_BROAD: 101,
    NO_SUCH_PAGE: 204,
    NOT_A_CONTINUATION: 103,
    NO_MSH: 100,
    BAD_FIELD_SEPARATOR: 102,
    BAD_ENCODING_CHARACTERS: 102,
    NOT_A_SEGMENT: 100,
    SEVERAL_MESSAGES: 100,
    TOO_MANY_SEGMENTS: 102,
    TOO_MANY_REPETITIONS: 102,
    UNKNOWN_CHARSET: 103,
    UNDECODABLE: 102,
    TRY_AGAIN: 207,
    QUARANTINE_FULL: 207,
}

REJECTED: Final = frozenset({NO_MSH, BAD_FIELD_SEPARATOR, BAD_ENCODING_CHARACTERS})
"""Not HL7 at all: answered AR rather than AE."""

TABLE_0357: Final = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    205: "Duplicate key identifier",
    206: "Application record locked",
    207: "Application internal error",
}


class SenderNotPermitted(NotPermitted):
    """
    A sender did what it may not do.

    Args:
        place: where the message says so, for ERR-2.
        problem: what it may not do.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = problem
