"""The answering half of the lane of attached content.

Refusals stand inside the answers and are not raised: a raised one would be noted as the peer's last error, and trouble
with a photo must not look like trouble with the records.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from sqlalchemy import Connection

from sync import wire
from sync.blobs import AT_HAND, Blob, BlobStore
from sync.errors import BlobNotReferred, NoSpace, SyncError
from sync.peers import Peer
from sync.wire import Envelope

Answer = Callable[[Connection, Peer, Envelope], bytes]


class BlobAnswers:
    """Answers a peer about content. A peer gets what an event in its scopes refers to, and nothing else.

    Content vouches for itself, so it is taken from whoever has it: from a reader what our own disk has lost, and from a
    withdrawn key, which gets nothing any more, what its records refer to.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    @property
    def verbs(self) -> dict[str, Answer]:
        return {"blobs": self._blobs, "chunk-put": self._put, "chunk-get": self._get}

    def wanted(self, conn: Connection, peer: Peer) -> bytes:
        """A digest of what is lacking here and could come from this peer; empty when nothing is."""
        lacking = self._store.lacking(conn, peer.shared_scopes)
        return sha256(b"".join(sorted(lacking))).digest()[:8] if lacking else b""

    def _blobs(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        asked = wire.decode(envelope.payload, wire.Blobs)
        # In one order: two requests that lock the same rows must not wait for each other in a circle.
        offered = sorted(asked.offers, key=lambda offer: offer.digest)
        standings = [self._stand(conn, peer, offer) for offer in offered]
        if peer.revoked_after is not None:
            return wire.encode(wire.BlobsAnswer(standings=standings, offers=[], wants=[]))
        found = self._store.find_all(conn, [d for d in asked.wants if self._readable(conn, peer, d)])
        answer = wire.BlobsAnswer(
            standings=standings, offers=[offer_of(blob) for blob in found if blob.state in AT_HAND and blob.hashes],
            wants=self._store.lacking(conn, peer.shared_scopes)[: wire.BLOBS_AT_ONCE],
        )  # fmt: skip
        return wire.encode(answer)

    def _stand(self, conn: Connection, peer: Peer, offer: wire.BlobOffer) -> wire.BlobStanding:
        return self._standing(
            conn, peer, offer.digest, lambda: self._store.learn(conn, offer.digest, offer.size, offer.hashes)
        )

    def _put(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        put = wire.decode(envelope.payload, wire.ChunkPut)
        standing = self._standing(
            conn, peer, put.digest, lambda: self._store.put_chunk(conn, put.digest, put.number, put.data)
        )
        return wire.encode(wire.ChunkPutAnswer(standing=standing))

    def _get(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        get, data = wire.decode(envelope.payload, wire.ChunkGet), None
        if self._readable(conn, peer, get.digest):
            with suppress(OSError):
                data = self._store.read_chunk(conn, get.digest, get.number)
        return wire.encode(wire.ChunkGetAnswer(data=data))

    def _standing(self, conn: Connection, peer: Peer, digest: bytes, act: Callable[[], Blob]) -> wire.BlobStanding:
        """How the content stands here after this, or the code of why it is not taken."""
        try:
            if not self._store.is_referred(conn, digest, peer.shared_scopes):
                raise BlobNotReferred
            return standing_of(act())
        except SyncError as error:
            return wire.BlobStanding(digest=digest, state=error.code)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return wire.BlobStanding(digest=digest, state=NoSpace.code)

    def _readable(self, conn: Connection, peer: Peer, digest: bytes) -> bool:
        return self._store.is_referred(conn, digest, peer.read_scopes)


def offer_of(blob: Blob) -> wire.BlobOffer:
    return wire.BlobOffer(digest=blob.digest, size=blob.size, hashes=blob.hashes, chunks=wire.dump_chunks(blob.chunks))


def standing_of(blob: Blob) -> wire.BlobStanding:
    return wire.BlobStanding(digest=blob.digest, state=blob.state.value, chunks=wire.dump_chunks(blob.chunks))
