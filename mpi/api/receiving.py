"""A request whose body was read on the way: given whole, once, to what comes after."""

from starlette.types import Message, Receive


def read_already(body: bytes, receive: Receive) -> Receive:
    """
    What a part of the application that read a body hands on in the place of `receive`.

    Args:
        body: all of it, as the next part is to read it.
        receive: what comes after a body: that the client went away.
    """
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
