"""Everything that may happen next to one withdrawal."""

from collections.abc import Iterator
from typing import NamedTuple

from proof.model import bank, states
from proof.model.options import Options
from proof.model.ours import (
    ANSWERS,
    NO_WORD,
    THROTTLED,
    TURNED_AWAY,
    UNANSWERED,
    UNAVAILABLE,
    UNSENT,
    Move,
    Ours,
)
from proof.model.states import (
    ANSWERED,
    EXECUTORS,
    FAILED,
    IDLE,
    LONG_AGO,
    PROCESSING,
    RECENTLY,
    SCHEDULED,
    SEND,
    TERMINAL,
    WAITING,
    Hand,
    Payout,
)
from wallets.domain.outcomes import Idempotency

_WEAKER = {
    Idempotency.FULL: Idempotency.SUCCESS_ONLY,
    Idempotency.SUCCESS_ONLY: Idempotency.NONE,
    Idempotency.NONE: Idempotency.NONE,
}
_DOOR = {
    THROTTLED: "429, not executed",
    TURNED_AWAY: "401, not executed",
    UNAVAILABLE: "a bare 503, not executed",
}


class Step(NamedTuple):
    """``fault``: it need not happen for the others to go on. ``who``: the executor, if any."""

    who: str
    text: str
    after: Payout
    fault: bool = False
    move: Move | None = None


