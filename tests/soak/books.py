"""The accounts of the clients, the gateway and the vendors against each other."""

REFUSALS = {"400", "401", "403", "404", "413", "429", "500", "502", "503", "504"}


def problems(account, kinds, statuses, attempts, vendors):
    """What does not add up, as sentences; nothing if every request is accounted for.

    `statuses` and `attempts` are the gateway's counts, `vendors` what each vendor says that it got. A client that left does
    not know what its request came to; so of each status the gateway may have as many more as clients left, and not one
    beyond: the sums are the same.
    """
    yield from (f"{count} of the kind {kind} ended as {outcome}"
                for (kind, outcome), count in account.unexplained(kinds).items())
    counted = sum(statuses.values())
    if counted != account.sent:
        yield f"the clients sent {account.sent} requests, the gateway counted {counted}"
    left = account.of("left")
    yield from (f"the gateway counted {statuses[status]} of {status}, which it never answers"
                for status in sorted(set(statuses) - REFUSALS - {"200", "499"}))
    for status in sorted(REFUSALS):
        theirs, ours = account.of(status), statuses.get(status, 0)
        if not theirs <= ours <= theirs + left:
            yield f"{theirs} clients got a {status}, {left} left, the gateway counted {ours}"
    heard = account.of("200") + account.of("cut") + account.of("broken")
    if statuses.get("200", 0) < heard:
        yield f"{heard} clients got a 200, the gateway counted {statuses.get('200', 0)}"
    for vendor, got in vendors.items():
        made = {outcome: count for (name, outcome), count in attempts.items() if name == vendor}
        unsent = sum(made.get(outcome, 0) for outcome in ("cancelled", "unreachable", "timeout", "other"))
        if not sum(made.values()) - unsent <= got <= sum(made.values()):
            yield f"{vendor} got {got} requests, the gateway made {made}"
