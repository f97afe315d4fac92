"""Makes captures of any size: `python -m benches.captures FOLDER`.

**Nine in ten packets belong to established direct flows**: not the first of their flow, TCP or
UDP, permitted, and not translated. They are made like what a gateway forwards on an ordinary day:

- 16 clients reach web servers (HTTPS, QUIC, other ports), databases and a host for metrics, in
  both directions, 45 packets out of 100 outbound; an eighth of it is IPv6.
- Half of the packets are of 64 flows that last as long as the capture, a few of them far more
  often than the others: mounts, tunnels, pools of connections. The other half are of flows that
  come and go, 60 packets each, 256 at a time: requests and downloads. There is a new flow for
  every 120 packets, and one of TCP begins with its handshake.
- Frames are acknowledgements without payload, requests of some hundred bytes, and full segments
  of downloads: 380 bytes on average. Lengths, checksums and sequence numbers are right.
- Packets come at random times, 2,000 a second. Each may be of another flow than the one before.
  That is harder than real traffic, where a flow's packets follow one another in trains.

**The tenth** is what real traffic has beside them: names, refusals (a scan among them, towards the
end), fragments, ICMP and its errors, what is not IP or not of a client, cut packets; with the
shares of `traffic_others.SHARES`. VLAN tags are in all of it.

The same seed gives the same bytes, with one version of numpy; and the same packets in one file or
in several. Making a capture takes about a second for a million packets.
"""

import argparse
import gzip
import lzma
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from struct import pack
from typing import Final, Protocol

import numpy as np
from attrs import frozen

from benches.traffic_flows import Bytes, Canvas, DirectFlows, Numbers, scatter
from benches.traffic_others import OTHERS, OtherPackets
from benches.traffic_policy import START, policy_text

MILLION: Final = 1_000_000

_CHUNK: Final = 65_536
"""Packets that are made together."""

_A_SECOND: Final = 2_000
"""Packets in a second of the capture, on average."""

_HEAD: Final = 16
_FILE_HEAD: Final = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)


class Output(Protocol):
    """What a capture is written to."""

    def write(self, data: bytes | memoryview, /) -> object: ...

    def close(self) -> None: ...


def _plain(path: Path) -> Output:
    return path.open("wb")


def _gzip(path: Path) -> Output:
    return gzip.open(path, "wb", compresslevel=1)


def _xz(path: Path) -> Output:
    return lzma.open(path, "wb", preset=0)


def _other(module: str, path: Path) -> Output:
    # Those that not every Python has are for compressed captures only.
    output: Output = import_module(module).open(path, "wb")
    return output


_OPENERS: Final[dict[str, Callable[[Path], Output]]] = {
    "": _plain,
    "gz": _gzip,
    "xz": _xz,
    "zst": partial(_other, "backports.zstd"),
    "lz4": partial(_other, "lz4.frame"),
}

COMPRESSIONS: Final = tuple(_OPENERS)
"""Endings of the names of compressed files; without one, a file is not compressed."""


@frozen
class Chunk:
    """Some records of a capture, until the next ones are made."""

    data: Bytes
    starts: Numbers
    """Where the records begin; and where the last one ends."""

    @property
    def packets(self) -> int:
        return len(self.starts) - 1

    def part(self, first: int, last: int) -> memoryview:
        """Return the bytes of some records, *last* not included."""
        return self.data[self.starts[first] : self.starts[last]].data


