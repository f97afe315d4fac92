"""A gateway that is asked to explain every packet, beside the model that is asked the same."""

from collections.abc import Sequence
from typing import Final

from firezone_filter import Decision, Direction
from tests.model.explain import Explanation, Summary
from tests.model.values import Given
from tests.property.twins import Told, Twins, told

LATER: Final = (0.25, 30.0, 59.75, 240.0, 7440.0)
"""Seconds from now, at which a packet that came may come once more."""


class ExplainingTwins(Twins):
    """Both are asked why, before each packet, and what would be of it later."""

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        self.ask(direction, packet, now, client_id)
        latest = self.model._now.seconds
        if latest is not None:
            later = LATER[sum(packet) % len(LATER)]
            self.ask(direction, packet, latest + later, client_id)
        return super().packet(direction, packet, now, client_id)

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        for packet in packets:
            self.ask(direction, packet, now, client_id)
        return super().packets(direction, packets, now, client_id)

    def ask(
        self, direction: Direction, packet: bytes, now: float | None, client_id: str | None
    ) -> None:
        """Ask both, and compare what they say."""
        self.log.append(f"explain {direction} {packet.hex()} {now} {client_id}")
        explanation: Given = self.gateway.explain(direction, packet, now, client_id=client_id)
        ours = told_explanation(explanation)
        model = self.model.explain(direction, packet, now, client_id=client_id)
        theirs = model_explanation(model)
        assert ours == theirs, self.explain(ours, theirs)
        assert all(check.detail for check in explanation.checks), self.explain(explanation, "")
        self.tally.update(kinds_of(model))


def told_explanation(explanation: Given) -> Told:
    """Say what a gateway explained, in the model's words."""
    return (
        told(explanation.decision),
        [(str(check.name), check.passed) for check in explanation.checks],
        [
            (
                one.resource_id,
                one.name,
                one.covers,
                one.permits,
                None if one.reason is None else str(one.reason),
                one.wins,
            )
            for one in explanation.candidates
        ],
        sorted(explanation.excluded),
        explanation.client_id,
        told_summary(explanation.packet),
    )


def told_summary(summary: Given) -> Told | None:
    if summary is None:
        return None
    return (
        summary.version,
        summary.source,
        summary.destination,
        summary.protocol,
        summary.source_port,
        summary.destination_port,
        summary.icmp_type,
        summary.icmp_code,
        summary.fragment,
        summary.length,
        told_summary(summary.quoted),
    )


def model_explanation(explanation: Explanation) -> Told:
    account = explanation.account
    return (
        explanation.decision,
        account.checks,
        [
            (one.resource_id, one.name, one.covers, one.reason is None, one.reason, place == 0)
            for place, one in enumerate(account.candidates)
        ],
        sorted(account.excluded),
        account.client_id,
        told_summary(explanation.packet),
    )


def kinds_of(explanation: Explanation) -> list[str]:
    """Name what an explanation has, so that rare things can be counted."""
    account, packet = explanation.account, explanation.packet
    name, passed = account.checks[-1]
    found = [f"{name} {'permits' if passed else 'refuses'}"]
    if len(account.candidates) > 1:
        found.append("several candidates")
    if account.excluded:
        found.append("excluded")
    if isinstance(packet, Summary) and packet.quoted is not None:
        found.append("quoted")
        if account.candidates:
            found.append("candidates of a quote")
    if ("session", True) in account.checks:
        found.append("session")
    return found
