"""附件 on the page of an opinion: adding them, what is said of them, and who gets their content."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

import pytest
from flask import Flask
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse as Page
from werkzeug.test import encode_multipart

from service.actions.attaching import attach
from service.documents.uploads import FILE_BYTES_MAX, Upload
from service.domain import facts as f
from service.web.attaching import FORM_BYTES_MAX
from sync.blob_files import chunk_hashes
from sync.limits import CHUNK_BYTES
from tests.documents.photos import noisy, paper, photo
from tests.web.cases import CLERK, LIAISON, Cases
from tests.web.conftest import Browser, Township

Sit = Callable[[str], Browser]
CAPTION = "清淤前的排水沟"


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


def add(browser: Browser, opinion: str, *files: tuple[str, bytes], caption: str = CAPTION) -> Page:
    """Choose the files on the opinion's page and send them."""
    page = f"/opinions/{opinion}"
    sent = [FileStorage(BytesIO(content), name) for name, content in files]
    data = {**browser.form(page, "caption"), "caption": caption, "files": sent}
    return post(browser, f"{page}/attachments", data)


def post(browser: Browser, path: str, data: dict[str, object], **more: object) -> Page:
    """As a browser sends files; the client's own way leaves its temporary file open."""
    boundary, body = encode_multipart(data)
    kind = f"multipart/form-data; boundary={boundary}"
    return browser.client.post(path, data=body, content_type=kind, **more)  # type: ignore[arg-type]


def attachments(township: Township, opinion: str) -> list[str]:
    with township.station.unit(LIAISON) as unit:
        return [known.digest for known in unit.opinion(opinion).attachments]


def content(opinion: str, digest: str) -> str:
    return f"/opinions/{opinion}/attachments/{digest}"


# --- adding --------------------------------------------------------------------------------------------------------


def test_several_files_at_once_are_added_and_shown(at_station: Sit, cases: Cases, township: Township) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    answer = add(liaison, made.opinion, ("水沟.JPG", photo()), ("证明.pdf", paper()))
    assert answer.status_code == 302
    page = liaison.get(f"/opinions/{made.opinion}").text
    picture, document = attachments(township, made.opinion)
    assert f'<img src="{content(made.opinion, picture)}" alt="{CAPTION}"' in page
    assert f'<img src="{content(made.opinion, document)}"' not in page
    assert "水沟.jpg" in page
    assert "证明.pdf" in page
    assert "还没送到乡镇" in page
    assert "已添加 2 个附件。" in page


def test_a_file_larger_than_any_other_form_is_taken_here_only(at_station: Sit, cases: Cases) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    large = noisy(2600, 2000)
    assert len(large) > 1024 * 1024
    assert add(liaison, made.opinion, ("a.jpg", large)).status_code == 302
    elsewhere = {**liaison.form(f"/opinions/{made.opinion}/steps/explain"), "talk": "x" * (2 * 1024 * 1024)}
    assert liaison.client.post(f"/opinions/{made.opinion}/steps/explain", data=elsewhere).status_code == 413


def announcing(browser: Browser, opinion: str, size: int) -> Page:
    """A form that is said to be this large; nothing beyond what is taken is read of it."""
    data: dict[str, object] = {"files": FileStorage(BytesIO(photo()), "a.jpg")}
    return post(browser, f"/opinions/{opinion}/attachments", data, environ_overrides={"CONTENT_LENGTH": str(size)})


def test_more_than_one_form_may_carry_is_refused_in_words(at_station: Sit, cases: Cases) -> None:
    answer = announcing(at_station("liaison"), cases.registered().opinion, FORM_BYTES_MAX + 1)
    assert answer.status_code == 413
    assert "提交的内容太大" in answer.text


def test_who_is_not_signed_in_may_not_send_that_much(station_app: Flask, cases: Cases) -> None:
    answer = announcing(Browser(station_app), cases.registered().opinion, 2 * 1024 * 1024)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("假.jpg", b"<html><script>", "“假.jpg”不是 JPEG、PNG 图片或 PDF。"),
        ("半.jpg", photo()[:300], "“半.jpg”已损坏或不完整"),
        ("空.pdf", b"", "“空.pdf”是空文件。"),
        ("锁.pdf", paper(b"/Encrypt 1 0 R"), "“锁.pdf”设有密码"),
        ("动.pdf", paper(b"/JS(x)"), "“动.pdf”带有脚本"),
        ("大.pdf", paper() + bytes(FILE_BYTES_MAX), "每个文件最多 10 MB"),
    ],
)
def test_a_refused_file_is_named_nothing_is_kept_and_what_was_typed_stays(
    at_station: Sit, cases: Cases, township: Township, name: str, body: bytes, sentence: str
) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    answer = add(liaison, made.opinion, ("好.jpg", photo()), (name, body))
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'value="{CAPTION}"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert attachments(township, made.opinion) == []


def test_sending_without_a_file_says_so(at_station: Sit, cases: Cases) -> None:
    answer = add(at_station("liaison"), cases.registered().opinion, caption="说明")
    assert answer.status_code == 422
    assert "请填写“照片或扫描件”。" in answer.text