def chunks(packets: int, seed: int = 1) -> Iterator[Chunk]:
    """Make all records of a capture."""
    random = np.random.default_rng(seed)
    canvas = Canvas(random)
    flows, others = DirectFlows(packets, random), OtherPackets(random)
    now_us = START * 1_000_000
    for first in range(0, packets, _CHUNK):
        size = min(_CHUNK, packets - first)
        times = now_us + np.cumsum(random.exponential(1e6 / _A_SECOND, size)).astype(np.int64)
        now_us = int(times[-1])
        is_other = random.permutation(size) < round(size * OTHERS)
        direct, rest = np.flatnonzero(~is_other), np.flatnonzero(is_other)
        chosen = flows.choose(first + direct)
        told = others.choose((first + rest) / packets)
        lengths = np.empty(size, np.int64)
        lengths[direct], lengths[rest] = chosen.length, told.length
        starts = np.concatenate(([0], np.cumsum(lengths + _HEAD)))
        data = canvas.painted(int(starts[-1]))
        scatter(data, starts[:-1], _heads(times, lengths))
        flows.write(data, starts[direct] + _HEAD, chosen, canvas)
        others.write(data, starts[rest] + _HEAD, told)
        yield Chunk(data, starts)


def _heads(times_us: Numbers, lengths: Numbers) -> Bytes:
    seconds, us = np.divmod(times_us, 1_000_000)
    heads: Bytes = np.stack([seconds, us, lengths, lengths], axis=1).astype("<u4").view(np.uint8)
    return heads


def write_captures(
    folder: Path, packets: int = MILLION, *, seed: int = 1, files: int = 1, compression: str = ""
) -> list[Path]:
    """Write a capture, and the policy that goes with it (`policy.json`); return the captures.

    Args:
        folder: where to.
        packets: how many.
        seed: another one gives other packets.
        files: how many, one after the other in time, as `tcpdump -C` writes them.
        compression: one of `COMPRESSIONS`.
    """
    (folder / "policy.json").write_text(policy_text(), encoding="utf-8")
    ending = f".pcap.{compression}" if compression else ".pcap"
    names = ["traffic"] if files == 1 else [f"traffic-{number:04}" for number in range(files)]
    paths = [folder / (name + ending) for name in names]
    # How many packets there are up to the end of each file.
    ends = [packets * (number + 1) // files for number in range(files)]
    with ExitStack() as stack:
        outputs = [stack.enter_context(closing(_OPENERS[compression](path))) for path in paths]
        for output in outputs:
            output.write(_FILE_HEAD)
        first = 0
        for chunk in chunks(packets, seed):
            for output, begin, end in zip(outputs, [0, *ends], ends, strict=False):
                here = [min(max(at - first, 0), chunk.packets) for at in (begin, end)]
                output.write(chunk.part(*here))
            first += chunk.packets
    return paths


def kept_captures(packets: int = MILLION, *, seed: int = 1, files: int = 1) -> list[Path]:
    """Return captures in a temporary folder: those that were made before, or else new ones.

    The policy that goes with them is beside them. Another seed or size has a folder of its own;
    what another version of this script made is removed.
    """
    all_of_them = Path(tempfile.gettempdir()) / f"firezone-filter-benches-{os.getuid()}"
    all_of_them.mkdir(mode=0o700, exist_ok=True)
    kind = f"packets-{packets}-seed-{seed}-files-{files}-by-"
    folder = all_of_them / (kind + _fingerprint())
    if not folder.exists():
        for older in all_of_them.glob(kind + "*"):
            shutil.rmtree(older)
        # Complete or not there: whoever was stopped in the middle leaves no half a capture.
        making = Path(tempfile.mkdtemp(prefix="making-", dir=all_of_them))
        write_captures(making, packets, seed=seed, files=files)
        making.rename(folder)
    return sorted(folder.glob("*.pcap"))


def _fingerprint() -> str:
    """Return what changes with the bytes of all captures."""
    sources = [Path(__file__), *sorted(Path(__file__).parent.glob("traffic_*.py"))]
    parts = [np.__version__.encode(), *(source.read_bytes() for source in sources)]
    return sha256(b"".join(parts)).hexdigest()[:8]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a capture, and tell what was written."""
    parser = argparse.ArgumentParser(prog="python -m benches.captures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packets", type=int, default=MILLION)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--compress", choices=COMPRESSIONS[1:], default="")
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for path in write_captures(
        chosen.folder,
        chosen.packets,
        seed=chosen.seed,
        files=chosen.files,
        compression=chosen.compress,
    ):
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