class Steps:
    def __init__(self, options: Options, ours: Ours) -> None:
        self._options = options
        self._ours = ours
        self._kind = options.bank if options.assumes("promise") else _WEAKER[options.bank]
        self._same_key = options.keeps("same_key")

    def of(self, payout: Payout) -> Iterator[Step]:
        yield from self._time(payout)
        yield from self._network(payout)
        for index, hand in enumerate(payout.hands):
            rest = [*payout.hands[:index], *payout.hands[index + 1 :]]
            if hand.phase == WAITING:
                yield from self._waiting(payout, hand, rest)
            elif hand.phase == ANSWERED:
                yield from self._answered(payout, hand, rest)
            elif hand.step == SEND:
                yield from self._sending(payout, hand, rest)
            else:
                yield from self._asking(payout, hand, rest)
        yield from self._taking_over(payout)

    # --- Time ------------------------------------------------------------------------------------

    def _time(self, payout: Payout) -> Iterator[Step]:
        record = payout.record
        if record.status != PROCESSING:
            return
        if not record.lapsed:
            # The owner counts its lease from before the claim began, so its own has ended too.
            yield Step("", "the lease or the pause ends", self._lease(payout, lapsed=True))
        if record.owner in EXECUTORS:
            renewed = self._lease(payout, lapsed=False)
            held = any(h.who == record.owner and not h.stale for h in payout.hands)
            if held and renewed != payout:
                yield Step(record.owner, "renews its lease", renewed)
        if record.last_sent == RECENTLY:
            yield Step("", "the grace of 'not found' passes", self._grace(payout))
        if record.first_sent == RECENTLY:
            yield from self._retention(payout)

    def _lease(self, payout: Payout, *, lapsed: bool) -> Payout:
        record = payout.record
        hands = [
            hand._replace(fresh=not lapsed)
            if hand.who == record.owner and not hand.stale and _is_sending(hand)
            else hand
            for hand in payout.hands
        ]
        return payout._replace(record=record._replace(lapsed=lapsed)).with_hands(hands)

    def _grace(self, payout: Payout) -> Payout:
        after = payout._replace(record=payout.record._replace(last_sent=LONG_AGO))
        if not self._options.assumes("grace"):
            return after
        # Whatever was sent before the row's last send is not executed any more. What an executor
        # sends at the row's own epoch comes after it.
        hands = [self._gives_up(hand) if hand.stale else hand for hand in payout.hands]
        return after._replace(covered=0).with_hands(hands)

    def _retention(self, payout: Payout) -> Iterator[Step]:
        after = payout._replace(record=payout.record._replace(first_sent=LONG_AGO))
        after = after.with_hands([hand._replace(key_kept=False) for hand in payout.hands])
        if self._options.assumes("retention"):
            hands = [self._gives_up(hand) for hand in after.hands]
            after = after._replace(covered=0, loose=0).with_hands(hands)
        yield Step("", "the key's retention passes", after)
        forgetful = after._replace(bank=bank.forget(after.bank))
        if forgetful != after:
            yield Step("", "the key's retention passes and the bank forgets it", forgetful)

    def _gives_up(self, hand: Hand) -> Hand:
        return self._ours.after_try(hand, UNANSWERED) if hand.phase == WAITING else hand

    # --- The network and the bank ----------------------------------------------------------------

    def _network(self, payout: Payout) -> Iterator[Step]:
        for name in ("covered", "loose"):
            left = getattr(payout, name)
            if left:
                fewer = payout._replace(**{name: left - 1})
                for after, word in self._receive(fewer):
                    yield Step("", f"a request nobody waits for arrives: {word}", after)
        if payout.bank.memory == states.PENDING:
            for settled, word in bank.settle_pending(payout.bank):
                text = f"what was pending at the bank is {word}"
                yield Step("", text, payout._replace(bank=settled))

    def _receive(self, payout: Payout) -> Iterator[tuple[Payout, str]]:
        for told, word in bank.receive(payout.bank, self._kind, known_key=self._same_key):
            yield payout._replace(bank=told), word

    def _adrift(self, payout: Payout, *, stale: bool) -> Payout:
        """One more request is under way that nobody waits for."""
        name = "covered" if stale else "loose"
        many = min(self._options.size.requests, getattr(payout, name) + 1)
        return payout._replace(**{name: many})

    # --- A call ----------------------------------------------------------------------------------

    def _sending(self, payout: Payout, hand: Hand, rest: list[Hand]) -> Iterator[Step]:
        if self._may_send(hand):
            sent = payout.with_hands([*rest, hand._replace(phase=WAITING)])
            yield Step(hand.who, "sends the transfer", sent)
            unsent = payout.with_hands([*rest, self._ours.after_try(hand, UNSENT)])
            yield Step(hand.who, "finds no connection: nothing sent", unsent, fault=True)
        cut = payout.with_hands([*rest, self._ours.cut_short(hand)])
        yield Step(hand.who, "stops sending", cut)

    def _may_send(self, hand: Hand) -> bool:
        keeps = self._options.keeps
        in_time = hand.fresh or not keeps("lease_deadline")
        return in_time and (hand.key_kept or not keeps("key_retention"))

    def _waiting(self, payout: Payout, hand: Hand, rest: list[Hand]) -> Iterator[Step]:
        def seen(after: Payout, letter: str) -> Payout:
            return after.with_hands([*rest, self._ours.after_try(hand, letter)])

        for told, word in self._receive(payout):
            yield Step(hand.who, f"hears from the bank: {word}", seen(told, ANSWERS[word]))
            yield Step("", f"the bank's answer is lost: {word}", seen(told, UNANSWERED), fault=True)
            if not self._options.assumes("no_copies"):
                copied = self._adrift(told, stale=hand.stale)
                yield Step(
                    hand.who,
                    f"hears from the bank: {word}; a copy of the request is under way",
                    seen(copied, ANSWERS[word]),
                    fault=True,
                )
            if not self._options.assumes("door"):
                text = f"hears 503 although the bank did it: {word}"
                yield Step(hand.who, text, seen(told, UNAVAILABLE), fault=True)
        for letter, text in _DOOR.items():
            yield Step(hand.who, f"hears from the bank: {text}", seen(payout, letter), fault=True)
            if not self._options.assumes("no_copies"):
                copied = self._adrift(payout, stale=hand.stale)
                yield Step(
                    hand.who,
                    f"hears from the bank: {text}; a copy of the request is under way",
                    seen(copied, letter),
                    fault=True,
                )
        late = self._adrift(payout, stale=hand.stale)
        text = "gives up waiting, the request still under way"
        yield Step(hand.who, text, seen(late, UNANSWERED), fault=True)

    def _asking(self, payout: Payout, hand: Hand, rest: list[Hand]) -> Iterator[Step]:
        for word in bank.words_about(payout.bank, self._kind):
            heard = payout.with_hands([*rest, self._ours.after_inquiry(hand, word)])
            yield Step(hand.who, f"asks about the key: {word}", heard)
        unheard = payout.with_hands([*rest, self._ours.after_inquiry(hand, NO_WORD)])
        yield Step(hand.who, "asks about the key, no answer", unheard, fault=True)

    # --- The database ----------------------------------------------------------------------------

    def _answered(self, payout: Payout, hand: Hand, rest: list[Hand]) -> Iterator[Step]:
        word = self._ours.outcomes[hand.outcome].verdict.value
        ended = self._ours.settled(payout.record, hand)
        if ended is None:
            yield Step(hand.who, f"settles {word}: dropped", payout.with_hands(rest))
            return
        after = _stamped(payout, ended.stamped, self._options.size.requests)
        after = after._replace(record=ended.record)
        yield Step(hand.who, f"settles {word}", after.with_hands(rest), move=ended.move)
        yield Step(
            hand.who,
            f"settles {word}, the acknowledgement lost",
            after,
            fault=True,
            move=ended.move,
        )

    def _taking_over(self, payout: Payout) -> Iterator[Step]:
        record = payout.record
        lapsed = record.status == PROCESSING and record.lapsed
        burnt = record.status == FAILED and not self._options.keeps("terminal_burn")
        if not (lapsed or burnt):
            return
        hands = [hand._replace(stale=True, fresh=False) for hand in payout.hands]
        if len(hands) > self._options.size.stale:
            return
        for who in EXECUTORS:
            taken = self._ours.taken_over(record, who)
            after = _stamped(payout, taken.stamped, self._options.size.requests)
            after = after._replace(record=taken.record)
            if taken.hand is None:
                yield Step(who, "leaves the row to a person", after.with_hands(hands))
                continue
            text = f"takes the row over, to {taken.hand.step}"
            yield Step(who, text, after.with_hands([*hands, taken.hand]))
            yield Step(who, f"{text}, and forgets it", after.with_hands(hands), fault=True)

    def claims(self, payout: Payout, *, affordable: bool) -> Iterator[Step]:
        """``affordable``: the wallet covers it."""
        if not affordable:
            failed = payout._replace(record=self._ours.refused_for_funds(payout.record))
            yield from (Step(who, "refuses it for funds", failed) for who in EXECUTORS)
            return
        # After a rollback epochs count from 0 again, and meet hands that hold the same one.
        stale = payout.record.status != SCHEDULED
        hands = [hand._replace(stale=stale or hand.stale) for hand in payout.hands]
        for who in EXECUTORS:
            taken = self._ours.claimed(payout.record, who)
            after = payout._replace(record=taken.record)
            held = [*hands, taken.hand] if taken.hand else hands
            yield Step(who, "claims", after.with_hands(held), move=taken.move)
            yield Step(
                who, "claims, and forgets it", after.with_hands(hands), fault=True, move=taken.move
            )

    def crashed(self, payout: Payout, who: str) -> Payout:
        """``who`` dies and starts anew, under another id and with nothing in memory."""
        after = payout
        for hand in payout.hands:
            if hand.who == who and hand.phase == WAITING:
                after = self._adrift(after, stale=hand.stale)
        record = payout.record
        if record.owner == who:
            after = after._replace(record=record._replace(owner=states.DEAD))
        return after.with_hands([hand for hand in payout.hands if hand.who != who])

    def rolled_back(self, payout: Payout) -> Payout | None:
        """The claim's commit is lost; the executor that holds the row does not know."""
        owner = payout.record.owner
        if owner not in EXECUTORS:
            return None
        fresh = self._ours.claimed(states.Record(), owner).record
        return payout._replace(record=states.Record()) if payout.record == fresh else None


def _is_sending(hand: Hand) -> bool:
    return hand.step == SEND and hand.phase in (IDLE, WAITING)


def _stamped(payout: Payout, stamped: bool, most: int) -> Payout:
    """The row calls now its last send, which covers all that is under way."""
    if not stamped:
        return payout
    return payout._replace(covered=min(most, payout.covered + payout.loose), loose=0)


def wrong(payout: Payout) -> str:
    """What must never be true of one withdrawal, or nothing."""
    status, paid = payout.record.status, payout.bank.paid
    if status == FAILED and paid:
        return "the money was given back and the bank has paid"
    if paid > 1:
        return "the bank has paid twice"
    if status == states.SUCCEEDED and not paid:
        return "it counts as paid and the bank has not paid"
    return ""


def wrong_step(before: Payout, after: Payout) -> str:
    if before.record.status in TERMINAL and after.record.status != before.record.status:
        return "a terminal status changed"
    return ""


def is_due(payout: Payout) -> bool:
    return payout.record.status == SCHEDULED
