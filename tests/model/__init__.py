"""A naive model of the gateway: a second reading of the design that shares no code with it.

Nothing here is fast and nothing is remembered that the rules do not ask for: linear scans,
`ipaddress` objects, one function per rule. Differences from the library are findings.

- `packets`: headers, quotes, checksums, the reply to a refused packet
- `policy`: filters, which resource matches, patterns
- `nat`: sessions, ports, rewriting
- `stateful`: the flows to which only answers come back
- `gateway`: `Model`, time, lifecycle, events, the tables of checks
"""

from .gateway import Model
from .values import ModelError

__all__ = ["Model", "ModelError"]
