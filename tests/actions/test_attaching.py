"""Photos and scans of an opinion: who may attach them, how many, and what the other scopes get of them."""

from hashlib import sha256

import pytest
from sqlalchemy import delete

from service.actions import attaching, erasing, projecting
from service.actions.attaching import FILES_MAX, attach
from service.documents.uploads import Upload
from service.domain import facts as f
from service.domain.opinions import State
from service.domain.people import Reporter
from service.domain.refusals import Invalid, NotAllowed, WrongState
from service.store.unit import Unit
from sync.blobs import BlobState
from sync.events import Scope
from sync.tables import blob_scopes
from tests.actions.township import PEOPLE, TOWN, Township

PICTURE = Upload(content=b"as cleaned", media_type="image/jpeg", name="水沟.jpg")
DIGEST = sha256(PICTURE.content).digest()


class Interrupted(Exception):
    """Something goes wrong before the commit."""


def numbered(number: int) -> Upload:
    return Upload(content=f"picture {number}".encode(), media_type="image/jpeg", name=f"{number}.jpg")


def test_an_attached_picture_belongs_to_the_opinion_and_lies_on_this_node(any_town: Township) -> None:
    town = any_town
    key = town.register()
    assert town.do("liaison", attach, key, PICTURE, " 清淤前 ")
    (known,) = town.opinion(key).attachments
    assert (known.digest, known.name, known.caption) == (DIGEST.hex(), "水沟.jpg", "清淤前")
    assert (known.size, known.by.name) == (len(PICTURE.content), "林联络")
    with town.node.reading() as connection:
        assert town.node.blobs.read(connection, DIGEST) == PICTURE.content
        assert town.node.blobs.referring(connection, DIGEST) == [Scope(f"{TOWN}/s/qd")]
    assert town.opinion(key).timeline[-1].fits


def test_the_same_picture_is_attached_once(town: Township) -> None:
    key = town.register()
    assert town.do("liaison", attach, key, PICTURE)
    assert not town.do("chief", attach, key, PICTURE, "again")
    assert len(town.opinion(key).attachments) == 1
    assert town.do("liaison", attach, town.register(), PICTURE), "another opinion may have the same one"


def test_who_works_on_the_opinion_may_attach_and_nobody_else(town: Township) -> None:
    key, allowed = town.case_in(State.HANDLING), set()
    for number, who in enumerate(PEOPLE):
        try:
            town.do(who, attach, key, numbered(number))
            allowed.add(who)
        except NotAllowed:
            assert not attaching.may_attach(PEOPLE[who], town.opinion(key)) or who.startswith("other_")
    assert allowed == {"deputy", "liaison", "chief", "clerk", "chair", "handler", "unit_head"}


@pytest.mark.parametrize("state", [State.REGISTERED, State.REPLIED, State.CLOSED, State.EXPLAINED])
def test_a_picture_may_also_be_added_after_the_end_and_moves_nothing(town: Township, state: State) -> None:
    key = town.case_in(state)
    town.do("liaison", attach, key, PICTURE)
    assert town.state(key) is state
    assert town.opinion(key).attachments


def test_an_opinion_that_was_withdrawn_gets_no_more_pictures(town: Township) -> None:
    key = town.register()
    with town.acting("liaison") as unit:
        unit.record(f"opinion/{key}", f.Withdrawn(proof="本人撤回"), scope=unit.station_scope("qd"))
    with pytest.raises(WrongState):
        town.do("liaison", attach, key, PICTURE)


def test_an_opinion_takes_twenty_files(town: Township) -> None:
    key = town.register()
    with town.acting("liaison") as unit:
        for number in range(FILES_MAX):
            attach(unit, key, numbered(number))
    with pytest.raises(Invalid) as caught:
        town.do("liaison", attach, key, PICTURE)
    assert (caught.value.field, caught.value.code) == ("files", "too_many_files")
    assert not town.do("liaison", attach, key, numbered(3)), "one that is there already is no twenty-first"


