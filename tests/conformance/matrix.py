"""The rows of the conformance matrix: what is done to the index, and what it has to do. The tests are named by them."""

SECTIONS = {
    "T": "Transport and envelope",
    "F": "Identity feeds (ITI-8, ITI-30, ITI-31)",
    "Q": "Cross-reference queries (ITI-9)",
    "D": "Demographics queries (ITI-21)",
    "N": "Notifications (ITI-10)",
    "I": "French identities (INS, identity status)",
    "X": "FHIR (ITI-83, ITI-104, ITI-78, ITI-119)",
    "P": "DICOM headers",
    "A": "Audit (ITI-20)",
}

MATRIX = {
    "T01": (
        "A frame in writes of one byte; two frames in one write; noise before the start byte",
        "One acknowledgement for each message, in order",
    ),
    "T02": ("The connection ends inside a frame", "Nothing changes, nothing is acknowledged"),
    "T03": (
        "An unknown message type, event or version in MSH-9 and MSH-12",
        "AR with 200 at `MSH^1^9^1^1`, 201 at `MSH^1^9^1^2`, 203",
    ),
    "T04": (
        "Bytes that are not ASCII beside an empty MSH-18; UTF-8 that is declared and invalid",
        "The source's character set, with a warning; AE 102, never a mangled name",
    ),
    "T05": (
        "A control id once more, with the same content or with another",
        "The first answer again; AE, and the message quarantined",
    ),
    "F01": (
        "A04 whose authority is a namespace, an OID with its type, both, or absent",
        "AA; kept with the whole authority each time",
    ),
    "F02": (
        "An OID without type, a type without OID, an unknown authority",
        "AE 204 located in PID-3; no record",
    ),
    "F03": ("A known domain, fed by a source that may not", "AE; no record"),
    "F04": (
        "A08 after which records of A and B agree",
        "They are linked; each consumer is told once of each content",
    ),
    "F05": (
        "A40 of two known identifiers",
        "Only the survivor is answered; the retired identifier resolves to it",
    ),
    "F06": (
        "A40 repeated; in a chain; reversed; of one identifier; across domains; unknown source or target",
        "No further effect; the last survivor; refused; refused; refused; AA without effect, or a new identifier",
    ),
    "F07": (
        "A47 to a free identifier, to another patient's, of an unknown one",
        "Renamed; AE 205; AA without effect",
    ),
    "F08": (
        "A24, then A37; A37 of what was never linked",
        "Linked, then no longer, and told twice; AA without effect",
    ),
    "F09": ("A31 of an unknown patient", "Created, AA"),
    "F10": ('A31 whose PID-11 is empty, or `""`', "The address is kept, or deleted"),
    "F11": ("Twins: alike but for given name and birth order", "Never linked without a person"),
    "Q01": (
        "An identifier with others elsewhere",
        "AA, OK, one PID: PID-3 in full, PID-5 `~^^^^^^S`, QPD echoed",
    ),
    "Q02": ("A known identifier with none in the domains asked for", "AA, NF, no PID"),
    "Q03": ("An unknown identifier", "AE, 204 at `QPD^1^3^1^1`, no PID"),
    "Q04": ("An unknown domain in QPD-3", "AE, 204 at `QPD^1^3^1^4`, no PID"),
    "Q05": ("An unknown domain in QPD-4", "AE, 204 at `QPD^1^4^n`, no PID"),
    "Q06": ("Several identifiers in one domain", "AA, OK, one PID with each of them"),
    "Q07": ("A link that waits for a person", "NF: as if there were none"),
    "Q08": ("Two unknown domains and a known one in QPD-4", "AE, two ERR, no PID"),
    "Q09": ("Twenty connections at once", "Each gets the answers to its own questions"),
    "D01": ("Search criteria somebody meets", "AA, OK, each with every identifier that may be seen"),
    "D02": ("Search criteria nobody meets", "AA, NF, no PID"),
    "D03": (
        "Domains in QPD-8",
        "Identifiers of these only; who has none of them is left out",
    ),
    "D04": ("Unknown domains in QPD-8", "AE, one ERR at `QPD^1^8^n` for each, no PID"),
    "D05": (
        "Pages of ten out of 23; a cancelled query; an expired pointer",
        "10, 10 and 3; J01 acknowledged; AE",
    ),
    "D06": ("An identifier without its authority", "AE, as documented"),
    "N01": (
        "A link, and then its split",
        "One notification for each set that results; PID-5 is a space, PV1-2 is N",
    ),
    "I01": (
        "A28 with an INS: validated, provisional, of type NH, with a wrong key, of the test OID, NIA beside NIR",
        "Kept; left out with AA; an insurance number; left out and said, twice; the NIR, with the NIA as old",
    ),
    "I02": (
        "A47 that withdraws an INS",
        "Every INS of the patient goes; links that rested on it alone are asked about again",
    ),
    "I03": ("One INS on two records whose traits disagree", "Not linked; a collision is reported"),
    "I04": ("A doubtful or fictitious identity that matches perfectly", "A candidate, no link"),
    "I05": ("An anonymous or hidden identity", "In no answer and no link"),
    "I06": ("PID-10, PID-17, PID-22 and ZFS", "Not kept"),
    "I07": ("31 December, 1 January, or a birth date said to be interpreted", "Its weight is capped"),
    "I08": ("Œ, É, apostrophe or space, two hyphens, used name first", "One key to compare; kept as written"),
    "X01": ("`$ihe-pix` of a known identifier", "200 with the identifiers elsewhere"),
    "X02": ("`$ihe-pix` with none in the domains asked for", "200, an empty Parameters"),
    "X03": ("`$ihe-pix` of an unknown identifier", "404 `not-found`"),
    "X04": ("`$ihe-pix` of an unknown source domain", "400 `code-invalid`"),
    "X05": ("`$ihe-pix` with an unknown target domain", "403 `code-invalid`"),
    "X06": ("PUT that adds, revises, subsumes; DELETE", "HL7 v2 and FHIR answer alike"),
    "X07": (
        "`$match`, cases 1 to 10; a bare Patient; unknown extensions and modifier extensions",
        "As PDQm says; ignored; 400",
    ),
    "P01": (
        "Headers without issuer; one PatientID at two sites",
        "The issuer is the source's; no link by the value",
    ),
    "P02": (
        "A manifest whose PatientID is an INS",
        "Of the INS's own domain; the study is the same person's",
    ),
    "P03": ("De-identified images, phantoms, test names", "Excluded, and counted"),
    "A01": (
        "Each of these",
        "One audit record (a merge leaves two) with its EventID, action, transaction and roles",
    ),
}
"""Row -> stimulus, expected."""
