"""
Notifications: the relay of the outbox.

What has to be told is a row of the outbox, written by whoever changes something in the transaction that
changes it (`uow.outbox.add`). The relay sends it after the commit, at least once, in order for each queue,
and remembers what became of it.

A request to a site to correct its records is such a row too: `kind=notices.CORRECTION`, `channel=Channel.CORRECTION`,
the source as `consumer`, and the number of the request as payload; its message is made when it is sent, from what
was fixed with the request, so that nothing of a patient stays in the outbox. What became of it is
`uow.outbox.get(number)`: `state`, `delivered_at`, `error`.
"""
