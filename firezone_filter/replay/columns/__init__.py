"""The replay by columns: summary and decisions of `by_packet`, many frames at a time.

`engine` has the way of a chunk and says why the result is that of packet by packet; each of the
other modules has one step of it.
"""
