"""A load, a fault in its middle, and what it came to: one row of the table in docs/reliability.md."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

LOST = ("broken", "unheard", "silent", "wrong")
TENTH = 0.1


@dataclass
class Outcome:
    """What a storm came to."""

    fault: str
    account: object
    began: float
    """The fault; like the next, in seconds of the load."""
    ended: float

    @property
    def answered(self):
        return self.account.of("200")

    @property
    def refused(self):
        """Answered with an error that says why."""
        return self.account.of("cut") + sum(self.account.of(str(status)) for status in range(400, 600))

    def lost(self, *kinds):
        """Requests of these kinds, or of all, that got no answer, or half of one."""
        return sum(count for (kind, outcome), count in self.account.counts.items()
                   if outcome in LOST and (not kinds or kind in kinds))

    def rate(self, since, to):
        """Good answers a second between two times."""
        inside = [good for number, good, *_ in self.account.bins if since <= number * TENTH < to]
        return sum(inside) / max(to - since, TENTH)

    @property
    def before(self):
        return self.rate(WARM, self.began)

    @property
    def during(self):
        return self.rate(self.began, max(self.ended, self.began + 0.5))

    @property
    def slowest(self):
        """In milliseconds, from the fault on."""
        return max((slowest for number, _, _, slowest in self.account.bins if number * TENTH >= self.began - TENTH), default=0)

    @property
    def whole_after(self):
        """Seconds from the fault to the last request that was refused or lost, or not made; 0 if there was none."""
        bad = [number for number, _, others, _ in self.account.bins if others]
        return max(0.0, (bad[-1] + 1) * TENTH - self.began) if bad else 0.0

    def row(self):
        cells = [self.fault, f"{self.ended - self.began:.1f} s" if self.ended - self.began > 0.05 else "at once",
                 f"{self.before:.0f}", f"{self.during:.0f}", str(self.answered), str(self.refused), str(self.lost()),
                 str(self.account.of("unreachable")), f"{self.slowest}", f"{self.whole_after:.1f} s" if self.whole_after else "-"]
        return f"| {' | '.join(cells)} |"


HEAD = ("| fault | it lasted | answers/s before | meanwhile | answered | refused | lost | not connected | slowest ms | all well after |\n"
        "|" + "---|" * 10)
WARM = 0.5


@contextmanager
def storm(load, fault, rows, before=1.5, after=1.5):
    """Inside, the fault goes on. Gives a place where its outcome is, once it is over."""
    kept = []
    time.sleep(before)
    began = load.now()
    try:
        yield kept
        ended = load.now()
        time.sleep(after)
    finally:
        account = load.end()
    kept.append(Outcome(fault, account, began, ended))
    rows.append(kept[0].row())


BEGIN = "<!-- Made by `UPDATE=1 make chaos`. -->"
END = "<!-- The end of what is made. -->"


def put(page, rows, about):
    """A page with these rows between its markers."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    table = "\n".join([HEAD, *rows])
    return f"{before}{BEGIN}\n\n{about}\n\n{table}\n\n{END}{after}"
