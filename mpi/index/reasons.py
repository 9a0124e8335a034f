"""
Why a message was stopped, in words, and what helps: one sentence for each error of the journal.

A reason never holds what was sent; the place and the problem, which the journal keeps beside it, say
where in the message to look.
"""

from typing import Final, Literal, NamedTuple

Language = Literal["fr", "en"]


class Reason(NamedTuple):
    """The same reason in the languages of those who read it."""

    fr: str
    en: str


REASONS: Final[dict[str, Reason]] = {
    "UnreadableMessage": Reason(
        "Le message est illisible : tramage, délimiteurs ou jeu de caractères. "
        "Corriger la source, ou son jeu de caractères par défaut, puis rejouer.",
        "The message cannot be read: its framing, delimiters or character set. "
        "Mend the source, or its default character set, then replay.",
    ),
    "UnsupportedMessage": Reason(
        "Ce type de message, cet événement ou cette version n'est pas pris en charge. Rien à faire, "
        "ou le faire filtrer à la source.",
        "This index does not take this type, event or version. Nothing to do, or have it filtered at the source.",
    ),
    "InvalidIdentity": Reason(
        "L'identité ne peut pas être utilisée. Corriger le champ indiqué à la source, ou dans une copie du message.",
        "The identity cannot be used. Correct the field named, at the source or in a copy of the message.",
    ),
    "ControlIdReused": Reason(
        "La source a donné le même identifiant (MSH-10) à deux messages différents. "
        "Vérifier sa numérotation ; rejouer si le message est bon.",
        "The source gave one control id (MSH-10) to two different messages. "
        "Check how it numbers them; replay if the message is good.",
    ),
    "OutOfSequence": Reason(
        "Un message précédent manque, ou celui-ci arrive trop tard. La source doit réémettre, ou se resynchroniser.",
        "A message before it is missing, or it comes too late. The source has to send again, or resynchronise.",
    ),
    "PoisonMessage": Reason(
        "Le traitement a échoué à chaque essai, sans raison prévue : c'est un défaut de cet index. "
        "Les messages suivants du même patient attendent. Rejouer après correction, réparer ou écarter.",
        "Handling it failed each time it was tried, for no reason that was foreseen: a defect of this index. "
        "Later messages of the same patient wait. Replay once it is mended, repair, or discard.",
    ),
    "EarlierMessageWaits": Reason(
        "Conservé, pas encore appliqué : un message précédent du même patient attend une réparation.",
        "Kept, and not applied yet: an earlier message of the same patient waits for a repair.",
    ),
    "UnknownAuthority": Reason(
        "Le domaine d'identification n'est pas déclaré, ou il est incomplet. Le déclarer, puis rejouer.",
        "The assigning authority is not configured, or incomplete. Configure it, then replay.",
    ),
    "UnknownIdentifier": Reason(
        "L'identifiant n'a jamais été annoncé à cet index. La source doit d'abord l'annoncer ; puis rejouer.",
        "The identifier was never stated to this index. The source has to state it first; then replay.",
    ),
    "LinkConflict": Reason(
        "Le message contredit une décision ou une fusion qui tient toujours. À trancher, puis rejouer ou écarter.",
        "The message contradicts a decision or a merge that still stands. Decide, then replay or discard.",
    ),
    "SenderNotPermitted": Reason(
        "L'émetteur n'a pas le droit d'annoncer cela, ou n'a pas prouvé qui il est. Vérifier la configuration.",
        "The sender may not state this, or did not prove who it is. Check the configuration.",
    ),
    "NotPermitted": Reason(
        "L'émetteur n'a pas le droit d'annoncer cela. Vérifier la configuration, puis rejouer.",
        "The sender may not state this. Check the configuration, then replay.",
    ),
}

_OTHER: Final = Reason(
    "Le message n'a pas pu être appliqué. Voir l'endroit et le problème.",
    "The message could not be applied. See the place and the problem.",
)


def reason_of(error: str, language: Language = "fr") -> str:
    """
    Why a message was stopped; empty for one that was not.

    Args:
        error: the name of an error class, as the journal keeps it.
    """
    if not error:
        return ""
    reason = REASONS.get(error, _OTHER)
    return reason.fr if language == "fr" else reason.en
