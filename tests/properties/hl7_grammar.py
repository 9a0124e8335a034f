"""Messages of every kind, by chance: from a grammar of what is sent, then damaged in their bytes."""

import random

EVENTS = ("A01", "A02", "A03", "A04", "A05", "A06", "A08", "A11", "A13", "A24", "A28", "A31", "A37", "A38", "A40",
          "A43", "A44", "A45", "A47", "A49", "A54", "A99", "Z99", "Q23", "")  # fmt: skip
SENDERS = ("RIS_A|SITE_A",) * 6 + ("GAM_A|SITE_A", "HUB|SITE_B", "VIEWER_B|SITE_B", "NOBODY|SITE_A")
TYPES = ("ADT",) * 12 + ("QBP", "ACK", "ORU", "")
VERSIONS = ("2.5", "2.5", "2.3.1", "2.5^FRA^2.11", "2.3.1", "2.4", "", "2.9")
CHARSETS = (("", "latin-1"), ("8859/1", "latin-1"), ("8859/15", "iso8859-15"), ("8859/1", "cp1252"), ("ASCII", "ascii"),
            ("UNICODE UTF-8", "utf-8"), ("8859/1", "utf-8"), ("8859/1~UNICODE UTF-8", "utf-8"), ("KLINGON", "utf-8"),
            ("UNICODE UTF-8", "latin-1"))  # fmt: skip
IDS = ("A1", "A1", "A2", "A2^^^SITE-A", "A1",
       "A2^^^SITE-A", "A3^^^SITE-A&2.999.1.1&ISO^PI", "B1^^^SITE-B", "", '""', "N1^^^SITE-A^AN", "X^^^NOWHERE",
       "284022999912354^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS",
       '""^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS')  # fmt: skip
NAMES = ("ROUX^ANNE^^^^^L", "ŒUVRARD^HÉLÈNE^HÉLÈNE ZOÉ^^^^L", "DUVIVIER^LOU^^^^^D", '""^^^^^^D', "", '""',
         "O\\T\\NEIL^J\\X41\\", "DARK^JEANNE^^^^^^L", "^" * 40)  # fmt: skip
DATES = ("19840229", "1984", "198402", "19840230", '""', "", "29/02/1984", "20991231", "0000")
ADDRESSES = (
    "12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^^^^FRA^BDL^^29999",
    '""',
    "",
    '""^^""^^""^FRA^H',
    "~~~",
)
CODES = ("PROV", "VALI", "VALI~HOMA", "DOUT", '""', "", "ZZZ")
OTHERS = ("PV1||I", "PV1||E", "ZBE|1|20260302||INSERT|N", "ZBE|1|20260302||CANCEL|N|A01", "ZFD||||Y|INSI", "ZFS|1",
          "NK1|1|ROUX^JEAN", "OBX|1|TX|||" + "A" * 300, "nonsense", "\x00\x01")  # fmt: skip
DELIMITERS = ("|^~\\&",) * 8 + ("#^~\\&", "|*~\\&", "|^~", "|||||", "A^~\\&")


def message(chance: random.Random) -> bytes:
    """One message as somebody might send it."""
    pick = chance.choice
    charset, codec = pick(CHARSETS)
    pid = {3: "~".join(pick(IDS) for _ in range(chance.randint(0, 3))), 5: "~".join(pick(NAMES) for _ in range(2)),
           7: pick(DATES), 8: pick(("F", "M", "U", "H", "1", "", '""')), 10: pick(("", "1002")), 11: pick(ADDRESSES),
           13: pick(("", "0555000000", '""')), 32: pick(CODES)}  # fmt: skip
    lines = [
        f"MSH|^~\\&|{pick(SENDERS)}|MPI|FED|20260302101500||"
        f"{pick(TYPES)}^{pick(EVENTS)}|C{chance.randint(1, 9999)}|{pick('PPPPTX')}|{pick(VERSIONS)}|||"
        f"{pick(('', 'AL', 'NE'))}|{pick(('', 'AL', 'NE'))}|FRA|{charset}",
        "EVN||20260302101500",
        *["|".join(["PID", *(pid.get(number, "") for number in range(1, 33))])]
        * chance.choice((1, 1, 1, 2, 0)),
        *[f"MRG|{pick(IDS)}"] * chance.randint(0, 1),
        *(pick(OTHERS) for _ in range(chance.randint(0, 3))),
    ]
    text = pick(("\r", "\r", "\r", "\n", "\r\n")).join([*lines, ""])
    return _in_other_delimiters(text, pick(DELIMITERS)).encode(codec, errors="replace")


def batch(chance: random.Random) -> bytes:
    """A batch of a few messages."""
    start, end = chance.choice(((b"", b""), (b"FHS|^~\\&|RIS_A\r", b"FTS|1\r")))
    return (
        start
        + b"BHS|^~\\&\r"
        + b"".join(message(chance) for _ in range(chance.randint(0, 3)))
        + b"BTS|9\r"
        + end
    )


def damaged(frame: bytes, chance: random.Random) -> bytes:
    """The same with a few bytes lost, changed or put in."""
    out = bytearray(frame)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        out[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 3))
    return bytes(out)


def frame(chance: random.Random) -> bytes:
    """A message, or sometimes a batch; half of them damaged."""
    made = message(chance) if chance.random() < 0.9 else batch(chance)
    return damaged(made, chance) if chance.random() < 0.5 else made


def _in_other_delimiters(text: str, delimiters: str) -> str:
    if delimiters[:2] == "|^":
        return text.replace("|^~\\&", delimiters, 1)
    return text.translate(str.maketrans("|^", delimiters[:2]))
