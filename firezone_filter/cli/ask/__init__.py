"""The commands that ask policies: `explain`, `reach`, `who`, `test`, `lint`, `diff`, `schema`.

The answers are the library's; here they are read from the command line and printed. Texts come
from policies and may hold anything, so everything that people read is escaped (`printable`).
"""