def test_the_same_file_sent_twice_is_kept_once(at_station: Sit, cases: Cases, township: Township) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    for _ in range(2):
        assert add(liaison, made.opinion, ("a.jpg", photo())).status_code == 302
    assert len(attachments(township, made.opinion)) == 1
    assert "没有重复保存" in liaison.get(f"/opinions/{made.opinion}").text


def test_where_a_photo_was_taken_leaves_the_telephone_and_goes_no_further(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    add(liaison, made.opinion, ("a.jpg", photo(turned=True)))
    (digest,) = attachments(township, made.opinion)
    picture = Image.open(BytesIO(liaison.get(content(made.opinion, digest)).data))
    assert (dict(picture.getexif()), picture.size) == ({}, (480, 640))


@pytest.mark.parametrize("who", ["clerk", "handler"])
def test_a_photo_can_be_added_at_the_hub_too(at_hub: Sit, cases: Cases, township: Township, who: str) -> None:
    made, reader = cases.dispatched(), at_hub(who)
    assert add(reader, made.opinion, ("修好了.jpg", photo())).status_code == 302
    assert "已送到乡镇" not in reader.get(f"/opinions/{made.opinion}").text
    township.exchange()  # the event
    township.exchange()  # the content
    assert len(attachments(township, made.opinion)) == 1


def test_who_only_reads_is_not_offered_the_form_and_refused(at_hub: Sit, cases: Cases, township: Township) -> None:
    made = cases.dispatched()
    auditor = at_hub("auditor")
    assert 'name="files"' not in auditor.get(f"/opinions/{made.opinion}").text
    data = {"files": FileStorage(BytesIO(photo()), "a.jpg"), "csrf_token": auditor.form("/password")["csrf_token"]}
    answer = post(auditor, f"/opinions/{made.opinion}/attachments", data)
    assert answer.status_code == 403


def test_the_form_speaks_the_readers_language_whoever_read_the_page_before(at_station: Sit, cases: Cases) -> None:
    page, liaison = f"/opinions/{cases.registered().opinion}", at_station("liaison")
    assert "照片或扫描件" in liaison.get(page).text
    liaison.speak("en")
    assert "照片或扫描件" not in liaison.get(page).text
    assert "Photos or scans" in liaison.get(page).text


# --- on the way ------------------------------------------------------------------------------------------------------


def test_a_picture_that_is_not_here_yet_says_how_far_it_has_come(
    at_hub: Sit, at_station: Sit, cases: Cases, township: Township
) -> None:
    body = bytes(range(256)) * (CHUNK_BYTES // 256) * 5
    digest = sha256(body).digest()
    made = cases.registered()
    with township.station.unit(LIAISON) as unit:
        attach(unit, made.opinion, Upload(content=body, media_type="image/jpeg", name="a.jpg"), CAPTION)
    township.exchange()
    page = f"/opinions/{made.opinion}"
    assert "图片还没到,已到 0%" in at_hub("clerk").get(page).text
    with township.hub.engine.begin() as connection:
        township.hub.blobs.learn(connection, digest, len(body), chunk_hashes(body))
        for number in (0, 3):
            township.hub.blobs.put_chunk(connection, digest, number, body[:CHUNK_BYTES])
    clerk = at_hub("clerk")
    assert "图片还没到,已到 40%" in clerk.get(page).text
    assert "<img" not in clerk.get(page).text
    assert clerk.get(content(made.opinion, digest.hex())).status_code == 404
    clerk.speak("en")
    assert "The picture is not here yet: 40% so far" in clerk.get(page).text
    township.exchange()
    assert f'<img src="{content(made.opinion, digest.hex())}"' in at_hub("clerk").get(page).text
    assert "已送到乡镇" in at_station("liaison").get(page).text


def test_a_picture_that_never_came_is_told_of_with_its_reason_where_people_look(
    at_station: Sit, at_hub: Sit, cases: Cases, township: Township
) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    add(liaison, made.opinion, ("a.jpg", photo()))
    (digest,) = attachments(township, made.opinion)
    township.station.blobs.files.whole(bytes.fromhex(digest)).unlink()
    township.exchange()
    page, clerk = f"/opinions/{made.opinion}", at_hub("clerk")
    assert "一直没收齐" not in clerk.get(page).text
    assert "迟迟没到" not in clerk.get("/hub/stations").text
    township.clock.pass_by(days=4)
    assert "这以后对方还没有联系过" in clerk.get(page).text
    board = clerk.get("/hub/stations").text
    assert "迟迟没到的照片和扫描件" in board
    assert f'href="{page}#files"' in board
    with township.station.engine.begin() as connection:
        township.station.blobs.sweep(connection)  # it notices that its own file is gone
    township.exchange()
    assert "对方联系过,但也没有这个文件" in clerk.get(page).text
    assert "迟迟没到的照片和扫描件" in liaison.get("/sync").text
    assert "一直没收齐" in liaison.get(page).text


def test_erased_content_is_said_to_be_gone(at_station: Sit, cases: Cases, township: Township) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    add(liaison, made.opinion, ("a.jpg", photo()))
    (digest,) = attachments(township, made.opinion)
    with township.station.engine.begin() as connection:
        township.station.blobs.erase(connection, bytes.fromhex(digest))
    assert "内容已清除" in liaison.get(f"/opinions/{made.opinion}").text
    assert liaison.get(content(made.opinion, digest)).status_code == 404


def test_a_picture_damaged_on_this_disk_is_not_shown_and_comes_back_from_the_hub(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    add(liaison, made.opinion, ("a.jpg", photo()))
    (digest,) = attachments(township, made.opinion)
    township.exchange()
    township.exchange()
    file = township.station.blobs.files.whole(bytes.fromhex(digest))
    file.write_bytes(b"x" * file.stat().st_size)
    assert liaison.get(content(made.opinion, digest)).status_code == 404
    assert "图片还没到,已到 0%" in liaison.get(f"/opinions/{made.opinion}").text
    township.exchange()
    assert liaison.get(content(made.opinion, digest)).status_code == 200


# --- who gets it ---------------------------------------------------------------------------------------------------


def test_a_picture_is_served_so_that_nothing_in_it_can_run(at_station: Sit, cases: Cases, township: Township) -> None:
    made, liaison = cases.registered(), at_station("liaison")
    add(liaison, made.opinion, ("水沟.jpg", photo()), ("证明.pdf", paper()))
    picture, document = (liaison.get(content(made.opinion, one)) for one in attachments(township, made.opinion))
    assert (picture.mimetype, document.mimetype) == ("image/jpeg", "application/pdf")
    assert picture.headers["Content-Disposition"].startswith("inline; ")
    assert document.headers["Content-Disposition"].startswith("attachment; ")
    for answer in (picture, document):
        assert "filename*=UTF-8''%" in answer.headers["Content-Disposition"]
        assert str(answer.headers).isascii(), "no server sends other letters in a header"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_name_from_another_node_cannot_write_a_header(at_station: Sit, cases: Cases, township: Township) -> None:
    made = cases.registered()
    picture = Upload(content=photo(), media_type="image/jpeg", name="a\r\nSet-Cookie: x=1\u202e.jpg")
    with township.station.unit(LIAISON) as unit:
        attach(unit, made.opinion, picture)
    answer = at_station("liaison").get(content(made.opinion, picture.digest))
    assert answer.status_code == 200
    assert "Set-Cookie: x=1" not in str(answer.headers).splitlines()


def test_a_type_that_only_another_node_could_claim_is_never_shown(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    made, body = cases.registered(), b"<html><script>alert(1)</script>"
    digest = sha256(body).hexdigest()
    with township.station.unit(LIAISON) as unit:
        unit.node.blobs.add(unit.connection, body, "text/html")
        fact = f.Attached(digest=digest, size=len(body), media_type="text/html", name="a.html")
        unit.record(f"opinion/{made.opinion}", fact, scope=unit.station_scope("qd"))
    answer = at_station("liaison").get(content(made.opinion, digest))
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_content_is_for_who_may_see_its_opinion(at_hub: Sit, cases: Cases, township: Township) -> None:
    elsewhere, ours = cases.registered(), cases.dispatched()
    with township.hub.unit(CLERK) as unit:
        attach(unit, elsewhere.opinion, Upload(content=photo(), media_type="image/jpeg", name="a.jpg"))
    digest = sha256(photo()).hexdigest()
    assert at_hub("clerk").get(content(elsewhere.opinion, digest)).status_code == 200
    handler = at_hub("handler")
    assert handler.get(content(elsewhere.opinion, digest)).status_code == 404
    assert handler.get(content(ours.opinion, digest)).status_code == 404, "a digest alone opens nothing"
    assert handler.get(content(ours.opinion, "..%2f..%2fsession.key")).status_code == 404


@pytest.mark.parametrize("secrecy", ["unit", "anonymous"])
def test_pictures_of_a_secret_reporters_opinion_are_for_who_may_see_the_opinion(
    at_hub: Sit, cases: Cases, township: Township, secrecy: str
) -> None:
    made = cases.dispatched(secrecy=secrecy)
    with township.hub.unit(CLERK) as unit:
        attach(unit, made.opinion, Upload(content=photo(), media_type="image/jpeg", name="a.jpg"))
    assert at_hub("handler").get(content(made.opinion, sha256(photo()).hexdigest())).status_code == 200


def test_the_public_page_tells_nothing_of_attachments(
    at_station: Sit, station_app: Flask, cases: Cases, township: Township
) -> None:
    made = cases.registered()
    add(at_station("liaison"), made.opinion, ("水沟.jpg", photo()))
    (digest,) = attachments(township, made.opinion)
    citizen = Browser(station_app)
    page = citizen.send("/p", code=made.tracking_code)
    assert page.status_code == 200
    assert made.reg_no in page.text
    for word in (CAPTION, "水沟", digest, "attachments", "附件"):
        assert word not in page.text
    assert citizen.get(content(made.opinion, digest)).headers["Location"].startswith("/login")
