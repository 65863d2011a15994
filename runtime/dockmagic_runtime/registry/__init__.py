"""The distribution protocol, client side: verified bytes in and out, and no idea of a store.

`clients_for` gives the clients to ask, `pull.pull` brings an image to a destination, `upload`
writes.
"""