def test_a_caption_has_an_end(town: Township) -> None:
    with pytest.raises(Invalid) as caught:
        town.do("liaison", attach, town.register(), PICTURE, "字" * 201)
    assert caught.value.field == "caption"


def test_without_room_on_the_disk_nothing_is_recorded(town: Township, monkeypatch: pytest.MonkeyPatch) -> None:
    key = town.register()
    monkeypatch.setattr(town.node.blobs.files, "_free_bytes", lambda: 0)
    with pytest.raises(Invalid) as caught:
        town.do("liaison", attach, key, PICTURE)
    assert caught.value.code == "no_room"
    assert not town.opinion(key).attachments
    assert list(town.node.blobs.files.names()) == []


def test_erased_content_cannot_be_attached_again(town: Township) -> None:
    with town.node.engine.begin() as connection:
        town.node.blobs.erase(connection, DIGEST)
    with pytest.raises(Invalid) as caught:
        town.do("liaison", attach, town.register(), PICTURE)
    assert caught.value.code == "file_erased"


def test_an_erasure_that_fails_halfway_leaves_the_picture_with_the_facts(any_town: Township) -> None:
    town = any_town
    key = town.register(reporter=Reporter(name="王小明"), notice_read=True)
    town.do("liaison", attach, key, PICTURE)

    def erase_and_fail(unit: Unit) -> None:
        erasing.erase_reporter(unit, key, "本人要求")
        raise Interrupted

    with pytest.raises(Interrupted):
        town.do("chief", erase_and_fail)
    assert town.opinion(key).attachments
    with town.node.reading() as connection:
        assert town.node.blobs.read(connection, DIGEST) == PICTURE.content
    town.do("chief", erasing.erase_reporter, key, "本人要求")
    assert list(town.node.blobs.files.names()) == []


def test_a_file_that_will_not_go_stops_no_erasure_and_goes_with_the_next_sweep(
    town: Township, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = town.register(reporter=Reporter(name="王小明"), notice_read=True)
    town.do("liaison", attach, key, PICTURE)

    def in_use(_digest: bytes) -> bool:
        raise PermissionError(13, "another program has it open")

    with monkeypatch.context() as patched:
        patched.setattr(town.node.blobs.files, "remove", in_use)
        town.do("chief", erasing.erase_reporter, key, "本人要求")
    assert list(town.node.blobs.files.names()) != []
    with town.node.engine.begin() as connection:
        assert town.node.blobs.read(connection, DIGEST) is None
        assert town.node.blobs.sweep(connection).removed == 1
    assert list(town.node.blobs.files.names()) == []


def test_a_rebuild_knows_again_which_scopes_refer_to_a_picture(town: Township) -> None:
    town.do("liaison", attach, town.register(), PICTURE)
    with town.node.engine.begin() as connection:
        connection.execute(delete(blob_scopes))
    projecting.rebuild(town.node)
    with town.node.reading() as connection:
        assert town.node.blobs.referring(connection, DIGEST) == [Scope(f"{TOWN}/s/qd")]
    assert projecting.differences(town.node) == dict.fromkeys(projecting.differences(town.node), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "../../etc/passwd"}, {"digest": "AB" * 32}, {"digest": ""}, {"media_type": "text/html"},
        {"size": 2**70}, {"size": -1}, {"media_type": "image/jpeg\0"},
    ],
)  # fmt: skip
def test_a_fact_that_names_nonsense_stops_nothing(any_town: Township, changes: dict[str, object]) -> None:
    town = any_town
    key = town.register()
    given = {"digest": DIGEST.hex(), "size": 10, "media_type": "image/jpeg", "name": "x"}
    with town.acting("liaison") as unit:
        unit.record(f"opinion/{key}", f.Attached(**(given | changes)), scope=unit.station_scope("qd"))  # type: ignore[arg-type]
    with town.node.reading() as connection:
        blob = town.node.blobs.find(connection, DIGEST)
    assert blob is None or blob.state is BlobState.REFUSED
    assert town.state(key) is State.REGISTERED
